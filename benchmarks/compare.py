"""Candlewick beside another engine on one GGUF file, in one process, taking turns: A B A B.

    python benchmarks/compare.py MODEL.gguf                                    # llama.cpp
    python benchmarks/compare.py MODEL.gguf --prompts 512,2048 --streams 1,8 --json figures.json --picture chart.svg
    python benchmarks/compare.py MODEL.gguf --peer mistralrs
    python benchmarks/compare.py MODEL.gguf --peer http://127.0.0.1:8000/v1 --peer-model NAME

The machine's speed wanders, so each round measures both sides of a case one after the other, between readings of
what the machine can do just then (``calibration.py``). Rounds in which that changed are measured again. What counts is
the median of the rounds' ratios; the share of the limit is that of the weights' reading or of the integer products,
whichever takes longer, at the speed that was read in the same round.

llama.cpp needs ``pip install llama-cpp-python``, compiled on this machine. Only the models' arithmetic is compared
there: prompts in pieces of 512 tokens, and decode steps of several streams behind short contexts; neither side samples.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import picture
from calibration import Machine, Reading, is_steady, mean
from engines import STEPS, Engine, Setup, Work, open_engine

from candlewick.cli.model_work import ModelWork
from candlewick.core.gguf import GGUFFile
from candlewick.core.machine import available_cores, choose_instruction_set

PIECE = 512
MOST_TRIES = 4
"""Rounds that may be measured for each one that is wanted."""


@dataclass(frozen=True)
class Case:
    name: str
    measure: Callable[[Engine], Work]
    steps: int
    """How often the weights are read."""
    drawn: int
    """Rows of logits."""
    is_short: bool = True
    """Whether what the first time costs would show."""


@dataclass(frozen=True)
class Result:
    test: str
    ours_tokens_per_second: float
    theirs_tokens_per_second: float
    ratio: float
    """Median over the rounds of ours / theirs."""
    share_of_limit: float
    """Ours, of what reading and multiplying allow, at the machine's speed of the same round."""
    rounds: int
    unsteady_rounds: int
    """Rounds that did not count because the machine's speed changed in them."""


def make_cases(prompts: list[int], streams: list[int]) -> list[Case]:
    cases = [
        Case(f"prompt {n}", lambda side, n=n: side.prefill(n), -(-n // PIECE), -(-n // PIECE), n <= 2048)
        for n in prompts
    ]
    cases += [
        Case(f"{n} stream{'s' * (n > 1)}", lambda side, n=n: side.decode(n), STEPS, n * STEPS)
        for n in streams
    ]
    return cases


def compare(
    ours: Engine, theirs: Engine, case: Case, rounds: int, machine: Machine, work: ModelWork
) -> Result:
    """Both sides of one case, ``rounds`` times."""
    if case.is_short:  # the first time is for page faults and sleeping threads
        case.measure(ours), case.measure(theirs)
    pairs: list[tuple[Work, Work, Reading]] = []
    unsteady: list[tuple[Work, Work, Reading]] = []
    while len(pairs) < rounds and len(pairs) + len(unsteady) < MOST_TRIES * rounds:
        before = machine.read()
        mine = case.measure(ours)
        between = machine.read()
        other = case.measure(theirs)
        after = machine.read()
        limit = mean(before, between)
        reading = work.reading_seconds(case.steps, limit.bandwidth)
        waits_for_memory = reading > work.multiplying_seconds(mine.tokens, case.drawn, limit.products)
        around = [r.bandwidth if waits_for_memory else r.products for r in (before, between, after)]
        (pairs if is_steady(around) else unsteady).append((mine, other, limit))
    counted = (
        pairs or unsteady
    )  # a machine that never is steady is measured as it is, and the number of rounds says so
    return Result(
        test=case.name,
        ours_tokens_per_second=statistics.median(mine.tokens_per_second for mine, _, _ in counted),
        theirs_tokens_per_second=statistics.median(other.tokens_per_second for _, other, _ in counted),
        ratio=statistics.median(
            mine.tokens_per_second / other.tokens_per_second for mine, other, _ in counted
        ),
        share_of_limit=statistics.median(
            work.shortest_seconds(case.steps, mine.tokens, case.drawn, limit.bandwidth, limit.products)
            / mine.seconds
            for mine, _, limit in counted
        ),
        rounds=len(pairs),
        unsteady_rounds=len(unsteady),
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--peer", default="llama.cpp", help="llama.cpp, mistralrs, or an endpoint's address")
    parser.add_argument("--peer-model", default="default", help="the model's name at an endpoint")
    parser.add_argument("--prompts", default="512", help="lengths, separated by commas")
    parser.add_argument("--streams", default="1,4,8,16")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--picture", type=Path, help="draw them into this SVG file")
    parser.add_argument(
        "--no-repacking",
        action="store_true",
        help="llama.cpp with its weights as in the file (its AMX form crashes in llama-cpp-python 0.3.36)",
    )
    arguments = parser.parse_args()
    prompts = [int(n) for n in arguments.prompts.split(",") if n]
    streams = [int(n) for n in arguments.streams.split(",") if n]
    setup = Setup(
        path=arguments.model,
        most_tokens=max([PIECE, *prompts]),
        most_streams=max([1, *streams]),
        threads=arguments.threads,
        repacks=not arguments.no_repacking,
        endpoint_model=arguments.peer_model,
    )
    ours, theirs = open_engine("candlewick", setup), open_engine(arguments.peer, setup)
    with GGUFFile.open(arguments.model) as file:
        work = ModelWork.of(file)
    machine = Machine(arguments.threads, choose_instruction_set(None))
    print(f"{arguments.model.name}, {arguments.threads} threads, {theirs.name}")
    print(
        f"{'test':>12} {'candlewick':>11} {'peer':>8} {'ratio':>6} {'of limit':>9} {'rounds':>7} {'unsteady':>9}"
    )
    results = []
    for case in make_cases(prompts, streams):
        r = compare(ours, theirs, case, arguments.rounds, machine, work)
        results.append(r)
        print(
            f"{r.test:>12} {r.ours_tokens_per_second:>11.1f} {r.theirs_tokens_per_second:>8.1f} {r.ratio:>6.2f}"
            f" {r.share_of_limit:>9.0%} {r.rounds:>7} {r.unsteady_rounds:>9}",
            flush=True,
        )
    best = machine.best
    print(f"limits: {best.products / 1e9:.0f} billion products/s, {best.bandwidth / 1e9:.1f} GB/s")
    if arguments.json:
        figures = {
            "model": arguments.model.name,
            "peer": theirs.name,
            "threads": arguments.threads,
            "products_per_second": best.products,
            "bytes_per_second": best.bandwidth,
            "results": [asdict(result) for result in results],
        }
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")
    if arguments.picture:
        rows = [
            picture.Row(r.test, r.ours_tokens_per_second, r.theirs_tokens_per_second, r.ratio)
            for r in results
        ]
        arguments.picture.write_text(
            picture.draw(f"{arguments.model.stem}: tokens a second", "Candlewick", theirs.name, rows)
        )


if __name__ == "__main__":
    main()
