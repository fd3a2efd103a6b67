"""Anthropic's Messages on top of an ``AsyncLLM``, without a server: mount it, call it, test it.

Owns the meaning of the protocol's fields; refuses to know HTTP. Errors are raised as our own exceptions;
:func:`candlewick.anthropic.errors.error_reply` says what a client should be told.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, TypeVar

from candlewick.anthropic.request import CountTokensRequest, MessagesRequest
from candlewick.anthropic.stream import MessageBuilder, StreamWriter
from candlewick.anthropic.types import MessageObject, StreamEvent, TokenCount
from candlewick.chat.events import Error, Event
from candlewick.core.errors import InvalidRequestError, ModelNotFoundError
from candlewick.openai.adapter import ChatModel
from candlewick.openai.errors import error_named
from candlewick.openai.fields import WireRequest
from candlewick.openai.tokens import TokenizingModel

Request = TypeVar("Request", bound=WireRequest)


class AnthropicAdapter:
    """Answers Messages requests with one model.

    Args:
        llm: the model.
        model_names: the names under which clients may ask for it; the first is the one told to them. By
            default the model's own name.
    """

    def __init__(self, llm: ChatModel, *, model_names: Sequence[str] = ()) -> None:
        self.llm = llm
        self.model_names = tuple(model_names) or (llm.model_name,)

    async def message(self, request: MessagesRequest | Mapping[str, Any]) -> MessageObject:
        """The whole answer. Cancelling the task stops the generation.

        Raises:
            InvalidRequestError: the request can't be honoured; ``parameter`` names the field.
            ModelNotFoundError: the request names another model.
            EngineError: the engine can't serve at present.
        """
        builder = MessageBuilder()
        async with aclosing(self.stream_message(request)) as events:
            async for event in events:
                builder.add(event)
        return builder.result()

    def stream_message(
        self, request: MessagesRequest | Mapping[str, Any]
    ) -> AsyncGenerator[StreamEvent, None]:
        """The answer's events. Closing the generator, or cancelling the task in it, stops the generation.

        Raises:
            the same as :meth:`message`: for the request's fields at once, for the rest from the iteration.
        """
        return self._stream(self._accepted(MessagesRequest, request))

    async def count_tokens(self, request: CountTokensRequest | Mapping[str, Any]) -> TokenCount:
        """The tokens of the prompt for a conversation.

        Raises:
            InvalidRequestError: the request can't be honoured.
            ModelNotFoundError: the request names another model.
        """
        accepted = self._accepted(CountTokensRequest, request)
        if not isinstance(self.llm, TokenizingModel):
            raise InvalidRequestError("this model has no tokenizer to show", "model")
        tokens = await asyncio.to_thread(
            self.llm.prompt_tokens,
            [message.to_json() for message in accepted.conversation()],
            [tool.to_json() for tool in accepted.offered_tools() or ()] or None,
            thinking=accepted.thinking_mode(),
            template_variables=accepted.template_variables() or None,
        )
        return {"input_tokens": len(tokens)}

    async def _stream(self, request: MessagesRequest) -> AsyncGenerator[StreamEvent, None]:
        writer = StreamWriter(self.model_names[0])
        has_begun = False
        async with aclosing(self._events(request)) as events:
            async for event in events:
                if not has_begun:
                    has_begun = True
                    for told in writer.begin():
                        yield told
                for told in writer.write(event):
                    yield told

    async def _events(self, request: MessagesRequest) -> AsyncGenerator[Event, None]:
        answer = self.llm.chat(
            [message.to_json() for message in request.conversation()],
            params=request.generation_params(),
            thinking=request.thinking_mode(),
            tools=[tool.to_json() for tool in request.offered_tools() or ()] or None,
            template_variables=request.template_variables() or None,
            tool_choice=request.chosen_tool(),
            parallel_tool_calls=request.allows_several_calls(),
            constraint=request.constraint(),
        )
        async with aclosing(answer):
            async for event in answer:
                if isinstance(event, Error):
                    raise error_named(event.error_type, event.message)
                yield event

    def _accepted(self, kind: type[Request], request: Request | Mapping[str, Any]) -> Request:
        if isinstance(request, kind):
            request.check()
        else:
            assert not isinstance(request, WireRequest), f"expected a {kind.__name__}"
            request = kind.parse(request)
        name = getattr(request, "model", None)
        if name not in self.model_names:
            raise ModelNotFoundError(
                f"the model {name!r} is not served here; there is: {', '.join(self.model_names)}"
            )
        return request
