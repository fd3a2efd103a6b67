"""From the tokens of an answer to its events: thinking, text, tool calls.

Owns the state of one answer. Refuses to know engines, templates and the formats of calls (those are
:mod:`candlewick.chat.tool_parsers`).

Rules, which hold for any split of the same text:

- A marker that the vocabulary has as a single token counts only when the model generated that token; spelled out in
  other tokens it is text. A marker that the vocabulary lacks counts as text, thinking only at the beginning of an
  answer (a model may write about ``<think>``).
- Line breaks right after the beginning and right before the end of thinking are not part of it; line breaks after
  thinking or after a call are not part of the answer, nor is white space right before or between calls.
- Thinking that the prompt has opened starts with its first text or its end marker.
- A call that turns out malformed, or is cut off, comes back as text, markers and all; if its start was told already,
  its end never is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from candlewick.chat.events import (
    Event,
    ResponseToken,
    ThinkingEnd,
    ThinkingStart,
    ThinkingToken,
    ToolCallArguments,
)
from candlewick.chat.marked_text import first_marker
from candlewick.chat.messages import Tool
from candlewick.chat.reasoning import ReasoningFormat
from candlewick.chat.tool_calls import CallRegion, ToolCallEvents, new_call_id
from candlewick.chat.tool_parsers.tool_format import MalformedCallError, ToolFormat

_LINE_BREAKS = "\r\n"


class OutputParser:
    """Turns the tokens of one answer into events.

    Args:
        reasoning: the model's thinking markers; ``None`` if it doesn't think.
        tool_formats: how the model may call tools; none when the request offered no tools.
        tools: the tools on offer.
        id_of: the id of the token that is exactly this text, if there is one.
        choice: the number that the events carry.
        new_id: makes the ids of calls.
    """

    def __init__(
        self,
        *,
        reasoning: ReasoningFormat | None = None,
        tool_formats: Sequence[ToolFormat] = (),
        tools: Sequence[Tool] = (),
        id_of: Callable[[str], int | None] = lambda text: None,
        choice: int = 0,
        new_id: Callable[[], str] = new_call_id,
    ) -> None:
        self._reasoning = reasoning
        self._tools = tools
        self._choice = choice
        self._format_of = {marker: form for form in tool_formats for marker in form.markers}
        self._openers = {opener: form for form in tool_formats for opener in form.openers}
        markers = [*self._format_of, *([reasoning.start, reasoning.end] if reasoning else [])]
        self._marker_of = {token_id: text for text in markers if (token_id := id_of(text)) is not None}
        known = set(self._marker_of.values())
        self._spelled = [*(text for text in markers if text not in known), *self._openers]
        self._generated: Counter[str] = (
            Counter()
        )  # markers whose token came and whose text is still to be handled
        self._pending = ""  # text that waits for what follows
        self._space = ""  # white space that may turn out to be nobody's
        self._at_beginning = True  # nothing visible since the start, the last thinking or the last call
        self._thinking = reasoning is not None and reasoning.starts_open
        self._thinking_told = False
        self._skips_line_breaks = self._thinking
        self._region: CallRegion | None = None
        self._events: list[Event] = []
        self._calls = ToolCallEvents(self._events, choice, new_id)

    @property
    def is_thinking(self) -> bool:
        """Whether the next token is thinking, as far as is known."""
        return self._thinking

    @property
    def num_calls(self) -> int:
        """Whole calls so far."""
        return self._calls.num_ended

    def push(self, token_id: int | None, text: str) -> list[Event]:
        """The events that a token brings about; ``text`` is what it adds to the visible text, markers
        included.
        """
        marker = self._marker_of.get(token_id) if token_id is not None else None
        if marker is not None:
            self._generated[marker] += 1
        self._pending += text
        self._advance(is_last=False)
        return self._take_events()

    def finish(self) -> list[Event]:
        """The events that the end of the answer brings about."""
        self._advance(is_last=True)
        while self._region:
            self._feed(self._region, "")
            self._advance(is_last=True)
        is_after_call = self._at_beginning and self._calls.num_ended
        if self._space and not self._thinking and not is_after_call:
            self._events.append(ResponseToken(self._space, choice=self._choice))
        self._end_thinking()
        return self._take_events()

    def _take_events(self) -> list[Event]:
        self._calls.tell()
        events = merge_events(self._events)
        self._events.clear()
        return events

    def _advance(self, is_last: bool) -> None:
        while self._pending:
            if self._region:
                self._feed_pending(self._region)
                continue
            active = [*self._spelled, *(marker for marker, count in self._generated.items() if count)]
            start, marker = first_marker(self._pending, active, is_last)
            before, self._pending = self._pending[:start], self._pending[start + len(marker) :]
            self._show(before)
            if not marker:
                return
            was_generated = self._generated[marker] > 0
            self._generated[marker] -= was_generated
            self._handle(marker, was_generated)

    def _handle(self, marker: str, was_generated: bool) -> None:
        reasoning = self._reasoning
        if reasoning and marker == reasoning.end and (self._thinking or self._at_beginning):
            # One that ends nothing, at the beginning, is an empty block: prompts may have closed thinking
            # already.
            self._start_thinking()
            self._end_thinking()
        elif self._thinking:
            self._show(marker)
        elif reasoning and marker == reasoning.start and (was_generated or self._at_beginning):
            self._start_thinking()
        elif marker in self._format_of:
            self._open(self._format_of[marker], marker)
        elif marker in self._openers and self._at_beginning:
            self._open(self._openers[marker], marker)
        else:
            self._show(marker)

    def _show(self, text: str) -> None:
        """Text that is no marker goes to the thinking or to the answer."""
        if self._skips_line_breaks:
            text = text.lstrip(_LINE_BREAKS)
            self._skips_line_breaks = not text
        if not text:
            return
        text = self._space + text
        if self._thinking:
            visible = text.rstrip(_LINE_BREAKS)
        elif self._at_beginning and text.isspace():
            visible = ""
        else:
            visible = text.rstrip() if self._format_of else text
        self._space = text[len(visible) :]
        if not visible:
            return
        if self._thinking:
            self._start_thinking()
            self._events.append(ThinkingToken(visible, choice=self._choice))
        else:
            self._at_beginning = False
            self._events.append(ResponseToken(visible, choice=self._choice))

    def _start_thinking(self) -> None:
        if not self._thinking_told:
            self._events.append(ThinkingStart(choice=self._choice))
            self._thinking_told = True
        if not self._thinking:
            self._thinking = True
            self._space = ""
            self._skips_line_breaks = True

    def _end_thinking(self) -> None:
        if self._thinking_told:
            self._events.append(ThinkingEnd(choice=self._choice))
        self._thinking = self._thinking_told = False
        self._space = ""
        self._at_beginning = self._skips_line_breaks = True

    def _open(self, tool_format: ToolFormat, opening: str) -> None:
        reader = tool_format.read(self._calls, self._tools)
        next(reader)
        self._region = CallRegion(reader, opening, self._space, tool_format.heads)
        self._space = ""
        if opening in self._openers or opening in tool_format.heads:
            for char in opening:
                reader.send(char)

    def _feed_pending(self, region: CallRegion) -> None:
        text, self._pending = self._pending, ""
        for index, char in enumerate(text):
            self._feed(region, char)
            if self._region is not region:
                self._pending += text[index + 1 :]
                return

    def _feed(self, region: CallRegion, char: str) -> None:
        """Give a region the next character, or ``""`` at the end of the answer."""
        region.raw += char
        num_ended, num_passed = self._calls.num_ended, self._calls.num_passed
        try:
            region.reader.send(char)
        except StopIteration:
            self._close(region, is_sound=region.has_call or self._calls.num_ended > num_ended)
        except MalformedCallError:
            self._close(region, is_sound=False)
        else:
            has_call = region.has_call or self._calls.num_ended > num_ended
            if has_call and self._calls.num_passed > num_passed:
                self._forget(region)
            if not char:
                self._close(region, is_sound=False)

    def _forget(self, region: CallRegion) -> None:
        """A call is whole: markers inside of it are done with, and the answer begins anew."""
        raw = region.forget()
        for marker, count in self._generated.items():
            self._generated[marker] = max(0, count - raw.count(marker))
        self._at_beginning = self._skips_line_breaks = True

    def _close(self, region: CallRegion, is_sound: bool) -> None:
        self._region = None
        self._calls.tell()
        if is_sound:
            self._forget(region)
            return
        # What opened the region is text; what followed may yet hold a call, but not the one that just failed.
        before, head, rest = region.raw.partition(region.head) if region.head else ("", "", region.raw)
        self._generated[head] = max(0, self._generated[head] - 1)
        self._space = region.space
        self._show(region.opening + before + head)
        self._pending = rest + self._pending


def merge_events(events: Iterable[Event]) -> list[Event]:
    """The same events with neighbouring pieces of one text joined."""
    merged: list[Event] = []
    for event in events:
        last = merged[-1] if merged else None
        if (
            isinstance(event, ThinkingToken | ResponseToken | ToolCallArguments)
            and type(last) is type(event)
            and replace(event, text="") == replace(last, text="")
        ):
            merged[-1] = replace(event, text=last.text + event.text)
        else:
            merged.append(event)
    return merged
