"""Trusted and untrusted pieces of one prompt: what joins, what separates and what nobody can forge."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizer_examples import (
    BYTE_LEVEL_NAMES,
    CONTROL,
    CONTROL_TEXTS,
    SENTENCEPIECE_NAMES,
    byte_level_metadata,
    real_tokenizer,
    sentencepiece_metadata,
    small_tokenizer,
    vocabulary_metadata,
)

from candlewick.core.errors import InvalidRequestError
from candlewick.core.tokenizer import Tokenizer

TOKENIZERS = [small_tokenizer(byte_level_metadata()), small_tokenizer(sentencepiece_metadata())]
KINDS = pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=["byte-level", "sentencepiece"])
FRAGMENTS = st.sampled_from(
    [
        "<|im_",
        "end|>",
        "<|im_end|>",
        "<s>",
        "</",
        "s>",
        "<",
        "think>",
        "<think>",
        "hello",
        " world",
        " ",
        "\n\n",
        "é",
        "中",
    ]
)
SEGMENTS = st.lists(st.tuples(st.lists(FRAGMENTS, max_size=4).map("".join), st.booleans()), max_size=8)


@KINDS
@settings(deadline=None)
@given(segments=SEGMENTS)
def test_text_between_markers_is_encoded_as_one(
    tokenizer: Tokenizer, segments: list[tuple[str, bool]]
) -> None:
    """Cutting text anywhere changes nothing so long as the cuts make or break no marker."""
    untrusted = [(text, False) for text, _ in segments]
    assert tokenizer.encode_segments(untrusted) == tokenizer.encode("".join(text for text, _ in segments))
    trusted = [(text, True) for text, _ in segments]
    whole = "".join(text for text, _ in segments)
    assert tokenizer.encode_segments(trusted) == tokenizer.encode(whole, parse_special=True)


@KINDS
@settings(deadline=None)
@given(users=st.lists(FRAGMENTS, max_size=6).map("".join))
def test_user_text_adds_no_marker(tokenizer: Tokenizer, users: str) -> None:
    """Around any user text stand exactly the template's markers, even where the two touch."""
    for before, after in (("<think>", "<think>"), ("<think>a<", "k>b<think>"), ("<|im_", "|>"), ("<", ">")):
        markers = [
            token_id
            for text in (before, after)
            for token_id in tokenizer.encode(text, parse_special=True)
            if tokenizer.is_marker(token_id)
        ]
        ids = tokenizer.encode_segments([(before, True), (users, False), (after, True)])
        if users:
            assert [i for i in ids if tokenizer.is_marker(i)] == markers
        assert tokenizer.decode(ids) == before + users + after


@pytest.mark.parametrize("name", [*BYTE_LEVEL_NAMES, *SENTENCEPIECE_NAMES])
def test_no_marker_of_a_real_vocabulary_can_be_spelled(name: str) -> None:
    tokenizer = real_tokenizer(name)
    kinds = vocabulary_metadata(name)["tokenizer.ggml.token_type"].tolist()
    texts = vocabulary_metadata(name)["tokenizer.ggml.tokens"]
    markers = [i for i, kind in enumerate(kinds) if kind in (2, 3, 4)]
    assert sorted(tokenizer.markers.values()) == markers
    for token_id in markers:
        assert tokenizer.encode(texts[token_id], parse_special=True) == [token_id]
        forged = tokenizer.encode(texts[token_id]) + tokenizer.encode(f"a {texts[token_id]} b")
        assert not any(map(tokenizer.is_marker, forged))


def test_pieces_share_merges_across_trust() -> None:
    """A template's "\\n" and the user's first line merge as they would in one text."""
    tokenizer = real_tokenizer("llama-bpe")
    apart = tokenizer.encode_segments(
        [("<|eot_id|>\n", True), ("\nhel", False), ("lo", True), ("<|eot_id|>", True)]
    )
    assert apart == [128009, *tokenizer.encode("\n\nhello"), 128009]
    assert tokenizer.encode("\n\nhello") == [271, 15339]


def test_byte_tokens_can_not_be_spelled() -> None:
    tokenizer = small_tokenizer(sentencepiece_metadata())
    newline = tokenizer.id_of("<0x0A>")
    for is_trusted in (True, False):
        assert newline not in tokenizer.encode("<0x0A>", parse_special=is_trusted)
    assert tokenizer.encode("\n")[-1] == newline


def test_longest_marker_wins_and_blanks_are_matched_everywhere() -> None:
    metadata = byte_level_metadata()
    metadata["tokenizer.ggml.tokens"] += ["<|im", "<|im_end|>>"]
    metadata["tokenizer.ggml.token_type"] = np.append(metadata["tokenizer.ggml.token_type"], [CONTROL] * 2)
    tokenizer = small_tokenizer(metadata)
    markers = ["<|im_end|>>", "<|im_end|>", "<|im"]
    assert tokenizer.encode("".join(markers), parse_special=True) == list(map(tokenizer.id_of, markers))
    assert tokenizer.encode("    ÷    ") == list(map(tokenizer.id_of, ["    ", "÷", "    "]))


@KINDS
def test_nothing_gives_nothing(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("") == []
    assert tokenizer.encode_segments([]) == []
    assert tokenizer.encode_segments([("", True), ("", False)]) == []


@KINDS
def test_lone_surrogates_are_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(InvalidRequestError, match=r"surrogate '\\ud800' at index 2") as caught:
        tokenizer.encode("ab\ud800")
    assert caught.value.parameter == "text"


def test_markers_of_harmony_end_a_message_not_the_answer() -> None:
    metadata = byte_level_metadata()
    texts = metadata["tokenizer.ggml.tokens"]
    end, closing, call = (texts.index(text) for text in CONTROL_TEXTS)
    texts[end], texts[closing], texts[call] = "<|return|>", "<|end|>", "<|call|>"
    metadata["tokenizer.ggml.eos_token_id"] = end
    assert small_tokenizer(metadata).eos_ids == {end, call}
