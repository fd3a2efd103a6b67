"""What can be asked for, in a form that programs read: every field of a request, and what becomes of it.

Made from the OpenAPI document, whose schemas are those by which requests are read
(:class:`~candlewick.openai.fields.WireRequest`): it can't say anything else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

_METHODS = ("get", "post", "put", "patch", "delete")


class FieldCapability(TypedDict):
    status: Literal["honoured", "harmless", "refused"]
    """``harmless``: read, without effect on the answer. ``refused``: a request that has it gets a 400."""
    required: NotRequired[bool]
    schema: NotRequired[dict[str, Any]]
    """JSON schema of its values; what it refers to stands in the OpenAPI document."""
    reason: NotRequired[str]
    """Why it is refused, or what to use in its place."""


class EndpointCapability(TypedDict):
    method: str
    path: str
    fields: dict[str, FieldCapability] | None
    """``None`` where there is no body. Fields that are not named are refused."""


class Capabilities(TypedDict):
    object: Literal["capabilities"]
    endpoints: list[EndpointCapability]


def capabilities(document: Mapping[str, Any]) -> Capabilities:
    """The capabilities of the server that an OpenAPI document describes."""
    return {"object": "capabilities", "endpoints": list(_endpoints(document))}


def _endpoints(document: Mapping[str, Any]) -> Iterator[EndpointCapability]:
    schemas = document.get("components", {}).get("schemas", {})
    for path, operations in document["paths"].items():
        for method in filter(operations.__contains__, _METHODS):
            content = operations[method].get("requestBody", {}).get("content", {})
            schema = content.get("application/json", {}).get("schema")
            if schema is not None and "$ref" in schema:
                schema = schemas[schema["$ref"].rpartition("/")[2]]
            fields = None if schema is None else _fields(schema)
            yield {"method": method.upper(), "path": path, "fields": fields}


def _fields(schema: Mapping[str, Any]) -> dict[str, FieldCapability]:
    required = frozenset(schema.get("required", ()))
    fields: dict[str, FieldCapability] = {}
    for name, values in schema.get("properties", {}).items():
        fields[name] = {
            "status": "harmless" if values.get("x-harmless") else "honoured",
            "required": name in required,
            "schema": {key: value for key, value in values.items() if key not in ("title", "x-harmless")},
        }
    for name, reason in schema.get("x-refused", {}).items():
        fields[name] = {"status": "refused", "reason": reason}
    return fields
