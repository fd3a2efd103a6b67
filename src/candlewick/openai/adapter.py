"""Chat Completions on top of an ``AsyncLLM``, without a server: mount it, call it, test it.

Owns the meaning of the protocol's fields; refuses to know HTTP. Errors are raised as our own exceptions;
:func:`candlewick.openai.errors.error_reply` says what a client should be told.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Protocol

from candlewick.chat.events import Error, Event, ToolCallArguments, ToolCallEnd, ToolCallStart
from candlewick.core.errors import ModelNotFoundError
from candlewick.core.params import GenerationParams
from candlewick.openai.completion import ChunkWriter, CompletionBuilder, Heading
from candlewick.openai.errors import error_named
from candlewick.openai.request import ChatCompletionRequest, Thinking
from candlewick.openai.types import ChatCompletion, ChatCompletionChunk, Model, ModelList


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
    ) -> AsyncGenerator[Event, None]: ...


class OpenAIAdapter:
    """Answers Chat Completions requests with one model.

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
        )
        has_called: set[int] = set()  # choices whose first call is whole
        async with aclosing(answer):
            async for event in answer:
                if isinstance(event, Error):
                    raise error_named(event.error_type, event.message)
                if isinstance(event, ToolCallStart | ToolCallArguments | ToolCallEnd):
                    if request.parallel_tool_calls is False and event.choice in has_called:
                        continue
                    if isinstance(event, ToolCallEnd):
                        has_called.add(event.choice)
                yield event

    def _accept(self, request: ChatCompletionRequest | Mapping[str, Any]) -> ChatCompletionRequest:
        if isinstance(request, ChatCompletionRequest):
            request.check()
        else:
            request = ChatCompletionRequest.parse(request)
        self.model(request.model)
        return request

    def _heading(self) -> Heading:
        return Heading(model=self.model_names[0], system_fingerprint=self._fingerprint)


def _version() -> str:
    try:
        return version("candlewick")
    except PackageNotFoundError:  # run from a source tree that was never installed
        return "unknown"
