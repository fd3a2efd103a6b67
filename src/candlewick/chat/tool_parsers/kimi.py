"""Kimi K2's calls, each headed by an id that holds the name: ``functions.name:0``.

::

    <|tool_calls_section_begin|>
    <|tool_call_begin|>functions.name:0<|tool_call_argument_begin|>{…}<|tool_call_end|>
    <|tool_calls_section_end|>
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from candlewick.chat.messages import Tool
from candlewick.chat.tool_parsers.call_syntax import CallSyntax
from candlewick.chat.tool_parsers.json_text import scan_object
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

_BEGIN = "<|tool_calls_section_begin|>"
_END = "tool_calls_section_end|>"
_CALL_BEGIN = "tool_call_begin|>"
_ARGUMENTS = "<|tool_call_argument_begin|>"
_CALL_END = "<|tool_call_end|>"
_ID = re.compile(r"(?:functions\.)?(.+?)(?::\d+)?")


def _read(sink: CallSink, tools: Sequence[Tool]) -> CallReader:
    char = yield from scan_space((yield))
    while char:
        # Both a further call and the end begin so; they part at the letter after "tool_call".
        char = yield from scan_text(char, "<|tool_call")
        if char == "s":
            yield from finish_text(char, _END.removeprefix("tool_call"))
            return
        char = yield from scan_text(char, _CALL_BEGIN.removeprefix("tool_call"))
        char = yield from scan_space((yield from _read_call(char, sink)))


def _read_call(char: str, sink: CallSink) -> Scan:
    found: list[str] = []
    char = yield from scan_space((yield from read_until(char, _ARGUMENTS, found)))
    match = _ID.fullmatch(found.pop().strip())
    if match is None or char != "{":
        raise MalformedCallError("a call wants a name and an object")
    sink.start(match[1])
    char = yield from scan_space((yield from scan_object(char, sink.arguments, sink.end)))
    return (yield from scan_text(char, _CALL_END)) if char else char


FORMAT = ToolFormat(
    name="kimi",
    markers=(_BEGIN,),
    read=_read,
    signs=(_BEGIN,),
    tokens=(_BEGIN,),
    syntaxes=(
        CallSyntax(
            "<|tool_call_begin|>functions.$name:0<|tool_call_argument_begin|>$arguments<|tool_call_end|>",
            begin=_BEGIN,
            between="",
            end="<|tool_calls_section_end|>",
        ),
    ),
)
