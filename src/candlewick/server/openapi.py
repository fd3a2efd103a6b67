"""The request bodies in the OpenAPI document.

Routes read their bodies themselves, more strictly than the framework would; here the document learns what
they read.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from candlewick.openai.request import ChatCompletionRequest
from candlewick.server.routes.events import EventsRequest

_REFERENCE = "#/components/schemas/{model}"
_BODIES: dict[str, type[BaseModel]] = {
    "/v1/chat/completions": ChatCompletionRequest,
    "/v1/events/chat": EventsRequest,
}


def describe_bodies(app: FastAPI) -> None:
    """Make ``app``'s OpenAPI document show the bodies of the routes that read their own."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _with_bodies(generate())
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _with_bodies(document: dict[str, Any]) -> dict[str, Any]:
    _, definitions = models_json_schema(
        [(model, "validation") for model in _BODIES.values()], ref_template=_REFERENCE
    )
    document.setdefault("components", {}).setdefault("schemas", {}).update(definitions["$defs"])
    for path, model in _BODIES.items():
        reference = {"$ref": _REFERENCE.format(model=model.__name__)}
        document["paths"][path]["post"]["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": reference}},
        }
    return document
