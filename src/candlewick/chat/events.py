"""The typed events that every face renders: Python, the command line, SSE, Chat Completions, the web page.

One answer is: ``Start``, then any of thinking (``ThinkingStart``, ``ThinkingToken``…, ``ThinkingEnd``), text
(``ResponseToken``…) and tool calls (``ToolCallStart``, ``ToolCallArguments``…, ``ToolCallEnd``), then exactly
one of ``Complete`` or ``Error``. With several choices each has its own such sequence, interleaved with the
others.

A call that was started and not ended is void: it turned out malformed or was cut off, and its raw text
follows as ``ResponseToken``.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal

from candlewick.core.usage import Timings, Usage

FinishReason = Literal["stop", "length", "tool_calls", "cancelled"]


@dataclass(frozen=True)
class _Event:
    sse_name: ClassVar[str]
    choice: int = field(default=0, kw_only=True)
    """Which of the ``n`` answers this belongs to."""

    def to_json(self) -> dict[str, Any]:
        """The SSE payload: the fields and the name under ``type``; ``logprobs`` only when asked for."""
        fields = asdict(self)
        if fields.get("logprobs", ()) is None:
            del fields["logprobs"]
        return {"type": self.sse_name, **fields}


@dataclass(frozen=True)
class TokenLogprob:
    """A token and its log-probability under the model's own distribution."""

    text: str
    bytes: tuple[int, ...]
    """The token's bytes: ``text`` can't show half a character."""
    logprob: float
    top: tuple[TokenLogprob, ...] = ()
    """The most likely tokens in its place, as many as were asked for; theirs are empty."""


@dataclass(frozen=True)
class Start(_Event):
    sse_name: ClassVar[str] = "start"
    id: str
    model: str


@dataclass(frozen=True)
class ThinkingStart(_Event):
    sse_name: ClassVar[str] = "thinking_start"


@dataclass(frozen=True)
class ThinkingToken(_Event):
    sse_name: ClassVar[str] = "thinking_token"
    text: str
    logprobs: tuple[TokenLogprob, ...] | None = None


@dataclass(frozen=True)
class ThinkingEnd(_Event):
    sse_name: ClassVar[str] = "thinking_end"


@dataclass(frozen=True)
class ResponseToken(_Event):
    """A piece of the answer; ``logprobs`` are those of its tokens, when the request asked for them."""

    sse_name: ClassVar[str] = "response_token"
    text: str
    logprobs: tuple[TokenLogprob, ...] | None = None


@dataclass(frozen=True)
class ToolCallStart(_Event):
    sse_name: ClassVar[str] = "tool_call_start"
    index: int
    id: str
    name: str


@dataclass(frozen=True)
class ToolCallArguments(_Event):
    """A piece of the arguments' JSON text, as the model writes it."""

    sse_name: ClassVar[str] = "tool_call_arguments"
    index: int
    text: str


@dataclass(frozen=True)
class ToolCallEnd(_Event):
    """The whole call; ``arguments`` is JSON text of an object, the concatenation of the pieces before."""

    sse_name: ClassVar[str] = "tool_call_end"
    index: int
    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class Complete(_Event):
    """The end of an answer; ``token_ids`` are the prompt's and all that were drawn, for a ``Transcript``."""

    sse_name: ClassVar[str] = "complete"
    reason: FinishReason
    usage: Usage = field(default_factory=Usage)
    timings: Timings = field(default_factory=Timings)
    token_ids: tuple[int, ...] = field(default=(), repr=False, kw_only=True)
    stop_string: str | None = field(default=None, kw_only=True)
    """Which of ``GenerationParams.stop`` ended the answer, if one did."""

    def to_json(self) -> dict[str, Any]:
        """As of every event, without the token ids, which grow with the conversation."""
        fields = super().to_json()
        del fields["token_ids"]
        return fields


@dataclass(frozen=True)
class Error(_Event):
    """The answer failed; ``error_type`` is the class name of the exception."""

    sse_name: ClassVar[str] = "error"
    message: str
    error_type: str


Event = (
    Start
    | ThinkingStart
    | ThinkingToken
    | ThinkingEnd
    | ResponseToken
    | ToolCallStart
    | ToolCallArguments
    | ToolCallEnd
    | Complete
    | Error
)
