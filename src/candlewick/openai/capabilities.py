"""What can be asked for, in a form that programs read: every field of a request, and what becomes of it.

Made from the declarations by which requests are read, so that it can't say anything else.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from candlewick.openai.fields import WireRequest


class FieldCapability(TypedDict):
    status: Literal["honoured", "harmless", "refused"]
    """``harmless``: read, without effect on the answer. ``refused``: a request that has it gets a 400."""
    required: NotRequired[bool]
    schema: NotRequired[dict[str, Any]]
    """JSON schema of its values; definitions stand in the OpenAPI document."""
    reason: NotRequired[str]


class EndpointCapability(TypedDict):
    method: str
    path: str
    fields: dict[str, FieldCapability] | None
    """``None`` where there is no body; fields that are not named are refused."""


class Capabilities(TypedDict):
    object: Literal["capabilities"]
    server: str
    endpoints: list[EndpointCapability]


def describe_fields(request: type[WireRequest]) -> dict[str, FieldCapability]:
    """Every field that requests of this kind may have, and those that are refused by name."""
    schema = request.model_json_schema(ref_template="#/components/schemas/{model}")
    required = frozenset(schema.get("required", ()))
    fields: dict[str, FieldCapability] = {}
    for name, values in schema["properties"].items():
        fields[name] = {
            "status": "harmless" if name in request.harmless else "honoured",
            "required": name in required,
            "schema": {key: value for key, value in values.items() if key != "title"},
        }
    for name, reason in request.refused.items():
        fields[name] = {"status": "refused", "reason": reason}
    return fields
