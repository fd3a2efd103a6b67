"""What a tool-call format is: how calls begin in an answer, and a reader that turns their text into calls.

A reader is a generator that receives the text of a region character by character (``char = yield``) and
reports what it understands to a :class:`CallSink`; because it sees single characters, any split of the same
text gives the same calls. It returns with the last character of the region, raises
:class:`MalformedCallError` as soon as the text can't be a call, and receives ``""`` when the answer ends.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from candlewick.chat.messages import Tool
from candlewick.chat.tool_parsers.call_syntax import CallSyntax

SPACE = frozenset(" \t\r\n")

Scan = Generator[None, str, str]
"""A part of a reader: takes the character at hand, returns the first one that it doesn't own (``""`` at the
end).
"""

CallReader = Generator[None, str, None]


class MalformedCallError(Exception):
    """The text is no call of this format; the parser returns it as text."""


class CallSink(Protocol):
    """Where a reader reports to: ``start``, any number of ``arguments``, ``end``, in this order for every
    call.

    ``end`` is told while the call's last character is at hand, for what comes later is not part of it. ``passed`` says
    so of what stands between calls and behind the last one, where a region may go on or not.
    """

    def start(self, name: str) -> None: ...
    def arguments(self, text: str) -> None: ...
    def end(self) -> None: ...
    def passed(self) -> None: ...


@dataclass(frozen=True)
class Address:
    """Whom a message within an answer is for: the model itself, the user, or the function ``name``."""

    kind: Literal["thinking", "text", "call"]
    name: str = ""


@dataclass(frozen=True)
class Addressing:
    """How answers are made that consist of messages, each with a header that says whom it is for."""

    begins: tuple[str, ...]
    """Markers that begin a message; the header starts with them. The prompt begins the first one."""
    header_ends: tuple[str, ...]
    message_ends: tuple[str, ...]
    address: Callable[[str, Collection[str]], Address | None]
    """Reads a header, given the names of the tools on offer; ``None`` when it is none."""
    text_header: str
    """The header of a message for the user, written as models write it."""
    thinking_header: str = ""
    """The header of the model's thinking, if it thinks."""
    next_message: str = ""
    """What ends a message that another one follows, and begins that one."""


@dataclass(frozen=True)
class ToolFormat:
    """A way in which models write calls."""

    name: str
    markers: tuple[str, ...]
    """Texts that begin a region of calls wherever they stand in an answer; the reader gets what follows."""
    read: Callable[[CallSink, Sequence[Tool]], CallReader]
    signs: tuple[str, ...]
    """A template that holds all of these teaches this format."""
    tokens: tuple[str, ...] = ()
    """A vocabulary with one of these is a model's that was taught this format."""
    heads: tuple[str, ...] = ()
    """Those of ``markers`` that are a part of the call itself: the reader gets them too."""
    openers: str = ""
    """Characters that may begin a region at the beginning of an answer; the reader gets them too."""
    syntaxes: tuple[CallSyntax, ...] = ()
    """How calls are written, so that they can be forced; the ways that a family's versions know."""
    addressing: Addressing | None = None
    """For models whose whole answer is made of addressed messages; the reader gets the text of those that are
    for a function.
    """


def scan_space(char: str) -> Scan:
    """Pass over white space."""
    while char in SPACE:
        char = yield
    return char


def scan_text(char: str, text: str) -> Scan:
    """Pass over exactly ``text``."""
    for expected in text:
        if char != expected:
            raise MalformedCallError(f"expected {text!r}")
        char = yield
    return char


def finish_text(char: str, text: str) -> CallReader:
    """Pass over exactly ``text`` at the end of a region: without asking for the character after it."""
    for index, expected in enumerate(text):
        if char != expected:
            raise MalformedCallError(f"expected {text!r}")
        if index < len(text) - 1:
            char = yield


def pass_text(char: str, text: str, sink: CallSink) -> Scan:
    """Pass over exactly ``text``, which stands behind a call, whatever comes after it."""
    yield from finish_text(char, text)
    sink.passed()
    return (yield)


def read_until(char: str, ending: str, into: list[str]) -> Scan:
    """Collect text up to ``ending``, which is passed over."""
    chars: list[str] = []
    while True:
        if not char:
            raise MalformedCallError(f"{ending!r} is missing")
        chars.append(char)
        if char == ending[-1] and "".join(chars[-len(ending) :]) == ending:
            break
        char = yield
    into.append("".join(chars[: -len(ending)]))
    return (yield)


def read_section(call_begin: str, end: str, read_call: Callable[[str], Scan]) -> CallReader:
    """Read a region of calls, each behind ``call_begin``, up to ``end``. White space between them has no meaning.

    The answer may end behind a call, before ``end``: its calls are whole.
    """
    # A further call and the end begin alike; they part at this place.
    parting = next(i for i, (one, other) in enumerate(zip(call_begin, end, strict=False)) if one != other)
    char = yield from scan_space((yield))
    while char:
        char = yield from scan_text(char, end[:parting])
        if char == end[parting]:
            yield from finish_text(char, end[parting:])
            return
        char = yield from scan_text(char, call_begin[parting:])
        char = yield from scan_space((yield from read_call(char)))
