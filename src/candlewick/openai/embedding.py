"""Embeddings: texts to vectors.

Owns the request and its rendering. Source: OpenAI's Embeddings reference
(``openai.types.embedding_create_params``).
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
from typing_extensions import TypedDict

from candlewick.core.errors import InvalidRequestError
from candlewick.core.usage import Usage
from candlewick.openai.fields import WireRequest

MAX_INPUTS = 2048
"""The protocol's own limit."""


class EmbeddingRequest(WireRequest):
    """One request as it came over the wire, its types checked; make it by :meth:`parse`."""

    harmless: ClassVar[frozenset[str]] = frozenset({"user"})

    model: str
    input: str | list[str] | list[int] | list[list[int]]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = None
    user: str | None = None

    def check(self) -> None:
        if not isinstance(self.input, str) and any(not isinstance(text, str) for text in self.input):
            raise InvalidRequestError(
                "input must be text: token ids would be those of another vocabulary "
                "(LangChain sends text with check_embedding_ctx_length=False)",
                "input",
            )
        if not 1 <= len(self.texts()) <= MAX_INPUTS:
            raise InvalidRequestError(
                f"input must be one text or 1 to {MAX_INPUTS} of them, got {len(self.texts())}", "input"
            )
        for place, text in enumerate(self.texts()):
            if not text:
                raise InvalidRequestError("an empty text has no embedding", f"input[{place}]")

    def texts(self) -> list[str]:
        """Every text, in order."""
        return [self.input] if isinstance(self.input, str) else [str(text) for text in self.input]


class Vectors(Protocol):
    """The vectors of some texts, and what they cost."""

    @property
    def vectors(self) -> Any:
        """float32 ``[texts, size]``."""

    @property
    def usage(self) -> Usage: ...


@runtime_checkable
class EmbeddingModel(Protocol):
    """What embeddings need of :class:`~candlewick.chat.llm.AsyncLLM`."""

    async def embed(self, texts: Sequence[str]) -> Vectors: ...


class Embedding(TypedDict):
    object: Literal["embedding"]
    index: int
    embedding: list[float] | str
    """Numbers, or base64 of little-endian float32."""


class EmbeddingUsage(TypedDict):
    prompt_tokens: int
    total_tokens: int


class EmbeddingList(TypedDict):
    object: Literal["list"]
    model: str
    data: list[Embedding]
    usage: EmbeddingUsage


async def embeddings(llm: EmbeddingModel, request: EmbeddingRequest, model_name: str) -> EmbeddingList:
    """The vectors of the request's texts.

    Raises:
        InvalidRequestError: a text is too long, or ``dimensions`` is not the model's own.
    """
    found = await llm.embed(request.texts())
    vectors = np.asarray(found.vectors, np.float32)
    if request.dimensions not in (None, vectors.shape[1]):
        raise InvalidRequestError(
            f"dimensions can only be the model's own {vectors.shape[1]}, got {request.dimensions}: "
            "vectors are not cut short",
            "dimensions",
        )
    is_base64 = request.encoding_format == "base64"
    return {
        "object": "list",
        "model": model_name,
        "data": [
            {
                "object": "embedding",
                "index": index,
                "embedding": base64.b64encode(vector.astype("<f4").tobytes()).decode()
                if is_base64
                else vector.tolist(),
            }
            for index, vector in enumerate(vectors)
        ],
        "usage": {"prompt_tokens": found.usage.prompt_tokens, "total_tokens": found.usage.prompt_tokens},
    }
