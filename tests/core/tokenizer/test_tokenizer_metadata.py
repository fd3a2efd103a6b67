"""Broken metadata: each fault has a clear error, and whatever is broken, nothing else is raised."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizer_examples import byte_level_metadata, sentencepiece_metadata, small_tokenizer

from candlewick.core.errors import ModelLoadError, UnsupportedModelError

SOUND = {"byte-level": byte_level_metadata(), "sentencepiece": sentencepiece_metadata()}
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**65), 2**65),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.text(max_size=5), max_size=5),
    st.lists(st.integers(-5, 5), max_size=5),
    st.sampled_from([np.zeros(0), np.array([1.5, np.nan]), np.arange(400), np.array([["a"]])]),
)


def broken(kind: str, **changes: Any) -> dict[str, Any]:
    metadata = SOUND[kind] | {f"tokenizer.ggml.{name}": value for name, value in changes.items()}
    return {key: value for key, value in metadata.items() if value is not None}


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("byte-level", {"model": None}, "tokenizer.ggml.model.*missing"),
        ("byte-level", {"model": 3}, "tokenizer.ggml.model.*string"),
        ("byte-level", {"model": "bert"}, "'bert' is not known; known are: gpt2, llama"),
        ("byte-level", {"pre": "nonesuch"}, "'nonesuch' is not known; known are: .*llama-bpe.*qwen2"),
        ("byte-level", {"tokens": None}, "tokenizer.ggml.tokens.*missing"),
        ("byte-level", {"tokens": []}, "tokenizer.ggml.tokens.*empty"),
        ("byte-level", {"token_type": np.array([1, 2])}, "token_type.*has 2 entries for a vocabulary of"),
        ("byte-level", {"merges": None}, "tokenizer.ggml.merges.*missing"),
        ("byte-level", {"merges": ["t h", "nospace"]}, "merges.*entry 1 .*'nospace'"),
        ("byte-level", {"merges": ["t h e"]}, "merges.*entry 0 .*'t h e'"),
        ("byte-level", {"merges": [" h"]}, "merges"),
        ("byte-level", {"merges": ["q q"]}, "merges.*qq"),
        ("byte-level", {"eos_token_id": 10**6}, "eos_token_id.*1000000 is outside the vocabulary"),
        ("byte-level", {"bos_token_id": -1}, "bos_token_id.*-1 is outside the vocabulary"),
        ("byte-level", {"bos_token_id": None, "add_bos_token": True}, "bos_token_id.*missing"),
        ("byte-level", {"add_eos_token": "yes"}, "add_eos_token.*boolean.*'yes'"),
        ("sentencepiece", {"scores": None}, "tokenizer.ggml.scores.*missing"),
        ("sentencepiece", {"scores": np.array([1.0])}, "scores.*has 1 entries"),
        ("sentencepiece", {"add_space_prefix": 1}, "add_space_prefix.*boolean"),
    ],
)
def test_names_what_is_wrong(kind: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelLoadError, match=message) as caught:
        small_tokenizer(broken(kind, **changes))
    assert str(caught.value).startswith("small.gguf: ")


def test_unknown_kinds_are_unsupported_rather_than_broken() -> None:
    for changes in ({"model": "rwkv"}, {"pre": "kimi-k2"}):
        with pytest.raises(UnsupportedModelError):
            small_tokenizer(broken("byte-level", **changes))


def test_an_unknown_token_type_is_named_with_its_place() -> None:
    kinds = SOUND["byte-level"]["tokenizer.ggml.token_type"].copy()
    kinds[7] = 99
    with pytest.raises(ModelLoadError, match="token 7 has type 99; known are 0 to 6"):
        small_tokenizer(broken("byte-level", token_type=kinds))


def test_a_byte_token_that_names_no_byte_is_refused() -> None:
    kinds = SOUND["byte-level"]["tokenizer.ggml.token_type"].copy()
    kinds[7] = 6
    with pytest.raises(ModelLoadError, match="token 7 is a byte token, so its text must be <0x00> to <0xFF>"):
        small_tokenizer(broken("byte-level", token_type=kinds))


def test_a_missing_byte_token_is_named() -> None:
    texts = list(SOUND["sentencepiece"]["tokenizer.ggml.tokens"])
    kinds = SOUND["sentencepiece"]["tokenizer.ggml.token_type"].copy()
    kinds[texts.index("<0x41>")] = 1
    with pytest.raises(ModelLoadError, match="<0x41> is missing"):
        small_tokenizer(broken("sentencepiece", token_type=kinds))


def test_a_score_that_is_no_number_is_named() -> None:
    scores = SOUND["sentencepiece"]["tokenizer.ggml.scores"].copy()
    scores[9] = np.nan
    with pytest.raises(ModelLoadError, match="the score of token 9 is NaN"):
        small_tokenizer(broken("sentencepiece", scores=scores))


def test_markers_nested_without_end_are_refused() -> None:
    texts = [*SOUND["byte-level"]["tokenizer.ggml.tokens"], *("<" * i for i in range(3, 1500))]
    kinds = SOUND["byte-level"]["tokenizer.ggml.token_type"]
    kinds = np.append(kinds, [3] * (len(texts) - len(kinds)))
    with pytest.raises(ModelLoadError, match="nest too deeply"):
        small_tokenizer(broken("byte-level", tokens=texts, token_type=kinds))


def test_files_without_types_and_names_as_old_ones_are() -> None:
    """The roles make control tokens, the texts byte tokens, and splitting is the default one."""
    old = small_tokenizer(broken("byte-level", token_type=None, pre=None))
    end = old.id_of("<|im_end|>")
    assert end is not None
    assert old.is_control(end)
    assert old.encode("a<|im_end|>", parse_special=True)[-1] == end
    assert old.encode("a<|im_end|>")[-1] != end
    oldest = small_tokenizer(broken("sentencepiece", token_type=None))
    assert oldest.decode(oldest.encode("é")) == "é"


def test_texts_that_stand_twice_mean_the_first() -> None:
    texts = list(SOUND["byte-level"]["tokenizer.ggml.tokens"])
    kinds = SOUND["byte-level"]["tokenizer.ggml.token_type"]
    tokenizer = small_tokenizer(broken("byte-level", tokens=[*texts, "a"], token_type=np.append(kinds, 1)))
    assert tokenizer.id_of("a") == texts.index("a")
    assert tokenizer.token_bytes(len(texts)) == b"a"


@pytest.mark.parametrize("kind", SOUND)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_whatever_an_entry_holds_only_load_errors_are_raised(kind: str, data: st.DataObject) -> None:
    keys = sorted(SOUND[kind])
    names = st.sampled_from(
        [*keys, "tokenizer.ggml.add_bos_token", "tokenizer.ggml.eom_token_id", "tokenizer.chat_template"]
    )
    changes = data.draw(st.dictionaries(names, VALUES, min_size=1, max_size=3))
    metadata = {key: value for key, value in (SOUND[kind] | changes).items() if value is not None}
    raised_or_works(metadata)


@pytest.mark.parametrize("kind", SOUND)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_whatever_an_array_holds_only_load_errors_are_raised(kind: str, data: st.DataObject) -> None:
    metadata = dict(SOUND[kind])
    key = data.draw(
        st.sampled_from(sorted(k for k, v in metadata.items() if isinstance(v, list | np.ndarray)))
    )
    array = metadata[key] = metadata[key].copy()
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(array) - 1))
        if isinstance(array, list):
            array[place] = data.draw(
                st.one_of(st.text(max_size=4), st.sampled_from(array), st.just(7), st.just(""))
            )
        else:
            array[place] = data.draw(st.integers(-3, 9))
    raised_or_works(metadata)


def raised_or_works(metadata: dict[str, Any]) -> None:
    try:
        tokenizer = small_tokenizer(metadata)
    except ModelLoadError:
        return
    ids = tokenizer.encode("hello <think> wörld\n\n", parse_special=True, add_special=True)
    assert all(0 <= token_id < tokenizer.vocab_size for token_id in ids)
    assert isinstance(tokenizer.decode(range(tokenizer.vocab_size)), str)


def test_templates_and_their_variants_are_handed_on():
    templates = {"tokenizer.chat_template": "plain", "tokenizer.chat_template.tool_use": "with tools"}
    tokenizer = small_tokenizer(SOUND["byte-level"] | templates)
    assert tokenizer.chat_template == "plain"
    assert tokenizer.chat_template_variants == {"tool_use": "with tools"}
