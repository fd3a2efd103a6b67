"""``<tool_call>{"name": …, "arguments": {…}}</tool_call>``: Hermes, Qwen 2.5 and 3, SmolLM3 and more."""

from __future__ import annotations

from collections.abc import Sequence

from candlewick.chat.messages import Tool
from candlewick.chat.tool_parsers.json_text import read_call
from candlewick.chat.tool_parsers.tool_format import (
    CallReader,
    CallSink,
    ToolFormat,
    finish_text,
    scan_space,
)


def _read(sink: CallSink, tools: Sequence[Tool]) -> CallReader:
    char = yield from scan_space((yield))
    while True:
        char = yield from scan_space((yield from read_call(char, sink)))
        if not char:
            return  # the answer ended before the closing tag, but the call is whole
        if char != "{":
            break
    yield from finish_text(char, "</tool_call>")


FORMAT = ToolFormat(name="hermes", markers=("<tool_call>",), read=_read, signs=("<tool_call>",))
