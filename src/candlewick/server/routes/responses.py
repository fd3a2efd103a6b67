"""``/v1/responses``: made, streamed, followed, cancelled, forgotten; counted and listed."""

from __future__ import annotations

from contextlib import aclosing
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse

from candlewick.openai.errors import error_reply
from candlewick.responses.api import ResponsesService
from candlewick.responses.wire.output import WireEvent
from candlewick.responses.wire.request import CompactRequest, ResponseRequest, TokenCountRequest
from candlewick.server.access import owner_of
from candlewick.server.connection import while_connected
from candlewick.server.json_body import read_json_object
from candlewick.server.openapi import json_body
from candlewick.server.pagination import Page, page_of
from candlewick.server.services import Services
from candlewick.server.sse import DONE, EventStream, Frames, frame

Include = Annotated[list[str] | None, Query(description="Accepted; all that is kept is told.")]


def routes(services: Services) -> APIRouter:
    router = APIRouter(tags=["responses"])
    max_bytes = services.config.max_body_bytes

    @router.post(
        "/responses",
        responses={200: {"description": "The response.", "content": {"text/event-stream": {}}}},
        response_class=JSONResponse,
        openapi_extra=json_body(ResponseRequest),
    )
    async def create_response(request: Request) -> Response:
        """OpenAI's Responses; with ``"stream": true`` a stream of server-sent events, with ``"background": true``
        at once, to be asked for later.
        """
        body = ResponseRequest.parse(await read_json_object(request, max_bytes))
        service, owner = services.responses, owner_of(request)
        if body.stream:
            stream = _Stream()
            return await EventStream.begin(request, stream.made(service, body, owner), stream.error_frame)
        return JSONResponse(await while_connected(request, _plain(service, body, owner)))

    @router.post("/responses/input_tokens", openapi_extra=json_body(TokenCountRequest))
    async def count_input_tokens(request: Request) -> dict[str, Any]:
        """How many tokens an input has, with all that the model is told besides."""
        body = TokenCountRequest.parse(await read_json_object(request, max_bytes))
        count = await services.responses.count_tokens(body, owner_of(request))
        return {"object": "response.input_tokens", "input_tokens": count}

    @router.post("/responses/compact", openapi_extra=json_body(CompactRequest))
    async def compact_conversation(request: Request) -> dict[str, Any]:
        """A conversation as one item that says what matters in it, to go on from."""
        body = CompactRequest.parse(await read_json_object(request, max_bytes))
        return await while_connected(request, services.responses.compact(body, owner_of(request)))

    @router.get(
        "/responses/{response_id}",
        responses={200: {"description": "The response.", "content": {"text/event-stream": {}}}},
        response_class=JSONResponse,
    )
    async def retrieve_response(
        request: Request,
        response_id: str,
        stream: bool = False,
        starting_after: Annotated[int, Query(ge=-1)] = -1,
        include: Include = None,
        include_obfuscation: bool = False,
    ) -> Response:
        """A stored response as it stands, or its events after ``starting_after``, as they come."""
        service, owner = services.responses, owner_of(request)
        if stream:
            events = _Stream()
            frames = events.followed(service, response_id, owner, starting_after)
            return await EventStream.begin(request, frames, events.error_frame)
        return JSONResponse(await service.retrieve(response_id, owner))

    @router.delete("/responses/{response_id}")
    async def delete_response(request: Request, response_id: str) -> dict[str, Any]:
        """Stop a response and forget it."""
        await services.responses.delete(response_id, owner_of(request))
        return {"id": response_id, "object": "response", "deleted": True}

    @router.post("/responses/{response_id}/cancel")
    async def cancel_response(request: Request, response_id: str) -> dict[str, Any]:
        """Stop a response that is made in the background."""
        return await services.responses.cancel(response_id, owner_of(request))

    @router.get("/responses/{response_id}/input_items")
    async def list_input_items(
        request: Request,
        response_id: str,
        after: str | None = None,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        order: Literal["asc", "desc"] = "desc",
        include: Include = None,
    ) -> Page:
        """The items of a response's own request."""
        items = await services.responses.input_items(response_id, owner_of(request))
        return page_of(items, after, limit, order)

    return router


async def _plain(service: ResponsesService, body: ResponseRequest, owner: str) -> dict[str, Any]:
    running = await service.create(body, owner)
    if body.background:
        return running.state.to_json()
    try:
        return await running.finished()
    finally:
        running.cancel()  # if the client went away


class _Stream:
    """The frames of one stream of events, also of one that breaks off."""

    def __init__(self) -> None:
        self._next = 0

    async def made(self, service: ResponsesService, body: ResponseRequest, owner: str) -> Frames:
        running = await service.create(body, owner)
        try:
            async with aclosing(running.follow()) as events:
                async for event in events:
                    yield self._frame(event)
        finally:
            if not body.background:
                running.cancel()
        yield DONE

    async def followed(
        self, service: ResponsesService, response_id: str, owner: str, starting_after: int
    ) -> Frames:
        async with aclosing(service.follow(response_id, owner, starting_after)) as events:
            async for event in events:
                yield self._frame(event)
        yield DONE

    def error_frame(self, error: Exception) -> bytes:
        """What a client is told when its stream breaks off; a response that fails has its own last event.

        OpenAI's schema has the error's fields in the event, the Open Responses specification under ``error``, which
        is also what makes the official client raise.
        """
        body = error_reply(error).body["error"]
        told = {"code": body["code"], "message": body["message"], "param": body["param"]}
        event = {"type": "error", "sequence_number": self._next, **told, "error": dict(body)}
        return frame(event, "error") + DONE

    def _frame(self, event: WireEvent) -> bytes:
        self._next = event["sequence_number"] + 1
        return frame(event, event["type"])
