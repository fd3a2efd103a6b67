"""The engine measures its steps: a long prompt keeps the pace of a running answer."""

from __future__ import annotations

import time

import pytest
from scripted_runner import ByteTokenizer, ScriptedRunner

from candlewick.core.batch import Batch
from candlewick.core.config import EngineConfig
from candlewick.core.engine import InferenceEngine
from candlewick.core.params import GenerationParams

STEP_SECONDS, TOKEN_SECONDS = 0.002, 0.0002
ENDLESS = GenerationParams(temperature=0, max_tokens=5000, ignore_eos=True)


class CostlyRunner(ScriptedRunner):
    """Every step takes the processor's time for itself, and for each of its tokens."""

    def __init__(self) -> None:
        super().__init__(num_blocks=1000)
        self.num_tokens: list[int] = []

    def execute(self, batch: Batch) -> None:
        end = time.thread_time() + STEP_SECONDS + TOKEN_SECONDS * batch.num_tokens
        super().execute(batch)
        self.num_tokens.append(batch.num_tokens)
        while time.thread_time() < end:
            pass


@pytest.mark.parametrize(("max_slowdown", "most_tokens"), [(2.5, 30), (float("inf"), 512)])
def test_the_share_of_a_long_prompt_follows_from_measured_steps(
    max_slowdown: float, most_tokens: int
) -> None:
    runner = CostlyRunner()
    config = EngineConfig(max_decode_slowdown=max_slowdown, speculation=None)
    with InferenceEngine(runner, ByteTokenizer(), config) as engine:  # type: ignore[arg-type]
        answer = engine.submit([1, 2, 3], ENDLESS)
        for _ in range(5):
            next(answer)
        prompt = engine.submit([7] * 1500, GenerationParams(max_tokens=1))
        start = len(runner.num_tokens)
        prompt.result()
        answer.cancel()
    sizes = runner.num_tokens[start:]
    assert max(sizes) <= most_tokens
    # A quiet step takes 2.2 ms, so the limit leaves room for 16 tokens more, the other takes what there is.
    assert max(sizes) >= (12 if max_slowdown < 10 else 512)


def test_a_prompt_of_a_higher_priority_does_not_mind_the_pace() -> None:
    runner = CostlyRunner()
    with InferenceEngine(runner, ByteTokenizer(), EngineConfig(speculation=None)) as engine:  # type: ignore[arg-type]
        answer = engine.submit([1, 2, 3], ENDLESS)
        for _ in range(5):
            next(answer)
        engine.submit([7] * 600, GenerationParams(max_tokens=1, priority=1)).result()
        answer.cancel()
    assert max(runner.num_tokens) == 512
