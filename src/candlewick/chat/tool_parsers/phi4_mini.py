"""Phi-4-mini: ``<|tool_call|>``, a JSON array of calls or one call, ``<|/tool_call|>``; or ``functools[…]``."""

from __future__ import annotations

from collections.abc import Sequence

from candlewick.chat.messages import Tool
from candlewick.chat.tool_parsers.call_syntax import CallSyntax
from candlewick.chat.tool_parsers.json_text import read_call, read_calls
from candlewick.chat.tool_parsers.tool_format import CallReader, CallSink, ToolFormat, finish_text, scan_space

_END = "<|/tool_call|>"


def _read(sink: CallSink, tools: Sequence[Tool]) -> CallReader:
    char = yield from scan_space((yield))
    char = yield from (read_call(char, sink) if char == "{" else read_calls(char, sink))
    char = yield from scan_space(char)
    if char:
        yield from finish_text(char, _END)


FORMAT = ToolFormat(
    name="phi4_mini",
    markers=("<|tool_call|>", "functools"),
    read=_read,
    signs=("<|tool|>", "<|/tool|>"),
    tokens=("<|/tool_call|>",),
    syntaxes=(
        CallSyntax(
            '{"name": "$name", "arguments": $arguments}', begin="<|tool_call|>[", between=", ", end=f"]{_END}"
        ),
    ),
)
