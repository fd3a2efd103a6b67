"""Queue limits, failures, closing, and leaving the program."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from scripted_runner import ByteTokenizer, ScriptedRunner, direct

from candlewick.core.batch import Batch
from candlewick.core.config import EngineConfig
from candlewick.core.constraint import Constraint
from candlewick.core.engine import InferenceEngine
from candlewick.core.errors import EngineClosed, EngineFailed, EngineOverloaded
from candlewick.core.params import GenerationParams
from candlewick.core.scheduler import Scheduler
from candlewick.core.sequence import Sequence

PARAMS = GenerationParams(temperature=0, max_tokens=5)


class Gate:
    """Stops the engine inside a step until opened."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()

    def __call__(self, batch: Batch) -> None:
        self.reached.set()
        assert self.opened.wait(20)


def new_engine(runner: ScriptedRunner, **config: int) -> InferenceEngine:
    return InferenceEngine(runner, ByteTokenizer(), EngineConfig(**config))  # type: ignore[arg-type]


# ---- the queue


def test_a_full_queue_refuses() -> None:
    gate = Gate()
    with new_engine(ScriptedRunner(before_execute=gate), max_running=1, max_waiting=2) as engine:
        running = engine.submit([1], PARAMS)
        assert gate.reached.wait(10)
        queued = [engine.submit([2], PARAMS), engine.submit([3], PARAMS)]
        with pytest.raises(EngineOverloaded, match="2 requests are waiting and max_waiting is 2"):
            engine.submit([4], PARAMS)
        gate.opened.set()
        for i, generation in enumerate([running, *queued], start=1):
            assert list(generation.result()[0].token_ids) == direct([i], PARAMS)
        assert list(engine.submit([4], PARAMS).result()[0].token_ids) == direct([4], PARAMS)


def test_places_that_are_free_are_not_counted_as_waiting() -> None:
    gate = Gate()
    with new_engine(ScriptedRunner(before_execute=gate), max_running=4, max_waiting=1) as engine:
        generations = [engine.submit([0], PARAMS)]
        assert gate.reached.wait(10)
        generations += [engine.submit([i], PARAMS) for i in range(4)]
        with pytest.raises(EngineOverloaded):
            engine.submit([9], PARAMS)
        gate.opened.set()
        for generation in generations:
            generation.result()


def test_cancelled_requests_leave_the_queue() -> None:
    gate = Gate()
    with new_engine(ScriptedRunner(before_execute=gate), max_running=1, max_waiting=1) as engine:
        running = engine.submit([1], PARAMS)
        assert gate.reached.wait(10)
        queued = engine.submit([2], PARAMS)
        queued.cancel()
        gate.opened.set()
        assert queued.result()[0].finish_reason == "cancelled"
        running.result()
        engine.submit([3], PARAMS).result()


# ---- failure


def test_a_failing_step_fails_all_pending_and_later_requests_with_the_cause() -> None:
    gate = Gate()

    def fail(batch: Batch) -> None:
        gate(batch)
        raise OSError("the disk is on fire")

    runner = ScriptedRunner(before_execute=fail)
    engine = new_engine(runner, max_running=1)
    pending = [engine.submit([i], PARAMS) for i in range(3)]
    assert engine.health().status == "ready"
    gate.opened.set()
    for generation in pending:
        with pytest.raises(EngineFailed, match="the disk is on fire") as caught:
            generation.result()
        assert isinstance(caught.value.__cause__, OSError)
    health = engine.health()
    assert (health.status, str(health.error)) == ("failed", "the disk is on fire")
    with pytest.raises(EngineFailed) as caught:
        engine.submit([1], PARAMS)
    assert isinstance(caught.value.__cause__, OSError)
    engine.close()
    assert runner.closed == 1


