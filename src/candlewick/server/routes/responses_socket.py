"""``/v1/responses`` over a WebSocket: many responses on one connection, each event a text message.

Source: ``openai.types.responses.responses_client_event`` and ``responses_server_event``, and the section on
WebSockets of the Open Responses specification.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing, suppress
from typing import Any
from urllib.parse import urlsplit

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from fastapi.responses import JSONResponse

from candlewick.core.errors import InvalidRequestError, PreviousResponseNotFound
from candlewick.openai.errors import error_body, error_reply
from candlewick.responses.records import Context
from candlewick.responses.wire.request import ResponseRequest
from candlewick.server.access import Doorkeeper
from candlewick.server.json_body import parse_json_object
from candlewick.server.services import Services

MAX_RECENT = 32
"""Responses that can be gone on from without the store, on each connection."""
MAX_LANES = 64


def routes(services: Services) -> APIRouter:
    router = APIRouter(tags=["responses"])
    doorkeeper = Doorkeeper(services.config.api_keys)

    @router.websocket("/responses")
    async def responses_socket(socket: WebSocket) -> None:
        scheme, _, key = socket.headers.get("authorization", "").partition(" ")
        owner = doorkeeper.owner(key.strip() if scheme.lower() == "bearer" else "")
        if owner is None:
            body = error_body(
                "missing or wrong API key", type="invalid_request_error", code="invalid_api_key"
            )
            await socket.send_denial_response(JSONResponse(body, 401))
            return
        if not _may_connect(socket, services.config.allowed_origins):
            body = error_body(
                "this web page may not connect", type="invalid_request_error", code="origin_not_allowed"
            )
            await socket.send_denial_response(JSONResponse(body, 403))
            return
        await socket.accept()
        await _Connection(socket, services, owner).serve()

    return router


def _may_connect(socket: WebSocket, allowed_origins: tuple[str, ...]) -> bool:
    """Browsers send no preflight for a WebSocket; a page of somebody else's names itself in ``Origin`` only."""
    origin = socket.headers.get("origin")
    if origin is None or origin in allowed_origins or "*" in allowed_origins:
        return True
    return urlsplit(origin).netloc == socket.headers.get("host")


class _Connection:
    """One client's connection: a lane for each ``stream_id``, in which requests wait for each other."""

    def __init__(self, socket: WebSocket, services: Services, owner: str) -> None:
        self._socket = socket
        self._services = services
        self._owner = owner
        self._lanes: dict[str | None, asyncio.Queue[dict[str, Any]]] = {}
        self._workers: set[asyncio.Task[None]] = set()
        self._recent: dict[str, Context] = {}

    async def serve(self) -> None:
        """Until the client goes away."""
        try:
            while True:
                await self._receive(await self._socket.receive_text())
        except (WebSocketDisconnect, KeyError):  # a binary message has no text
            pass
        finally:
            for worker in self._workers:
                worker.cancel()
            await asyncio.gather(*self._workers, return_exceptions=True)
            with suppress(RuntimeError, WebSocketDisconnect):  # it is closed already
                await self._socket.close()

    async def _receive(self, text: str) -> None:
        lane = None
        try:
            data = text.encode("utf-8", "surrogatepass")
            if len(data) > self._services.config.max_body_bytes:
                raise InvalidRequestError(
                    f"the message is larger than {self._services.config.max_body_bytes} bytes"
                )
            event = parse_json_object(data)
            lane = event.pop("stream_id", None)
            if lane is not None and not isinstance(lane, str):
                raise InvalidRequestError(f"stream_id must be text, got {lane!r}", "stream_id")
            kind = event.pop("type", None)
            if kind == "response.steer":
                await self._refuse_steering(event)
                return
            if kind != "response.create":
                raise InvalidRequestError(f"type must be 'response.create', got {kind!r}", "type")
            self._lane(lane).put_nowait(event)
        except InvalidRequestError as error:
            await self._send_error(error, lane)

    def _lane(self, name: str | None) -> asyncio.Queue[dict[str, Any]]:
        if name not in self._lanes:
            if len(self._lanes) >= MAX_LANES:
                raise InvalidRequestError(f"a connection can have {MAX_LANES} lanes", "stream_id")
            self._lanes[name] = asyncio.Queue()
            worker = asyncio.create_task(self._work(name, self._lanes[name]))
            self._workers.add(worker)
        return self._lanes[name]

    async def _work(self, lane: str | None, requests: asyncio.Queue[dict[str, Any]]) -> None:
        while True:
            fields = await requests.get()
            previous = fields.get("previous_response_id")
            try:
                await self._respond(fields, lane)
            except WebSocketDisconnect:
                return
            except Exception as error:
                self._forget(previous)
                await self._send_error(error, lane)

    async def _respond(self, fields: dict[str, Any], lane: str | None) -> None:
        generates = fields.pop("generate", None)
        if generates not in (None, True, False):
            raise InvalidRequestError(f"generate must be true or false, got {generates!r}", "generate")
        request = ResponseRequest.parse({**fields, "stream": True})
        running = await self._services.responses.create(
            request, self._owner, recent=self._recent, generates=generates is not False
        )
        try:
            async with aclosing(running.follow()) as events:
                async for event in events:
                    await self._send(event, lane)
        finally:
            if not request.background:
                running.cancel()
        if running.state.status == "failed":
            self._forget(request.previous_response_id)
        elif running.context is not None and running.state.status in ("completed", "incomplete"):
            self._recent[running.id] = running.context
            while len(self._recent) > MAX_RECENT:
                del self._recent[next(iter(self._recent))]

    def _forget(self, response_id: object) -> None:
        """What a turn that failed went on from: so the specification wants it. The store still has what is stored."""
        if isinstance(response_id, str):
            self._recent.pop(response_id, None)

    async def _refuse_steering(self, event: dict[str, Any]) -> None:
        previous = event.get("previous_response_id")
        error = {
            "code": "steering_not_supported",
            "message": "responses can't be steered here: cancel, or send another request",
            "type": "invalid_request_error",
        }
        steer = {"input": event.get("input", ""), "previous_response_id": str(previous or "")}
        await self._send(
            {"type": "response.steer.failed", "sequence_number": 0, "error": error, "steer": steer}, None
        )

    async def _send_error(self, error: Exception, lane: str | None) -> None:
        reply = error_reply(error)
        # On this transport a response that is gone is told as a wrong request: clients look for code and status.
        status = 400 if isinstance(error, PreviousResponseNotFound) else reply.status
        await self._send({"type": "error", "status": status, "error": dict(reply.body["error"])}, lane)

    async def _send(self, event: dict[str, Any], lane: str | None) -> None:
        named = event if lane is None else {**event, "stream_id": lane}
        await self._socket.send_text(json.dumps(named, ensure_ascii=False, separators=(",", ":")))
