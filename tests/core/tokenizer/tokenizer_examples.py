"""Vocabularies for the tokenizer's tests: llama.cpp's files where the test data is at hand, and small ones
made here.
"""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer

from candlewick.core.gguf import GGUFFile
from candlewick.core.tokenizer import Tokenizer

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
BYTE_LEVEL_NAMES = ("gpt-2", "llama-bpe", "qwen2")
SENTENCEPIECE_NAMES = ("llama-spm", "phi-3")

CONTROL_TEXTS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
USER_DEFINED_TEXTS = ("<think>", "</think>", "    ", "\n\n\n", "÷")


def vocabulary_path(name: str) -> Path:
    """The vocabulary file of llama.cpp's tests; skips where there is none."""
    folder = os.environ.get("CANDLEWICK_TEST_DATA")
    path = Path(folder or ".", "vocab", f"ggml-vocab-{name}.gguf")
    if folder is None or not path.exists():
        pytest.skip("CANDLEWICK_TEST_DATA holds no vocabularies")
    return path


@cache
def vocabulary_metadata(name: str) -> dict[str, Any]:
    with GGUFFile.open(vocabulary_path(name)) as file:
        return dict(file.metadata)


@cache
def real_tokenizer(name: str) -> Tokenizer:
    return Tokenizer.from_metadata(vocabulary_metadata(name), vocabulary_path(name))


def vocabulary_cases(name: str) -> list[tuple[str, list[int]]]:
    """llama.cpp's vectors: texts and the ids that the model's own tokenizer gives them."""
    path = vocabulary_path(name)
    texts = Path(f"{path}.inp").read_bytes().decode().split("\n__ggml_vocab_test__\n")
    lines = Path(f"{path}.out").read_text().splitlines()
    return [(text, [int(word) for word in line.split()]) for text, line in zip(texts, lines, strict=False)]


@cache
def trained_reference() -> tokenizers.Tokenizer:
    """A small byte-level tokenizer, trained and served by the ``tokenizers`` library alone."""
    reference = tokenizers.Tokenizer(BPE())
    reference.pre_tokenizer = ByteLevel(add_prefix_space=False)
    reference.decoder = tokenizers.decoders.ByteLevel()
    corpus = [
        "The candle burns, the wick is short; the candlewick burns and burns.",
        "<think> thinking </think> im_start im_end |im_end| <|im <| |> endoftext text",
        "Größe, naïve café, тест тест, 中文中文, 👍👍, line\n\nline\n  indented  text",
    ]
    alphabet = sorted(ByteLevel.alphabet())
    trainer = BpeTrainer(vocab_size=420, initial_alphabet=alphabet, show_progress=False)
    reference.train_from_iterator(corpus * 4, trainer)
    reference.add_special_tokens([tokenizers.AddedToken(text, normalized=False) for text in CONTROL_TEXTS])
    reference.add_tokens([tokenizers.AddedToken(text, normalized=False) for text in USER_DEFINED_TEXTS])
    return reference


def byte_level_metadata() -> dict[str, Any]:
    """The metadata of a GGUF file that would hold :func:`trained_reference`."""
    reference = trained_reference()
    ids = reference.get_vocab(with_added_tokens=True)
    texts = sorted(ids, key=ids.__getitem__)
    kinds = [
        CONTROL if text in CONTROL_TEXTS else USER_DEFINED if text in USER_DEFINED_TEXTS else NORMAL
        for text in texts
    ]
    merges = json.loads(reference.to_str())["model"]["merges"]
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": texts,
        "tokenizer.ggml.token_type": np.array(kinds, np.int32),
        "tokenizer.ggml.merges": [f"{left} {right}" for left, right in merges],
        "tokenizer.ggml.bos_token_id": ids["<|endoftext|>"],
        "tokenizer.ggml.eos_token_id": ids["<|im_end|>"],
    }


def sentencepiece_metadata(pieces: dict[str, float] | None = None) -> dict[str, Any]:
    """A small SentencePiece vocabulary: unknown, BOS, EOS, two user-defined, 256 bytes, pieces."""
    if pieces is None:
        letters = "▁abcdehlnorstw<>/ik"
        pieces = {letter: -100.0 - i for i, letter in enumerate(letters)}
        words = (
            "▁a",
            "he",
            "ll",
            "▁he",
            "llo",
            "▁hello",
            "▁▁",
            "or",
            "ld",
            "▁w",
            "orld",
            "▁world",
            "th",
            "▁th",
        )
        pieces |= {word: -1.0 - i for i, word in enumerate(words)}
    heads = [
        ("<unk>", UNKNOWN),
        ("<s>", CONTROL),
        ("</s>", CONTROL),
        ("<think>", USER_DEFINED),
        ("\n\n", USER_DEFINED),
    ]
    byte_texts = [f"<0x{byte:02X}>" for byte in range(256)]
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": [text for text, _ in heads] + byte_texts + list(pieces),
        "tokenizer.ggml.token_type": np.array(
            [kind for _, kind in heads] + [BYTE] * 256 + [NORMAL] * len(pieces), np.int32
        ),
        "tokenizer.ggml.scores": np.array([0.0] * (len(heads) + 256) + list(pieces.values()), np.float32),
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
    }


def small_tokenizer(metadata: dict[str, Any]) -> Tokenizer:
    return Tokenizer.from_metadata(metadata, "small.gguf")
