"""The application: routes, who may come in, and how errors leave.

Owns nothing that outlives a request, needs no start-up hook, and so can be mounted in another application.
The model belongs to the caller, who also closes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from fastapi import APIRouter, Depends, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request

from candlewick.chat.llm import AsyncLLM
from candlewick.core.errors import CandlewickError, InvalidRequestError
from candlewick.openai.errors import error_body, error_reply
from candlewick.openai.types import ErrorBody
from candlewick.server.access import HostCheck, admission
from candlewick.server.access_log import REQUEST_ID, AccessLog
from candlewick.server.config import ServerConfig
from candlewick.server.openapi import describe_bodies
from candlewick.server.pages import routes as pages
from candlewick.server.pages.entrance import Entrance
from candlewick.server.routes import (
    capabilities,
    chat_completions,
    completions,
    conversations,
    embeddings,
    events,
    health,
    messages,
    metrics,
    models,
    responses,
    responses_socket,
    sessions,
    tokens,
)
from candlewick.server.services import Services

VERSION_ONE = (
    models,
    capabilities,
    chat_completions,
    completions,
    responses,
    conversations,
    messages,
    embeddings,
    tokens,
    events,
)
"""The modules of the routes under ``/v1``, which want a key if there are any; each has ``routes(services)``."""
CLIENT_CLOSED_REQUEST = 499
"""Never seen by anybody but access logs (nginx's number)."""


def create_app(model: AsyncLLM | Services, *, model_names: Sequence[str] = (), **options: Any) -> FastAPI:
    """An ASGI application that answers with ``model``.

    Args:
        model: a model, or services with any number of them; the caller closes it after the application has ended.
        model_names: the names under which clients may ask for a single model; by default its own.
        options: fields of :class:`~candlewick.server.config.ServerConfig`; services bring theirs.

    Raises:
        InvalidRequestError: an option is out of its range.
    """
    if isinstance(model, Services):
        if model_names or options:
            raise InvalidRequestError("services bring their own names and options", "options")
        services = model
    else:
        services = Services.of(model, model_names=tuple(model_names), config=ServerConfig(**options))
    config = services.config
    app = FastAPI(
        title="Candlewick",
        summary="Language models on an ordinary CPU",
        redoc_url=None,
        telemetry={"tracing": False},  # newer FastAPIs trace by themselves; here the setting decides
        exception_handlers={
            CandlewickError: _own_error,
            HTTPException: _http_error,
            RequestValidationError: _wrong_parameter,
            ClientDisconnect: _client_gone,
            Exception: _foreign_error,
        },
    )
    app.state.services = services
    version_one = APIRouter(prefix="/v1", dependencies=[Depends(admission(config))], responses=_ERRORS)
    for route in VERSION_ONE:
        version_one.include_router(route.routes(services))
    entrance = Entrance(config.api_keys, config.allowed_origins)
    people = APIRouter(prefix="/v1", dependencies=[Depends(entrance.require())], responses=_ERRORS)
    people.include_router(sessions.routes(services))
    app.include_router(health.routes(services))
    app.include_router(metrics.routes(services))
    app.include_router(version_one)
    app.include_router(responses_socket.routes(services), prefix="/v1")  # admits by itself
    app.include_router(people)
    app.include_router(pages.routes(services, entrance))
    describe_bodies(app)
    if config.allowed_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(config.allowed_origins),
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=[REQUEST_ID, "Retry-After"],
        )
    app.add_middleware(HostCheck, allowed_hosts=config.allowed_hosts)
    if config.traces:
        _trace(app, services)
    app.add_middleware(AccessLog)
    return app


@contextmanager
def needing_otel() -> Iterator[None]:
    """Around what needs the extra ``otel``.

    Raises:
        InvalidRequestError: it is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("candlewick"):
            raise
        raise InvalidRequestError(
            f"traces need {error.name}: pip install 'candlewick[otel]'", "traces"
        ) from None


def _trace(app: FastAPI, services: Services) -> None:
    with needing_otel():
        from candlewick.server.tracing import Tracing, trace_model

    services.models.watch(trace_model)
    app.add_middleware(Tracing)


async def _own_error(request: Request, error: Any) -> Response:
    reply = error_reply(error)
    return JSONResponse(reply.body, reply.status, reply.headers)


async def _foreign_error(request: Request, error: Exception) -> Response:
    # Starlette raises the exception again after this answer is sent, so that the server logs it.
    return await _own_error(request, error)


async def _http_error(request: Request, error: Any) -> Response:
    """What the framework refuses, and what routes that others have added to the application do."""
    status: int = error.status_code
    kind = (
        "rate_limit_error" if status == 429 else "server_error" if status >= 500 else "invalid_request_error"
    )
    message = str(error.detail)
    if (status, message) in _NOT_SERVED:
        message = f"{request.method} {request.url.path} is not served here; /docs shows what is"
    body = error_body(message, type=kind, code=_CODES.get(status))
    return JSONResponse(body, status, error.headers)


async def _wrong_parameter(request: Request, error: Any) -> Response:
    """What FastAPI refuses in a path or a query; bodies are read by the routes."""
    problem = error.errors()[0]
    name = str(problem["loc"][-1])
    message = f"{name}: {problem['msg'].lower()}, got {problem['input']!r:.80}"
    return await _own_error(request, InvalidRequestError(message, name))


async def _client_gone(request: Request, error: Exception) -> Response:
    return Response(status_code=CLIENT_CLOSED_REQUEST)


_ERRORS: dict[int | str, dict[str, Any]] = {"4XX": {"model": ErrorBody}, "5XX": {"model": ErrorBody}}
_NOT_SERVED = {(404, "Not Found"), (405, "Method Not Allowed")}
"""What the framework says of a path or a method."""
_CODES = {
    401: "invalid_api_key",
    404: "unknown_url",
    405: "method_not_allowed",
    413: "request_too_large",
    429: "rate_limit_exceeded",
}
