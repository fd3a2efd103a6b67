"""``GET /v1/capabilities``: what can be asked for, field by field."""

from __future__ import annotations

from fastapi import APIRouter, Request

from candlewick.openai.capabilities import Capabilities, capabilities
from candlewick.server.services import Services


def routes(services: Services) -> APIRouter:
    router = APIRouter(tags=["capabilities"])

    @router.get("/capabilities")
    async def describe(request: Request) -> Capabilities:
        """Every endpoint and its fields: honoured, harmless, or refused with the reason."""
        return capabilities(request.app.openapi())

    return router
