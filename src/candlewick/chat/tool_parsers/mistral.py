"""``[TOOL_CALLS]``, then a JSON array of calls or ``name[ARGS]{…}``: Mistral, Magistral, Devstral.

Tokenizers up to v7 write ``[TOOL_CALLS][{"name": …, "arguments": {…}}]``; v11 and later write
``[TOOL_CALLS]name[CALL_ID]id[ARGS]{…}`` (some without the middle), once a call.
"""

from __future__ import annotations

from collections.abc import Sequence

from candlewick.chat.messages import Tool
from candlewick.chat.tool_parsers.call_syntax import CallSyntax
from candlewick.chat.tool_parsers.json_text import read_calls, scan_object
from candlewick.chat.tool_parsers.tool_format import (
    CallReader,
    CallSink,
    MalformedCallError,
    Scan,
    ToolFormat,
    scan_space,
    scan_text,
)

_MARKER = "[TOOL_CALLS]"


def _read(sink: CallSink, tools: Sequence[Tool]) -> CallReader:
    char = yield from scan_space((yield))
    while char:
        if char == "[":
            char = yield from read_calls(char, sink)
        else:
            char = yield from _read_named(char, sink)
        char = yield from scan_space(char)
        if char:
            char = yield from scan_space((yield from scan_text(char, _MARKER)))


def _read_named(char: str, sink: CallSink) -> Scan:
    name = ""
    while char not in ("", "[", "{"):
        name += char
        char = yield
    if not char or not name.strip():
        raise MalformedCallError("a call has no name")
    if char == "[":
        char = yield from scan_text(char, "[")
        if char == "C":
            char = yield from scan_text(char, "CALL_ID]")
            while char not in ("", "["):
                char = yield
            char = yield from scan_text(char, "[")
        char = yield from scan_space((yield from scan_text(char, "ARGS]")))
    if char != "{":
        raise MalformedCallError("arguments are no object")
    sink.start(name.strip())
    return (yield from scan_object(char, sink.arguments, sink.end))


FORMAT = ToolFormat(
    name="mistral",
    markers=(_MARKER,),
    read=_read,
    signs=(_MARKER,),
    tokens=(_MARKER,),
    syntaxes=(
        CallSyntax("[TOOL_CALLS]$name[ARGS]$arguments", between="", needs="[ARGS]"),
        CallSyntax(
            '{"name": "$name", "arguments": $arguments}', begin="[TOOL_CALLS][", between=", ", end="]"
        ),
    ),
)
