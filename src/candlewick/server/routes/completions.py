"""``POST /v1/completions``, plain and streamed."""

from __future__ import annotations

from contextlib import aclosing

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from candlewick.openai.text_completion import TextCompletion, TextCompletionRequest
from candlewick.server.connection import while_connected
from candlewick.server.json_body import read_json_object
from candlewick.server.model_registry import ModelRegistry
from candlewick.server.openapi import json_body
from candlewick.server.routes.chat_completions import error_frames
from candlewick.server.services import Services
from candlewick.server.sse import DONE, EventStream, Frames, frame


def routes(services: Services) -> APIRouter:
    router = APIRouter(tags=["openai"])

    @router.post(
        "/completions",
        responses={200: {"model": TextCompletion, "content": {"text/event-stream": {}}}},
        response_class=JSONResponse,
        openapi_extra=json_body(TextCompletionRequest),
    )
    async def completions(request: Request) -> Response:
        """OpenAI's Completions: prompts continued as they are, without a template."""
        body = TextCompletionRequest.parse(await read_json_object(request, services.config.max_body_bytes))
        if body.stream:
            return await EventStream.begin(request, _frames(services.models, body), error_frames)
        return JSONResponse(await while_connected(request, _answer(services.models, body)))

    return router


async def _answer(models: ModelRegistry, body: TextCompletionRequest) -> TextCompletion:
    async with models.using(body.model) as model:
        return await model.openai.completion(body)


async def _frames(models: ModelRegistry, body: TextCompletionRequest) -> Frames:
    async with models.using(body.model) as model, aclosing(model.openai.stream_completion(body)) as chunks:
        async for chunk in chunks:
            yield frame(chunk)
    yield DONE
