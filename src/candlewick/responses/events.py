"""The events of a conversation that acts: those of each answer, and what happens between them.

A conversation is, in this order:

- ``ServerState`` for each MCP server that takes part, and later whenever one changes;
- where it resumes with open calls, their tool events, as below;
- for each turn ``TurnStart``, then the answer's events (:mod:`candlewick.chat.events`, up to its ``Complete``
  or ``Error``), then for the calls in it:
  ``ApprovalRequested`` and, once somebody has answered, ``ApprovalAnswered``;
  ``ToolExecutionStart``, any ``ToolProgress``, ``ToolExecutionEnd``, those of parallel calls interleaved;
  calls that never ran (refused, skipped, unknown) have a ``ToolExecutionEnd`` only;
- exactly one ``ConversationComplete``, the last event.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

from candlewick.chat.events import Event
from candlewick.chat.messages import Tool
from candlewick.responses.approval import ApprovalRequest
from candlewick.responses.result import ConversationResult, ExecutedCall

ServerStatus = Literal["connecting", "ready", "failed", "closed"]


@dataclass(frozen=True)
class _ConversationEvent:
    sse_name: ClassVar[str]

    def to_json(self) -> dict[str, Any]:
        """The SSE payload: the fields, and the name under ``type``."""
        return {"type": self.sse_name, **asdict(self)}


@dataclass(frozen=True)
class OfferedTool:
    """A tool that the model may call in this turn, and who runs it: ``function`` and ``mcp`` the loop,
    ``client`` the caller.
    """

    name: str
    kind: Literal["function", "mcp", "client"]
    server: str | None = None
    own_name: str = ""


@dataclass(frozen=True)
class TurnStart(_ConversationEvent):
    """The model is asked; ``turn`` counts from 1."""

    sse_name: ClassVar[str] = "turn_start"
    turn: int
    tools: tuple[OfferedTool, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ToolExecutionStart(_ConversationEvent):
    sse_name: ClassVar[str] = "tool_execution_start"
    call_id: str
    name: str
    arguments: str
    server: str | None = None
    own_name: str = ""


@dataclass(frozen=True, kw_only=True)
class ToolProgress(_ConversationEvent):
    """How far a running tool is, in its own unit; ``total`` where it is known."""

    sse_name: ClassVar[str] = "tool_progress"
    call_id: str
    progress: float
    total: float | None = None
    message: str | None = None


@dataclass(frozen=True)
class ToolExecutionEnd(_ConversationEvent):
    sse_name: ClassVar[str] = "tool_execution_end"
    call: ExecutedCall

    def to_json(self) -> dict[str, Any]:
        return {"type": self.sse_name, **self.call.to_json()}


@dataclass(frozen=True)
class ApprovalRequested(_ConversationEvent):
    sse_name: ClassVar[str] = "approval_requested"
    request: ApprovalRequest

    def to_json(self) -> dict[str, Any]:
        return {"type": self.sse_name, **asdict(self.request)}


@dataclass(frozen=True)
class ApprovalAnswered(_ConversationEvent):
    sse_name: ClassVar[str] = "approval_answered"
    call_id: str
    approved: bool
    reason: str | None = None


@dataclass(frozen=True)
class ServerState(_ConversationEvent):
    """An MCP server, as it is now; ``tools`` with the names that the server gives them."""

    sse_name: ClassVar[str] = "server_state"
    label: str
    status: ServerStatus
    tools: tuple[Tool, ...] = ()
    error: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "type": self.sse_name,
            "label": self.label,
            "status": self.status,
            "tools": [tool.to_json()["function"] for tool in self.tools],
            "error": self.error,
        }


@dataclass(frozen=True)
class ConversationComplete(_ConversationEvent):
    sse_name: ClassVar[str] = "conversation_complete"
    result: ConversationResult

    def to_json(self) -> dict[str, Any]:
        return {"type": self.sse_name, **self.result.to_json()}


ConversationEvent = (
    Event
    | TurnStart
    | ToolExecutionStart
    | ToolProgress
    | ToolExecutionEnd
    | ApprovalRequested
    | ApprovalAnswered
    | ServerState
    | ConversationComplete
)
