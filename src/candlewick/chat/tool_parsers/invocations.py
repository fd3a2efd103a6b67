"""``<invoke name="x"><parameter name="k">v</parameter></invoke>`` between tags of the family's own.

MiniMax M2 writes ``<minimax:tool_call>`` around such calls, DeepSeek V3.2 the same tags with ``｜DSML｜`` in
each. Values are plain text; what they mean stands in the tool's schema, or in DeepSeek's attribute
``string="true"`` or ``"false"``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial

from candlewick.chat.messages import Tool
from candlewick.chat.tool_parsers.call_syntax import CallSyntax
from candlewick.chat.tool_parsers.tool_format import (
    CallReader,
    CallSink,
    MalformedCallError,
    Scan,
    ToolFormat,
    read_section,
    read_until,
    scan_space,
    scan_text,
)
from candlewick.chat.tool_parsers.typed_text import ArgumentWriter, schemas_of, typed_json

_NAME = re.compile(r"""name=(?P<quote>["']?)(?P<name>[^"'>]+?)(?P=quote)(?=\s|$)""")


def _read(prefix: str, closing: str, sink: CallSink, tools: Sequence[Tool]) -> CallReader:
    return read_section(f"<{prefix}invoke", closing, partial(_read_invocation, prefix, sink, tools))


def _read_invocation(prefix: str, sink: CallSink, tools: Sequence[Tool], char: str) -> Scan:
    found: list[str] = []
    char = yield from scan_space((yield from read_until(char, ">", found)))
    name = _name_in(found.pop())
    sink.start(name)
    schemas = schemas_of(name, tools)
    arguments = ArgumentWriter(sink, schemas)
    while (char := (yield from scan_text(char, "<"))) != "/":
        char = yield from scan_text(char, f"{prefix}parameter")
        char = yield from read_until(char, ">", found)
        char = yield from read_until(char, f"</{prefix}parameter>", found)
        attributes, text = found
        found.clear()
        key = _name_in(attributes)
        if 'string="true"' in attributes:
            arguments.json(key, typed_json(text, {"type": "string"}))
        else:
            arguments.text(key, text)
        char = yield from scan_space(char)
    char = yield from scan_text(char, f"/{prefix}invoke")
    if char != ">":
        raise MalformedCallError(f"expected '</{prefix}invoke>'")
    arguments.close()
    sink.end()
    return (yield)


def _name_in(attributes: str) -> str:
    found = _NAME.search(attributes)
    if found is None:
        raise MalformedCallError("a tag has no name")
    return found["name"]


def _new_format(name: str, prefix: str, opening: str, closing: str) -> ToolFormat:
    return ToolFormat(
        name=name,
        markers=(opening,),
        read=partial(_read, prefix, closing),
        signs=(opening,),
        tokens=(opening,),
        syntaxes=(
            CallSyntax(
                f'<{prefix}invoke name="$name">\n$arguments</{prefix}invoke>\n',
                begin=f"{opening}\n",
                between="",
                end=closing,
                arguments="text",
                argument=f'<{prefix}parameter name="$key">$value</{prefix}parameter>\n',
            ),
        ),
    )


MINIMAX_FORMAT = _new_format("minimax_m2", "", "<minimax:tool_call>", "</minimax:tool_call>")
DEEPSEEK_FORMAT = _new_format(
    "deepseek_v32", "｜DSML｜", "<｜DSML｜function_calls>", "</｜DSML｜function_calls>"
)
