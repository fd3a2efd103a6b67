"""The application: routes, who may come in, and how errors leave.

Owns nothing that outlives a request, needs no start-up hook, and so can be mounted in another application.
The model belongs to the caller, who also closes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from fastapi import APIRouter, Depends, FastAPI
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request

from candlewick.core.engine_stats import EngineHealth, EngineStats
from candlewick.core.errors import CandlewickError
from candlewick.openai.adapter import ChatModel, OpenAIAdapter
from candlewick.openai.errors import error_body, error_reply
from candlewick.openai.types import ErrorBody
from candlewick.server.access import HostCheck, require_key
from candlewick.server.openapi import describe_bodies
from candlewick.server.routes import chat_completions, events, health, models

MAX_BODY_BYTES = 16 * 2**20
CLIENT_CLOSED_REQUEST = 499
"""Never seen by anybody but access logs (nginx's number)."""


class Engine(Protocol):
    def stats(self) -> EngineStats: ...

    def health(self) -> EngineHealth: ...


class ServedModel(ChatModel, Protocol):
    """What the server needs of :class:`~candlewick.chat.llm.AsyncLLM`."""

    @property
    def engine(self) -> Engine: ...


def create_app(
    llm: ServedModel,
    *,
    model_names: Sequence[str] = (),
    api_keys: Sequence[str] = (),
    allowed_hosts: Sequence[str] = (),
    allowed_origins: Sequence[str] = (),
    max_body_bytes: int = MAX_BODY_BYTES,
) -> FastAPI:
    """An ASGI application that answers with ``llm``.

    Args:
        llm: the model; the caller closes it after the application has ended.
        model_names: the names under which clients may ask for it; by default its own.
        api_keys: when there are any, everything under ``/v1`` wants one of them as bearer token.
        allowed_hosts: names, beyond ``localhost`` and IP addresses, that the Host header may hold; ``"*"``
            for any. A browser that was tricked into resolving somebody's name to this machine is turned away
        by it. allowed_origins: web pages that may call from a browser (CORS); by default none.
        max_body_bytes: the largest request body that is read.
    """
    app = FastAPI(
        title="Candlewick",
        summary="Language models on an ordinary CPU",
        redoc_url=None,
        exception_handlers={
            CandlewickError: _own_error,
            HTTPException: _http_error,
            ClientDisconnect: _client_gone,
            Exception: _foreign_error,
        },
    )
    adapter = OpenAIAdapter(llm, model_names=model_names)
    version_one = APIRouter(prefix="/v1", dependencies=[Depends(require_key(api_keys))], responses=_ERRORS)
    version_one.include_router(models.routes(adapter))
    version_one.include_router(chat_completions.routes(adapter, max_body_bytes))
    version_one.include_router(events.routes(llm, max_body_bytes))
    app.include_router(health.routes(llm.engine))
    app.include_router(version_one)
    describe_bodies(app)
    if allowed_origins:
        app.add_middleware(
            CORSMiddleware, allow_origins=list(allowed_origins), allow_methods=["*"], allow_headers=["*"]
        )
    app.add_middleware(HostCheck, allowed_hosts=allowed_hosts)
    return app


async def _own_error(request: Request, error: Any) -> Response:
    reply = error_reply(error)
    return JSONResponse(reply.body, reply.status, reply.headers)


async def _foreign_error(request: Request, error: Exception) -> Response:
    # Starlette raises the exception again after this answer is sent, so that the server logs it.
    return await _own_error(request, error)


async def _http_error(request: Request, error: Any) -> Response:
    body = error_body(str(error.detail), type="invalid_request_error", code=_CODES.get(error.status_code))
    return JSONResponse(body, error.status_code, error.headers)


async def _client_gone(request: Request, error: Exception) -> Response:
    return Response(status_code=CLIENT_CLOSED_REQUEST)


_ERRORS: dict[int | str, dict[str, Any]] = {"4XX": {"model": ErrorBody}, "5XX": {"model": ErrorBody}}
_CODES = {
    401: "invalid_api_key",
    404: "unknown_url",
    405: "method_not_allowed",
    413: "request_too_large",
}
