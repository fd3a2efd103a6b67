"""Events of an answer, written into its entry as they come.

Owns what each event means for the entry. Refuses to know listeners, storage and who makes the events.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from candlewick.chat.events import (
    Complete,
    Error,
    ResponseToken,
    Start,
    ThinkingEnd,
    ThinkingStart,
    ThinkingToken,
    ToolCallArguments,
    ToolCallEnd,
    ToolCallStart,
)
from candlewick.responses import (
    ApprovalRequested,
    ConversationComplete,
    ConversationEvent,
    ConversationResult,
    ToolExecutionEnd,
    ToolExecutionStart,
    ToolProgress,
)
from candlewick.responses.result import ToolStatus
from candlewick.sessions.entry import Entry, Figures
from candlewick.sessions.parts import UNFINISHED, TextPart, ThinkingPart, ToolPart, ToolState

PartKind = TypeVar("PartKind", TextPart, ThinkingPart, ToolPart)

_TOOL_STATES: dict[ToolStatus, ToolState] = {
    "completed": "done",
    "failed": "failed",
    "timed_out": "failed",
    "cancelled": "cancelled",
    "refused": "refused",
    "skipped": "cancelled",
}


class AnswerWriter:
    """``number`` of every method is that of the session's event which tells listeners of the change."""

    def __init__(self, entry: Entry, clock: Callable[[], float] = time.monotonic) -> None:
        self._entry = entry
        self._clock = clock
        self._next_part_id = entry.next_part_id()
        self._first_token_at: float | None = None
        self._num_tokens = 0

    def accept(self, event: ConversationEvent, number: int) -> None:
        """Write one event; those that change nothing in the entry are passed over."""
        match event:
            case Start():
                self._entry.model = event.model
                self._entry.version = number
            case ThinkingStart():
                self._add(self._new_thinking(), number)
            case ThinkingToken():
                self._count_token()
                thinking = self._last(ThinkingPart) or self._add(self._new_thinking(), number)
                thinking.text += event.text
                thinking.version = number
            case ThinkingEnd():
                self._end_thinking(number)
            case ResponseToken():
                self._count_token()
                self._drop_void_calls(number)
                text = self._last(TextPart) or self._add(TextPart(id=self._new_id()), number)
                text.text += event.text
                text.version = number
            case ToolCallStart():
                self._add(ToolPart(id=self._new_id(), call_id=event.id, name=event.name), number)
            case ToolCallArguments():
                self._count_token()
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
            case ApprovalRequested():
                self._change_call(event.request.call_id, number, state="asking", server=event.request.server)
            case ToolExecutionStart():
                self._change_call(event.call_id, number, state="running", server=event.server)
            case ToolProgress():
                self._change_call(event.call_id, number, progress=_progress(event))
            case ToolExecutionEnd():
                self._change_call(
                    event.call.call_id,
                    number,
                    state=_TOOL_STATES[event.call.status],
                    server=event.call.server,
                    result=event.call.result.for_model,
                    seconds=event.call.seconds,
                )
            case ConversationComplete():
                self._finish(event.result, number)
            case Complete():
                self._complete(event, number)
            case Error():
                self._entry.error, self._entry.state, self._entry.version = event.message, "failed", number

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

    def _finish(self, result: ConversationResult, number: int) -> None:
        if result.error is not None:
            self._entry.state, self._entry.error = "failed", result.error.message
        elif result.stop_reason == "max_turns":
            self._entry.state, self._entry.error = (
                "failed",
                (f"the answer was ended after {result.turns_taken} rounds of tool calls"),
            )
        self._entry.version = number

    def _change_call(self, call_id: str, number: int, **changes: Any) -> None:
        """Set what is not ``None``."""
        call = self._call(call_id)
        if call is None:
            return
        for name, value in changes.items():
            if value is not None:
                setattr(call, name, value)
        call.version = number

    def _end_thinking(self, number: int) -> None:
        part = next((p for p in self._entry.parts if isinstance(p, ThinkingPart) and p.seconds is None), None)
        if part is not None:
            part.seconds, part.version = self._clock() - part.began, number

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

    def pace(self) -> tuple[int, float]:
        """About how many tokens were written, and in how many seconds since the first one."""
        since = 0.0 if self._first_token_at is None else self._clock() - self._first_token_at
        return self._num_tokens, since

    def _count_token(self) -> None:
        self._num_tokens += 1
        if self._first_token_at is None:
            self._first_token_at = self._clock()

    def _new_thinking(self) -> ThinkingPart:
        return ThinkingPart(id=self._new_id(), began=self._clock())

    def _new_id(self) -> int:
        self._next_part_id += 1
        return self._next_part_id - 1


def _progress(event: ToolProgress) -> str:
    amount = f"{event.progress:g}" if event.total is None else f"{event.progress:g} of {event.total:g}"
    return f"{event.message} ({amount})" if event.message else amount
