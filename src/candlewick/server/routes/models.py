"""``/v1/models``: what clients may ask for."""

from __future__ import annotations

from fastapi import APIRouter

from candlewick.openai.adapter import OpenAIAdapter
from candlewick.openai.types import Model, ModelList


def routes(adapter: OpenAIAdapter) -> APIRouter:
    router = APIRouter(tags=["openai"])

    @router.get("/models")
    async def list_models() -> ModelList:
        """Every name under which a model is served."""
        return adapter.models()

    @router.get("/models/{name:path}")
    async def retrieve_model(name: str) -> Model:
        """One of them; 404 when there is no such name."""
        return adapter.model(name)

    return router
