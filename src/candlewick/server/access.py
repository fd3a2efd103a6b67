"""Who may come in: the Host header, API keys, and each key's limits."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Request, Security
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from candlewick.core.errors import InvalidRequestError
from candlewick.openai.errors import error_body
from candlewick.server.config import ServerConfig
from candlewick.server.connection import start_clock
from candlewick.server.limits import LimitExceeded, Limits


class HostCheck:
    """Turns away requests whose Host header is neither an IP address nor a name that we know.

    A web page can make a browser send requests to this machine under the page's own name (DNS rebinding). The
    browser then names that host, never an address, so addresses need no list.
    """

    def __init__(self, app: ASGIApp, allowed_hosts: Sequence[str] = ()) -> None:
        self._app = app
        self._allowed = {host.lower() for host in allowed_hosts} | {"localhost"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and not self._is_allowed(Headers(scope=scope).get("host", "")):
            await send({"type": "websocket.close", "code": 1008, "reason": "this host is not served here"})
            return
        if scope["type"] == "http" and not self._is_allowed(Headers(scope=scope).get("host", "")):
            host = Headers(scope=scope).get("host", "")
            body = error_body(
                f"the host {host!r} is not served here; allow it by name if it should be",
                type="invalid_request_error",
                code="host_not_allowed",
            )
            await JSONResponse(body, 403)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _is_allowed(self, header: str) -> bool:
        if "*" in self._allowed:
            return True
        name = _without_port(header).lower()
        return name in self._allowed or name.endswith(".localhost") or _is_address(name)


@dataclass(frozen=True)
class ApiKey:
    """A key, as its digest, and whose it is."""

    owner: str
    digest: bytes

    @classmethod
    def parse(cls, text: str) -> ApiKey:
        """From a key, or from a name, a space and a key.

        A key without a name is named after its digest, so that what is stored under it is found again.

        Raises:
            InvalidRequestError: it is neither.
        """
        parts = text.split()
        if not 1 <= len(parts) <= 2:
            raise InvalidRequestError("an API key is a key, or a name, a space and a key", "api_keys")
        digest = _digest(parts[-1])
        return cls(parts[0] if len(parts) == 2 else f"key-{digest.hex()[:12]}", digest)


EVERYBODY = "everybody"
"""The owner of what is asked for without a key, where none is wanted."""


class Doorkeeper:
    """Tells owners by their keys."""

    def __init__(self, api_keys: Sequence[str]) -> None:
        self._keys = [ApiKey.parse(text) for text in api_keys]

    @property
    def wants_key(self) -> bool:
        return bool(self._keys)

    def owner(self, key: str) -> str | None:
        """Whose ``key`` is; ``None`` for nobody's. Everybody's, when no key is wanted."""
        if not self._keys:
            return EVERYBODY
        given = _digest(key)
        # Every key is compared, each in constant time: the answer's delay tells nothing about any of them.
        owners = [known.owner for known in self._keys if hmac.compare_digest(given, known.digest)]
        return owners[0] if owners else None


def admission(config: ServerConfig) -> Callable[..., AsyncIterator[None]]:
    """A dependency of every route that answers with a model.

    It lets in whoever bears a key, within the limits, until the answer's last byte; tells the routes whose key it
    was (:func:`owner_of`); and starts the request's clock.
    """
    doorkeeper = Doorkeeper(config.api_keys)
    limits = Limits(config.max_concurrent_per_key, config.max_requests_per_minute_per_key)

    async def admit(
        request: Request,
        credentials: Annotated[HTTPAuthorizationCredentials | None, Security(HTTPBearer(auto_error=False))],
    ) -> AsyncIterator[None]:
        # Anthropic's clients send theirs in a header of its own.
        key = credentials.credentials if credentials else request.headers.get("x-api-key", "")
        owner = doorkeeper.owner(key)
        if owner is None:
            raise unknown_key()
        request.state.owner = owner
        start_clock(request, config.max_request_seconds)
        try:
            with limits.admit(owner):
                yield
        except LimitExceeded as error:
            raise HTTPException(429, str(error), {"Retry-After": str(error.retry_after)}) from None

    return admit


def unknown_key() -> HTTPException:
    """The answer to a request whose key is nobody's."""
    return HTTPException(
        401, "missing or wrong API key; send 'Authorization: Bearer KEY'", {"WWW-Authenticate": "Bearer"}
    )


def owner_of(request: HTTPConnection) -> str:
    """Whose key a request bears: a stable name for what is kept on its behalf."""
    owner: str = request.state.owner
    return owner


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def _without_port(header: str) -> str:
    if header.startswith("["):  # an IPv6 address
        return header[1:].partition("]")[0]
    return header.partition(":")[0]


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
