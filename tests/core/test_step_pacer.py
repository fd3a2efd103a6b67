"""The share of prompts in a step, against simulated machines whose steps cost what the formula says."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from candlewick.core.config import EngineConfig
from candlewick.core.scheduler import Scheduler
from candlewick.core.sequence import Sequence
from candlewick.core.step_pacer import (
    FIRST_SHARE,
    LEAST_ALONE,
    LEAST_SHARE,
    LONGEST_STEP_SECONDS,
    NO_LIMIT,
    StepPacer,
)

MAX_STEP_TOKENS = 512


@dataclass(frozen=True)
class Machine:
    """Seconds of a step: reading the weights, or computing the rows, whichever takes longer."""

    reading: float
    row: float
    noise: float = 0.0
    hiccup_every: int = 0

    def seconds(self, num_rows: int, random_numbers: random.Random, step: int) -> float:
        seconds = max(self.reading, self.row * num_rows) * (1 + random_numbers.uniform(0, self.noise))
        return seconds * 5 if self.hiccup_every and step % self.hiccup_every == 0 else seconds


BIG = Machine(reading=0.1, row=0.012)
SMALL = Machine(reading=0.0002, row=0.00005)
MACHINES = [BIG, SMALL, Machine(reading=0.1, row=0.03), Machine(reading=0.1, row=0.0005)]


def run(
    pacer: StepPacer,
    machine: Callable[[int], Machine],
    num_steps: int,
    num_decodes: Callable[[int], int] = lambda step: 1,
) -> tuple[list[float], list[int]]:
    """How many times a quiet step each step took, and the tokens of prompts in it."""
    random_numbers = random.Random(0)
    slowdowns, shares = [], []
    for step in range(1, num_steps + 1):
        decodes = num_decodes(step)
        share = min(pacer.allowance(decodes), MAX_STEP_TOKENS - decodes)
        seconds = machine(step).seconds(decodes + share, random_numbers, step)
        pacer.record(decodes, share, seconds)
        slowdowns.append(seconds / max(machine(step).reading, machine(step).row * decodes))
        shares.append(share)
    return slowdowns, shares


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("max_slowdown", [1.5, 2.5, 4.0])
def test_no_step_takes_longer_than_asked_for_and_the_time_is_used(
    machine: Machine, max_slowdown: float
) -> None:
    slowdowns, shares = run(StepPacer(max_slowdown), lambda step: machine, 200)
    least = max(machine.reading, machine.row * (FIRST_SHARE + 1)) / machine.reading
    assert max(slowdowns) < max(max_slowdown, least) * 1.01
    settled = [slowdown for slowdown, share in zip(slowdowns, shares, strict=True) if share][-50:]
    could_take = machine.row * MAX_STEP_TOKENS / machine.reading
    assert min(settled) > 0.8 * min(max_slowdown, could_take)


@pytest.mark.parametrize("seconds_per_token", [0.001, 0.01, 0.1])
def test_who_comes_while_a_prompt_is_computed_alone_does_not_wait_long(seconds_per_token: float) -> None:
    pacer = StepPacer(2.5)
    assert pacer.allowance(0) == NO_LIMIT, "nothing is known yet"
    steps = []
    for _ in range(40):
        steps.append(min(pacer.allowance(0), MAX_STEP_TOKENS))
        pacer.record(0, steps[-1], steps[-1] * seconds_per_token)
    wanted = min(max(int(LONGEST_STEP_SECONDS / seconds_per_token), LEAST_ALONE), MAX_STEP_TOKENS)
    assert steps[1:] == [wanted] * 39
    pacer.record(0, wanted, 100 * wanted * seconds_per_token)  # one hiccup
    assert pacer.allowance(0) >= min(wanted, max(int(0.75 * wanted), LEAST_ALONE))
    pacer.record(0, 3, 10.0)
    assert pacer.allowance(0) >= min(wanted, max(int(0.75 * wanted), LEAST_ALONE)), "a few tokens say nothing"


def test_noise_and_hiccups_are_no_trend() -> None:
    machine = Machine(reading=0.1, row=0.012, noise=0.15, hiccup_every=50)
    slowdowns, shares = run(StepPacer(2.5), lambda step: machine, 1000)
    mean = 1 + machine.noise / 2
    ordinary = [slowdown / mean for step, slowdown in enumerate(slowdowns, start=1) if step % 50]
    assert max(ordinary) < 3
    assert sum(shares) / len(shares) > 0.6 * max(shares)


def test_dearer_tokens_far_into_a_long_prompt() -> None:
    def with_longer_context(step: int) -> Machine:
        return Machine(reading=0.1, row=0.01 + 0.00002 * step)

    slowdowns, _ = run(StepPacer(2.5), with_longer_context, 1000)
    assert max(slowdowns) < 3


def test_every_number_of_streams_has_its_own_measure() -> None:
    slowdowns, shares = run(
        StepPacer(2.5), lambda step: BIG, 400, lambda step: [1, 16, 31, 2][step // 20 % 4]
    )
    assert max(slowdowns) < 3
    assert shares.count(0) < 20, "measuring is rare"


def test_prompts_never_stop() -> None:
    _, shares = run(StepPacer(1.01), lambda step: BIG, 300)
    assert max(shares) >= LEAST_SHARE
    assert all(any(shares[i : i + 2]) for i in range(1, 299)), "no two steps in a row without a prompt"


def test_a_clock_too_coarse_to_see_a_step_does_not_stop_prompts() -> None:
    pacer = StepPacer(2.5)
    pacer.record(1, 0, 0.0)
    for _ in range(10):
        assert pacer.allowance(1) >= LEAST_SHARE
        pacer.record(1, pacer.allowance(1), 0.0)


def test_without_running_answers_or_without_a_limit_there_is_none() -> None:
    assert StepPacer(2.5).allowance(0) == NO_LIMIT
    assert StepPacer(math.inf).allowance(7) == NO_LIMIT


@pytest.mark.parametrize("machine", [*MACHINES, Machine(reading=0.03, row=0.004, noise=0.1)])
@pytest.mark.parametrize("attention", [0.0, 0.5, 2.0])
def test_the_gap_of_a_running_answer_beside_a_prompt_of_8k_tokens(machine: Machine, attention: float) -> None:
    """At the default budget it stays below 3 times the quiet one. ``attention`` is what a token costs because it comes
    after all of the prompt, as a part of what it costs anyway."""
    config = EngineConfig()
    pacer = StepPacer(config.max_decode_slowdown)
    scheduler = Scheduler(
        1000, max_running=config.max_running, max_step_tokens=config.max_step_tokens, pacer=pacer
    )
    answer, prompt = Sequence([1] * 20, 0), Sequence([2] * 8192, 1)
    random_numbers = random.Random(0)
    gaps: list[float] = []

    def step() -> None:
        chosen = scheduler.schedule()
        num_rows = sum(chunk.num_rows for chunk in chosen.chunks)
        seconds = machine.seconds(num_rows, random_numbers, len(gaps) + 1)
        for chunk in chosen.chunks:
            num_earlier = chunk.sequence.num_computed + chunk.num_rows / 2
            seconds += attention * machine.row * chunk.num_rows * num_earlier / 8192
        pacer.record(chosen.num_decodes, chosen.num_prompt_tokens, seconds)
        scheduler.complete(chosen)
        gaps.append(seconds)
        answer.append(3)

    scheduler.add(answer)
    for _ in range(20):
        step()
    quiet = sorted(gaps[1:])[len(gaps) // 2]
    del gaps[:]
    scheduler.add(prompt)
    while prompt.num_pending:
        step()
    assert max(gaps) < 3 * quiet
    assert len(gaps) < 8192 / LEAST_SHARE, "the prompt gets what fits"
