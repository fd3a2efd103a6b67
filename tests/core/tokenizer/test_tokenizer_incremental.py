"""Token by token or all at once: the same text, in whole characters, with no tail lost."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizer_examples import (
    byte_level_metadata,
    real_tokenizer,
    sentencepiece_metadata,
    small_tokenizer,
    vocabulary_cases,
)

from candlewick.core.errors import InvalidRequestError
from candlewick.core.tokenizer import Tokenizer

BYTE_LEVEL = small_tokenizer(byte_level_metadata())
SENTENCEPIECE = small_tokenizer(sentencepiece_metadata())
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


def token_ids(tokenizer: Tokenizer) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(0, tokenizer.vocab_size - 1), max_size=40)


def pushed(tokenizer: Tokenizer, ids: list[int], **options: bool) -> list[str]:
    decoder = tokenizer.decoder(**options)
    return [*map(decoder.push, ids), decoder.flush()]


@settings(deadline=None)
@given(token_ids(BYTE_LEVEL))
def test_any_byte_level_ids(ids: list[int]) -> None:
    """The oracle is Python's decoder over all bytes at once."""
    expected = b"".join(map(BYTE_LEVEL.token_bytes, ids)).decode(errors="replace")
    assert "".join(pushed(BYTE_LEVEL, ids)) == BYTE_LEVEL.decode(ids) == expected


@settings(deadline=None)
@given(token_ids(SENTENCEPIECE))
def test_any_sentencepiece_ids(ids: list[int]) -> None:
    """As above, but that a space is taken away at the start and after each marker."""
    data = b""
    is_start = True
    for token_id in ids:
        piece = SENTENCEPIECE.token_bytes(token_id)
        data += piece.removeprefix(b" ") if is_start else piece
        is_start = SENTENCEPIECE.is_marker(token_id)
    expected = data.decode(errors="replace")
    assert "".join(pushed(SENTENCEPIECE, ids)) == SENTENCEPIECE.decode(ids) == expected


@pytest.mark.parametrize("tokenizer", [BYTE_LEVEL, SENTENCEPIECE], ids=["byte-level", "sentencepiece"])
@settings(deadline=None)
@given(text=TEXTS)
def test_no_piece_holds_half_a_character(tokenizer: Tokenizer, text: str) -> None:
    text = text.replace("▁", "_").replace("\ufffd", "?")
    pieces = pushed(tokenizer, tokenizer.encode(text))
    assert "".join(pieces) == text
    assert pieces[-1] == ""
    assert not any("\ufffd" in piece for piece in pieces)


@pytest.mark.parametrize("name", ["gpt-2", "llama-spm"])
def test_real_vectors(name: str) -> None:
    tokenizer = real_tokenizer(name)
    for text, ids in vocabulary_cases(name):
        assert "".join(pushed(tokenizer, ids)) == text


def test_an_unfinished_character_is_shown_at_the_end_only() -> None:
    ids = BYTE_LEVEL.encode("\U0001f9ff")
    assert len(ids) > 2
    assert pushed(BYTE_LEVEL, ids[:-1]) == [""] * (len(ids) - 1) + ["\ufffd"]


def test_control_tokens_are_shown_or_left_out() -> None:
    ids = BYTE_LEVEL.encode("a<|im_end|>b<think>c", parse_special=True)
    assert BYTE_LEVEL.decode(ids) == "a<|im_end|>b<think>c"
    assert BYTE_LEVEL.decode(ids, skip_special=True) == "ab<think>c"
    assert "".join(pushed(BYTE_LEVEL, ids, skip_special=True)) == "ab<think>c"


def test_leading_space_belongs_to_the_text_that_goes_on() -> None:
    """After plain text "▁world" is " world"; where a text begins, or after a marker, it is "world"."""
    (world,) = SENTENCEPIECE.encode("world")
    assert SENTENCEPIECE.token_bytes(world) == b" world"
    (hello,) = SENTENCEPIECE.encode("hello")
    assert SENTENCEPIECE.decoder().push(world) == "world"
    assert SENTENCEPIECE.decoder(after=hello).push(world) == " world"
    assert SENTENCEPIECE.decoder(after=SENTENCEPIECE.bos_id).push(world) == "world"
    assert SENTENCEPIECE.decode([hello, world]) == "hello world"


@pytest.mark.parametrize("token_id", [-1, BYTE_LEVEL.vocab_size, 10**12])
def test_ids_outside_the_vocabulary_are_refused(token_id: int) -> None:
    with pytest.raises(InvalidRequestError, match=f"token id {token_id} is outside the vocabulary"):
        BYTE_LEVEL.decode([token_id])
    with pytest.raises(InvalidRequestError):
        BYTE_LEVEL.is_control(token_id)
