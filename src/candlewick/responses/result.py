"""What came of a conversation: the messages, the calls, and why it ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from candlewick.chat.messages import Message, ToolCall
from candlewick.core.usage import Usage
from candlewick.responses.approval import ApprovalRequest
from candlewick.responses.tools import ToolResult

ToolStatus = Literal["completed", "failed", "timed_out", "cancelled", "refused", "skipped"]
"""``refused`` by whoever was asked; ``skipped`` because a limit was reached; both never ran."""

StopReason = Literal["stop", "length", "tool_calls", "approval", "max_turns", "cancelled", "error"]
"""``tool_calls``: calls wait for the caller's results; ``approval``: calls wait for somebody's word."""


@dataclass(frozen=True, kw_only=True)
class ExecutedCall:
    """A call that the loop dealt with, and how it went. ``own_name`` is the tool's name on its server."""

    call_id: str
    name: str
    arguments: str
    result: ToolResult
    status: ToolStatus
    seconds: float = 0.0
    server: str | None = None
    own_name: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "call_id": self.call_id,
            "name": self.name,
            "own_name": self.own_name,
            "server": self.server,
            "arguments": self.arguments,
            "status": self.status,
            "result": self.result.to_json(),
            "seconds": round(self.seconds, 6),
        }

    def to_message(self) -> Message:
        """What the model is told."""
        return Message(role="tool", content=self.result.for_model, tool_call_id=self.call_id, name=self.name)


@dataclass(frozen=True)
class ConversationError:
    """Why a conversation ended with ``error``; ``error_type`` is the class name of the exception."""

    message: str
    error_type: str


@dataclass(frozen=True, kw_only=True)
class ConversationResult:
    """What came of a conversation.

    ``messages`` are the new ones, in order: appended to the conversation they are where it stands. Calls in
    them that have no result are those in ``pending_calls`` and ``pending_approvals``; to go on, append a
    message of role ``tool`` for each pending call, answer the approvals in ``ConversationOptions.approvals``
    by call id, and run the conversation again.
    """

    messages: tuple[Message, ...]
    stop_reason: StopReason
    turns_taken: int
    tool_calls_executed: tuple[ExecutedCall, ...] = ()
    pending_calls: tuple[ToolCall, ...] = ()
    pending_approvals: tuple[ApprovalRequest, ...] = ()
    usage: Usage = field(default_factory=Usage)
    """All turns together."""
    error: ConversationError | None = None
    response_id: str | None = None
    """Under which it is stored, and can be gone on from; ``None`` without a store."""

    @property
    def final_message(self) -> Message | None:
        """The last message that the model wrote; ``None`` if it did not get to speak."""
        return next((message for message in reversed(self.messages) if message.role == "assistant"), None)

    @property
    def text(self) -> str:
        """The text of :attr:`final_message`."""
        message = self.final_message
        return (message.content or "") if message is not None else ""

    def to_json(self) -> dict[str, Any]:
        final = self.final_message
        return {
            "stop_reason": self.stop_reason,
            "final_message": None if final is None else final.to_json(),
            "messages": [message.to_json() for message in self.messages],
            "tool_calls_executed": [call.to_json() for call in self.tool_calls_executed],
            "pending_calls": [call.to_json() for call in self.pending_calls],
            "pending_approvals": [vars(request) for request in self.pending_approvals],
            "turns_taken": self.turns_taken,
            "usage": {**vars(self.usage), "total_tokens": self.usage.total_tokens},
            "error": None if self.error is None else vars(self.error),
            "response_id": self.response_id,
        }
