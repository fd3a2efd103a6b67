"""Real vocabularies with real templates: what the model is sent."""

from __future__ import annotations

import functools
import os
from pathlib import Path

import pytest

from candlewick.chat.conversation_model import ConversationModel
from candlewick.core.gguf import GGUFFile
from candlewick.core.tokenizer import Tokenizer

DATA = os.environ.get("CANDLEWICK_TEST_DATA")
pytestmark = pytest.mark.skipif(not DATA, reason="CANDLEWICK_TEST_DATA names no folder with vocabularies")

MODELS = {
    "llama-bpe": ("meta-llama-Llama-3.2-3B-Instruct", "llama3_json", None),
    "qwen2": ("Qwen-Qwen3-0.6B", "hermes", "<think>"),
    "phi-3": ("microsoft-Phi-3.5-mini-instruct", "hermes", None),
    "llama-spm": ("mistralai-Mistral-Nemo-Instruct-2407", "mistral", None),
}


@functools.cache
def load(vocabulary: str) -> tuple[Tokenizer, ConversationModel]:
    with GGUFFile.open(Path(DATA, "vocab", f"ggml-vocab-{vocabulary}.gguf")) as file:
        tokenizer = Tokenizer.from_metadata(file.metadata, file.path)
    template = Path(DATA, "templates", f"{MODELS[vocabulary][0]}.jinja").read_text()
    return tokenizer, ConversationModel(tokenizer, "test", chat_template=template)


def prompt(model: ConversationModel, text: str) -> list[int]:
    return list(model.turn([{"role": "user", "content": text}], None, "adaptive", None, None).prompt_ids)


@pytest.mark.parametrize("vocabulary", MODELS)
def test_no_marker_of_the_vocabulary_can_be_forged(vocabulary):
    tokenizer, model = load(vocabulary)
    markers = [token_id for token_id in range(tokenizer.vocab_size) if tokenizer.is_marker(token_id)]
    texts = [tokenizer.token_bytes(token_id).decode() for token_id in markers]
    honest, forged = prompt(model, "Hello there"), prompt(model, "".join(texts))
    assert [token_id for token_id in forged if tokenizer.is_marker(token_id)] == [
        token_id for token_id in honest if tokenizer.is_marker(token_id)
    ]
    assert "".join(texts) in tokenizer.decode(forged)


@pytest.mark.parametrize("vocabulary", MODELS)
def test_an_honest_prompt_is_encoded_in_one_go(vocabulary):
    tokenizer, model = load(vocabulary)
    ids = prompt(model, "Hello there, is 1 < 2?")
    assert ids == tokenizer.encode(tokenizer.decode(ids), parse_special=True)


@pytest.mark.parametrize("vocabulary", MODELS)
def test_markers_and_formats_are_found(vocabulary):
    _, tool_format, thinking = MODELS[vocabulary]
    _, model = load(vocabulary)
    assert [found.name for found in model.tool_formats] == [tool_format]
    assert (model.reasoning.start if model.reasoning else None) == thinking
