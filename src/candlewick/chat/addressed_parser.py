"""From the tokens of an answer to its events, for models whose answers are addressed messages.

gpt-oss and Functionary v3.2 head each message of an answer with whom it is for: the model itself (thinking),
the user, or a function. Owns the state of one such answer; what a header says is
:class:`~candlewick.chat.tool_parsers.tool_format.Addressing`'s to know. The rules of
:mod:`candlewick.chat.parser` about markers and malformed calls hold here too. Texts of an answer's several
messages for the user are set apart by an empty line.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Literal

from candlewick.chat.events import Event, ResponseToken, ThinkingEnd, ThinkingStart, ThinkingToken
from candlewick.chat.marked_text import MarkedText
from candlewick.chat.messages import Tool
from candlewick.chat.parser import merge_events
from candlewick.chat.tool_calls import ToolCallEvents, new_call_id
from candlewick.chat.tool_parsers.tool_format import (
    Address,
    Addressing,
    CallReader,
    MalformedCallError,
    ToolFormat,
)

_LONGEST_HEADER = 300
"""Characters after which what should be a header is taken for text: the model does as it likes."""


class AddressedParser:
    """Turns the tokens of one answer into events; the same face as
    :class:`~candlewick.chat.parser.OutputParser`.

    Args:
        tool_format: the format, which has an addressing.
        tools: the tools on offer; without any, messages for functions are text.
    """

    def __init__(
        self,
        tool_format: ToolFormat,
        *,
        tools: Sequence[Tool] = (),
        id_of: Callable[[str], int | None] = lambda text: None,
        choice: int = 0,
        new_id: Callable[[], str] = new_call_id,
    ) -> None:
        if tool_format.addressing is None:
            raise ValueError(f"answers of the format {tool_format.name} have no addressed messages")
        self._format = tool_format
        self._addressing: Addressing = tool_format.addressing
        self._tools = tools
        self._names = frozenset(tool.name for tool in tools)
        self._choice = choice
        rules = self._addressing
        self._text = MarkedText((*rules.begins, *rules.header_ends, *rules.message_ends), id_of)
        self._header: str | None = ""  # the header so far; None within a message's body
        self._kind: Literal["thinking", "text", "call"] = "text"  # of that body
        self._reader: CallReader | None = None  # of the call at hand, until it is whole
        self._call_header = ""
        self._call_body = ""
        self._skips_space = False  # after a call
        self._has_text = False  # there was text for the user
        self._separates = False  # an empty line is due before further text
        self._events: list[Event] = []
        self._calls = ToolCallEvents(self._events, choice, new_id)

    @property
    def is_thinking(self) -> bool:
        """Whether the next token is thinking, as far as is known."""
        return self._header is None and self._kind == "thinking"

    @property
    def num_calls(self) -> int:
        """Whole calls so far."""
        return self._calls.num_ended

    def push(self, token_id: int | None, text: str) -> list[Event]:
        """The events that a token brings about; ``text`` is what it adds to the visible text, markers
        included.
        """
        self._text.push(token_id, text)
        self._advance(is_last=False)
        return self._take_events()

    def finish(self) -> list[Event]:
        """The events that the end of the answer brings about."""
        self._advance(is_last=True)
        while self._reader is not None or self._header:
            if self._reader is not None:
                self._text.put_back(self._feed(self._reader, ""))
            elif self._header:
                self._begin_body(self._header, None)
            self._advance(is_last=True)
        self._end_message("")
        return self._take_events()

    def _take_events(self) -> list[Event]:
        self._calls.tell()
        events = merge_events(self._events)
        self._events.clear()
        return events

    def _advance(self, is_last: bool) -> None:
        is_moving = True
        while is_moving:
            if self._reader is not None:
                is_moving = self._advance_call(self._reader, is_last)
            elif self._header is not None:
                is_moving = self._advance_header(self._header, is_last)
            else:
                is_moving = self._advance_text(is_last)

    def _advance_header(self, header: str, is_last: bool) -> bool:
        rules = self._addressing
        text, marker = self._text.take((*rules.begins, *rules.header_ends), is_last=is_last)
        room = _LONGEST_HEADER - len(header)
        if len(text) > room:
            self._text.put_back(text[room:], marker)
            self._begin_body(header + text[:room], None)
            return True
        self._header = header = header + text + marker
        if marker in rules.header_ends:
            self._begin_body(header, rules.address(header, self._names))
        return bool(marker)

    def _advance_text(self, is_last: bool) -> bool:
        rules = self._addressing
        text, marker = self._text.take((*rules.begins, *rules.message_ends), is_last=is_last)
        self._show(text)
        if marker:
            self._end_message(marker)
        return bool(marker)

    def _advance_call(self, reader: CallReader, is_last: bool) -> bool:
        """Only tokens of the vocabulary end a call that is not whole: all else may be part of it."""
        rules = self._addressing
        markers = self._text.tokens_among((*rules.begins, *rules.message_ends))
        text, marker = self._text.take(markers, is_last=is_last)
        for index, char in enumerate(text):
            unread = self._feed(reader, char)
            if self._reader is None:
                self._text.put_back(unread + text[index + 1 :], marker)
                return True
        if marker:
            self._text.put_back(self._feed(reader, ""), marker)
        return bool(marker)

    def _feed(self, reader: CallReader, char: str) -> str:
        """Give the call the next character, or ``""`` at the end of its message.

        Returns what is to be read anew, because it turned out to be no call.
        """
        self._call_body += char
        num_ended = self._calls.num_ended
        with suppress(StopIteration, MalformedCallError):
            reader.send(char)
            if char and self._calls.num_ended == num_ended:
                return ""
        self._reader = None
        self._calls.tell()
        if self._calls.num_ended > num_ended:
            self._skips_space = True
            return ""
        self._kind = "text"
        self._show(self._call_header)
        return self._call_body

    def _begin_body(self, header: str, address: Address | None) -> None:
        """A message's body begins; what should be its header and is none is text, and so is what follows."""
        self._header = None
        if address is None or (address.kind == "call" and not self._tools):
            self._kind = "text"
            self._show(header)
            return
        self._kind = address.kind
        self._separates = self._has_text
        if address.kind == "thinking":
            self._events.append(ThinkingStart(choice=self._choice))
        elif address.kind == "call":
            self._call_header, self._call_body = header, ""
            self._calls.start(address.name)
            self._reader = self._format.read(self._calls, self._tools)
            next(self._reader)

    def _end_message(self, marker: str) -> None:
        """A message ends with ``marker``, which may begin the next one."""
        if self._header is None and self._kind == "thinking":
            self._events.append(ThinkingEnd(choice=self._choice))
        self._kind = "text"
        self._skips_space = False
        self._header = marker if marker in self._addressing.begins else ""

    def _show(self, text: str) -> None:
        if self._skips_space:
            text = text.lstrip()
            self._skips_space = not text
        if not text:
            return
        if self._kind == "thinking":
            self._events.append(ThinkingToken(text, choice=self._choice))
            return
        if self._separates:
            text = "\n\n" + text
        self._separates, self._has_text = False, True
        self._events.append(ResponseToken(text, choice=self._choice))
