"""Kimi K2's calls, each headed by an id that holds the name: ``functions.name:0``.

Clients that allow only some letters in ids give them back as ``functions_name_0``; then the model writes them so too.

::

    <|tool_calls_section_begin|>
    <|tool_call_begin|>functions.name:0<|tool_call_argument_begin|>{…}<|tool_call_end|>
    <|tool_calls_section_end|>
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial

from candlewick.chat.messages import Tool
from candlewick.chat.tool_parsers.call_syntax import CallSyntax
from candlewick.chat.tool_parsers.json_text import scan_object
from candlewick.chat.tool_parsers.tool_format import (
    CallReader,
    CallSink,
    MalformedCallError,
    Scan,
    ToolFormat,
    pass_text,
    read_section,
    read_until,
    scan_space,
)

_BEGIN = "<|tool_calls_section_begin|>"
_END = "<|tool_calls_section_end|>"
_CALL_BEGIN = "<|tool_call_begin|>"
_ARGUMENTS = "<|tool_call_argument_begin|>"
_CALL_END = "<|tool_call_end|>"
_ID = re.compile(r"(?:functions\.)?(.+?)(?::\d+)?")
_ALTERED_ID = r"(?:functions[._]?)?{}[:_]?\d*"


def _read(sink: CallSink, tools: Sequence[Tool]) -> CallReader:
    return read_section(_CALL_BEGIN, _END, partial(_read_call, sink, tools))


def _read_call(sink: CallSink, tools: Sequence[Tool], char: str) -> Scan:
    found: list[str] = []
    char = yield from scan_space((yield from read_until(char, _ARGUMENTS, found)))
    name = _name_in(found.pop().strip(), tools)
    if name is None or char != "{":
        raise MalformedCallError("a call wants a name and an object")
    sink.start(name)
    char = yield from scan_space((yield from scan_object(char, sink.arguments, sink.end)))
    return (yield from pass_text(char, _CALL_END, sink)) if char else char


def _name_in(call_id: str, tools: Sequence[Tool]) -> str | None:
    names = {tool.name for tool in tools}
    match = _ID.fullmatch(call_id)
    if match is None or match[1] in names:
        return match[1] if match else None
    written = [name for name in names if re.fullmatch(_ALTERED_ID.format(re.escape(name)), call_id)]
    return max(written, key=len, default=match[1])


FORMAT = ToolFormat(
    name="kimi",
    markers=(_BEGIN,),
    read=_read,
    signs=(_BEGIN,),
    tokens=(_BEGIN,),
    syntaxes=(
        CallSyntax(
            f"{_CALL_BEGIN}functions.$name:0{_ARGUMENTS}$arguments{_CALL_END}",
            begin=_BEGIN,
            between="",
            end=_END,
        ),
    ),
)
