"""The queue's limits: by themselves, and as requests meet them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from scripted_runner import ByteTokenizer, ScriptedRunner, direct
from test_engine_lifecycle import Gate

from candlewick.core.admission import Admission
from candlewick.core.batch import Batch
from candlewick.core.config import EngineConfig
from candlewick.core.engine import InferenceEngine
from candlewick.core.errors import EngineOverloaded, InvalidRequestError
from candlewick.core.params import GenerationParams
from candlewick.core.request import Request

PARAMS = GenerationParams(temperature=0, max_tokens=5)


def new_request(submitted_at: float) -> Request:
    return Request([1], PARAMS, seed=0, max_tokens=1, submitted_at=submitted_at)


def test_a_request_waits_as_long_as_allowed_and_no_longer() -> None:
    admission = Admission(max_waiting=10, max_queue_seconds=5.0, num_free_places=0)
    requests = [new_request(float(i)) for i in range(4)]
    for request in requests:
        admission.enter(request)
    admission.begin(requests[1], now=2.0)
    assert admission.overdue(5.0) == []
    overdue = admission.overdue(7.5)
    assert [request for request, _ in overdue] == [requests[0], requests[2]]
    assert "waited 7.5 s for its turn and max_queue_seconds is 5" in str(overdue[0][1])
    for request, _ in overdue:
        admission.leave(request)
    assert [request for request, _ in admission.overdue(100.0)] == [requests[3]]


def test_those_who_left_are_forgotten() -> None:
    admission = Admission(max_waiting=10, max_queue_seconds=5.0, num_free_places=0)
    for i in range(1000):
        request = new_request(float(i))
        admission.enter(request)
        admission.begin(request, now=i + 0.5)
        admission.overdue(float(i))
    assert not admission._by_age


def test_the_advice_when_to_come_again_follows_the_waits() -> None:
    admission = Admission(max_waiting=1, max_queue_seconds=None, num_free_places=0)
    for i in range(50):
        request = new_request(float(i))
        admission.enter(request)
        admission.begin(request, now=i + 30.0)
    admission.enter(new_request(100.0))
    with pytest.raises(EngineOverloaded) as caught:
        admission.enter(new_request(100.0))
    assert caught.value.retry_after_seconds == pytest.approx(30.0, rel=0.01)
    assert admission.num_refused == 1


def test_leaving_twice_counts_once() -> None:
    admission = Admission(max_waiting=1, max_queue_seconds=None, num_free_places=0)
    request = new_request(0.0)
    admission.enter(request)
    admission.leave(request)
    admission.leave(request)
    admission.begin(request, now=9.0)
    admission.enter(new_request(1.0))
    with pytest.raises(EngineOverloaded):
        admission.enter(new_request(1.0))


def test_an_engine_ends_what_waited_too_long_and_goes_on() -> None:
    gate = Gate()
    config = EngineConfig(max_running=1, max_queue_seconds=0.05)
    with InferenceEngine(ScriptedRunner(before_execute=gate), ByteTokenizer(), config) as engine:  # type: ignore[arg-type]
        running = engine.submit([1], PARAMS)
        assert gate.reached.wait(10)
        queued = engine.submit([2], PARAMS)
        assert not gate.opened.wait(0.06)  # the time that is too long
        gate.opened.set()
        with pytest.raises(EngineOverloaded, match=r"max_queue_seconds is 0\.05") as caught:
            queued.result()
        assert caught.value.retry_after_seconds >= 1
        assert list(running.result()[0].token_ids) == direct([1], PARAMS)
        assert list(engine.submit([3], PARAMS).result()[0].token_ids) == direct([3], PARAMS)
        stats = engine.stats()
        assert (stats.requests_refused, stats.requests_finished, stats.waiting) == (1, 2, 0)


def test_requests_of_a_higher_priority_are_begun_first() -> None:
    gate = Gate()
    starts: list[int] = []

    def look(batch: Batch) -> None:
        gate(batch)
        starts.extend(
            int(token) for token, at in zip(batch.token_ids, batch.positions, strict=True) if at == 0
        )

    config = EngineConfig(max_running=1)
    with InferenceEngine(ScriptedRunner(before_execute=look), ByteTokenizer(), config) as engine:  # type: ignore[arg-type]
        running = engine.submit([0], replace(PARAMS, priority=5))
        assert gate.reached.wait(10)
        generations = [engine.submit([i], replace(PARAMS, priority=i % 3)) for i in range(1, 7)]
        gate.opened.set()
        for generation in (running, *generations):
            generation.result()
    assert starts == [0, 2, 5, 1, 4, 3, 6]


@pytest.mark.parametrize("value", [0, -1.0, float("nan")])
def test_a_limit_without_sense_is_refused(value: float) -> None:
    with pytest.raises(InvalidRequestError, match="max_queue_seconds"):
        EngineConfig(max_queue_seconds=value)
