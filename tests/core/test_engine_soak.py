"""Hours in minutes: random arrivals, cancellations and bad input for as long as one likes.

``CANDLEWICK_SOAK_MINUTES`` says how long, 2 unless told otherwise.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from scripted_runner import VOCAB_SIZE, ByteTokenizer, ScriptedRunner, ScriptedSampler, direct, hashed

from candlewick.core.batch import Batch
from candlewick.core.config import EngineConfig
from candlewick.core.engine import InferenceEngine
from candlewick.core.errors import EngineOverloaded, InvalidRequestError
from candlewick.core.params import GenerationParams
from candlewick.core.speculation.draft_model import DraftModel

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
MINUTES = float(os.environ.get("CANDLEWICK_SOAK_MINUTES", "2"))
NUM_USERS = 6
CONFIG = EngineConfig(max_running=5, max_waiting=4, max_queue_seconds=2.0, max_step_tokens=60)


class User:
    """Asks, reads, leaves, and makes mistakes, until the time is over."""

    def __init__(self, engine: InferenceEngine, seed: int, is_exact: bool) -> None:
        self.ends: Counter[str] = Counter()
        self.error: BaseException | None = None
        self._engine = engine
        self._numbers = random.Random(seed)
        self._is_exact = is_exact

    def run(self, until: float) -> None:
        try:
            while time.monotonic() < until:
                self.ends[self._visit()] += 1
        except BaseException as error:
            self.error = error

    def _visit(self) -> str:
        numbers = self._numbers
        prompt = [numbers.randrange(3)] * numbers.randrange(60) + numbers.choices(
            range(200), k=numbers.randint(1, 40)
        )
        params = GenerationParams(
            max_tokens=numbers.randint(1, 60),
            temperature=numbers.choice([0.0, 1.0]),
            seed=numbers.randrange(5),
            n=numbers.choice([1, 1, 1, 3]),
            priority=numbers.randint(-1, 1),
            ignore_eos=True,
        )
        if numbers.random() < 0.1:
            with pytest.raises(InvalidRequestError):
                self._make_a_mistake()
            return "mistake"
        try:
            generation = self._engine.submit(prompt, params)
        except EngineOverloaded:
            return "refused"
        if numbers.random() < 0.2:
            for _ in zip(range(numbers.randrange(10)), self._outputs(generation), strict=False):
                pass
            if numbers.random() < 0.5:
                generation.cancel()
            return "left"
        try:
            choices = generation.result()
        except EngineOverloaded:
            return "waited in vain"
        for choice in choices:
            assert choice.finish_reason == "length"
            assert len(choice.token_ids) == params.max_tokens
            if self._is_exact:
                assert list(choice.token_ids) == direct(prompt, params, choice.index)
        return "answered"

    @staticmethod
    def _outputs(generation):  # type: ignore[no-untyped-def]
        try:
            yield from generation
        except EngineOverloaded:
            return

    def _make_a_mistake(self) -> None:
        engine, numbers = self._engine, self._numbers
        mistakes = [
            lambda: engine.submit([]),
            lambda: engine.submit([engine.vocab_size]),
            lambda: engine.submit([-1]),
            lambda: engine.submit(["text"]),  # type: ignore[list-item]
            lambda: engine.submit([1] * (engine.max_context + 1)),
            lambda: engine.submit([1], GenerationParams(max_tokens=engine.max_context)),
            lambda: engine.submit([1], GenerationParams(logit_bias={engine.vocab_size: 1.0})),
            lambda: GenerationParams(temperature=float("nan")),
        ]
        numbers.choice(mistakes)()


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def soak(engine: InferenceEngine, *, is_exact: bool) -> None:
    thread = engine._thread
    execute = thread._runner.execute
    draft_model = thread._speculator.draft_model  # type: ignore[union-attr]
    assert draft_model is not None

    def checked_execute(batch: Batch) -> None:
        thread._scheduler.check_integrity()
        draft_model.check_integrity()
        execute(batch)

    thread._runner.execute = checked_execute  # type: ignore[method-assign]
    duration = MINUTES * 60
    start = time.monotonic()
    users = [User(engine, seed, is_exact) for seed in range(NUM_USERS)]
    threads = [threading.Thread(target=user.run, args=(start + duration,)) for user in users]
    for user_thread in threads:
        user_thread.start()
    threads[0].join(duration / 4)
    settled = resident_bytes()
    for user_thread in threads:
        user_thread.join(duration + 60)
        assert not user_thread.is_alive(), "somebody still waits"
    assert [user.error for user in users if user.error] == []
    assert engine.health().status == "ready"
    assert resident_bytes() < settled + 24 * 2**20, "memory grows"
    engine.close()
    stats = engine.stats()
    assert (stats.running, stats.waiting, stats.blocks_used) == (0, 0, 0)
    thread._scheduler.check_integrity()
    assert draft_model.blocks.num_held == 0
    assert stats.accepted_draft_tokens > 0
    ends = sum((user.ends for user in users), Counter())
    assert min(ends[end] for end in ("answered", "left", "mistake")) > 0, ends
    assert stats.preemptions > 0


@pytest.fixture(autouse=True)
def _guesses_of_a_draft_model_cost_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is as slow as the model here, and would soon be left alone."""
    monkeypatch.setattr(DraftModel, "round_seconds", lambda self, num_sequences: 0.0)


def test_a_scripted_model_that_can_not_be_fooled() -> None:
    def sometimes_right(context: tuple[int, ...], sampler: ScriptedSampler) -> int:
        return hashed(context, sampler) if len(context) % 3 else 0

    runner = ScriptedRunner(num_blocks=16)
    draft_runner = ScriptedRunner(num_blocks=12, next_token=sometimes_right)
    with InferenceEngine(runner, ByteTokenizer(), CONFIG, draft_runner) as engine:  # type: ignore[arg-type]
        assert engine.vocab_size == VOCAB_SIZE
        soak(engine, is_exact=True)


def test_the_builtin_model() -> None:
    from candlewick.core.gguf import GGUFFile
    from candlewick.core.model_config import ModelConfig
    from candlewick.core.model_source import resolve_model
    from candlewick.core.native_runner import kv_block_bytes

    with GGUFFile.open(resolve_model("builtin")) as file:
        block_bytes = kv_block_bytes(ModelConfig.from_file(file), "f16")
    config = replace(CONFIG, kv_cache_bytes=16 * block_bytes, num_threads=1, draft_model="builtin")
    with InferenceEngine.load("builtin", config) as engine:
        soak(engine, is_exact=False)
