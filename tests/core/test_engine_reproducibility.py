"""The same request gives the same tokens whatever else is going on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_runner import ByteTokenizer, NextToken, ScriptedRunner, direct, hashed, repetitive

from candlewick.core.batch import BLOCK_SIZE, Batch
from candlewick.core.config import EngineConfig, Speculation
from candlewick.core.engine import Generation, InferenceEngine
from candlewick.core.params import GenerationParams
from candlewick.core.speculation.draft_model import DraftModel


@pytest.fixture(autouse=True, scope="module")
def _guesses_of_a_draft_model_cost_nothing() -> Iterator[None]:
    """A scripted model is as slow as any other; the engine would soon let it be."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DraftModel, "round_seconds", lambda self, num_sequences: 0.0)
        yield


@dataclass(frozen=True)
class Asked:
    prompt_ids: list[int]
    params: GenerationParams
    cancel_after: int | None = None
    """Outputs to read before giving up; ``None``: read to the end."""


@st.composite
def requests(draw: st.DrawFn, *, max_tokens: int) -> Asked:
    shared = [draw(st.integers(0, 1))] * draw(st.integers(0, max_tokens // 2))
    own = draw(st.lists(st.integers(0, 255), min_size=1, max_size=max_tokens // 4))
    params = GenerationParams(
        max_tokens=draw(st.integers(1, max_tokens // 4)),
        temperature=draw(st.sampled_from([0.0, 1.0])),
        seed=draw(st.integers(0, 3)),
        n=draw(st.integers(1, 3)),
        ignore_eos=True,
    )
    return Asked(shared + own, params, draw(st.none() | st.integers(0, 10)))


def check(asked: Asked, generation: Generation, next_token: NextToken) -> None:
    """Read ``generation`` as ``asked``, and compare each choice with the model's own answer."""
    tokens: dict[int, list[int]] = {index: [] for index in range(asked.params.n)}
    reasons = {}
    for num_read, output in enumerate(generation):
        if num_read == asked.cancel_after:
            generation.cancel()
        if output.token_id is not None:
            tokens[output.index].append(output.token_id)
        if output.finish_reason:
            reasons[output.index] = output.finish_reason
    for index in range(asked.params.n):
        expected = direct(asked.prompt_ids, asked.params, index, next_token)
        if reasons[index] == "cancelled":
            assert asked.cancel_after is not None
            assert tokens[index] == expected[: len(tokens[index])]
        else:
            assert tokens[index] == expected
            assert reasons[index] == "length"


@settings(max_examples=60, deadline=None)
@given(
    asked=st.lists(requests(max_tokens=6 * BLOCK_SIZE), min_size=1, max_size=12),
    num_blocks=st.integers(6, 30),
    max_running=st.integers(1, 8),
    max_step_tokens=st.integers(1, 100),
    next_token=st.sampled_from([hashed, repetitive]),
    speculation=st.sampled_from(["prompt_lookup", None]),
    draft=st.sampled_from([None, hashed, repetitive]),
    num_draft_blocks=st.integers(3, 30),
)
def test_alone_crowded_chunked_preempted_warm_speculating_or_beside_cancelled_neighbours(
    asked: list[Asked],
    num_blocks: int,
    max_running: int,
    max_step_tokens: int,
    next_token: NextToken,
    speculation: Speculation | None,
    draft: NextToken | None,
    num_draft_blocks: int,
) -> None:
    runner = ScriptedRunner(num_blocks=num_blocks, next_token=next_token)
    draft_runner = draft and ScriptedRunner(num_blocks=num_draft_blocks, next_token=draft)
    config = EngineConfig(max_running=max_running, max_step_tokens=max_step_tokens, speculation=speculation)
    with InferenceEngine(runner, ByteTokenizer(), config, draft_runner) as engine:  # type: ignore[arg-type]
        scheduler = engine._thread._scheduler
        speculator = engine._thread._speculator

        def check_books(batch: Batch) -> None:
            scheduler.check_integrity()
            assert batch.num_tokens <= max_step_tokens
            if speculator is not None and speculator.draft_model is not None:
                speculator.draft_model.check_integrity()

        runner.before_execute = check_books
        for _ in range(2):  # the second time with a warm prefix cache
            generations = [engine.submit(request.prompt_ids, request.params) for request in asked]
            for request, generation in zip(asked, generations, strict=True):
                check(request, generation, next_token)
        stats = engine.stats()
        assert (stats.running, stats.waiting, stats.blocks_used) == (0, 0, 0)
        assert stats.blocks_cached + stats.blocks_free == num_blocks
        if speculator is not None and speculator.draft_model is not None:
            assert speculator.draft_model.blocks.num_held == 0


def test_preemption_really_happens_and_changes_nothing() -> None:
    params = GenerationParams(max_tokens=60, temperature=1, seed=1)
    with InferenceEngine(ScriptedRunner(num_blocks=8), ByteTokenizer()) as engine:  # type: ignore[arg-type]
        generations = [engine.submit([i] * 20, params) for i in range(6)]
        for i, generation in enumerate(generations):
            (choice,) = generation.result()
            assert list(choice.token_ids) == direct([i] * 20, params)
        assert engine.stats().preemptions > 0


def test_right_guesses_save_steps_and_change_nothing() -> None:
    params = GenerationParams(max_tokens=200, temperature=1, seed=1)
    num_steps = {}
    for speculation in ("prompt_lookup", None):
        runner = ScriptedRunner(next_token=repetitive)
        config = EngineConfig(speculation=speculation)
        with InferenceEngine(runner, ByteTokenizer(), config) as engine:  # type: ignore[arg-type]
            (choice,) = engine.submit([5] * 20, params).result()
            stats = engine.stats()
        assert list(choice.token_ids) == direct([5] * 20, params, next_token=repetitive)
        assert stats.generated_tokens == 200
        assert stats.steps + stats.accepted_draft_tokens == 200
        num_steps[speculation] = stats.steps
        assert (stats.draft_tokens > stats.accepted_draft_tokens > 0) == (speculation is not None)
    assert num_steps["prompt_lookup"] < 0.7 * num_steps[None]


@pytest.mark.parametrize(("draft", "most_steps"), [(hashed, 0.3), (repetitive, 1.0)])
def test_a_draft_model_changes_nothing_but_the_number_of_steps(draft: NextToken, most_steps: float) -> None:
    params = GenerationParams(max_tokens=200, temperature=1, seed=1)
    prompts = [[i, 5, *range(40)] for i in range(3)]
    draft_runner = ScriptedRunner(next_token=draft)
    with InferenceEngine(ScriptedRunner(), ByteTokenizer(), None, draft_runner) as engine:  # type: ignore[arg-type]
        generations = [engine.submit(prompt, params) for prompt in prompts]
        for prompt, generation in zip(prompts, generations, strict=True):
            assert list(generation.result()[0].token_ids) == direct(prompt, params)
        stats = engine.stats()
    assert stats.steps <= most_steps * 202
    assert stats.draft_tokens > 0
    assert draft_runner.closed == 1


def test_a_draft_model_beside_cancelled_and_preempted_sequences_gives_all_its_blocks_back() -> None:
    params = GenerationParams(max_tokens=60, temperature=1, seed=1)
    draft_runner = ScriptedRunner(num_blocks=9)
    with InferenceEngine(ScriptedRunner(num_blocks=8), ByteTokenizer(), None, draft_runner) as engine:  # type: ignore[arg-type]
        generations = [engine.submit([i] * 20, params) for i in range(6)]
        next(generations[1])
        generations[1].cancel()
        for i, generation in enumerate(generations):
            (choice,) = generation.result()
            assert i == 1 or list(choice.token_ids) == direct([i] * 20, params)
        stats = engine.stats()
        assert stats.preemptions > 0
        assert stats.accepted_draft_tokens > 0
        draft_model = engine._thread._speculator.draft_model  # type: ignore[union-attr]
        assert draft_model is not None
        assert draft_model.blocks.num_held == 0
