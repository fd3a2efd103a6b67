"""The request bodies in the OpenAPI document.

Routes read their bodies themselves, more strictly than the framework would; each says by :func:`json_body` what it
reads, and the document shows it.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

_SCHEMAS = "#/components/schemas/"


def json_body(model: type[BaseModel]) -> dict[str, Any]:
    """The ``openapi_extra`` of a route that reads ``model`` from its body."""
    schema = model.model_json_schema(ref_template=_SCHEMAS + "{model}")
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def describe_bodies(app: FastAPI) -> None:
    """Move what the bodies' schemas define to where the document's references look for it."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _with_shared_schemas(generate())
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _with_shared_schemas(document: dict[str, Any]) -> dict[str, Any]:
    shared = document.setdefault("components", {}).setdefault("schemas", {})
    for operations in document["paths"].values():
        for operation in operations.values():
            content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            if "title" in content.get("schema", {}):
                schema = dict(content["schema"])
                shared.update(schema.pop("$defs", {}))
                shared[schema["title"]] = schema
                content["schema"] = {"$ref": _SCHEMAS + schema["title"]}
    return document
