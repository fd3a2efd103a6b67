"""Vectors of texts: pooling, company, preemption, cancellation and errors, over the scripted model."""

from __future__ import annotations

import asyncio
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_runner import ByteTokenizer, ScriptedRunner, direct, hidden_state

from candlewick.core.batch import Batch
from candlewick.core.config import EngineConfig
from candlewick.core.engine import InferenceEngine
from candlewick.core.errors import (
    ContextOverflowError,
    EngineClosed,
    EngineFailed,
    EngineOverloaded,
    InvalidRequestError,
)
from candlewick.core.model_config import Pooling
from candlewick.core.params import GenerationParams


def new_engine(runner: ScriptedRunner, **config: int) -> InferenceEngine:
    return InferenceEngine(runner, ByteTokenizer(), EngineConfig(**config))  # type: ignore[arg-type]


def expected_vector(prompt: list[int], pooling: Pooling, normalize: bool = True) -> list[float]:
    states = [
        np.array(hidden_state(tuple(prompt[: i + 1])), dtype=np.float32).astype(float)
        for i in range(len(prompt))
    ]
    vector = {"mean": sum(states) / len(states), "cls": states[0], "last": states[-1]}[pooling]
    return (vector / math.sqrt(sum(vector**2)) if normalize else vector).astype(np.float32).tolist()


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
@pytest.mark.parametrize("normalize", [True, False])
def test_pooled_hidden_states(pooling: Pooling, normalize: bool) -> None:
    prompts = [[1], [5, 6, 7], list(range(50)), [5, 6, 7]]
    with new_engine(ScriptedRunner(), max_step_tokens=16) as engine:
        vectors = engine.embed(prompts, pooling=pooling, normalize=normalize)
        assert vectors.dtype == np.float32
        assert vectors.tolist() == [expected_vector(prompt, pooling, normalize) for prompt in prompts]
        assert engine.stats().blocks_used == 0


def test_no_text_no_vector() -> None:
    with new_engine(ScriptedRunner()) as engine:
        assert engine.embed([]).shape == (0, 3)


@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 90), min_size=1, max_size=8),
    num_blocks=st.integers(7, 30),
    max_running=st.integers(1, 8),
    max_step_tokens=st.integers(1, 64),
)
def test_a_vector_does_not_depend_on_company_chunks_and_preemption(
    lengths: list[int], num_blocks: int, max_running: int, max_step_tokens: int
) -> None:
    runner = ScriptedRunner(num_blocks=num_blocks)
    prompts = [[3] * (length // 2) + list(range(length - length // 2)) for length in lengths]
    params = GenerationParams(max_tokens=20, temperature=0, ignore_eos=True)
    with new_engine(runner, max_running=max_running, max_step_tokens=max_step_tokens) as engine:
        runner.before_execute = lambda batch: engine._thread._scheduler.check_integrity()
        for _ in range(2):
            neighbours = [engine.submit(prompt, params) for prompt in prompts if len(prompt) < 70]
            futures = [engine.submit_embedding([prompt, prompt[:1]]) for prompt in prompts]
            for future, prompt in zip(futures, prompts, strict=True):
                assert future.result().tolist() == [expected_vector(p, "mean") for p in (prompt, prompt[:1])]
            for neighbour, prompt in zip(neighbours, (p for p in prompts if len(p) < 70), strict=True):
                assert list(neighbour.result()[0].token_ids) == direct(prompt, params)


def test_a_cancelled_request_gives_its_blocks_back() -> None:
    steps = 0

    def count(batch: Batch) -> None:
        nonlocal steps
        steps += 1
        if steps == 3:
            future.cancel()

    runner = ScriptedRunner(before_execute=count)
    with new_engine(runner, max_step_tokens=4) as engine:
        future = engine.submit_embedding([[1] * 400, [2] * 400])
        assert engine.embed([[7]]).tolist() == [expected_vector([7], "mean")]
        while engine.stats().running:
            pass
        assert future.cancelled()
        assert steps < 100
        assert engine.stats().blocks_used == 0


async def test_a_cancelled_task_cancels_its_texts() -> None:
    reached = asyncio.Event()
    loop = asyncio.get_running_loop()
    runner = ScriptedRunner(before_execute=lambda batch: loop.call_soon_threadsafe(reached.set))
    with new_engine(runner, max_step_tokens=1) as engine:
        task = asyncio.ensure_future(asyncio.wrap_future(engine.submit_embedding([[1] * 900])))
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await asyncio.wrap_future(engine.submit_embedding([[7]]))).shape == (1, 3)
        assert engine.stats().prompt_tokens == 901


def test_wrong_requests_are_refused_at_once() -> None:
    with new_engine(ScriptedRunner(max_context=20)) as engine:
        with pytest.raises(InvalidRequestError, match="empty"):
            engine.embed([[1], []])
        with pytest.raises(InvalidRequestError, match="token id 999"):
            engine.embed([[999]])
        with pytest.raises(InvalidRequestError, match="pooling must be one of mean, cls, last, got 'max'"):
            engine.embed([[1]], pooling="max")  # type: ignore[arg-type]
        with pytest.raises(ContextOverflowError, match="21 tokens exceeds the context of 20"):
            engine.embed([[1] * 21])
        assert engine.embed([[1] * 20]).shape == (1, 3)


def test_a_model_that_ranks_has_no_vectors_unless_told_how() -> None:
    runner = ScriptedRunner()
    runner.pooling = None
    with new_engine(runner) as engine:
        with pytest.raises(InvalidRequestError, match="ranks texts"):
            engine.embed([[1]])
        assert engine.embed([[1]], pooling="last").shape == (1, 3)


def test_pending_texts_learn_of_the_engine_s_end() -> None:
    def explode(batch: Batch) -> None:
        raise RuntimeError("out of order")

    with new_engine(ScriptedRunner(before_execute=explode)) as engine:
        with pytest.raises(EngineFailed, match="out of order"):
            engine.embed([[1], [2]])
        with pytest.raises(EngineFailed):
            engine.embed([[1]])
    closed = new_engine(ScriptedRunner())
    closed.close()
    with pytest.raises(EngineClosed):
        closed.embed([[1]])


def test_texts_queue_as_other_requests_do() -> None:
    with new_engine(ScriptedRunner(), max_waiting=1, max_running=1) as engine:
        long = engine.submit([1], GenerationParams(max_tokens=900, ignore_eos=True))
        next(long)
        waiting = engine.submit_embedding([[1]])
        with pytest.raises(EngineOverloaded):
            engine.submit_embedding([[2]])
        long.cancel()
        assert waiting.result().shape == (1, 3)
