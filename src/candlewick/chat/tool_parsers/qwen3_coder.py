"""``<tool_call><function=name><parameter=key>value</parameter></function></tool_call>``: Qwen3-Coder.

Values are plain text; what they mean stands in the tool's schema. An argument is passed on when its value is
whole.
"""

from __future__ import annotations

from collections.abc import Sequence

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


def _read(sink: CallSink, tools: Sequence[Tool]) -> CallReader:
    char = yield from scan_space((yield))
    char = yield from scan_space((yield from _read_function(char, sink, tools)))
    if char:
        yield from finish_text(char, "</tool_call>")


def _read_function(char: str, sink: CallSink, tools: Sequence[Tool]) -> Scan:
    found: list[str] = []
    char = yield from read_until((yield from scan_text(char, "<function=")), ">", found)
    name = found.pop().strip()
    if not name:
        raise MalformedCallError("a function has no name")
    sink.start(name)
    arguments = ArgumentWriter(sink, schemas_of(name, tools))
    while True:
        char = yield from scan_space(char)
        char = yield from scan_text(char, "<")
        if char == "/":
            break
        char = yield from read_until((yield from scan_text(char, "parameter=")), ">", found)
        key = found.pop()
        char = yield from read_until(char, "</parameter>", found)
        arguments.text(key, found.pop().removeprefix("\n").removesuffix("\n"))
    arguments.close()
    for expected in "/function":
        if char != expected:
            raise MalformedCallError("expected '</function>'")
        char = yield
    if char != ">":
        raise MalformedCallError("expected '</function>'")
    sink.end()
    return (yield)


FORMAT = ToolFormat(
    name="qwen3_coder",
    markers=("<tool_call>",),
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
