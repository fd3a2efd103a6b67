"""``POST /v1/chat/completions``, plain and streamed."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from candlewick.openai.adapter import OpenAIAdapter
from candlewick.openai.errors import error_reply
from candlewick.openai.request import ChatCompletionRequest
from candlewick.openai.types import ChatCompletion, ChatCompletionChunk
from candlewick.server.connection import while_connected
from candlewick.server.json_body import read_json_object
from candlewick.server.sse import EventStream, Frames, frame

DONE = b"data: [DONE]\n\n"


def routes(adapter: OpenAIAdapter, max_body_bytes: int) -> APIRouter:
    router = APIRouter(tags=["openai"])

    @router.post(
        "/chat/completions",
        responses={200: {"model": ChatCompletion, "content": {"text/event-stream": {}}}},
        response_class=JSONResponse,
    )
    async def chat_completions(request: Request) -> Response:
        """OpenAI's Chat Completions; with ``"stream": true`` a stream of server-sent events."""
        body = ChatCompletionRequest.parse(await read_json_object(request, max_body_bytes))
        if body.stream:
            return await EventStream.begin(
                request, _frames(adapter.stream_chat_completion(body)), _error_frames
            )
        return JSONResponse(await while_connected(request.receive, adapter.chat_completion(body)))

    return router


async def _frames(chunks: AsyncGenerator[ChatCompletionChunk, None]) -> Frames:
    async with aclosing(chunks):
        async for chunk in chunks:
            yield frame(chunk)
    yield DONE


def _error_frames(error: Exception) -> bytes:
    """The official clients raise on a chunk with an ``error``; others wait for the end mark."""
    return frame(error_reply(error).body) + DONE
