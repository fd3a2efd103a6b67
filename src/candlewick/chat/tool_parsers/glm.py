"""``<tool_call>name<arg_key>key</arg_key><arg_value>value</arg_value></tool_call>``: GLM 4.5 to 4.7.

Values are plain text; what they mean stands in the tool's schema. An argument is passed on when its value is
whole. White space between the tags, which the versions write differently, has no meaning.
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

_END = "</tool_call>"


def _read(sink: CallSink, tools: Sequence[Tool]) -> CallReader:
    name, char = "", (yield)
    while char and char != "<":
        name += char
        char = yield
    name = name.strip()
    # JSON between the same tags is Hermes' format, which is not ours to read.
    if not name or name[0] in '{["':
        raise MalformedCallError("a call has no name")
    sink.start(name)
    arguments = ArgumentWriter(sink, schemas_of(name, tools))
    while (char := (yield from scan_text(char, "<"))) != "/":
        char = yield from _read_argument(char, arguments)
    # What ends the call is read but for its last character, at which the call is whole.
    yield from finish_text(char, _END.removeprefix("<"))
    arguments.close()
    sink.end()


def _read_argument(char: str, arguments: ArgumentWriter) -> Scan:
    found: list[str] = []
    char = yield from scan_text(char, "arg_key>")
    char = yield from scan_space((yield from read_until(char, "</arg_key>", found)))
    char = yield from scan_text(char, "<arg_value>")
    char = yield from read_until(char, "</arg_value>", found)
    key, value = found
    arguments.text(key.strip(), value)
    return (yield from scan_space(char))


FORMAT = ToolFormat(
    name="glm",
    markers=("<tool_call>",),
    read=_read,
    signs=("<arg_key>",),
    tokens=("<arg_key>",),
    syntaxes=(
        CallSyntax(
            "<tool_call>$name\n$arguments</tool_call>",
            between="\n",
            arguments="text",
            argument="<arg_key>$key</arg_key>\n<arg_value>$value</arg_value>\n",
        ),
    ),
)
