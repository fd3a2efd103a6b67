"""``/v1/models``: what clients may ask for."""

from __future__ import annotations

import time

from fastapi import APIRouter
from typing_extensions import TypedDict

from candlewick.openai.types import Model
from candlewick.server.model_registry import ModelStatus
from candlewick.server.services import Services


class LoadStatus(TypedDict):
    """Whether a model is in memory, and how far its loading has come."""

    value: str
    """``unloaded``, ``loading``, ``ready``, ``failed`` or ``closed``."""
    progress: float | None
    """From 0 to 1 while it is loaded."""


class ServedModel(Model):
    """OpenAI's model object, and its status."""

    status: LoadStatus


class ServedModelList(TypedDict):
    object: str
    data: list[ServedModel]


def routes(services: Services) -> APIRouter:
    router = APIRouter(tags=["openai"])
    created = int(time.time())

    def entry(name: str, status: ModelStatus) -> ServedModel:
        return {
            "id": name,
            "object": "model",
            "created": created,
            "owned_by": "candlewick",
            "status": {"value": status.state, "progress": status.progress},
        }

    @router.get("/models")
    async def list_models() -> ServedModelList:
        """Every name under which a model is served."""
        models = services.models
        return {"object": "list", "data": [entry(name, models.status(name)) for name in models.names]}

    @router.get("/models/{name:path}")
    async def retrieve_model(name: str) -> ServedModel:
        """One of them; 404 when there is no such name."""
        return entry(name, services.models.status(name))

    return router
