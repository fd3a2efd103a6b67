"""Who may come in by a browser: a key as bearer token, or a cookie that a key was exchanged for.

A browser sends cookies whoever makes it send a request. So what changes something must come from our own pages:
the cookie is for same-site requests only, browsers' word on the origin is heard, and a request with a cookie
needs a header that no form and no foreign page can add.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.exceptions import HTTPException

from candlewick.server.access import Doorkeeper, unknown_key

COOKIE = "candlewick_ticket"
HEADER = "x-candlewick"
TICKET_SECONDS = 30 * 24 * 3600
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


class Tickets:
    """Says by a signature whom a browser may speak for; valid until it is old or any of the keys changes."""

    def __init__(self, api_keys: Sequence[str], clock: Callable[[], float] = time.time) -> None:
        self._secret = hashlib.sha256("\0".join(["candlewick ticket", *api_keys]).encode()).digest()
        self._clock = clock

    def write(self, owner: str) -> str:
        claim = f"{int(self._clock()) + TICKET_SECONDS}.{owner.encode().hex()}"
        return f"{claim}.{self._sign(claim)}"

    def owner(self, ticket: str) -> str | None:
        """Whom it is for; ``None`` if it is none of ours, or too old."""
        claim, _, signature = ticket.rpartition(".")
        if not hmac.compare_digest(signature.encode("utf-8", "replace"), self._sign(claim).encode()):
            return None
        end, _, owner = claim.partition(".")
        return bytes.fromhex(owner).decode() if int(end) > self._clock() else None

    def _sign(self, claim: str) -> str:
        return hmac.new(self._secret, claim.encode("utf-8", "replace"), hashlib.sha256).hexdigest()


class Entrance:
    """Finds out whose a request is."""

    def __init__(self, api_keys: Sequence[str], allowed_origins: Sequence[str] = ()) -> None:
        self.doorkeeper = Doorkeeper(api_keys)
        self.tickets = Tickets(api_keys)
        self._allowed_origins = frozenset(allowed_origins)

    def owner(self, request: Request) -> str | None:
        """By the cookie; everybody's where no key is wanted."""
        if not self.doorkeeper.wants_key:
            return self.doorkeeper.owner("")
        return self.tickets.owner(request.cookies.get(COOKIE, ""))

    def require_own_page(self, request: Request) -> None:
        """
        Raises:
            HTTPException: 403, a browser says that another site made it send this.
        """
        origin = request.headers.get("origin")
        if origin is None or origin in self._allowed_origins:
            return
        if urlsplit(origin).netloc != request.headers.get("host"):
            raise HTTPException(403, f"pages of {origin!r} may not do this; allow them with --allow-origin")

    def require(self) -> Callable[..., Awaitable[None]]:
        """A dependency of every route that takes a key, or the cookie instead."""

        async def check(
            request: Request,
            credentials: Annotated[
                HTTPAuthorizationCredentials | None, Security(HTTPBearer(auto_error=False))
            ],
        ) -> None:
            if request.method not in SAFE_METHODS:
                self.require_own_page(request)
            if credentials is not None:
                owner = self.doorkeeper.owner(credentials.credentials)
            else:
                owner = self.owner(request)
                by_cookie = self.doorkeeper.wants_key and owner is not None
                if by_cookie and request.method not in SAFE_METHODS and HEADER not in request.headers:
                    raise HTTPException(403, f"a request with a cookie needs the header {HEADER!r}")
            if owner is None:
                raise unknown_key()
            request.state.owner = owner

        return check
