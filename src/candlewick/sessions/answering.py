"""What a session asks of whoever answers: the seam to models, tools and approvals."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from candlewick.chat.events import Event
from candlewick.chat.messages import Message
from candlewick.sessions.parts import ToolState
from candlewick.sessions.settings import SessionSettings


@dataclass(frozen=True)
class ToolNews:
    """What became of a tool call; fields that are ``None`` say nothing new."""

    call_id: str
    state: ToolState | None = None
    server: str | None = None
    result: str | None = None
    progress: str | None = None

    sse_name = "tool_state"

    def to_json(self) -> dict[str, object]:
        return {
            "type": self.sse_name,
            "call_id": self.call_id,
            "state": self.state,
            "server": self.server,
            "result": self.result,
            "progress": self.progress,
        }


Approve = Callable[[str], Awaitable[bool]]
"""Waits for a person's word on the call of this id."""


class Answering(Protocol):
    """Answers a conversation; closing the events stops the answer, tools included."""

    def __call__(
        self, messages: Sequence[Message], settings: SessionSettings, approve: Approve
    ) -> AsyncGenerator[Event | ToolNews, None]: ...
