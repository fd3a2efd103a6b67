"""Choosing a model among file names."""

from __future__ import annotations

import pytest

from candlewick.core.errors import ModelNotFoundError
from candlewick.core.model_files import choose_model, find_models

# File lists as published repositories have them.
ONE_LEVEL = [
    ".gitattributes",
    "README.md",
    "imatrix.gguf",
    "mmproj-model-f16.gguf",
    "SmolLM3-Q4_0.gguf",
    "SmolLM3-Q4_K_M.gguf",
    "SmolLM3-Q4_K_S.gguf",
    "SmolLM3-UD-Q4_K_XL.gguf",
    "SmolLM3-Q8_0.gguf",
    "SmolLM3-BF16.gguf",
]
LOWER_CASE = [
    "qwen2.5-0.5b-instruct-q4_k_m.gguf",
    "qwen2.5-0.5b-instruct-q4_0.gguf",
    "qwen2.5-0.5b-fp16.gguf",
]
DOTTED = ["tinyllama-1.1b-chat-v1.0.Q4_K_M.gguf", "tinyllama-1.1b-chat-v1.0.Q2_K.gguf"]
FOLDERS = [
    "BF16/big-BF16-00001-of-00002.gguf",
    "BF16/big-BF16-00002-of-00002.gguf",
    "Q8_0/big-00001-of-00002.gguf",
    "Q8_0/big-00002-of-00002.gguf",
]


@pytest.mark.parametrize(
    ("names", "wanted", "parts"),
    [
        (ONE_LEVEL, None, ["SmolLM3-Q4_K_M.gguf"]),
        (ONE_LEVEL, "Q4_K_M", ["SmolLM3-Q4_K_M.gguf"]),
        (ONE_LEVEL, "q8_0", ["SmolLM3-Q8_0.gguf"]),
        (ONE_LEVEL, "Q4_K_XL", ["SmolLM3-UD-Q4_K_XL.gguf"]),
        (ONE_LEVEL, "ud-q4_k_xl", ["SmolLM3-UD-Q4_K_XL.gguf"]),
        (ONE_LEVEL, "SmolLM3-Q4_0.gguf", ["SmolLM3-Q4_0.gguf"]),
        (LOWER_CASE, None, ["qwen2.5-0.5b-instruct-q4_k_m.gguf"]),
        (LOWER_CASE, "FP16", ["qwen2.5-0.5b-fp16.gguf"]),
        (DOTTED, None, ["tinyllama-1.1b-chat-v1.0.Q4_K_M.gguf"]),
        (DOTTED, "Q2_K", ["tinyllama-1.1b-chat-v1.0.Q2_K.gguf"]),
        (FOLDERS, None, FOLDERS[2:]),
        (FOLDERS, "bf16", FOLDERS[:2]),
        (FOLDERS, "Q8_0", FOLDERS[2:]),
        (FOLDERS, "big-BF16-00001-of-00002.gguf", FOLDERS[:2]),
        (FOLDERS, "BF16/big-BF16-00002-of-00002.gguf", FOLDERS[:2]),
        (["only-IQ1_S.gguf"], None, ["only-IQ1_S.gguf"]),
    ],
)
def test_choices(names: list[str], wanted: str | None, parts: list[str]) -> None:
    assert choose_model(find_models(names), wanted, "here").parts == tuple(parts)


@pytest.mark.parametrize(
    ("names", "wanted", "message"),
    [
        ([], None, "here holds no GGUF model"),
        (["README.md", "mmproj-f16.gguf"], "Q4_K_M", "here holds no GGUF model"),
        (ONE_LEVEL, "Q4_K", r"here has no model 'Q4_K'; name one of these files:\n  SmolLM3-BF16\.gguf\n"),
        (ONE_LEVEL, "IQ2_M", "here has no model 'IQ2_M'"),
        (ONE_LEVEL, "other.gguf", r"here has no model 'other\.gguf'"),
        (
            ["a-Q4_K_M.gguf", "b-Q4_K_M.gguf", "c-Q8_0.gguf"],
            None,
            r"more than one model; .*\n  a-.*\n  b-[^\n]*$",
        ),
        (["a-Q4_K_M.gguf", "b-Q4_K_M.gguf"], "Q4_K_M", "more than one model 'Q4_K_M'"),
        (["a-IQ1_S.gguf", "b-IQ1_M.gguf"], None, "more than one model"),
        (FOLDERS[1:], "BF16", r"here: parts of BF16/big-.* are missing: BF16/big-BF16-00001-of-00002\.gguf"),
    ],
)
def test_no_choice(names: list[str], wanted: str | None, message: str) -> None:
    with pytest.raises(ModelNotFoundError, match=message):
        choose_model(find_models(names), wanted, "here")