def test_a_failure_that_leaves_the_scheduler_broken_is_told_to_everybody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate = Gate()

    def fail(batch: Batch) -> None:
        gate(batch)
        raise OSError("the disk is on fire")

    def broken(scheduler: Scheduler, sequence: Sequence) -> None:
        raise ValueError("the sequence is in no list")

    with new_engine(ScriptedRunner(before_execute=fail), max_running=1) as engine:
        pending = [engine.submit([i], PARAMS) for i in range(3)]
        assert gate.reached.wait(10)
        monkeypatch.setattr(Scheduler, "finish", broken)
        gate.opened.set()
        for generation in pending:
            with pytest.raises(EngineFailed, match="the disk is on fire"):
                generation.result()
        monkeypatch.undo()


def test_outputs_before_a_failure_are_still_delivered() -> None:
    num_steps = 0

    def fail_in_the_third_step(batch: Batch) -> None:
        nonlocal num_steps
        num_steps += 1
        if num_steps == 3:
            raise RuntimeError("broken")

    with new_engine(ScriptedRunner(before_execute=fail_in_the_third_step)) as engine:
        generation = engine.submit([1], PARAMS)
        assert [next(generation).token_id, next(generation).token_id] == direct([1], PARAMS)[:2]
        with pytest.raises(EngineFailed):
            next(generation)


def test_a_prompt_that_no_sampler_can_be_made_for_fails_alone() -> None:
    class Picky(ScriptedRunner):
        def new_sampler(self, params, seed, choice, prompt_ids):  # type: ignore[no-untyped-def]
            if choice == 1:
                raise MemoryError("no room for counts")
            return super().new_sampler(params, seed, choice, prompt_ids)

    with new_engine(Picky()) as engine:
        with pytest.raises(EngineFailed, match="no room for counts"):
            engine.submit([1], GenerationParams(n=2)).result()
        assert list(engine.submit([1], PARAMS).result()[0].token_ids) == direct([1], PARAMS)
        assert engine.stats().blocks_used == 0


# ---- closing


def test_close_ends_pending_requests_and_closes_the_runner_once() -> None:
    gate = Gate()
    runner = ScriptedRunner(before_execute=gate)
    engine = new_engine(runner, max_running=1)
    pending = [engine.submit([1], PARAMS), engine.submit([2], PARAMS)]
    assert gate.reached.wait(10)
    closing = threading.Thread(target=engine.close)
    closing.start()
    gate.opened.set()
    closing.join(10)
    assert runner.closed == 1
    for generation in pending:
        with pytest.raises(EngineClosed):
            generation.result()
    with pytest.raises(EngineClosed):
        engine.submit([1], PARAMS)
    engine.close()
    assert runner.closed == 1
    assert engine.health().status == "closed"


def test_requests_that_raced_with_closing_are_told() -> None:
    for _ in range(50):
        engine = new_engine(ScriptedRunner())
        closing = threading.Thread(target=engine.close)
        closing.start()
        for i in range(20):
            try:
                generation = engine.submit([i], PARAMS)
            except EngineClosed:
                break
            try:
                assert len(generation.result()[0].token_ids) == 5
            except EngineClosed:
                continue
        closing.join(10)
        assert not closing.is_alive()


def test_dropping_the_engine_stops_it_and_gives_the_model_back() -> None:
    runner = ScriptedRunner()
    engine = new_engine(runner)
    engine.submit([1], PARAMS).result()
    thread = engine._thread._thread
    dead_runner = weakref.ref(runner)
    del engine, runner
    gc.collect()
    thread.join(10)
    assert not thread.is_alive()
    gc.collect()
    assert dead_runner() is None


def test_an_engine_that_is_read_from_stays() -> None:
    generation = new_engine(ScriptedRunner()).submit([1], PARAMS)
    gc.collect()
    assert list(generation.result()[0].token_ids) == direct([1], PARAMS)


def test_engines_side_by_side() -> None:
    with new_engine(ScriptedRunner()) as one, new_engine(ScriptedRunner()) as other:
        first, second = one.submit([1], PARAMS), other.submit([2], PARAMS)
        assert list(second.result()[0].token_ids) == direct([2], PARAMS)
        one.close()
        assert other.submit([3], PARAMS).result()
        with pytest.raises(EngineClosed):
            one.submit([1])
        del first


