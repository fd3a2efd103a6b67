"""``<tool_call><function=name><parameter=key>value</parameter></function></tool_call>``: Qwen3-Coder.

Values are plain text; what they mean stands in the tool's schema. An argument is passed on when its value is
whole.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from candlewick.chat.messages import Tool
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
    schemas = {tool.name: tool.properties for tool in tools}.get(name, {})
    keys: set[str] = set()
    sink.arguments("{")
    while True:
        char = yield from scan_space(char)
        char = yield from scan_text(char, "<")
        if char == "/":
            break
        char = yield from read_until((yield from scan_text(char, "parameter=")), ">", found)
        key = found.pop()
        if key in keys:
            raise MalformedCallError(f"{key!r} stands twice")
        char = yield from read_until(char, "</parameter>", found)
        value = _typed(found.pop().removeprefix("\n").removesuffix("\n"), schemas.get(key))
        sink.arguments((", " if keys else "") + json.dumps(key, ensure_ascii=False) + ": " + value)
        keys.add(key)
    sink.arguments("}")
    for expected in "/function":
        if char != expected:
            raise MalformedCallError("expected '</function>'")
        char = yield
    if char != ">":
        raise MalformedCallError("expected '</function>'")
    sink.end()
    return (yield)


def _typed(text: str, schema: Any) -> str:
    """JSON of a value: a text stays one unless its schema asks for something else and the text is that."""
    kinds = schema.get("type") if isinstance(schema, dict) else None
    if kinds != "string" and not (isinstance(kinds, list) and "string" in kinds):
        try:
            return json.dumps(json.loads(text, parse_constant=_refuse_constant), ensure_ascii=False)
        except (ValueError, RecursionError):
            pass  # not JSON: the model wrote plain text
        if kinds == "boolean" and text.strip().lower() in ("true", "false"):
            return text.strip().lower()
    return json.dumps(text, ensure_ascii=False)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


FORMAT = ToolFormat(
    name="qwen3_coder", markers=("<tool_call>",), read=_read, signs=("<tool_call>", "<function=")
)
