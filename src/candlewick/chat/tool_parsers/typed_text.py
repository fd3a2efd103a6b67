"""Values that a model writes as plain text, without JSON's quotes: the tool's schema says what they are.

Shared by the formats that put each argument between tags of its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from candlewick.chat.messages import Tool
from candlewick.chat.tool_parsers.tool_format import CallSink, MalformedCallError


class ArgumentWriter:
    """Writes arguments, one whole value at a time, as the JSON text of an object.

    Args:
        sink: where the text goes.
        schemas: the schemas of the arguments by name.
    """

    def __init__(self, sink: CallSink, schemas: Mapping[str, Any]) -> None:
        self._sink = sink
        self._schemas = schemas
        self._keys: set[str] = set()
        sink.arguments("{")

    def text(self, key: str, text: str) -> None:
        """An argument in plain text."""
        self.json(key, typed_json(text, self._schemas.get(key)))

    def json(self, key: str, value: str) -> None:
        """An argument that is JSON text already.

        Raises:
            MalformedCallError: there was one of this name.
        """
        if key in self._keys:
            raise MalformedCallError(f"{key!r} stands twice")
        separator = ", " if self._keys else ""
        self._sink.arguments(f"{separator}{json.dumps(key, ensure_ascii=False)}: {value}")
        self._keys.add(key)

    def close(self) -> None:
        """There are no further arguments."""
        self._sink.arguments("}")


def schemas_of(name: str, tools: Sequence[Tool]) -> Mapping[str, Any]:
    """The schemas of the arguments of the tool ``name``; none for a tool that is not on offer."""
    return next((tool.properties for tool in tools if tool.name == name), {})


def typed_json(text: str, schema: Any) -> str:
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
