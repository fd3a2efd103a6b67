"""How one conversation may run: limits, approvals, tools, and how the model is asked."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from candlewick.chat.messages import Tool
from candlewick.chat.reasoning import ThinkingMode
from candlewick.chat.transcript import Transcript
from candlewick.core.errors import InvalidRequestError
from candlewick.core.params import GenerationParams
from candlewick.responses.approval import Approval, ApprovalAnswer, Approve, check_approval
from candlewick.responses.mcp.configuration import MCPServerConfiguration


@dataclass(frozen=True, kw_only=True)
class ServerUse:
    """An MCP server's part in a conversation, beside what its own configuration allows.

    Args:
        label: the session's server, or one of ``extra_servers``.
        allowed_tools: as the server calls them; ``None``: all that the server's configuration allows.
        approval: a rule by the server's names, on top of the configuration's; the strictest counts.
    """

    label: str
    allowed_tools: Collection[str] | None = None
    approval: Approval = "never"

    def __post_init__(self) -> None:
        check_approval(self.approval, "approval")


@dataclass(frozen=True, kw_only=True)
class ConversationOptions:
    """How one conversation may run.

    Args:
        max_turns: answers of the model at most. Calls in the last one are not run: the conversation ends
            with ``max_turns``.
        max_tool_calls: calls to run at most; the model is told, and goes on without tools.
        allowed_tools: names of the tools that take part, as the model sees them; ``None``: all. It does not
            concern ``client_tools``.
        servers: the MCP servers that take part; ``None``: all.
        extra_servers: servers for this conversation alone, connected before and closed after it.
        tool_timeout: seconds for one call; ``None``: no limit.
        parallel: run the calls of one answer at the same time, else one after the other.
        approval: a rule on top of the tools' own; the strictest counts.
        approve: is asked where a call needs approval. Without it, the conversation stops there with
            ``approval``.
        approvals: answers for calls that waited when the conversation stopped, by call id.
        client_tools: functions that the caller runs: the conversation stops with ``tool_calls`` when the
            model calls one.
        max_result_chars: a longer result is cut, and the model told so.
        raise_tool_errors: raise what a Python function raises, instead of telling the model.
        params, thinking, template_variables: as for ``AsyncLLM.chat``, in every turn.
        transcript: the tokens of an earlier turn to go on from, as for ``AsyncLLM.chat``; later turns go on from
            those before them by themselves.
        keeps_thinking: go on from earlier answers as they were drawn, thinking included; else the model's template
            decides, and most leave it out.
        continues: the id of a stored response, or of a stored conversation, to go on from. The session needs a store.
        metadata: kept with the response in the store.
        tool_choice, parallel_tool_calls: as for ``AsyncLLM.chat``; a forced call is forced in the first turn
            only, or the model could never answer.
    """

    max_turns: int = 16
    max_tool_calls: int | None = None
    allowed_tools: Collection[str] | None = None
    servers: Sequence[ServerUse] | None = None
    extra_servers: Sequence[MCPServerConfiguration] = ()
    tool_timeout: float | None = 60.0
    parallel: bool = True
    approval: Approval = "never"
    approve: Approve | None = None
    approvals: Mapping[str, bool | ApprovalAnswer] = field(default_factory=dict)
    client_tools: Sequence[Tool | Mapping[str, Any]] = ()
    max_result_chars: int = 50_000
    raise_tool_errors: bool = False
    params: GenerationParams = field(default_factory=GenerationParams)
    thinking: ThinkingMode = "adaptive"
    template_variables: Mapping[str, Any] | None = None
    transcript: Transcript | None = None
    keeps_thinking: bool = False
    continues: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    tool_choice: str = "auto"
    parallel_tool_calls: bool = True

    def __post_init__(self) -> None:
        _require_at_least(1, "max_turns", self.max_turns)
        _require_at_least(0, "max_tool_calls", self.max_tool_calls)
        _require_at_least(1, "max_result_chars", self.max_result_chars)
        if self.tool_timeout is not None and not self.tool_timeout > 0:
            raise InvalidRequestError(
                f"tool_timeout must be more than 0 seconds, or None for no limit, got {self.tool_timeout!r}",
                "tool_timeout",
            )
        if isinstance(self.allowed_tools, str):
            raise InvalidRequestError(
                f"allowed_tools must be a collection of names, got the text {self.allowed_tools!r}",
                "allowed_tools",
            )
        check_approval(self.approval, "approval")
        if self.params.n != 1:
            raise InvalidRequestError(f"a conversation has one answer a turn, got n={self.params.n}", "n")


def _require_at_least(least: int, name: str, value: int | None) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
        raise InvalidRequestError(f"{name} must be a whole number from {least}, got {value!r}", name)
