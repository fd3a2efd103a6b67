"""DeepSeek's calls, in the form of V3.1 (``name<sep>{…}``) and of R1 and V3 (``function<sep>name``, a JSON
fence).

::

    <｜tool▁calls▁begin｜><｜tool▁call▁begin｜>name<｜tool▁sep｜>{…}<｜tool▁call▁end｜><｜tool▁calls▁end｜>
"""

from __future__ import annotations

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
    scan_text,
)

_BEGIN = "<｜tool▁calls▁begin｜>"
_CALL_BEGIN = "<｜tool▁call▁begin｜>"
_SEPARATOR = "<｜tool▁sep｜>"
_CALL_END = "<｜tool▁call▁end｜>"
_END = "<｜tool▁calls▁end｜>"


def _read(sink: CallSink, tools: Sequence[Tool]) -> CallReader:
    return read_section(_CALL_BEGIN, _END, partial(_read_call, sink))


def _read_call(sink: CallSink, char: str) -> Scan:
    found: list[str] = []
    char = yield from scan_space((yield from read_until(char, _SEPARATOR, found)))
    name = found.pop().strip()
    is_fenced = char != "{"
    if is_fenced:
        char = yield from read_until(char, "```json", found)
        char = yield from scan_space(char)
        name = found.pop().strip()
    if not name or char != "{":
        raise MalformedCallError("a call wants a name and an object")
    sink.start(name)
    char = yield from scan_space((yield from scan_object(char, sink.arguments, sink.end)))
    if is_fenced and char:
        char = yield from scan_space((yield from scan_text(char, "```")))
    return (yield from pass_text(char, _CALL_END, sink)) if char else char


FORMAT = ToolFormat(
    name="deepseek",
    markers=(_BEGIN, _CALL_BEGIN),
    heads=(_CALL_BEGIN,),  # models leave out what should stand before it
    read=_read,
    signs=(_BEGIN,),
    tokens=(_BEGIN,),
    syntaxes=(
        CallSyntax(
            f"{_CALL_BEGIN}$name{_SEPARATOR}$arguments{_CALL_END}",
            begin=_BEGIN,
            between="",
            end=_END,
        ),
        CallSyntax(
            f"{_CALL_BEGIN}function{_SEPARATOR}$name\n```json\n$arguments\n```{_CALL_END}",
            begin=_BEGIN,
            between="\n",
            end=_END,
        ),
    ),
)
