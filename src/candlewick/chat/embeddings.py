"""Texts as vectors: what ``LLM.embed`` gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from candlewick.core.embedding import Vectors
from candlewick.core.errors import InvalidRequestError
from candlewick.core.tokenizer import Tokenizer
from candlewick.core.usage import Usage


@dataclass(frozen=True)
class Embeddings:
    """One vector a text, in their order."""

    vectors: Vectors
    """``[texts, hidden]``, float32, each of length 1 unless asked otherwise."""
    usage: Usage


def embedding_prompts(texts: Sequence[str], tokenizer: Tokenizer) -> list[list[int]]:
    """The token ids of each text, with the tokens that the model wants around them.

    Raises:
        InvalidRequestError: ``texts`` is a single string, or a text is empty.
    """
    if isinstance(texts, str):
        raise InvalidRequestError("texts must be a list of texts, got a single one", "texts")
    for index, text in enumerate(texts):
        if not text:
            raise InvalidRequestError(f"texts[{index}] is empty; give at least one character", "texts")
    return [tokenizer.encode(text, add_special=True) for text in texts]


def embedding_usage(prompts: Sequence[Sequence[int]]) -> Usage:
    return Usage(prompt_tokens=sum(map(len, prompts)))