@pytest.mark.skipif(not hasattr(time, "pthread_getcpuclockid"), reason="no clock of a single thread here")
def test_an_idle_engine_uses_no_processor_time() -> None:
    with new_engine(ScriptedRunner()) as engine:
        engine.submit([1], PARAMS).result()
        clock = time.pthread_getcpuclockid(engine._thread._thread.ident)  # type: ignore[arg-type]
        before = time.clock_gettime(clock)
        threading.Event().wait(0.3)  # the time over which is measured
        assert time.clock_gettime(clock) - before < 0.03


# ---- processes


PROGRAM = """
from scripted_runner import ByteTokenizer, ScriptedRunner
from candlewick.core.engine import InferenceEngine
from candlewick.core.params import GenerationParams

class Runner(ScriptedRunner):
    def close(self):
        print("closed")

engine = InferenceEngine(Runner(num_blocks=4000), ByteTokenizer())
generations = [engine.submit([i]) for i in range(8)]
next(generations[0])
{ending}
"""


@pytest.mark.parametrize(
    ("ending", "status"),
    [("", 0), ("import sys; sys.exit(3)", 3), ("raise KeyboardInterrupt", -2), ("engine.close()", 0)],
)
def test_the_program_ends_cleanly_whatever_was_left_open(ending: str, status: int) -> None:
    here = Path(__file__).parent
    finished = subprocess.run(
        [sys.executable, "-X", "dev", "-c", PROGRAM.format(ending=ending)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(here), *sys.path])},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert finished.returncode == status, finished.stderr
    assert finished.stdout == "closed\n"
    assert "KeyboardInterrupt" in finished.stderr if status == -2 else not finished.stderr


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
def test_a_generation_begun_before_a_fork_is_not_waited_for_in_the_child() -> None:
    gate = Gate()
    with new_engine(ScriptedRunner(before_execute=gate)) as engine:
        generation = engine.submit([1], PARAMS)
        assert gate.reached.wait(20)
        receiver, sender = multiprocessing.get_context("fork").Pipe(duplex=False)

        def child() -> None:
            async def read_next() -> None:
                await anext(generation)

            for read in (lambda: next(generation), lambda: asyncio.run(read_next()), generation.result):
                try:
                    read()
                except EngineClosed as error:
                    sender.send(str(error))

        process = multiprocessing.get_context("fork").Process(target=child)
        with generation._stream._lock:
            process.start()
        is_told = [
            receiver.poll(20) and "create an engine in each process" in receiver.recv() for _ in range(3)
        ]
        if not all(is_told):
            process.kill()
        process.join(20)
        gate.opened.set()
        assert all(is_told), "the child waits for a thread that it has not got"
        assert process.exitcode == 0
        assert list(generation.result()[0].token_ids) == direct([1], PARAMS)


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
@pytest.mark.parametrize(
    "ask",
    [
        lambda engine: engine.submit([1], PARAMS),
        lambda engine: engine.submit([1], replace(PARAMS, constraint=Constraint.choice(["a"]))),
        lambda engine: engine.submit_embedding([[1]]),
        lambda engine: engine.save_kv([1], "nowhere"),
        lambda engine: engine.stats(),
    ],
)
def test_a_forked_child_is_told_to_make_its_own_engine(ask: Callable[[InferenceEngine], object]) -> None:
    with new_engine(ScriptedRunner()) as engine:
        receiver, sender = multiprocessing.get_context("fork").Pipe(duplex=False)

        def child() -> None:
            try:
                ask(engine)
            except EngineClosed as error:
                sender.send(str(error))

        process = multiprocessing.get_context("fork").Process(target=child)
        thread = engine._thread
        with thread._health_lock, thread._steps.log._lock, engine._grammars._lock:
            process.start()  # other threads of the parent are in the middle of something
        is_told = receiver.poll(20)
        if not is_told:
            process.kill()
        process.join(20)
        assert is_told, "the child waits for a lock that nobody gives back"
        assert "create an engine in each process" in receiver.recv()
        assert process.exitcode == 0
        assert list(engine.submit([1], PARAMS).result()[0].token_ids) == direct([1], PARAMS)
