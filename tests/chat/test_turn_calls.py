"""One call at most: what a turn tells when the model calls more tools than it may."""

from __future__ import annotations

from candlewick.chat.events import (
    Complete,
    Event,
    ResponseToken,
    ToolCallArguments,
    ToolCallEnd,
    ToolCallStart,
)
from candlewick.chat.turn import Turn
from candlewick.core.output_stream import Output
from candlewick.core.params import GenerationParams

EVENTS: list[Event] = [
    ToolCallStart(0, "void", "weather"),
    ToolCallArguments(0, "{broken"),
    ResponseToken("<call>{broken"),
    ToolCallStart(1, "whole", "weather"),
    ToolCallArguments(1, "{}"),
    ToolCallEnd(1, "whole", "weather", "{}"),
    ToolCallStart(2, "further", "weather"),
    ToolCallArguments(2, "{}"),
    ToolCallEnd(2, "further", "weather", "{}"),
]


class EventAToken:
    """A parser that makes the next event of each token."""

    is_thinking = False
    num_calls = 2

    def __init__(self) -> None:
        self._events = iter(EVENTS)

    def push(self, token_id: int | None, text: str) -> list[Event]:
        return [next(self._events)]

    def finish(self) -> list[Event]:
        return list(self._events)


def told(parallel_calls: bool) -> list[Event]:
    turn = Turn([1], GenerationParams(), [EventAToken()], None, "m", parallel_calls=parallel_calls)  # type: ignore[arg-type]
    events = [event for _ in range(5) for event in turn.accept(Output(0, 5, "x"))]
    return events + turn.accept(Output(0, 5, "x", finish_reason="stop"))


def test_without_parallel_calls_the_first_whole_one_is_the_last() -> None:
    *events, complete = told(parallel_calls=False)
    assert events == EVENTS[:6]
    assert isinstance(complete, Complete)
    assert complete.reason == "tool_calls"


def test_with_parallel_calls_all_are_told() -> None:
    assert told(parallel_calls=True)[:-1] == EVENTS
