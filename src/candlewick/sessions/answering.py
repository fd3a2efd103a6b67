"""What a session asks of whoever answers: the seam to models, tools and approvals."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Protocol

from candlewick.chat.messages import Message
from candlewick.responses import Approve, ConversationEvent, ConversationOptions, ResponsesSession
from candlewick.sessions.settings import SessionSettings


class Answering(Protocol):
    """Answers a conversation; closing the events stops the answer, tools included.

    ``approve`` waits for a person's word on a call.
    """

    def __call__(
        self, messages: Sequence[Message], settings: SessionSettings, approve: Approve
    ) -> AsyncGenerator[ConversationEvent, None]: ...


class ModelAnswering:
    """Answers by models with tools.

    Args:
        use: gives the model of a name with its tools, ``None`` being the default one, for as long as it is
            needed; may load it.
    """

    def __init__(self, use: Callable[[str | None], AbstractAsyncContextManager[ResponsesSession]]) -> None:
        self._use = use

    async def __call__(
        self, messages: Sequence[Message], settings: SessionSettings, approve: Approve
    ) -> AsyncGenerator[ConversationEvent, None]:
        """
        Raises:
            ModelNotFoundError: the settings name a model that is not served.
            CandlewickError: as for :meth:`ResponsesSession.stream_conversation`.
        """
        options = ConversationOptions(
            params=settings.to_params(),
            thinking=settings.thinking,
            approve=approve,
            allowed_tools=None if settings.tools else (),
        )
        async with (
            self._use(settings.model) as model,
            aclosing(model.stream_conversation(messages, options)) as events,
        ):
            async for event in events:
                yield event
