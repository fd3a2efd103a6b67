"""Functionary: ``<function=name>{…}</function>`` (v3.1, and Llama 3.1 when it is asked so) and v3.2.

An answer of v3.2 is a sequence of messages, each to a recipient: ``>>>all``, a line break and text for the
user, or ``>>>name``, a line break and a call's arguments. The prompt has written the first ``>>>`` already.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from candlewick.chat.messages import Tool
from candlewick.chat.tool_parsers.call_syntax import CallSyntax
from candlewick.chat.tool_parsers.json_text import read_object_message, scan_object
from candlewick.chat.tool_parsers.tool_format import (
    Address,
    Addressing,
    CallReader,
    CallSink,
    MalformedCallError,
    ToolFormat,
    finish_text,
    read_until,
    scan_space,
)


def _read(sink: CallSink, tools: Sequence[Tool]) -> CallReader:
    found: list[str] = []
    char = yield from scan_space((yield from read_until((yield), ">", found)))
    name = found.pop().strip()
    if not name or char != "{":
        raise MalformedCallError("a call wants a name and an object")
    sink.start(name)
    char = yield from scan_space((yield from scan_object(char, sink.arguments, sink.end)))
    if char:
        yield from finish_text(char, "</function>")


def _address(header: str, names: Collection[str]) -> Address | None:
    recipient = header.removeprefix(">>>").removesuffix("\n").strip()
    if recipient == "all":
        return Address("text")
    return Address("call", recipient) if recipient in names else None


V31_FORMAT = ToolFormat(
    name="functionary_v31",
    markers=("<function=",),
    read=_read,
    signs=("<function=",),
    syntaxes=(CallSyntax("<function=$name>$arguments</function>", between="\n"),),
)
V32_FORMAT = ToolFormat(
    name="functionary_v32",
    markers=(),
    read=read_object_message,
    signs=(">>>${recipient}",),
    syntaxes=(CallSyntax("$name\n$arguments", between=">>>"),),
    addressing=Addressing(
        begins=(">>>",), header_ends=("\n",), message_ends=(), address=_address, text_header="all\n"
    ),
)
