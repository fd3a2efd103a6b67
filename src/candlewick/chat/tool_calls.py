"""The calls of one answer while they are read: their events, and the text to give back when one is malformed."""

from __future__ import annotations

import secrets
import string
from collections.abc import Callable
from dataclasses import dataclass

from candlewick.chat.events import Event, ToolCallArguments, ToolCallEnd, ToolCallStart
from candlewick.chat.tool_parsers.tool_format import CallReader

_ID_ALPHABET = string.ascii_letters + string.digits


def new_call_id() -> str:
    """Nine letters and digits: the one form that every family's template accepts (Mistral's insist on it)."""
    return "".join(secrets.choice(_ID_ALPHABET) for _ in range(9))


class ToolCallEvents:
    """Appends the events of calls to ``events``; readers report to it as their sink."""

    def __init__(self, events: list[Event], choice: int, new_id: Callable[[], str]) -> None:
        self.num_ended = 0
        self.num_passed = 0  # times that the text so far was said to be done with
        self._events = events
        self._choice = choice
        self._new_id = new_id
        self._num_started = 0
        self._id = ""
        self._name = ""
        self._arguments: list[str] = []
        self._num_told = 0  # pieces of the arguments that an event has told

    def start(self, name: str) -> None:
        """A call of this function begins; one that was begun and not ended is void."""
        self._id, self._name, self._arguments, self._num_told = self._new_id(), name, [], 0
        self._events.append(ToolCallStart(self._num_started, self._id, name, choice=self._choice))
        self._num_started += 1

    def arguments(self, text: str) -> None:
        """A piece of the arguments' JSON text."""
        self._arguments.append(text)

    def tell(self) -> None:
        """Make an event of the pieces that came since the last one."""
        if text := "".join(self._arguments[self._num_told :]):
            self._events.append(ToolCallArguments(self._num_started - 1, text, choice=self._choice))
        self._num_told = len(self._arguments)

    def end(self) -> None:
        """The call is whole."""
        self.tell()
        arguments = "".join(self._arguments)
        self._events.append(
            ToolCallEnd(self._num_started - 1, self._id, self._name, arguments, choice=self._choice)
        )
        self.num_ended += 1
        self.num_passed += 1

    def passed(self) -> None:
        """What was read so far belongs to the calls before it, whatever comes next."""
        self.num_passed += 1


@dataclass
class CallRegion:
    """A stretch of an answer in which a reader reads calls."""

    reader: CallReader
    opening: str
    """What opened the region, until a call is whole."""
    space: str
    """White space that stood before it, until a call is whole."""
    heads: tuple[str, ...] = ()
    """The format's ``heads``: what a call may begin with, inside of a region or without it."""
    raw: str = ""
    """What came since, or since the last whole call."""

    @property
    def has_call(self) -> bool:
        return not self.opening

    @property
    def head(self) -> str:
        """The head that it began with."""
        return next((head for head in self.heads if self.raw.lstrip().startswith(head)), "")

    def forget(self) -> str:
        """A call is whole: what stands for it is no longer needed, and returned."""
        raw, self.raw, self.opening, self.space = self.raw, "", "", ""
        return raw
