"""OpenAI's protocol on top of an ``AsyncLLM``, without a server: mount it, call it, test it.

Owns the meaning of the protocol's fields; refuses to know HTTP. Errors are raised as our own exceptions;
:func:`candlewick.openai.errors.error_reply` says what a client should be told.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Protocol, TypeVar

from candlewick.chat.events import Error, Event
from candlewick.core.constraint import Constraint
from candlewick.core.errors import InvalidRequestError, ModelNotFoundError
from candlewick.core.params import GenerationParams
from candlewick.openai.completion import ChunkWriter, CompletionBuilder, Heading
from candlewick.openai.embedding import EmbeddingList, EmbeddingModel, EmbeddingRequest, embeddings
from candlewick.openai.errors import error_named
from candlewick.openai.fields import WireRequest
from candlewick.openai.request import ChatCompletionRequest, Thinking
from candlewick.openai.text_completion import (
    TextCompletion,
    TextCompletionRequest,
    TextModel,
    new_heading,
    text_completion,
    text_completion_chunks,
)
from candlewick.openai.tokens import (
    DetokenizeRequest,
    Text,
    TokenizeRequest,
    TokenizingModel,
    Tokens,
    detokenize,
    tokenize,
)
from candlewick.openai.types import ChatCompletion, ChatCompletionChunk, Model, ModelList

Request = TypeVar("Request", bound=WireRequest)


class ChatModel(Protocol):
    """What the adapter needs of :class:`~candlewick.chat.llm.AsyncLLM`."""

    @property
    def model_name(self) -> str: ...

    def chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        params: GenerationParams | None = None,
        thinking: Thinking = "adaptive",
        tools: Sequence[Mapping[str, Any]] | None = None,
        template_variables: Mapping[str, Any] | None = None,
        tool_choice: str = "auto",
        parallel_tool_calls: bool = True,
        constraint: Constraint | None = None,
    ) -> AsyncGenerator[Event, None]: ...


class OpenAIAdapter:
    """Answers requests of OpenAI's protocol with one model.

    Args:
        llm: the model.
        model_names: the names under which clients may ask for it; the first is the one told to them. By
            default the model's own name.
    """

    def __init__(self, llm: ChatModel, *, model_names: Sequence[str] = ()) -> None:
        self.llm = llm
        self.model_names = tuple(model_names) or (llm.model_name,)
        self._created = int(time.time())
        self._fingerprint = f"candlewick-{_version()}"

    async def chat_completion(self, request: ChatCompletionRequest | Mapping[str, Any]) -> ChatCompletion:
        """The whole answer. Cancelling the task stops the generation.

        Raises:
            InvalidRequestError: the request can't be honoured; ``parameter`` names the field.
            ModelNotFoundError: the request names another model.
            EngineError: the engine can't serve at present.
        """
        request = self._accept(request)
        builder = CompletionBuilder(self._heading())
        async with aclosing(self._events(request)) as events:
            async for event in events:
                builder.add(event)
        return builder.result()

    def stream_chat_completion(
        self, request: ChatCompletionRequest | Mapping[str, Any]
    ) -> AsyncGenerator[ChatCompletionChunk, None]:
        """The answer in chunks. Closing the generator, or cancelling the task in it, stops the generation.

        Raises:
            the same as :meth:`chat_completion`: for the request's fields at once, for the rest from the
            iteration.
        """
        request = self._accept(request)
        options = request.stream_options
        writer = ChunkWriter(self._heading(), include_usage=options is not None and options.include_usage)
        return self._chunks(request, writer)

    async def completion(self, request: TextCompletionRequest | Mapping[str, Any]) -> TextCompletion:
        """Prompts continued as they are: the whole answer. Cancelling the task stops the generation.

        Raises: as :meth:`chat_completion`.
        """
        accepted = self._accepted(TextCompletionRequest, request)
        return await text_completion(self._text_model(), accepted, self._text_heading())

    def stream_completion(
        self, request: TextCompletionRequest | Mapping[str, Any]
    ) -> AsyncGenerator[TextCompletion, None]:
        """Prompts continued as they are, in chunks; closing the generator stops the generation.

        Raises: as :meth:`stream_chat_completion`.
        """
        accepted = self._accepted(TextCompletionRequest, request)
        return text_completion_chunks(self._text_model(), accepted, self._text_heading())

    async def embeddings(self, request: EmbeddingRequest | Mapping[str, Any]) -> EmbeddingList:
        """The vectors of texts.

        Raises:
            InvalidRequestError: the request can't be honoured, or the model makes no embeddings.
            ModelNotFoundError: the request names another model.
            EngineError: the engine can't serve at present.
        """
        accepted = self._accepted(EmbeddingRequest, request)
        if not isinstance(self.llm, EmbeddingModel):
            raise InvalidRequestError("this model makes no embeddings", "model")
        return await embeddings(self.llm, accepted, self.model_names[0])

    async def tokenize(self, request: TokenizeRequest | Mapping[str, Any]) -> Tokens:
        """The tokens of a text or of a conversation's prompt.

        Raises:
            InvalidRequestError: the request can't be honoured.
            ModelNotFoundError: the request names another model.
        """
        accepted = self._accepted(TokenizeRequest, request)
        return await asyncio.to_thread(tokenize, self._tokenizing_model(), accepted)

    async def detokenize(self, request: DetokenizeRequest | Mapping[str, Any]) -> Text:
        """The text of some tokens.

        Raises: as :meth:`tokenize`.
        """
        accepted = self._accepted(DetokenizeRequest, request)
        return await asyncio.to_thread(detokenize, self._tokenizing_model(), accepted)

    def models(self) -> ModelList:
        """The names under which clients may ask for the model."""
        return {"object": "list", "data": [self.model(name) for name in self.model_names]}

    def model(self, name: str) -> Model:
        """One entry of :meth:`models`.

        Raises:
            ModelNotFoundError: it has no such name.
        """
        if name not in self.model_names:
            raise ModelNotFoundError(
                f"the model {name!r} is not served here; there is: {', '.join(self.model_names)}"
            )
        return {"id": name, "object": "model", "created": self._created, "owned_by": "candlewick"}

    async def _chunks(
        self, request: ChatCompletionRequest, writer: ChunkWriter
    ) -> AsyncGenerator[ChatCompletionChunk, None]:
        async with aclosing(self._events(request)) as events:
            async for event in events:
                for chunk in writer.write(event):
                    yield chunk
        for chunk in writer.close():
            yield chunk

    async def _events(self, request: ChatCompletionRequest) -> AsyncGenerator[Event, None]:
        answer = self.llm.chat(
            request.messages,
            params=request.generation_params(),
            thinking=request.thinking(),
            tools=request.offered_tools(),
            template_variables=request.template_variables() or None,
            tool_choice=request.chosen_tool(),
            parallel_tool_calls=request.parallel_tool_calls is not False,
            constraint=request.constraint(),
        )
        async with aclosing(answer):
            async for event in answer:
                if isinstance(event, Error):
                    raise error_named(event.error_type, event.message)
                yield event

    def _accept(self, request: ChatCompletionRequest | Mapping[str, Any]) -> ChatCompletionRequest:
        return self._accepted(ChatCompletionRequest, request)

    def _accepted(self, kind: type[Request], request: Request | Mapping[str, Any]) -> Request:
        if isinstance(request, kind):
            request.check()
        else:
            assert not isinstance(request, WireRequest), f"expected a {kind.__name__}"
            request = kind.parse(request)
        name = getattr(request, "model", None)
        if name is not None:
            self.model(name)
        return request

    def _text_model(self) -> TextModel:
        if not isinstance(self.llm, TextModel):
            raise InvalidRequestError("this model continues no plain text", "model")
        return self.llm

    def _tokenizing_model(self) -> TokenizingModel:
        if not isinstance(self.llm, TokenizingModel):
            raise InvalidRequestError("this model has no tokenizer to show", "model")
        return self.llm

    def _heading(self) -> Heading:
        return Heading(model=self.model_names[0], system_fingerprint=self._fingerprint)

    def _text_heading(self) -> Heading:
        return new_heading(self.model_names[0], self._fingerprint)


def _version() -> str:
    try:
        return version("candlewick")
    except PackageNotFoundError:  # run from a source tree that was never installed
        return "unknown"
