"""Reading answers from event loops and threads, and the many ways to stop one."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from scripted_runner import ByteTokenizer, ScriptedRunner, direct

from candlewick.core.batch import Batch
from candlewick.core.config import EngineConfig
from candlewick.core.engine import Generation, InferenceEngine, Output
from candlewick.core.output_stream import OutputStream, wake
from candlewick.core.params import GenerationParams

ENDLESS = GenerationParams()


def params_for(seed: int, max_tokens: int = 20) -> GenerationParams:
    return GenerationParams(max_tokens=max_tokens, temperature=1, seed=seed)


@pytest.fixture
def engine() -> Iterator[InferenceEngine]:
    # 400 blocks: an endless answer stays endless for as long as a test runs.
    runner = ScriptedRunner(num_blocks=400)
    with InferenceEngine(runner, ByteTokenizer(), EngineConfig(max_waiting=1000)) as engine:  # type: ignore[arg-type]
        yield engine


def settle(engine: InferenceEngine) -> None:
    """Return when the engine has seen all that happened so far: it reads its inbox in order."""
    engine.submit([1], GenerationParams(max_tokens=1)).result()


def assert_nothing_runs(engine: InferenceEngine) -> None:
    settle(engine)
    stats = engine.stats()
    assert (stats.running, stats.waiting, stats.blocks_used) == (0, 0, 0)


async def read(generation: Generation) -> list[int]:
    return [output.token_id async for output in generation if output.token_id is not None]


async def test_two_hundred_at_once(engine: InferenceEngine) -> None:
    prompts = [[i % 7] * (i % 50 + 1) for i in range(200)]
    answers = await asyncio.gather(
        *(read(engine.submit(prompt, params_for(i))) for i, prompt in enumerate(prompts))
    )
    for i, prompt in enumerate(prompts):
        assert answers[i] == direct(prompt, params_for(i))


async def test_the_loop_goes_on_while_an_answer_is_awaited() -> None:
    step_may_run = threading.Event()

    def wait(batch: Batch) -> None:
        assert step_may_run.wait(10)

    runner = ScriptedRunner(before_execute=wait)
    async with InferenceEngine(runner, ByteTokenizer()) as engine:  # type: ignore[arg-type]
        reading = asyncio.create_task(read(engine.submit([1], params_for(1))))
        for _ in range(10):
            await asyncio.sleep(0)
        assert not reading.done()
        step_may_run.set()
        assert await reading == direct([1], params_for(1))


async def test_await_gives_all_choices(engine: InferenceEngine) -> None:
    params = GenerationParams(max_tokens=5, temperature=1, seed=1, n=3)
    choices = await engine.submit([1, 2], params)
    assert [list(choice.token_ids) for choice in choices] == [direct([1, 2], params, i) for i in range(3)]


def test_several_loops_and_threads_share_an_engine(engine: InferenceEngine) -> None:
    def in_a_thread(seed: int) -> list[int]:
        return list(engine.submit([seed], params_for(seed)).result()[0].token_ids)

    def in_a_loop(seed: int) -> list[int]:
        async def several() -> list[int]:
            answers = await asyncio.gather(*(read(engine.submit([seed], params_for(seed))) for _ in range(3)))
            assert answers[0] == answers[1] == answers[2]
            return answers[0]

        return asyncio.run(several())

    with ThreadPoolExecutor(8) as threads:
        jobs = [(seed, threads.submit(job, seed)) for seed in range(20) for job in (in_a_thread, in_a_loop)]
        for seed, job in jobs:
            assert job.result() == direct([seed], params_for(seed))


def test_an_answer_may_be_read_elsewhere_than_it_was_asked_for(engine: InferenceEngine) -> None:
    generation = engine.submit([3], params_for(3))
    first = next(generation)
    rest = asyncio.run(read(generation))
    assert [first.token_id, *rest] == direct([3], params_for(3))


def test_iteration_ends_for_good(engine: InferenceEngine) -> None:
    generation = engine.submit([3], params_for(3))
    assert len(list(generation)) == 20
    assert list(generation) == []
    generation.cancel()
    assert list(generation) == []


# ---- stopping


def test_cancel_ends_every_choice_and_frees_the_blocks(engine: InferenceEngine) -> None:
    generation = engine.submit([1] * 100, GenerationParams(n=3))
    next(generation)
    generation.cancel()
    choices = generation.result()
    assert [choice.finish_reason for choice in choices] == ["cancelled"] * 3
    for choice in choices:
        assert choice.outputs[-1].token_id is None
        assert choice.usage.prompt_tokens == 100
        assert choice.usage.completion_tokens == len(choice.token_ids) + (choice.index == 0)
    assert_nothing_runs(engine)


def test_a_queued_request_can_be_cancelled() -> None:
    runner = ScriptedRunner(num_blocks=400)
    with InferenceEngine(runner, ByteTokenizer(), EngineConfig(max_running=1)) as engine:  # type: ignore[arg-type]
        running, queued = engine.submit([1], ENDLESS), engine.submit([2], ENDLESS)
        next(running)
        queued.cancel()
        (choice,) = queued.result()
        assert (choice.finish_reason, choice.token_ids) == ("cancelled", ())
        assert choice.timings.queued_seconds > 0
        assert choice.timings.prefill_seconds == choice.timings.time_to_first_token_seconds == 0
        running.cancel()


def test_text_held_back_is_shown_when_cancelled(engine: InferenceEngine) -> None:
    generation = engine.submit([1], GenerationParams(stop=tuple(chr(i) * 5000 for i in range(128))))
    next(generation)
    generation.cancel()
    (choice,) = generation.result()
    assert choice.outputs[-1].finish_reason == "cancelled"


def test_dropping_the_handle_cancels(engine: InferenceEngine) -> None:
    for _ in engine.submit([1], ENDLESS):
        break
    gc.collect()
    assert_nothing_runs(engine)


def test_a_handle_that_was_never_read_cancels_too(engine: InferenceEngine) -> None:
    engine.submit([1], ENDLESS)
    gc.collect()
    assert_nothing_runs(engine)


def test_leaving_the_with_block_cancels(engine: InferenceEngine) -> None:
    with engine.submit([1], ENDLESS) as generation:
        next(generation)
    assert_nothing_runs(engine)
    assert generation.result()[0].finish_reason == "cancelled"


async def test_leaving_the_async_with_block_and_aclose_cancel(engine: InferenceEngine) -> None:
    async with engine.submit([1], ENDLESS) as generation:
        await anext(generation)
    other = engine.submit([1], ENDLESS)
    await other.aclose()
    assert_nothing_runs(engine)


async def test_cancelling_the_reading_task_cancels(engine: InferenceEngine) -> None:
    started = asyncio.Event()
    generation = engine.submit([1], ENDLESS)  # this reference outlives the task

    async def reader() -> None:
        async for _ in generation:
            started.set()

    task = asyncio.create_task(reader())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert_nothing_runs(engine)


async def test_cancelling_a_task_that_gathers_cancels_all(engine: InferenceEngine) -> None:
    generations = [engine.submit([i], ENDLESS) for i in range(10)]
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.gather(*generations), timeout=0.05)
    assert_nothing_runs(engine)


def test_a_closed_loop_does_not_disturb_others(engine: InferenceEngine) -> None:
    left_behind: list[Generation] = []

    async def leave() -> None:
        generation = engine.submit([1], ENDLESS)
        left_behind.append(generation)
        future = asyncio.get_running_loop().create_future()
        generation._stream.add_waiter(future)

    asyncio.run(leave())
    settle(engine)
    assert engine.health().status == "ready"
    left_behind.pop().cancel()
    assert_nothing_runs(engine)


async def test_waking_a_reader_that_gave_up_is_harmless() -> None:
    loop = asyncio.get_running_loop()
    complaints: list[object] = []
    loop.set_exception_handler(lambda loop, context: complaints.append(context))
    stream = OutputStream()
    gave_up, stays = loop.create_future(), loop.create_future()
    stream.add_waiter(gave_up)
    stream.add_waiter(stays)
    gave_up.cancel()
    wake(stream.put([Output(0, 1, "a")]))
    await stays
    assert not complaints


def test_neighbours_of_cancelled_requests_are_undisturbed(engine: InferenceEngine) -> None:
    def one(seed: int) -> None:
        if seed % 2:
            with engine.submit([seed] * 40, ENDLESS) as generation:
                for _, _ in zip(range(seed % 5), generation, strict=False):
                    pass
        else:
            outputs: list[Output] = list(engine.submit([seed] * 40, params_for(seed)))
            assert [output.token_id for output in outputs] == direct([seed] * 40, params_for(seed))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(one, range(60)))
    assert_nothing_runs(engine)
