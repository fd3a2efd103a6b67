"""SentencePiece merging against its definition, written out naively, and the sentencepiece library."""

from __future__ import annotations

import time
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizer_examples import real_tokenizer, sentencepiece_metadata, small_tokenizer, vocabulary_metadata

from candlewick.core.tokenizer.sentencepiece import SentencePieceBPE

PIECES = st.dictionaries(
    st.text("ab▁", min_size=1, max_size=4), st.integers(-3, 3).map(float), min_size=1, max_size=12
)


def merge_by_definition(text: str, scores: dict[str, float]) -> list[str]:
    """Again and again the best pair of all, the leftmost among equals."""
    symbols = list(text)
    while True:
        unions = [(scores[a + b], -i) for i, (a, b) in enumerate(pairwise(symbols)) if a + b in scores]
        if not unions:
            return symbols
        place = -max(unions)[1]
        symbols[place : place + 2] = [symbols[place] + symbols[place + 1]]


@settings(max_examples=200, deadline=None)
@given(PIECES, st.text("ab ", max_size=24))
def test_merges_by_definition(pieces: dict[str, float], text: str) -> None:
    """Blanks inside pieces, equal scores and characters without a piece included."""
    ids = {piece: i for i, piece in enumerate(pieces)}
    unknown = len(ids)
    model = SentencePieceBPE(ids, np.array(list(pieces.values())), unknown_id=unknown)
    expected = [ids.get(symbol, unknown) for symbol in merge_by_definition(text.replace(" ", "▁"), pieces)]
    assert model.encode([text]) == [expected]


def test_words_seen_before_encode_the_same() -> None:
    tokenizer = small_tokenizer(sentencepiece_metadata())
    once = tokenizer.encode("hello world")
    assert tokenizer.encode("hello world hello world") == once * 2


def test_bytes_for_characters_without_a_piece() -> None:
    tokenizer = small_tokenizer(sentencepiece_metadata())
    ids = tokenizer.encode("é")
    assert [tokenizer.token_bytes(i) for i in ids] == [b" ", b"\xc3", b"\xa9"]
    assert tokenizer.decode(ids) == "é"


def test_space_prefix_can_be_switched_off() -> None:
    metadata = sentencepiece_metadata()
    with_prefix = small_tokenizer(metadata)
    without = small_tokenizer({**metadata, "tokenizer.ggml.add_space_prefix": False})
    assert without.encode(" hello") == with_prefix.encode("hello")
    assert without.decode(without.encode(" hello")) == " hello"
    assert without.encode("hello") != with_prefix.encode("hello")


def test_space_prefix_after_each_marker() -> None:
    tokenizer = small_tokenizer(sentencepiece_metadata())
    (hello,) = tokenizer.encode("hello")
    assert tokenizer.encode("<s>hello</s>hello", parse_special=True) == [1, hello, 2, hello]
    assert tokenizer.decode([1, hello, 2, hello]) == "<s>hello</s>hello"


@pytest.mark.parametrize("text", ["ab", " ", "中"])
def test_a_long_word_takes_no_square_of_its_length(text: str) -> None:
    tokenizer = real_tokenizer("llama-spm")
    start = time.process_time()
    ids = tokenizer.encode(text * 60_000)
    assert time.process_time() - start < 20
    assert tokenizer.decode(ids) == text * 60_000


@pytest.mark.reference
@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=60),
        st.text("abcdefghij   <>s/.0xA\n\tthe", min_size=1, max_size=60),
    )
)
def test_encodes_as_the_sentencepiece_library(text: str) -> None:
    assert real_tokenizer("llama-spm").encode(text) == library_processor().encode(text)


@cache
def library_processor() -> Any:
    """The sentencepiece library over the same pieces, scores and types."""
    sentencepiece = pytest.importorskip("sentencepiece")
    model_types = pytest.importorskip("sentencepiece.sentencepiece_model_pb2")
    metadata = vocabulary_metadata("llama-spm")
    model = model_types.ModelProto()
    rows = zip(
        metadata["tokenizer.ggml.tokens"],
        metadata["tokenizer.ggml.scores"].tolist(),
        metadata["tokenizer.ggml.token_type"].tolist(),
        strict=True,
    )
    for text, score, kind in rows:
        model.pieces.add(piece=text, score=score, type=kind)
    model.trainer_spec.model_type = model_types.TrainerSpec.BPE
    model.trainer_spec.byte_fallback = True
    model.normalizer_spec.name = "identity"
    model.normalizer_spec.remove_extra_whitespaces = False
    return sentencepiece.SentencePieceProcessor(model_proto=model.SerializeToString())
