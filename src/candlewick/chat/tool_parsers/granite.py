"""``<|tool_call|>[{"name": …, "arguments": {…}}]``: Granite 3."""

from __future__ import annotations

from collections.abc import Sequence

from candlewick.chat.messages import Tool
from candlewick.chat.tool_parsers.call_syntax import CallSyntax
from candlewick.chat.tool_parsers.json_text import read_calls
from candlewick.chat.tool_parsers.tool_format import (
    CallReader,
    CallSink,
    MalformedCallError,
    ToolFormat,
    scan_space,
)


def _read(sink: CallSink, tools: Sequence[Tool]) -> CallReader:
    char = yield from scan_space((yield))
    char = yield from scan_space((yield from read_calls(char, sink)))
    if char:
        raise MalformedCallError("nothing may follow the calls")


FORMAT = ToolFormat(
    name="granite",
    markers=("<|tool_call|>",),
    read=_read,
    signs=("<|tool_call|>",),
    syntaxes=(
        CallSyntax(
            '{"name": "$name", "arguments": $arguments}', begin="<|tool_call|>[", between=", ", end="]"
        ),
    ),
    tokens=("<|tool_call|>",),
)
