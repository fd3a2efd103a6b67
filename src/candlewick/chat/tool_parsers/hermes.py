"""``<tool_call>{"name": …, "arguments": {…}}</tool_call>``: Hermes, Qwen 2.5 and 3, SmolLM3 and more.

MiniMax M1 writes the same between ``<tool_calls>``, one call a line.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from candlewick.chat.messages import Tool
from candlewick.chat.tool_parsers.call_syntax import CallSyntax
from candlewick.chat.tool_parsers.json_text import read_call
from candlewick.chat.tool_parsers.tool_format import (
    CallReader,
    CallSink,
    ToolFormat,
    finish_text,
    scan_space,
)


def _read(closing: str, sink: CallSink, tools: Sequence[Tool]) -> CallReader:
    char = yield from scan_space((yield))
    while True:
        char = yield from scan_space((yield from read_call(char, sink)))
        if not char:
            return  # the answer ended before the closing tag, but the call is whole
        if char != "{":
            break
    yield from finish_text(char, closing)


FORMAT = ToolFormat(
    name="hermes",
    markers=("<tool_call>",),
    read=partial(_read, "</tool_call>"),
    signs=("<tool_call>",),
    syntaxes=(
        CallSyntax('<tool_call>\n{"name": "$name", "arguments": $arguments}\n</tool_call>', between="\n"),
    ),
    tokens=("<tool_call>",),
)
MINIMAX_FORMAT = ToolFormat(
    name="minimax_m1",
    markers=("<tool_calls>",),
    read=partial(_read, "</tool_calls>"),
    signs=("<tool_calls>",),
    syntaxes=(
        CallSyntax(
            '{"name": "$name", "arguments": $arguments}\n',
            begin="<tool_calls>\n",
            between="",
            end="</tool_calls>",
        ),
    ),
    tokens=("<tool_calls>",),
)
