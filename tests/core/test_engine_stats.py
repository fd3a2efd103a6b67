"""The engine's numbers: they add up, and rates are those of the latest seconds."""

from __future__ import annotations

import pytest
from scripted_runner import ByteTokenizer, ScriptedRunner
from test_engine_lifecycle import Gate

from candlewick.core.config import EngineConfig
from candlewick.core.engine import InferenceEngine
from candlewick.core.engine_stats import RECENT_SECONDS, EngineStats, RecentSteps, StepLog
from candlewick.core.errors import EngineOverloaded
from candlewick.core.params import GenerationParams

PARAMS = GenerationParams(temperature=0, max_tokens=5, ignore_eos=True)


def new_engine(runner: ScriptedRunner, config: EngineConfig | None = None) -> InferenceEngine:
    return InferenceEngine(runner, ByteTokenizer(), config)  # type: ignore[arg-type]


def test_rates_are_of_the_time_with_work() -> None:
    log = StepLog()
    log.record(100.0, 0.5, num_generated=2, num_prompt_tokens=30)
    log.record(105.0, 1.5, num_generated=4, num_prompt_tokens=0)
    assert log.recent(106.0) == RecentSteps(3.0, 15.0, 1.0, 1.5)
    assert log.recent(104.0 + RECENT_SECONDS) == RecentSteps(4 / 1.5, 0.0, 1.5, 1.5)
    assert log.recent(106.0 + RECENT_SECONDS) == RecentSteps()
    assert (log.num_steps, log.seconds, log.num_prompt_tokens) == (2, 2.0, 30)


def test_the_log_of_a_busy_engine_stays_short() -> None:
    log = StepLog()
    for i in range(10_000):
        log.record(i * 0.1, 0.1, 1, 0)
    assert len(log._steps) <= RECENT_SECONDS / 0.1 + 1


def test_ratios_of_nothing_are_zero() -> None:
    assert EngineStats().prefix_hit_rate == EngineStats().draft_acceptance_rate == 0


def test_every_request_is_counted_by_its_end() -> None:
    gate = Gate()

    class Picky(ScriptedRunner):
        def new_sampler(self, params, seed, choice, prompt_ids):  # type: ignore[no-untyped-def]
            if prompt_ids[0] == 13:
                raise MemoryError("no room for counts")
            return super().new_sampler(params, seed, choice, prompt_ids)

    config = EngineConfig(max_running=1, max_waiting=3)
    with new_engine(Picky(before_execute=gate), config) as engine:
        finished = [engine.submit([1] * 20, PARAMS)]
        assert gate.reached.wait(10)
        failed, cancelled = engine.submit([13], PARAMS), engine.submit([2], PARAMS)
        finished.append(engine.submit([1] * 20, PARAMS))
        with pytest.raises(EngineOverloaded):
            engine.submit([3], PARAMS)
        cancelled.cancel()
        gate.opened.set()
        for generation in finished:
            generation.result()
        with pytest.raises(Exception, match="no room for counts"):
            failed.result()
        stats = engine.stats()
        assert stats.requests_finished == 2
        assert (stats.requests_cancelled, stats.requests_failed, stats.requests_refused) == (1, 1, 1)
        assert stats.prompt_tokens == 40
        assert stats.prefix_hit_tokens == 16
        assert stats.computed_prompt_tokens + stats.prefix_hit_tokens == stats.prompt_tokens
        assert stats.prefix_hit_rate == 0.4
        assert stats.generated_tokens == 10
        assert stats.steps <= 10
        assert stats.step_seconds > 0
        assert stats.recent.generated_tokens_per_second > 0
        assert 0 < stats.recent.mean_step_seconds <= stats.recent.longest_step_seconds


def test_timings_of_an_answer_add_up() -> None:
    with new_engine(ScriptedRunner()) as engine:
        (choice,) = engine.submit([1], PARAMS).result()
    timings = choice.timings
    assert 0 < timings.longest_gap_seconds <= timings.decode_seconds
    assert timings.seconds_per_token(5) == pytest.approx(timings.decode_seconds / 4)
    assert timings.seconds_per_token(5) <= timings.longest_gap_seconds
    assert timings.time_to_first_token_seconds == pytest.approx(
        timings.queued_seconds + timings.prefill_seconds
    )
    assert timings.total_seconds == pytest.approx(
        timings.time_to_first_token_seconds + timings.decode_seconds
    )
    assert timings.seconds_per_token(1) == 0
