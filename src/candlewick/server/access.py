"""Who may come in: the Host header and API keys."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated

from fastapi import Security
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from candlewick.openai.errors import error_body


class HostCheck:
    """Turns away requests whose Host header is neither an IP address nor a name that we know.

    A web page can make a browser send requests to this machine under the page's own name (DNS rebinding). The
    browser then names that host, never an address, so addresses need no list.
    """

    def __init__(self, app: ASGIApp, allowed_hosts: Sequence[str] = ()) -> None:
        self._app = app
        self._allowed = {host.lower() for host in allowed_hosts} | {"localhost"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
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


def require_key(api_keys: Sequence[str]) -> Callable[..., Awaitable[None]]:
    """A dependency that lets in whoever bears one of the keys; everybody when there are none."""
    digests = [_digest(key) for key in api_keys]

    async def check(
        credentials: Annotated[HTTPAuthorizationCredentials | None, Security(HTTPBearer(auto_error=False))],
    ) -> None:
        if not digests:
            return
        given = _digest(credentials.credentials if credentials else "")
        # Every key is compared, each in constant time: the answer's delay tells nothing about any of them.
        if not sum(hmac.compare_digest(given, digest) for digest in digests):
            raise HTTPException(
                401,
                "missing or wrong API key; send 'Authorization: Bearer KEY'",
                {"WWW-Authenticate": "Bearer"},
            )

    return check


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
