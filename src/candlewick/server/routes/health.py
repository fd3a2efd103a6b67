"""Is it alive, is it ready, and how busy is it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Response

from candlewick.server.services import Services


def routes(services: Services) -> APIRouter:
    router = APIRouter(tags=["health"])

    @router.get("/health")
    @router.get("/health/ready")
    async def ready(response: Response) -> dict[str, Any]:
        """200 when requests can be answered, else 503; with every model's state and its engine's numbers."""
        statuses = services.models.statuses()
        engines = {model.name: asdict(model.llm.engine.stats()) for model in services.models.loaded()}
        # The first model is the one that requests get when they name none: the others may come and go.
        state = statuses[0].state
        if state != "ready":
            response.status_code = 503
        return {
            "status": state,
            "engine": engines.get(statuses[0].name),
            "models": [
                {
                    "name": status.name,
                    "status": status.state,
                    "users": status.users,
                    "memory_bytes": status.memory_bytes,
                    "stage": status.stage,
                    "progress": status.progress,
                    "engine": engines.get(status.name),
                }
                for status in statuses
            ],
        }

    @router.get("/health/live")
    async def live() -> dict[str, str]:
        """200 as long as the process answers at all."""
        return {"status": "live"}

    return router
