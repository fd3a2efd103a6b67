"""Prompts that are too long: refused, or truncated where that is asked for."""

from __future__ import annotations

import pytest
from scripted_runner import ByteTokenizer, ScriptedRunner, direct

from candlewick.core.engine import InferenceEngine
from candlewick.core.errors import ContextOverflowError, InvalidRequestError
from candlewick.core.params import GenerationParams

CONTEXT = 40


class TokenizerWithBos(ByteTokenizer):
    bos_id = 250


def result_of(prompt_ids: list[int], params: GenerationParams, tokenizer: ByteTokenizer | None = None):  # type: ignore[no-untyped-def]
    runner = ScriptedRunner(max_context=CONTEXT)
    with InferenceEngine(runner, tokenizer or ByteTokenizer()) as engine:  # type: ignore[arg-type]
        return engine.submit(prompt_ids, params).result()[0]


def params(max_tokens: int | None, **others: object) -> GenerationParams:
    return GenerationParams(
        max_tokens=max_tokens, temperature=0, ignore_eos=True, context_overflow="truncate_left", **others
    )  # type: ignore[arg-type]


def test_the_end_of_the_prompt_is_kept_with_room_for_the_answer() -> None:
    prompt = list(range(100))
    result = result_of(prompt, params(10))
    assert list(result.token_ids) == direct(prompt[-30:], params(10))
    assert (result.usage.prompt_tokens, result.usage.truncated_tokens) == (30, 70)


def test_a_quarter_of_the_context_is_for_an_answer_without_a_limit() -> None:
    result = result_of(list(range(100)), params(None))
    assert (result.usage.prompt_tokens, result.usage.truncated_tokens) == (30, 70)
    assert result.usage.completion_tokens == 10


def test_what_fits_stays_whole() -> None:
    for max_tokens in (1, None):
        result = result_of(list(range(39)), params(max_tokens))
        assert (result.usage.prompt_tokens, result.usage.truncated_tokens) == (39, 0)


def test_a_begin_of_text_token_stays() -> None:
    prompt = [TokenizerWithBos.bos_id, *range(100)]
    result = result_of(prompt, params(10), TokenizerWithBos())
    kept = [TokenizerWithBos.bos_id, *prompt[-29:]]
    assert list(result.token_ids) == direct(kept, params(10))
    assert result.usage.truncated_tokens == 71


@pytest.mark.parametrize("max_tokens", [40, 41, 1000])
def test_no_room_for_any_prompt_is_an_error_still(max_tokens: int) -> None:
    with pytest.raises(ContextOverflowError):
        result_of(list(range(100)), params(max_tokens))


def test_the_least_room_there_is() -> None:
    result = result_of(list(range(100)), params(39))
    assert (result.usage.prompt_tokens, result.usage.completion_tokens) == (1, 39)
    with pytest.raises(ContextOverflowError):
        result_of([250, *range(99)], params(39), TokenizerWithBos())
    assert result_of([250, *range(99)], params(38), TokenizerWithBos()).usage.prompt_tokens == 2


def test_it_is_an_error_unless_asked_for() -> None:
    with pytest.raises(ContextOverflowError):
        result_of(list(range(100)), GenerationParams(max_tokens=10))
    with pytest.raises(InvalidRequestError, match="context_overflow must be one of error, truncate_left"):
        GenerationParams(context_overflow="truncate_right")  # type: ignore[arg-type]
