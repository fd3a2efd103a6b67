"""A whole answer, folded from its events; and a whole completion."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from candlewick.chat.events import (
    Complete,
    Error,
    Event,
    FinishReason,
    ResponseToken,
    ThinkingToken,
    TokenLogprob,
    ToolCallEnd,
)
from candlewick.chat.messages import Message, ToolCall
from candlewick.core.errors import EngineError
from candlewick.core.usage import Timings, Usage


@dataclass(frozen=True)
class ChatAnswer:
    """One answer of a conversation."""

    text: str
    thinking: str
    tool_calls: tuple[ToolCall, ...]
    reason: FinishReason
    usage: Usage = field(default_factory=Usage)
    timings: Timings = field(default_factory=Timings)

    def to_message(self) -> Message:
        """The answer as the conversation's next message."""
        return Message(
            role="assistant",
            content=self.text if self.text or not self.tool_calls else None,
            tool_calls=self.tool_calls,
            reasoning=self.thinking or None,
        )


@dataclass(frozen=True)
class Completion:
    """A prompt's continuation. ``token_ids`` are all tokens drawn, an end token included."""

    text: str
    token_ids: tuple[int, ...]
    finish_reason: FinishReason
    usage: Usage
    timings: Timings
    logprobs: tuple[TokenLogprob, ...] | None = None
    """One for every token, when ``GenerationParams.logprobs`` asked for them."""


def fold_events(events: Iterable[Event], choice: int = 0) -> ChatAnswer:
    """The whole answer number ``choice``; calls that never ended are not part of it.

    Raises:
        EngineError: the answer failed, or the events end before it does.
    """
    text: list[str] = []
    thinking: list[str] = []
    tool_calls: list[ToolCall] = []
    complete: Complete | None = None
    for event in events:
        if event.choice != choice:
            continue
        match event:
            case ResponseToken():
                text.append(event.text)
            case ThinkingToken():
                thinking.append(event.text)
            case ToolCallEnd():
                tool_calls.append(ToolCall(id=event.id, name=event.name, arguments=event.arguments))
            case Error():
                raise EngineError(f"the answer failed: {event.error_type}: {event.message}")
            case Complete():
                complete = event
    if complete is None:
        raise EngineError("the events end before the answer does")
    return ChatAnswer(
        text="".join(text),
        thinking="".join(thinking),
        tool_calls=tuple(tool_calls),
        reason=complete.reason,
        usage=complete.usage,
        timings=complete.timings,
    )
