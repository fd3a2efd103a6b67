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


class AnswerBuilder:
    """An answer while its events come; what is there can be read at any moment."""

    def __init__(self) -> None:
        self.complete: Complete | None = None
        self._text: list[str] = []
        self._thinking: list[str] = []
        self._tool_calls: list[ToolCall] = []

    def add(self, event: Event) -> None:
        """Take in one event of the answer.

        Raises:
            EngineError: the answer failed.
        """
        match event:
            case ResponseToken():
                self._text.append(event.text)
            case ThinkingToken():
                self._thinking.append(event.text)
            case ToolCallEnd():
                self._tool_calls.append(ToolCall(id=event.id, name=event.name, arguments=event.arguments))
            case Error():
                raise EngineError(f"the answer failed: {event.error_type}: {event.message}")
            case Complete():
                self.complete = event

    def answer(self) -> ChatAnswer:
        """What came so far; one without an end has the reason ``cancelled``."""
        complete = self.complete or Complete("cancelled")
        return ChatAnswer(
            text="".join(self._text),
            thinking="".join(self._thinking),
            tool_calls=tuple(self._tool_calls),
            reason=complete.reason,
            usage=complete.usage,
            timings=complete.timings,
        )


def fold_events(events: Iterable[Event], choice: int = 0) -> ChatAnswer:
    """The whole answer number ``choice``; calls that never ended are not part of it.

    Raises:
        EngineError: the answer failed, or the events end before it does.
    """
    builder = AnswerBuilder()
    for event in events:
        if event.choice == choice:
            builder.add(event)
    if builder.complete is None:
        raise EngineError("the events end before the answer does")
    return builder.answer()
