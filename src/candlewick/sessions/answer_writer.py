"""Events of an answer, written into its entry as they come.

Owns what each event means for the entry. Refuses to know listeners, storage and who makes the events.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from candlewick.chat.events import (
    Complete,
    Error,
    Event,
    ResponseToken,
    Start,
    ThinkingEnd,
    ThinkingStart,
    ThinkingToken,
    ToolCallArguments,
    ToolCallEnd,
    ToolCallStart,
)
from candlewick.sessions.answering import ToolNews
from candlewick.sessions.entry import Entry, Figures
from candlewick.sessions.parts import UNFINISHED, TextPart, ThinkingPart, ToolPart

PartKind = TypeVar("PartKind", TextPart, ThinkingPart, ToolPart)


class AnswerWriter:
    """``number`` of every method is that of the session's event which tells listeners of the change."""

    def __init__(self, entry: Entry, clock: Callable[[], float] = time.monotonic) -> None:
        self._entry = entry
        self._clock = clock
        self._next_part_id = entry.next_part_id()
        self._thinking_since = 0.0
        self._tool_since: dict[str, float] = {}

    def accept(self, event: Event, number: int) -> None:
        """Write one event; of several choices the first is the answer."""
        if event.choice != 0:
            return
        match event:
            case Start():
                self._entry.model = event.model
                self._entry.version = number
            case ThinkingStart():
                self._thinking_since = self._clock()
                self._add(ThinkingPart(id=self._new_id()), number)
            case ThinkingToken():
                thinking = self._last(ThinkingPart) or self._add(ThinkingPart(id=self._new_id()), number)
                thinking.text += event.text
                thinking.version = number
            case ThinkingEnd():
                self._end_thinking(number)
            case ResponseToken():
                self._drop_void_calls(number)
                text = self._last(TextPart) or self._add(TextPart(id=self._new_id()), number)
                text.text += event.text
                text.version = number
            case ToolCallStart():
                self._add(ToolPart(id=self._new_id(), call_id=event.id, name=event.name), number)
            case ToolCallArguments():
                # Arguments name their call by its index in the turn only; one call is written at a time.
                call = self._last(ToolPart)
                if call is not None:
                    call.arguments += event.text
                    call.version = number
            case ToolCallEnd():
                call = self._call(event.id) or self._add(
                    ToolPart(id=self._new_id(), call_id=event.id, name=event.name), number
                )
                call.name, call.arguments, call.version = event.name, event.arguments, number
                call.state = "running"
            case Complete():
                self._complete(event, number)
            case Error():
                self._entry.error, self._entry.state, self._entry.version = event.message, "failed", number

    def tell_tool(self, news: ToolNews, number: int) -> None:
        """What became of a call; news of calls that nobody began say nothing."""
        call = self._call(news.call_id)
        if call is None:
            return
        if news.state == "running":
            self._tool_since[news.call_id] = self._clock()
        if news.state is not None and news.state not in UNFINISHED and news.call_id in self._tool_since:
            call.seconds = self._clock() - self._tool_since[news.call_id]
        call.state = news.state or call.state
        call.server = news.server or call.server
        call.result = call.result if news.result is None else news.result
        call.progress = news.progress or call.progress
        call.version = number

    def end(self, number: int) -> None:
        """Nothing follows: what was unfinished is so for good."""
        self._end_thinking(number)
        self._drop_void_calls(number)
        for part in self._entry.parts:
            if isinstance(part, ToolPart) and part.state in UNFINISHED:
                part.state, part.version = "cancelled", number
        self._entry.version = number

    def _complete(self, event: Complete, number: int) -> None:
        before = self._entry.figures or Figures()
        usage, timings = event.usage, event.timings
        self._entry.figures = Figures(
            prompt_tokens=usage.prompt_tokens,
            cached_tokens=usage.cached_tokens,
            completion_tokens=before.completion_tokens + usage.completion_tokens,
            reasoning_tokens=before.reasoning_tokens + usage.reasoning_tokens,
            time_to_first_token_seconds=before.time_to_first_token_seconds
            or timings.time_to_first_token_seconds,
            tokens_per_second=timings.tokens_per_second(usage.completion_tokens),
            context_tokens=usage.total_tokens,
        )
        self._end_thinking(number)
        self._drop_void_calls(number)
        if event.reason == "length":
            self._entry.state = "cut"
        self._entry.version = number

    def _end_thinking(self, number: int) -> None:
        part = next((p for p in self._entry.parts if isinstance(p, ThinkingPart) and p.seconds is None), None)
        if part is not None:
            part.seconds, part.version = self._clock() - self._thinking_since, number

    def _drop_void_calls(self, number: int) -> None:
        kept = [
            part for part in self._entry.parts if not (isinstance(part, ToolPart) and part.state == "writing")
        ]
        if len(kept) != len(self._entry.parts):
            self._entry.parts[:] = kept
            self._entry.version = number

    def _call(self, call_id: str) -> ToolPart | None:
        # From the end: a model may use an id again in a later turn.
        calls = (part for part in reversed(self._entry.parts) if isinstance(part, ToolPart))
        return next((part for part in calls if part.call_id == call_id), None)

    def _last(self, kind: type[PartKind]) -> PartKind | None:
        part = self._entry.parts[-1] if self._entry.parts else None
        return part if isinstance(part, kind) else None

    def _add(self, part: PartKind, number: int) -> PartKind:
        part.version = number
        self._entry.parts.append(part)
        self._entry.version = number
        return part

    def _new_id(self) -> int:
        self._next_part_id += 1
        return self._next_part_id - 1
