"""``POST /v1/embeddings``."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from candlewick.openai.embedding import EmbeddingList, EmbeddingRequest
from candlewick.server.connection import while_connected
from candlewick.server.json_body import read_json_object
from candlewick.server.model_registry import ModelRegistry
from candlewick.server.openapi import json_body
from candlewick.server.services import Services


def routes(services: Services) -> APIRouter:
    router = APIRouter(tags=["openai"])

    @router.post(
        "/embeddings",
        responses={200: {"model": EmbeddingList}},
        response_class=JSONResponse,
        openapi_extra=json_body(EmbeddingRequest),
    )
    async def embeddings(request: Request) -> Response:
        """OpenAI's Embeddings: a vector for each text, as numbers or in base64."""
        body = EmbeddingRequest.parse(await read_json_object(request, services.config.max_body_bytes))
        return JSONResponse(await while_connected(request, _answer(services.models, body)))

    return router


async def _answer(models: ModelRegistry, body: EmbeddingRequest) -> EmbeddingList:
    async with models.using(body.model) as model:
        return await model.openai.embeddings(body)
