"""``POST /v1/messages`` and ``POST /v1/messages/count_tokens``: Anthropic's protocol, with errors in its form."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from candlewick.anthropic import AnthropicAdapter, CountTokensRequest, MessagesRequest
from candlewick.anthropic.errors import error_body, error_reply
from candlewick.anthropic.types import MessageObject, TokenCount
from candlewick.server.connection import while_connected
from candlewick.server.json_body import read_json_object
from candlewick.server.model_registry import ModelRegistry
from candlewick.server.openapi import json_body
from candlewick.server.services import Services
from candlewick.server.sse import EventStream, Frames, frame

logger = logging.getLogger(__name__)


class AnthropicRoute(APIRoute):
    """Tells errors in Anthropic's form, those of the API key included."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def told(request: Request) -> Response:
            try:
                return await handle(request)
            except ClientDisconnect:
                raise
            except HTTPException as error:
                body = error_body(error.status_code, str(error.detail))
                return JSONResponse(body, error.status_code, error.headers)
            except Exception as error:
                reply = error_reply(error)
                if reply.status >= 500:
                    logger.exception("a request failed")
                return JSONResponse(reply.body, reply.status, reply.headers)

        return told


def routes(services: Services) -> APIRouter:
    router = APIRouter(tags=["anthropic"], route_class=AnthropicRoute)

    @router.post(
        "/messages",
        responses={200: {"model": MessageObject, "content": {"text/event-stream": {}}}},
        response_class=JSONResponse,
        openapi_extra=json_body(MessagesRequest),
    )
    async def messages(request: Request) -> Response:
        """Anthropic's Messages; with ``"stream": true`` a stream of server-sent events."""
        body = MessagesRequest.parse(await read_json_object(request, services.config.max_body_bytes))
        if body.stream:
            return await EventStream.begin(request, _frames(services.models, body), _error_frame)
        return JSONResponse(await while_connected(request, _answer(services.models, body)))

    @router.post(
        "/messages/count_tokens",
        responses={200: {"model": TokenCount}},
        response_class=JSONResponse,
        openapi_extra=json_body(CountTokensRequest),
    )
    async def count_tokens(request: Request) -> Response:
        """The tokens of the prompt for a conversation."""
        body = CountTokensRequest.parse(await read_json_object(request, services.config.max_body_bytes))
        async with services.models.using(body.model) as model:
            adapter = AnthropicAdapter(model.llm, model_names=model.names)
            return JSONResponse(await adapter.count_tokens(body))

    return router


async def _answer(models: ModelRegistry, body: MessagesRequest) -> MessageObject:
    async with models.using(body.model) as model:
        return await AnthropicAdapter(model.llm, model_names=model.names).message(body)


async def _frames(models: ModelRegistry, body: MessagesRequest) -> Frames:
    async with models.using(body.model) as model:
        adapter = AnthropicAdapter(model.llm, model_names=model.names)
        async with aclosing(adapter.stream_message(body)) as events:
            async for event in events:
                yield frame(event, event["type"])


def _error_frame(error: Exception) -> bytes:
    return frame(error_reply(error).body, "error")
