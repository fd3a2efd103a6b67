"""``<tool_call><function=name><parameter=key>value</parameter></function></tool_call>``: Qwen3-Coder and later.

Values are plain text; what they mean stands in the tool's schema. An argument is passed on when its value is whole.
Models leave out ``<tool_call>``, and in long conversations ``</parameter>``: a value also ends where the next known
parameter, or the end of the call, begins.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Generator, Sequence

from candlewick.chat.messages import Tool
from candlewick.chat.tool_parsers.call_syntax import CallSyntax
from candlewick.chat.tool_parsers.tool_format import (
    CallReader,
    CallSink,
    MalformedCallError,
    Scan,
    ToolFormat,
    finish_text,
    read_until,
    scan_space,
    scan_text,
)
from candlewick.chat.tool_parsers.typed_text import ArgumentWriter, schemas_of

_FUNCTION = "<function="
_KEY = re.compile(r"[^\s<>]+")
_END_OF_VALUE = re.compile(
    rf"(?:</parameter>|\s*(?P<end></function>)\s*</tool_call>|\n<parameter=(?P<key>{_KEY.pattern})>)\Z"
)
_LONGEST_END = 200
"""Characters of what ends a value, white space included."""


def _read(sink: CallSink, tools: Sequence[Tool]) -> CallReader:
    char = yield from scan_space((yield))
    char = yield from scan_space((yield from _read_function(char, sink, tools)))
    if char:
        yield from finish_text(char, "</tool_call>")


def _read_function(char: str, sink: CallSink, tools: Sequence[Tool]) -> Scan:
    found: list[str] = []
    char = yield from read_until((yield from scan_text(char, _FUNCTION)), ">", found)
    name = found.pop().strip()
    char = yield from scan_space(char)
    if not name or char != "<":
        raise MalformedCallError("a function has no name, or is only mentioned")
    sink.start(name)
    schemas = schemas_of(name, tools)
    arguments = ArgumentWriter(sink, schemas)
    while (char := (yield from scan_text(char, "<"))) != "/":
        char = yield from read_until((yield from scan_text(char, "parameter=")), ">", found)
        key: str | None = found.pop()
        while key is not None:
            if not _KEY.fullmatch(key):
                raise MalformedCallError(f"{key!r} is no parameter's name")
            ending = yield from _read_value(char, schemas.keys() - {key}, found)
            arguments.text(key, found.pop())
            if ending["end"]:
                arguments.close()
                sink.end()
                return ""
            key = ending["key"]
            char = yield
        char = yield from scan_space(char)
    arguments.close()
    for expected in "/function":
        if char != expected:
            raise MalformedCallError("expected '</function>'")
        char = yield
    if char != ">":
        raise MalformedCallError("expected '</function>'")
    sink.end()
    return (yield)


def _read_value(char: str, others: Collection[str], into: list[str]) -> Generator[None, str, re.Match[str]]:
    """Collect a value; returns what ended it, whose last character is at hand.

    Args:
        others: the parameters that may begin where the end of this one was forgotten.
    """
    chars: list[str] = []
    while char:
        chars.append(char)
        ending = _END_OF_VALUE.search("".join(chars[-_LONGEST_END:])) if char == ">" else None
        if ending is not None and (ending["key"] is None or ending["key"] in others):
            value = "".join(chars[: len(chars) - len(ending[0])])
            into.append(value.removeprefix("\n").removesuffix("\n"))
            return ending
        char = yield
    raise MalformedCallError("'</parameter>' is missing")


FORMAT = ToolFormat(
    name="qwen3_coder",
    markers=("<tool_call>", _FUNCTION),
    heads=(_FUNCTION,),
    read=_read,
    signs=("<tool_call>", "<function="),
    syntaxes=(
        CallSyntax(
            "<tool_call>\n<function=$name>\n$arguments</function>\n</tool_call>",
            between="\n",
            arguments="text",
            argument="<parameter=$key>\n$value\n</parameter>\n",
        ),
    ),
)
