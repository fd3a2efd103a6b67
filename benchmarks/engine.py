"""Candlewick beside llama-cpp-python under load, on one GGUF file, in one process, taking turns: A B A B.

    python benchmarks/engine.py MODEL.gguf [--streams 1,4,8,16] [--long 8192] [--history 2048] [--rounds 3] [--json]

What a program notices that has more than one request at a time: tokens a second of several streams, the wait for the
second turn of a chat, for a short question behind a long document, and the gaps of a stream beside one.

- ``candlewick``: ``InferenceEngine`` as it comes, but without speculative decoding.
- ``llama-cpp-python``: its ``Llama``, whose requests take turns, as in a program with a lock and in its server.
- ``llama.cpp batched``: the best that a server could make of its library: all streams in lockstep by ``llama_decode``,
  without sampling or scheduling. For throughput only.

Needs llama-cpp-python, compiled for this machine. Its AMX form of the weights crashes in version 0.3.36: give
``--no-repacking`` there, which makes it slower and the comparison unfit for publishing.
"""

from __future__ import annotations

import argparse
import json
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
from engines import Setup
from engines.candlewick import Candlewick as Model
from engines.llama_cpp import LlamaCpp

from candlewick.core.config import EngineConfig
from candlewick.core.engine import InferenceEngine
from candlewick.core.machine import available_cores
from candlewick.core.params import GenerationParams

PROMPT, ANSWER, QUESTION = 32, 64, 32
"""Tokens of a short prompt, of a short answer, and of what a second turn adds."""
QUIET_TOKENS = 24
"""Tokens of a stream before the long prompt comes."""

Tokens = list[int]


class Contestant(Protocol):
    name: str

    def generate(self, prompt_ids: Tokens, max_tokens: int) -> Iterator[int]:
        """Tokens as they come; may be called from many threads at once."""


class Candlewick:
    name = "candlewick"

    def __init__(self, path: Path, context: int, threads: int) -> None:
        # Random weights fall into repetition, and guessing that would flatter us.
        config = EngineConfig(max_context=context, num_threads=threads, speculation=None)
        self._engine = InferenceEngine.load(path, config)
        self.vocab_size = self._engine.vocab_size

    def generate(self, prompt_ids: Tokens, max_tokens: int) -> Iterator[int]:
        params = GenerationParams(temperature=0, max_tokens=max_tokens, ignore_eos=True)
        with self._engine.submit(prompt_ids, params) as generation:
            for output in generation:
                assert output.token_id is not None, "nobody cancels"
                yield output.token_id


class LlamaCppPython:
    name = "llama-cpp-python"

    def __init__(self, path: Path, context: int, threads: int, repacks: bool) -> None:
        from llama_cpp import Llama, llama_cpp

        defaults = llama_cpp.llama_model_default_params

        def without_repacking() -> object:
            params = defaults()
            params.use_extra_bufts = repacks
            return params

        llama_cpp.llama_model_default_params = without_repacking  # the class has no argument for it
        self._lock = threading.Lock()
        self._llama = Llama(
            str(path), n_ctx=context, n_threads=threads, n_threads_batch=threads, verbose=False
        )
        llama_cpp.llama_model_default_params = defaults

    def generate(self, prompt_ids: Tokens, max_tokens: int) -> Iterator[int]:
        with self._lock:
            tokens = self._llama.generate(prompt_ids, temp=0.0, top_k=1)
            for _ in range(max_tokens):
                yield next(tokens)


class Prompts:
    """Random prompts, no two of which begin alike."""

    def __init__(self, vocab_size: int) -> None:
        self._rng = np.random.default_rng(0)
        self._vocab_size = vocab_size

    def new(self, num_tokens: int) -> Tokens:
        return self._rng.integers(0, self._vocab_size, num_tokens).tolist()


class Reader(threading.Thread):
    """Reads one answer and notes when each token came."""

    def __init__(self, contestant: Contestant, prompt_ids: Tokens, max_tokens: int) -> None:
        super().__init__()
        self.prompt_ids = prompt_ids
        self.submitted_at = time.perf_counter()
        self.times: list[float] = []
        self.tokens: Tokens = []
        self.first_token = threading.Event()
        self.leave = threading.Event()
        self._generation = contestant.generate(prompt_ids, max_tokens)
        self.start()

    def run(self) -> None:
        for token in self._generation:
            self.times.append(time.perf_counter())
            self.tokens.append(token)
            self.first_token.set()
            if self.leave.is_set():
                break
        self._generation.close()

    @property
    def time_to_first_token(self) -> float:
        return self.times[0] - self.submitted_at


def throughput(contestant: Contestant, prompts: Prompts, num_streams: int) -> dict[str, float]:
    start = time.perf_counter()
    readers = [Reader(contestant, prompts.new(PROMPT), ANSWER) for _ in range(num_streams)]
    for reader in readers:
        reader.join()
    return {"tokens/s": num_streams * ANSWER / (time.perf_counter() - start)}


def lockstep_throughput(side: LlamaCpp, num_streams: int) -> dict[str, float]:
    side.forget()
    start = time.perf_counter()
    for stream in range(num_streams):
        side.step([(stream, 0, PROMPT)])
    for i in range(ANSWER - 1):
        side.step([(stream, PROMPT + i, 1) for stream in range(num_streams)])
    return {"tokens/s": num_streams * ANSWER / (time.perf_counter() - start)}


