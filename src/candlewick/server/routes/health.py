"""Is it alive, is it ready, and how busy is it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Response

if TYPE_CHECKING:
    from candlewick.server.app import Engine


def routes(engine: Engine) -> APIRouter:
    router = APIRouter(tags=["health"])

    @router.get("/health")
    @router.get("/health/ready")
    async def ready(response: Response) -> dict[str, Any]:
        """200 when requests can be answered, else 503; with the engine's numbers."""
        health = engine.health()
        if health.status != "ready":
            response.status_code = 503
        return {"status": health.status, "engine": asdict(engine.stats())}

    @router.get("/health/live")
    async def live() -> dict[str, str]:
        """200 as long as the process answers at all."""
        return {"status": "live"}

    return router
