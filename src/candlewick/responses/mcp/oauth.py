"""Signing in to MCP servers by OAuth, through the SDK: who is sent where, and where tokens are kept.

Owns the file of tokens and the page to which a browser comes back. Refuses to know the protocol: discovery,
registration, PKCE, exchange and renewal are the SDK's. Sources: RFC 8252 (loopback redirects), the MCP
specification's section on authorization.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import socket
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qs, urlsplit

from candlewick.core.errors import EngineError, InvalidRequestError

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
    from mcp.client.auth.oauth2 import OAuthContext
    from mcp.shared.auth import OAuthClientInformationFull, OAuthToken
    from pydantic import BaseModel

_Model = TypeVar("_Model", bound="BaseModel")
SignIn = Callable[[str], Awaitable[None]]
"""Shows a person the address at which to sign in; returns at once."""

DEFAULT_TOKEN_FILE = Path("~/.config/candlewick/mcp_tokens.json")
SIGN_IN_SECONDS = 300.0
"""How long a person may take."""
_MOST_REQUEST_BYTES = 16 * 1024
_PAGE = (
    "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {length}\r\n"
    "Cache-Control: no-store\r\nConnection: close\r\n\r\n{body}"
)


@dataclass(frozen=True, kw_only=True)
class OAuth:
    """How to sign in to one server.

    Args:
        sign_in: shows a person where to sign in; ``None``: nobody is there, and only tokens of an earlier sign-in
            are used and renewed.
        client_id, client_secret: of a registration made beforehand, together with ``redirect_port``; ``None``: this
            program registers itself.
        redirect_port: to which the browser comes back on this machine; ``0``: any free one.
        token_file: where tokens are kept, readable by its owner only.
    """

    sign_in: SignIn | None = None
    client_id: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    redirect_port: int = 0
    token_file: Path = DEFAULT_TOKEN_FILE

    def __post_init__(self) -> None:
        if self.client_id is not None and not self.redirect_port:
            raise InvalidRequestError(
                "a client_id needs the redirect_port that was registered with it", "redirect_port"
            )
        if not 0 <= self.redirect_port < 2**16:
            raise InvalidRequestError(
                f"redirect_port must be a port, got {self.redirect_port!r}", "redirect_port"
            )


def oauth_provider(url: str, settings: OAuth) -> OAuthClientProvider:
    """What signs the requests to a server; an ``httpx2.Auth``.

    Raises:
        InvalidRequestError: the file of tokens can't be read.
    """
    from mcp.client.auth import OAuthClientProvider
    from mcp.shared.auth import OAuthClientMetadata
    from pydantic import AnyUrl

    tokens = TokenFile(settings.token_file, url)
    redirect = LoopbackRedirect(settings.redirect_port or tokens.redirect_port() or _free_port())
    if settings.client_id is not None:
        tokens.use_client(settings.client_id, settings.client_secret, redirect.url)

    async def send(address: str) -> None:
        if settings.sign_in is None:
            raise EngineError(
                f"{url} wants somebody to sign in, and nobody can be asked here: use it once in 'candlewick agent' "
                "or 'candlewick chat', which keep what they are given"
            )
        await redirect.open()
        try:
            await settings.sign_in(address)
        except BaseException:
            redirect.close()
            raise

    provider = OAuthClientProvider(
        url,
        OAuthClientMetadata(
            client_name="Candlewick",
            redirect_uris=[AnyUrl(redirect.url)],
        ),
        tokens,
        redirect_handler=send,
        callback_handler=redirect.answer,
    )
    tokens.attach(provider)
    return provider


class TokenFile:
    """The SDK's ``TokenStorage`` for one server, in a JSON file that may hold several servers' and be used by several
    programs at once.

    The file is replaced as a whole and readable by its owner only.
    """

    def __init__(self, path: Path, url: str) -> None:
        self._path = path.expanduser()
        self._url = url
        self._client: OAuthClientInformationFull | None = None
        self._provider: OAuthClientProvider | None = None
        self._read()

    def attach(self, provider: OAuthClientProvider) -> None:
        """Tell the provider what it does not ask a storage for: when tokens expire, where they are renewed, and which
        ones another program has renewed since.
        """
        from mcp.client.auth.oauth2 import OAuthContext
        from mcp.shared.auth import OAuthMetadata

        take_renewed = self._take_renewed

        class SharedContext(OAuthContext):
            def is_token_valid(self) -> bool:
                return super().is_token_valid() or (take_renewed(self) and super().is_token_valid())

        provider.context = SharedContext(**vars(provider.context))
        self._provider = provider
        provider.context.token_expiry_time = self._expires_at()
        if server := self._parsed("server", OAuthMetadata):
            provider.context.oauth_metadata = server

    def use_client(self, client_id: str, client_secret: str | None, redirect_url: str) -> None:
        """A registration that was made beforehand."""
        from mcp.shared.auth import OAuthClientInformationFull
        from pydantic import AnyUrl

        self._client = OAuthClientInformationFull(
            client_id=client_id, client_secret=client_secret, redirect_uris=[AnyUrl(redirect_url)]
        )

    def redirect_port(self) -> int | None:
        """The port that was registered."""
        from mcp.shared.auth import OAuthClientInformationFull

        client = self._parsed("client", OAuthClientInformationFull)
        return client.redirect_uris[0].port if client and client.redirect_uris else None

    async def get_tokens(self) -> OAuthToken | None:
        from mcp.shared.auth import OAuthToken

        return self._parsed("tokens", OAuthToken)

    async def set_tokens(self, tokens: OAuthToken) -> None:
        server = self._provider.context.oauth_metadata if self._provider is not None else None
        self._keep(
            tokens=tokens.model_dump(mode="json", exclude_none=True),
            expires_at=None if tokens.expires_in is None else time.time() + tokens.expires_in,
            server=None if server is None else server.model_dump(mode="json", exclude_none=True),
        )

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        from mcp.shared.auth import OAuthClientInformationFull

        return self._client or self._parsed("client", OAuthClientInformationFull)

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self._keep(client=client_info.model_dump(mode="json", exclude_none=True))

    def _take_renewed(self, context: OAuthContext) -> bool:
        """Let ``context`` have the tokens in the file, if they are good; as a rule a token is renewed but once."""
        from mcp.shared.auth import OAuthClientInformationFull, OAuthToken

        expires_at, tokens = self._expires_at(), self._parsed("tokens", OAuthToken)
        if tokens is None or (expires_at is not None and expires_at < time.time()):
            return False
        context.current_tokens, context.token_expiry_time = tokens, expires_at
        context.client_info = self._client or self._parsed("client", OAuthClientInformationFull)
        return True

    def _parsed(self, name: str, kind: type[_Model]) -> _Model | None:
        """A part of what is kept.

        Raises:
            InvalidRequestError: it is damaged.
        """
        kept = self._kept().get(name)
        if not kept:
            return None
        try:
            return kind.model_validate(kept)
        except ValueError as error:
            raise self._damaged(error) from error

    def _expires_at(self) -> float | None:
        """When the tokens end, in seconds since 1970."""
        moment = self._kept().get("expires_at")
        if moment is not None and not isinstance(moment, int | float):
            raise self._damaged(f"expires_at is {moment!r} and no number")
        return moment

    def _kept(self) -> dict[str, Any]:
        kept = self._read().get(self._url, {})
        return kept if isinstance(kept, dict) else {}

    def _read(self) -> dict[str, Any]:
        try:
            value = json.loads(self._path.read_text("utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise self._damaged(error) from error
        if not isinstance(value, dict):
            raise self._damaged(f"it holds a {type(value).__name__} and no object")
        return value

    def _damaged(self, error: object) -> InvalidRequestError:
        return InvalidRequestError(
            f"the file of tokens {self._path} can't be read: {error}; remove it, and sign in again",
            "token_file",
        )

    def _keep(self, **fields: Any) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._locked():
            everything = self._read()
            everything[self._url] = {**self._kept(), **fields}
            descriptor, new = tempfile.mkstemp(prefix=f"{self._path.name}.", dir=self._path.parent)
            try:
                with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                    json.dump(everything, file, indent=1)
                os.replace(new, self._path)
            except BaseException:
                os.unlink(new)
                raise

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other programs from writing, that none loses what another one was given.

        Windows and some file systems have no such lock. Of two programs that write in the very same moment one may lose
        its tokens there, and somebody signs in again; the file is whole in any case.
        """
        with self._path.with_name(f"{self._path.name}.lock").open("ab") as file:
            if sys.platform != "win32":
                with contextlib.suppress(OSError):
                    fcntl.flock(file, fcntl.LOCK_EX)  # until the file is closed
            yield


