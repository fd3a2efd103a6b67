"""``GET /metrics``: the numbers for a monitoring system."""

from __future__ import annotations

from fastapi import APIRouter, Response

from candlewick.server.metrics import CONTENT_TYPE, Metrics
from candlewick.server.services import Services


def routes(services: Services) -> APIRouter:
    router = APIRouter(tags=["health"])
    metrics = Metrics(services.models, services.config.metrics_prefix)

    @router.get(
        "/metrics",
        response_class=Response,
        responses={
            200: {"description": "The numbers.", "content": {"text/plain": {"schema": {"type": "string"}}}}
        },
    )
    async def read_metrics() -> Response:
        """The engines' numbers in Prometheus' text format."""
        return Response(metrics.render(), media_type=CONTENT_TYPE)

    return router
