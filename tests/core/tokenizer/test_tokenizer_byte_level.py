"""Byte-level BPE against a tokenizer trained and served by the ``tokenizers`` library, and the table of
splits.
"""

from __future__ import annotations

import threading
import time
from itertools import pairwise

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizer_examples import (
    CONTROL_TEXTS,
    USER_DEFINED_TEXTS,
    byte_level_metadata,
    real_tokenizer,
    small_tokenizer,
    trained_reference,
)

from candlewick.core.tokenizer.pre_tokenizers import PRE_TOKENIZERS

SMALL = small_tokenizer(byte_level_metadata())
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
MARKED_TEXTS = st.lists(
    st.one_of(
        st.sampled_from([*CONTROL_TEXTS, *USER_DEFINED_TEXTS]),
        st.sampled_from(["<|", "im_end", "|>", " ", "\n", "th", "the candle", "é"]),
        TEXTS,
    ),
    max_size=10,
).map("".join)


@settings(deadline=None)
@given(MARKED_TEXTS)
def test_trusted_text_encodes_as_the_reference_does(text: str) -> None:
    expected = trained_reference().encode(text, add_special_tokens=False).ids
    assert SMALL.encode(text, parse_special=True) == expected


@settings(deadline=None)
@given(MARKED_TEXTS)
def test_any_text_comes_back(text: str) -> None:
    assert SMALL.decode(SMALL.encode(text)) == text
    assert SMALL.decode(SMALL.encode(text, parse_special=True)) == text


def test_every_byte_has_its_token() -> None:
    """All but 0xF7, which is in no UTF-8 and whose symbol ÷ is user-defined here, as in DeepSeek's
    vocabularies.
    """
    single = [SMALL.token_bytes(i) for i in range(SMALL.vocab_size)]
    assert {data for data in single if len(data) == 1} == {
        bytes([byte]) for byte in range(256) if byte != 0xF7
    }


def test_token_that_merges_would_not_reach_needs_the_ignore_merges_rule() -> None:
    """Llama 3 takes a whole word that is a token as it is; its twin without that rule merges."""
    metadata = byte_level_metadata()
    metadata["tokenizer.ggml.tokens"] = [*metadata["tokenizer.ggml.tokens"], "xyzzy"]
    del metadata["tokenizer.ggml.token_type"]
    word_id = len(metadata["tokenizer.ggml.tokens"]) - 1
    whole = small_tokenizer({**metadata, "tokenizer.ggml.pre": "llama-bpe"}).encode("xyzzy")
    merged = small_tokenizer({**metadata, "tokenizer.ggml.pre": "smaug-bpe"}).encode("xyzzy")
    assert whole == [word_id]
    assert word_id not in merged


def test_merges_can_not_make_a_control_token() -> None:
    metadata = byte_level_metadata()
    texts = metadata["tokenizer.ggml.tokens"]
    end = texts.index("<|im_end|>")
    texts[end] = "zq"
    metadata["tokenizer.ggml.merges"].append("z q")
    tokenizer = small_tokenizer(metadata)
    assert tokenizer.encode("zq") == [texts.index("z"), texts.index("q")]
    assert tokenizer.encode("zq", parse_special=True) == [end]


def test_long_texts_release_the_interpreter_lock() -> None:
    """Another thread never waits for more than a part of the time that a long text takes."""
    ticks: list[float] = []
    done = threading.Event()

    def tick() -> None:
        while not done.wait(0.001):
            ticks.append(time.perf_counter())

    thread = threading.Thread(target=tick)
    text = "the candle burns, " * 60_000
    thread.start()
    start = time.perf_counter()
    SMALL.encode(text)
    end = time.perf_counter()
    done.set()
    thread.join()
    moments = [start, *(moment for moment in ticks if start < moment < end), end]
    assert max(later - earlier for earlier, later in pairwise(moments)) < (end - start) / 2


DISTINCT_NAMES = sorted({row: name for name, row in PRE_TOKENIZERS.items()}.values())
"""One name for each row of the table."""

SPLITS = [
    ("gpt-2", "I've 1234 dogs", ["I", "'ve", " 1234", " dogs"]),
    ("gpt-2", "a  b\n\n c", ["a", " ", " b", "\n\n", " c"]),
    ("starcoder", "x = 1234", ["x", " =", " ", "1", "2", "3", "4"]),
    ("llama-bpe", "I'VE 12345 .foo()\n\n", ["I", "'VE", " ", "123", "45", " .", "foo", "()\n\n"]),
    ("smaug-bpe", "don'T", ["don", "'T"]),
    ("qwen2", "a1234\r\n b", ["a", "1", "2", "3", "4", "\r\n", " b"]),
    ("qwen35", "ব্লু 12", ["ব্লু", " ", "1", "2"]),
    ("gpt-4o", "helloWorld's 1234 a/b//\n", ["hello", "World's", " ", "123", "4", " a", "/b", "//\n"]),
    ("tekken", "helloWorld's 12", ["hello", "World", "'s", " ", "1", "2"]),
    ("deepseek-v3", "12345中文abc .net", ["123", "45", "中文", "abc", " .", "net"]),
    ("deepseek-llm", "héllo wörld\n12", ["h", "é", "llo", " w", "ö", "rld", "\n", "12"]),
    ("deepseek-coder", "a.b 12\n", ["a", ".", "b", " ", "1", "2", "\n"]),
    ("falcon", "foo==12345", ["foo", "==", "123", "45"]),
    ("default", "foo==12345 x", ["foo", "==", "123", "45", " x"]),
    ("seed-coder", "a!!\n1", ["a", "!!", "\n", "1"]),
    ("bailingmoe", "it'S 12", ["it", "'S", " ", "1", "2"]),
    ("bloom", "one, two", ["one", ",", " two"]),
]


@pytest.mark.parametrize(("name", "text", "pieces"), SPLITS)
def test_splits_words_as_the_family_does(name: str, text: str, pieces: list[str]) -> None:
    assert split(name, text) == pieces


@pytest.mark.parametrize("name", DISTINCT_NAMES)
@settings(max_examples=25, deadline=None)
@given(text=TEXTS)
def test_no_split_loses_text(name: str, text: str) -> None:
    assert "".join(split(name, text)) == text


@pytest.mark.parametrize("name", DISTINCT_NAMES)
def test_no_split_is_quadratic(name: str) -> None:
    """Linear, all of these take a second or two; one of quadratic cost alone would take more than twenty."""
    start = time.process_time()
    for text in ("a", "A", " ", "\t", " \n", "1", "!", "中", "e\u0301"):
        split(name, text * 60_000 + "中")
    assert time.process_time() - start < 20


@pytest.mark.parametrize("text", ["ab", " ", "<"])
def test_a_megabyte_without_structure_takes_seconds(text: str) -> None:
    tokenizer = real_tokenizer("gpt-2")
    long_text = text * (1_000_000 // len(text))
    start = time.process_time()
    ids = tokenizer.encode(long_text, parse_special=True)
    assert time.process_time() - start < 20
    assert b"".join(map(tokenizer.token_bytes, ids)) == long_text.encode()


def split(name: str, text: str) -> list[str]:
    """What the table's patterns make of a text, before bytes come into it."""
    patterns = (tokenizers.Regex(pattern) for pattern in PRE_TOKENIZERS[name].patterns)
    splits = [tokenizers.pre_tokenizers.Split(pattern, "isolated") for pattern in patterns]
    return [piece for piece, _ in tokenizers.pre_tokenizers.Sequence(splits).pre_tokenize_str(text)]