class LoopbackRedirect:
    """A page on this machine to which the browser comes back with the answer; it listens only meanwhile."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/callback"
        self._port = port
        self._server: asyncio.Server | None = None
        self._answers: asyncio.Queue[dict[str, str]] = asyncio.Queue()

    async def open(self) -> None:
        """Listen.

        Raises:
            EngineError: the port is taken.
        """
        if self._server is None:
            self._answers = asyncio.Queue()
            try:
                self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
            except OSError as error:
                raise EngineError(
                    f"the port {self._port}, to which the browser shall come back, is taken: {error.strerror}"
                ) from error

    async def answer(self) -> AuthorizationCodeResult:
        """Wait for the browser.

        Raises:
            EngineError: the sign-in was refused, or nobody came.
        """
        from mcp.client.auth import AuthorizationCodeResult

        try:
            async with asyncio.timeout(SIGN_IN_SECONDS):
                answer = await self._answers.get()
        except TimeoutError:
            raise EngineError(f"nobody signed in within {SIGN_IN_SECONDS:.0f} s") from None
        finally:
            self.close()
        if "code" not in answer:
            reason = (
                answer.get("error_description") or answer.get("error") or "there is no code in the answer"
            )
            raise EngineError(f"the sign-in was refused: {reason}")
        return AuthorizationCodeResult(code=answer["code"], state=answer.get("state"), iss=answer.get("iss"))

    def close(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(10):
                line = (await reader.readuntil(b"\n"))[:_MOST_REQUEST_BYTES]
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
            line = b""
        found = re.match(rb"GET (/callback\?\S*) HTTP/1", line)
        if found is None:
            status, body = "404 Not Found", "There is nothing here."
        else:
            status, body = "200 OK", "You may close this page and go back to Candlewick."
            query = parse_qs(urlsplit(found[1].decode("ascii", "replace")).query)
            self._answers.put_nowait({name: values[0] for name, values in query.items()})
        writer.write(_PAGE.format(status=status, length=len(body), body=body).encode())
        with contextlib.suppress(OSError):
            await writer.drain()
        writer.close()


def _free_port() -> int:
    with contextlib.closing(socket.socket()) as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])
