"""``POST /v1/tokenize`` and ``POST /v1/detokenize``."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from candlewick.openai.tokens import DetokenizeRequest, Text, TokenizeRequest, Tokens
from candlewick.server.json_body import read_json_object
from candlewick.server.openapi import json_body
from candlewick.server.services import Services


def routes(services: Services) -> APIRouter:
    router = APIRouter(tags=["tokens"])

    @router.post(
        "/tokenize",
        responses={200: {"model": Tokens}},
        response_class=JSONResponse,
        openapi_extra=json_body(TokenizeRequest),
    )
    async def tokenize(request: Request) -> Response:
        """The token ids of a text, or of the prompt for a conversation."""
        body = TokenizeRequest.parse(await read_json_object(request, services.config.max_body_bytes))
        async with services.models.using(body.model) as model:
            return JSONResponse(await model.openai.tokenize(body))

    @router.post(
        "/detokenize",
        responses={200: {"model": Text}},
        response_class=JSONResponse,
        openapi_extra=json_body(DetokenizeRequest),
    )
    async def detokenize(request: Request) -> Response:
        """The text of token ids."""
        body = DetokenizeRequest.parse(await read_json_object(request, services.config.max_body_bytes))
        async with services.models.using(body.model) as model:
            return JSONResponse(await model.openai.detokenize(body))

    return router
