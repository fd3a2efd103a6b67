"""``POST /v1/chat/completions``, plain and streamed."""

from __future__ import annotations

from contextlib import aclosing

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from candlewick.openai.errors import error_reply
from candlewick.openai.request import ChatCompletionRequest
from candlewick.openai.types import ChatCompletion
from candlewick.server.connection import while_connected
from candlewick.server.json_body import read_json_object
from candlewick.server.model_registry import ModelRegistry
from candlewick.server.openapi import json_body
from candlewick.server.services import Services
from candlewick.server.sse import DONE, EventStream, Frames, frame


def routes(services: Services) -> APIRouter:
    router = APIRouter(tags=["openai"])

    @router.post(
        "/chat/completions",
        responses={200: {"model": ChatCompletion, "content": {"text/event-stream": {}}}},
        response_class=JSONResponse,
        openapi_extra=json_body(ChatCompletionRequest),
    )
    async def chat_completions(request: Request) -> Response:
        """OpenAI's Chat Completions; with ``"stream": true`` a stream of server-sent events."""
        body = ChatCompletionRequest.parse(await read_json_object(request, services.config.max_body_bytes))
        if body.stream:
            return await EventStream.begin(request, _frames(services.models, body), error_frames)
        return JSONResponse(await while_connected(request, _answer(services.models, body)))

    return router


async def _answer(models: ModelRegistry, body: ChatCompletionRequest) -> ChatCompletion:
    async with models.using(body.model) as model:
        return await model.openai.chat_completion(body)


async def _frames(models: ModelRegistry, body: ChatCompletionRequest) -> Frames:
    async with (
        models.using(body.model) as model,
        aclosing(model.openai.stream_chat_completion(body)) as chunks,
    ):
        async for chunk in chunks:
            yield frame(chunk)
    yield DONE


def error_frames(error: Exception) -> bytes:
    """The official clients raise on a chunk with an ``error``; others wait for the end mark."""
    return frame(error_reply(error).body) + DONE
