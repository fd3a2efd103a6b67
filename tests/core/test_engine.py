"""What one request gets: validation, tokens, text, ends, numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
from scripted_runner import (
    EOS,
    THINK,
    TOOL_CALL,
    VOCAB_SIZE,
    ByteTokenizer,
    NextToken,
    ScriptedRunner,
    direct,
    hashed,
    reply,
)

from candlewick.core.config import EngineConfig
from candlewick.core.engine import ChoiceResult, InferenceEngine
from candlewick.core.errors import ContextOverflowError, EngineFailed, InvalidRequestError
from candlewick.core.params import GenerationParams


def new_engine(next_token: NextToken = hashed, *, num_blocks: int = 64, **config: Any) -> InferenceEngine:
    runner = ScriptedRunner(num_blocks=num_blocks, next_token=next_token)
    return InferenceEngine(runner, ByteTokenizer(), EngineConfig(**config))  # type: ignore[arg-type]


@pytest.fixture
def engine() -> Iterator[InferenceEngine]:
    with new_engine() as engine:
        yield engine


def answer(next_token: NextToken, **params: Any) -> ChoiceResult:
    with new_engine(next_token) as engine:
        (choice,) = engine.submit([1, 2, 3], GenerationParams(**params)).result()
    return choice


# ---- validation


def test_an_empty_prompt_is_refused(engine: InferenceEngine) -> None:
    with pytest.raises(InvalidRequestError, match="empty") as caught:
        engine.submit([])
    assert caught.value.parameter == "prompt_ids"


@pytest.mark.parametrize("token_id", [-1, VOCAB_SIZE])
def test_token_ids_outside_of_the_vocabulary_are_refused(engine: InferenceEngine, token_id: int) -> None:
    with pytest.raises(InvalidRequestError, match=f"{token_id}; the model's go from 0 to {VOCAB_SIZE - 1}"):
        engine.submit([1, token_id])


def test_a_prompt_of_text_is_refused(engine: InferenceEngine) -> None:
    with pytest.raises(InvalidRequestError, match="must be integers"):
        engine.submit("Hello")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("logit_bias", GenerationParams(logit_bias={VOCAB_SIZE: 1.0})),
        ("stop_token_ids", GenerationParams(stop_token_ids=(VOCAB_SIZE,))),
    ],
)
def test_ids_in_params_are_checked_too(engine: InferenceEngine, name: str, params: GenerationParams) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        engine.submit([1], params)
    assert caught.value.parameter == name


def test_the_context_is_the_smallest_of_three_limits() -> None:
    with new_engine(num_blocks=4) as engine:
        assert engine.max_context == 64
    with new_engine(num_blocks=4, max_context=50) as engine:
        assert engine.max_context == 50
    runner = ScriptedRunner(max_context=30)
    with InferenceEngine(runner, ByteTokenizer()) as engine:  # type: ignore[arg-type]
        assert engine.max_context == 30


def test_a_request_that_can_not_fit_is_refused() -> None:
    with new_engine(max_context=20) as engine:
        with pytest.raises(ContextOverflowError, match="ask for at most 10"):
            engine.submit([1] * 10, GenerationParams(max_tokens=11))
        with pytest.raises(ContextOverflowError, match=r"20 tokens .* no room"):
            engine.submit([1] * 20)
        (choice,) = engine.submit([1] * 10, GenerationParams(max_tokens=10)).result()
        assert len(choice.token_ids) == 10


def test_no_max_tokens_means_to_the_end_of_the_context() -> None:
    with new_engine(max_context=20) as engine:
        (choice,) = engine.submit([1] * 5).result()
    assert (len(choice.token_ids), choice.finish_reason) == (15, "length")


def test_a_request_may_fill_the_whole_pool() -> None:
    params = GenerationParams(temperature=0, max_tokens=28)
    with new_engine(num_blocks=2) as engine:
        (choice,) = engine.submit([1, 2, 3, 4], params).result()
    assert list(choice.token_ids) == direct([1, 2, 3, 4], params)


# ---- tokens


def test_greedy_tokens_are_those_of_the_model(engine: InferenceEngine) -> None:
    params = GenerationParams(temperature=0, max_tokens=50)
    (choice,) = engine.submit([5, 6, 7], params).result()
    assert list(choice.token_ids) == direct([5, 6, 7], params)


def test_every_token_is_one_output(engine: InferenceEngine) -> None:
    outputs = list(engine.submit([5, 6, 7], GenerationParams(max_tokens=9)))
    assert len(outputs) == 9
    assert [output.finish_reason for output in outputs] == [None] * 8 + ["length"]
    assert all(output.usage is None and output.timings is None for output in outputs[:-1])


def test_a_seed_fixes_the_tokens_and_no_seed_is_a_fresh_one(engine: InferenceEngine) -> None:
    def tokens(seed: int | None) -> tuple[int, ...]:
        (choice,) = engine.submit([1, 2], GenerationParams(max_tokens=20, temperature=1, seed=seed)).result()
        return choice.token_ids

    assert tokens(7) == tokens(7)
    assert len({tokens(7), tokens(8), tokens(None), tokens(None)}) == 4


def test_choices_differ_and_each_is_that_of_its_own_stream(engine: InferenceEngine) -> None:
    params = GenerationParams(max_tokens=20, temperature=1, seed=3, n=4)
    prompt_ids = list(range(40))
    choices = engine.submit(prompt_ids, params).result()
    assert [choice.index for choice in choices] == [0, 1, 2, 3]
    for choice in choices:
        assert list(choice.token_ids) == direct(prompt_ids, params, choice.index)
    assert len({choice.token_ids for choice in choices}) == 4
    assert [choice.usage.cached_tokens for choice in choices] == [0, 32, 32, 32]


def test_logprobs_come_only_when_asked_for(engine: InferenceEngine) -> None:
    (choice,) = engine.submit([1], GenerationParams(max_tokens=2)).result()
    assert [(output.logprob, output.top_logprobs) for output in choice.outputs] == [(None, ())] * 2
    (choice,) = engine.submit([1], GenerationParams(max_tokens=2, logprobs=2)).result()
    for output in choice.outputs:
        assert output.token_id is not None
        assert output.logprob == -0.5 - output.token_id
        assert output.top_logprobs == ((0, -1.0), (1, -2.0))


# ---- text and ends


def test_text_comes_in_whole_characters() -> None:
    choice = answer(reply("Grüße, 世界! 🕯"), max_tokens=100)
    assert choice.text == "Grüße, 世界! 🕯"
    assert all("\N{REPLACEMENT CHARACTER}" not in output.text for output in choice.outputs)
    assert [output.text for output in choice.outputs[:4]] == ["G", "r", "", "ü"]


def test_the_end_token_ends_without_text() -> None:
    choice = answer(reply("Hi"))
    assert (choice.text, choice.token_ids, choice.finish_reason) == ("Hi", (ord("H"), ord("i"), EOS), "stop")


def test_ignore_eos_goes_on_and_still_shows_no_end_token() -> None:
    choice = answer(reply("Hi"), ignore_eos=True, max_tokens=5)
    assert (choice.text, choice.token_ids[2:], choice.finish_reason) == ("Hi", (EOS,) * 3, "length")


def test_other_control_tokens_are_shown() -> None:
    assert answer(reply([THINK, ord("a"), TOOL_CALL, ord("b")])).text == "<think>a<tool>b"


def test_a_stop_token_ends_without_text() -> None:
    choice = answer(reply([ord("a"), THINK, ord("b")]), stop_token_ids=(THINK,))
    assert (choice.text, choice.token_ids[-1], choice.finish_reason) == ("a", THINK, "stop")
    choice = answer(reply("abc"), stop_token_ids=(ord("b"),), ignore_eos=True)
    assert (choice.text, choice.finish_reason) == ("a", "stop")


def test_a_stop_string_across_tokens_is_never_shown() -> None:
    choice = answer(reply("one\n\ntwo"), stop=("\n\nt", "xyz"))
    assert (choice.text, choice.finish_reason) == ("one", "stop")
    assert len(choice.token_ids) == len("one\n\nt")
    assert "\n" not in "".join(output.text for output in choice.outputs)


def test_text_held_back_for_a_stop_string_is_shown_at_the_end() -> None:
    choice = answer(reply("one\n\n"), stop=("\n\nt",))
    assert (choice.text, choice.finish_reason) == ("one\n\n", "stop")
    choice = answer(reply("one\n\n"), stop=("\n\nt",), max_tokens=4)
    assert (choice.text, choice.finish_reason) == ("one\n", "length")


def test_an_unfinished_character_is_not_lost() -> None:
    choice = answer(reply("aé".encode()[:2]))
    assert choice.text == "a\N{REPLACEMENT CHARACTER}"


def test_max_tokens_counts_the_end_token() -> None:
    assert answer(reply("ab"), max_tokens=2).finish_reason == "length"
    assert answer(reply("ab"), max_tokens=3).finish_reason == "stop"


# ---- numbers


def test_usage_counts_prompt_answer_and_cache(engine: InferenceEngine) -> None:
    prompt_ids = list(range(50))
    params = GenerationParams(max_tokens=7)
    (first,) = engine.submit(prompt_ids, params).result()
    assert (first.usage.prompt_tokens, first.usage.completion_tokens, first.usage.cached_tokens) == (50, 7, 0)
    (second,) = engine.submit(prompt_ids, params).result()
    assert (second.usage.total_tokens, second.usage.cached_tokens) == (57, 48)


def test_timings_add_up(engine: InferenceEngine) -> None:
    (choice,) = engine.submit(list(range(50)), GenerationParams(max_tokens=7)).result()
    timings = choice.timings
    assert timings.queued_seconds >= 0
    assert timings.prefill_seconds > 0
    assert timings.decode_seconds > 0
    to_first_token = timings.queued_seconds + timings.prefill_seconds
    assert math.isclose(timings.time_to_first_token_seconds, to_first_token)


def test_stats_count_what_happened(engine: InferenceEngine) -> None:
    assert engine.stats().blocks_free == 64
    engine.submit(list(range(50)), GenerationParams(temperature=0, max_tokens=7)).result()
    engine.submit(list(range(50)), GenerationParams(temperature=0, max_tokens=7)).result()
    stats = engine.stats()
    assert (stats.running, stats.waiting, stats.blocks_used) == (0, 0, 0)
    assert stats.blocks_cached == 4  # three full ones and the end of the answer, which is the same both times
    assert stats.blocks_free == 60
    assert (stats.prompt_tokens, stats.prefix_hit_tokens, stats.generated_tokens) == (100, 48, 14)
    assert stats.steps == 14


def test_a_request_whose_decoding_fails_fails_alone() -> None:
    def next_token(context: tuple[int, ...], sampler: Any) -> int:
        fails = context[0] == 13 and sampler.choice == 0 and len(sampler.accepted) == 2
        return 10_000 if fails else hashed(context, sampler)

    params = GenerationParams(temperature=0, max_tokens=10)
    with new_engine(next_token) as engine:
        good = engine.submit([1, 2], params)
        # The other choice of this one ends in the very step in which the first fails.
        bad = engine.submit([13], GenerationParams(n=2, max_tokens=3))
        with pytest.raises(EngineFailed, match="this request failed, others go on") as caught:
            bad.result()
        assert isinstance(caught.value.__cause__, KeyError)
        assert list(good.result()[0].token_ids) == direct([1, 2], params)
        assert engine.health().status == "ready"
        engine.submit([1, 2], params).result()
        assert engine.stats().blocks_used == 0