def second_turn(
    contestant: Contestant, prompts: Prompts, history: int, model: Model | None = None
) -> dict[str, float]:
    """The wait for a second turn, and how many times the cost of its new tokens that is: of as many without a
    history, and what ``model`` takes to compute them behind theirs."""
    first = Reader(contestant, prompts.new(history), ANSWER)
    first.join()
    second = Reader(contestant, [*first.prompt_ids, *first.tokens, *prompts.new(QUESTION)], 1)
    second.join()
    alone = Reader(contestant, prompts.new(QUESTION), 1)
    alone.join()
    figures = {
        "first turn s": first.time_to_first_token,
        "second turn s": second.time_to_first_token,
        "x new tokens alone": second.time_to_first_token / alone.time_to_first_token,
    }
    if model is not None:
        # The first answer's last token was drawn, and not computed.
        cost = model.step_seconds(history + ANSWER - 1, QUESTION + 1)
        figures["x new tokens"] = second.time_to_first_token / cost
    return figures


def short_behind_long(contestant: Contestant, prompts: Prompts, long: int) -> dict[str, float]:
    """The wait for a short question that comes while a long prompt is computed."""
    document = Reader(contestant, prompts.new(long), 1)
    time.sleep(0.5)  # the prompt is being computed now
    question = Reader(contestant, prompts.new(QUESTION), 1)
    question.join()
    document.join()
    return {"first token s": question.time_to_first_token, "long prompt s": document.time_to_first_token}


def gap_beside_long(contestant: Contestant, prompts: Prompts, long: int) -> dict[str, float]:
    """The gaps of a stream, quiet and beside a long prompt; the stream leaves when the prompt is done."""
    stream = Reader(contestant, prompts.new(PROMPT), QUIET_TOKENS + long)
    while len(stream.times) < QUIET_TOKENS:
        time.sleep(0.001)
    document = Reader(contestant, prompts.new(long), 1)
    came_at = len(stream.times)
    document.join()
    stream.leave.set()
    stream.join()
    gaps = np.diff(stream.times)
    quiet = statistics.median(gaps[1 : came_at - 1])
    beside = gaps[came_at:]
    return {
        "quiet gap s": quiet,
        "median gap x quiet": float(np.median(beside)) / quiet,
        "95 % gap x quiet": float(np.quantile(beside, 0.95)) / quiet,
        "longest gap x quiet": float(beside.max()) / quiet,
        "long prompt s": document.time_to_first_token,
    }


@dataclass(frozen=True)
class Result:
    test: str
    contestant: str
    figures: dict[str, float]
    """Medians of the rounds."""


Measurement = Callable[[], dict[str, float]]


def compare(cases: dict[str, dict[str, Measurement]], rounds: int) -> Iterator[Result]:
    """Measure each case's contestants one after the other, ``rounds`` times."""
    for test, measurements in cases.items():
        taken: dict[str, list[dict[str, float]]] = {name: [] for name in measurements}
        for _ in range(rounds):
            for name, measure in measurements.items():
                taken[name].append(measure())
        for name, figures in taken.items():
            yield Result(
                test, name, {key: statistics.median(one[key] for one in figures) for key in figures[0]}
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--streams", default="1,4,8,16")
    parser.add_argument("--history", type=int, default=2048)
    parser.add_argument("--long", type=int, default=8192)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--alone", action="store_true", help="measure Candlewick only")
    parser.add_argument(
        "--no-repacking", action="store_true", help="llama.cpp with its weights as in the file"
    )
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    streams = [int(n) for n in arguments.streams.split(",")]
    long = arguments.long
    context = max(2 * long + PROMPT + QUIET_TOKENS, arguments.history + ANSWER + 2 * QUESTION)

    ours = Candlewick(arguments.model, context, arguments.threads)
    prompts = Prompts(ours.vocab_size)
    contestants: list[Contestant] = [ours]
    batched = None
    if not arguments.alone:
        repacks = not arguments.no_repacking
        contestants.append(LlamaCppPython(arguments.model, context, arguments.threads, repacks))
        most = max(streams)
        setup = Setup(arguments.model, most * (PROMPT + ANSWER), most, arguments.threads, repacks)
        batched = LlamaCpp(setup)

    cases: dict[str, dict[str, Measurement]] = {}
    for n in streams:
        sides: dict[str, Measurement] = {c.name: partial(throughput, c, prompts, n) for c in contestants}
        if batched is not None:
            sides["llama.cpp batched"] = partial(lockstep_throughput, batched, n)
        cases[f"{n} streams"] = sides
    model = Model(Setup(arguments.model, arguments.history + ANSWER + 2 * QUESTION, 1, arguments.threads))
    cases[f"second turn after {arguments.history}"] = {
        c.name: partial(second_turn, c, prompts, arguments.history, model if c is ours else None)
        for c in contestants
    }
    cases[f"short behind {long}"] = {
        c.name: partial(short_behind_long, c, prompts, long) for c in contestants
    }
    # Where requests take turns a stream has no rival, and the prompt waits for its end.
    cases[f"gap beside {long}"] = {ours.name: partial(gap_beside_long, ours, prompts, long)}

    results = []
    for result in compare(cases, arguments.rounds):
        results.append(result)
        if not arguments.json:
            figures = ", ".join(f"{key} {value:.3g}" for key, value in result.figures.items())
            print(f"{result.test:>24}  {result.contestant:<18} {figures}", flush=True)
    if arguments.json:
        print(json.dumps([asdict(result) for result in results], indent=2))


if __name__ == "__main__":
    main()
