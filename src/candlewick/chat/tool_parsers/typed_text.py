"""Values that a model writes as plain text, without JSON's quotes: the tool's schema says what they are.

Shared by the formats that put each argument between tags of its own.
"""

from __future__ import annotations

import ast
import json
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
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
    """The schemas of the arguments of the tool ``name``, each with the definitions that it may refer to.

    There are none for a tool that is not on offer.
    """
    tool = next((tool for tool in tools if tool.name == name), None)
    if tool is None:
        return {}
    definitions = {key: tool.parameters[key] for key in _DEFINITIONS if key in tool.parameters}
    return {
        key: {**definitions, **schema} if isinstance(schema, Mapping) else schema
        for key, schema in tool.properties.items()
    }


def typed_json(text: str, schema: Any) -> str:
    """JSON of a value: a text stays one unless its schema asks for something else and the text is that."""
    kinds = _kinds(schema, schema, 0)
    if kinds == frozenset({"string"}):
        return json.dumps(text, ensure_ascii=False)
    value = _value(text, kinds)
    if isinstance(value, _NoValue) or (
        kinds is not None and "string" in kinds and not _is_of_kind(value, kinds)
    ):
        value = text
    return json.dumps(value, ensure_ascii=False)


class _NoValue:
    """What is neither JSON nor Python."""


def _value(text: str, kinds: frozenset[str] | None) -> object:
    """What the text says as JSON, or in Python's words where the schema asks for what they mean."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        pass
    word = _WORDS.get(text.strip().lower(), _NoValue())
    if not isinstance(word, _NoValue) and kinds is not None and _is_of_kind(word, kinds):
        return word
    if kinds is not None and kinds & {"array", "object"}:
        with (
            suppress(ValueError, SyntaxError, RecursionError, MemoryError, TypeError),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")  # a model's odd escapes are no news for our user
            value = ast.literal_eval(text.strip())
            json.dumps(value, allow_nan=False)
            if _is_of_kind(value, kinds):
                return value
    return _NoValue()


def _kinds(schema: Any, root: Any, depth: int) -> frozenset[str] | None:
    """The types that a schema allows at most; ``None`` if it does not say."""
    if not isinstance(schema, Mapping) or depth > _MAX_DEPTH:
        return None
    if isinstance(reference := schema.get("$ref"), str):
        return _kinds(_referred(reference, root), root, depth + 1)
    kinds = schema.get("type")
    if isinstance(kinds, str):
        return frozenset({kinds})
    if isinstance(kinds, list):
        return frozenset(kind for kind in kinds if isinstance(kind, str))
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if isinstance(values, list):
        return frozenset(
            kind for value in values for kind in _KIND_OF if _is_of_kind(value, frozenset({kind}))
        )
    for union in ("anyOf", "oneOf"):
        if isinstance(branches := schema.get(union), list):
            found = [_kinds(branch, root, depth + 1) for branch in branches]
            return None if None in found else frozenset().union(*(each for each in found if each))
    if isinstance(branches := schema.get("allOf"), list):
        found = [_kinds(branch, root, depth + 1) for branch in branches]
        return next((kinds for kinds in found if kinds is not None), None)
    return None


def _referred(reference: str, root: Any) -> Any:
    value = root
    for name in reference.removeprefix("#").strip("/").split("/"):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _is_of_kind(value: object, kinds: frozenset[str]) -> bool:
    if isinstance(value, bool):
        return "boolean" in kinds
    return any(isinstance(value, _KIND_OF[kind]) for kind in kinds if kind in _KIND_OF and kind != "boolean")


_DEFINITIONS = ("$defs", "definitions")
_MAX_DEPTH = 20
_WORDS = {"true": True, "false": False, "none": None, "null": None}
_KIND_OF: Mapping[str, type | tuple[type, ...]] = {
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "null": type(None),
    "array": list,
    "object": dict,
}


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
