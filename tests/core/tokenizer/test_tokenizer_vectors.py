"""llama.cpp's own vectors, and the models' own tokenizers, over the real vocabularies."""

from __future__ import annotations

import pytest
from tokenizer_examples import (
    BYTE_LEVEL_NAMES,
    SENTENCEPIECE_NAMES,
    real_tokenizer,
    vocabulary_cases,
    vocabulary_metadata,
)


@pytest.mark.parametrize("name", [*BYTE_LEVEL_NAMES, *SENTENCEPIECE_NAMES])
def test_encodes_every_vector_exactly(name: str) -> None:
    tokenizer = real_tokenizer(name)
    cases = vocabulary_cases(name)
    assert len(cases) >= 46
    assert [(text, tokenizer.encode(text)) for text, _ in cases] == cases


@pytest.mark.parametrize("name", [*BYTE_LEVEL_NAMES, *SENTENCEPIECE_NAMES])
def test_decodes_every_vector_to_its_text(name: str) -> None:
    tokenizer = real_tokenizer(name)
    for text, ids in vocabulary_cases(name):
        assert tokenizer.decode(ids) == text


@pytest.mark.parametrize(
    ("name", "bos", "ends"),
    [
        ("gpt-2", 50256, {50256}),
        ("llama-bpe", 128000, {128001, 128009}),
        ("qwen2", 151643, {151643, 151645}),
        ("llama-spm", 1, {2}),
        ("phi-3", 1, {2, 32000, 32007}),
    ],
)
def test_knows_the_tokens_with_a_role(name: str, bos: int, ends: set[int]) -> None:
    tokenizer = real_tokenizer(name)
    assert tokenizer.bos_id == bos
    assert tokenizer.eos_ids == ends
    assert tokenizer.eos_id == vocabulary_metadata(name)["tokenizer.ggml.eos_token_id"]
    assert all(tokenizer.is_marker(token_id) for token_id in ends)
    assert tokenizer.vocab_size == len(vocabulary_metadata(name)["tokenizer.ggml.tokens"])


@pytest.mark.parametrize(
    ("name", "expected"),
    [("llama-bpe", [128000, 15339]), ("gpt-2", [31373]), ("qwen2", [14990]), ("llama-spm", [1, 22172])],
)
def test_adds_bos_where_the_vocabulary_wants_it(name: str, expected: list[int]) -> None:
    assert real_tokenizer(name).encode("hello", add_special=True) == expected


def test_template_of_the_file() -> None:
    assert "<|im_start|>" in (real_tokenizer("qwen2").chat_template or "")
    assert real_tokenizer("llama-bpe").chat_template is None


def test_llama3_prompt_as_published() -> None:
    """The prompt format of Meta's model card, its markers by their published numbers."""
    prompt = "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nhello<|eot_id|>"
    assert real_tokenizer("llama-bpe").encode(prompt, parse_special=True) == [
        128000,
        128006,
        882,
        128007,
        271,
        15339,
        128009,
    ]


@pytest.mark.reference
def test_qwen2_encodes_as_transformers_does() -> None:
    """Decomposed text too: Qwen 2 composes (NFC) first."""
    transformers = pytest.importorskip("transformers")
    metadata = vocabulary_metadata("qwen2")
    texts, kinds = metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.token_type"].tolist()
    reference = transformers.Qwen2Tokenizer(
        vocab={text: i for i, text in enumerate(texts) if kinds[i] == 1},
        merges=[tuple(line.split(" ")) for line in metadata["tokenizer.ggml.merges"]],
    )
    tokenizer = real_tokenizer("qwen2")
    decomposed = "Cu\u031b\u0309a Vie\u0323\u0302t, cafe\u0301, \u1100\u1161"
    samples = [
        decomposed,
        "I'VE 12345 things\r\n\r\n  to do…",
        "'ſ ﬁn 𝟘𝟙 ½ ²",
        "日本語のテスト。",
        "\t\ttab \u00a0 nbsp",
    ]
    for text in [*samples, *(text for text, _ in vocabulary_cases("qwen2"))]:
        assert tokenizer.encode(text) == reference.encode(text, add_special_tokens=False)
