"""``text.format``: the form that an answer shall have.

Source: ``openai.types.responses.response_format_text_config``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from candlewick.core.constraint import Constraint
from candlewick.core.errors import InvalidRequestError


def to_constraint(text_format: Mapping[str, Any] | None) -> Constraint | None:
    """What the answer is held to; ``None`` for plain text.

    Raises:
        InvalidRequestError: the format is none of ``text``, ``json_object`` and ``json_schema``, or malformed.
    """
    kind = None if text_format is None else text_format.get("type")
    if text_format is None or kind == "text":
        return None
    if kind == "json_object":
        return Constraint.json_schema({"type": "object"})
    if kind != "json_schema":
        raise InvalidRequestError(
            f"text.format.type must be 'text', 'json_object' or 'json_schema', got {kind!r}",
            "text.format.type",
        )
    name, schema = text_format.get("name"), text_format.get("schema")
    if not isinstance(name, str) or not name:
        raise InvalidRequestError(
            f"text.format.name must be a non-empty text, got {name!r}", "text.format.name"
        )
    if not isinstance(schema, Mapping):
        raise InvalidRequestError(
            f"text.format.schema must be a JSON schema, got {schema!r:.80}", "text.format.schema"
        )
    return Constraint.json_schema(schema)
