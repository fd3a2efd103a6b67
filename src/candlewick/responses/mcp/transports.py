"""How a server is reached: its configuration as a transport of the SDK.

Owns processes' standard error and HTTP clients. Refuses to know sessions and tools.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import IO, TYPE_CHECKING, Any

from candlewick.responses.mcp.configuration import MCPServerConfiguration
from candlewick.responses.mcp.oauth import oauth_provider

if TYPE_CHECKING:
    import httpx2

logger = logging.getLogger(__name__)


def open_transport(
    configuration: MCPServerConfiguration, complaints: deque[str]
) -> AbstractAsyncContextManager[Any]:
    """A transport for ``mcp.Client``. What a started program says on its standard error, and the status of
    refused HTTP requests, goes to ``complaints``, for errors to tell.
    """
    match configuration.transport:
        case "stdio":
            return _stdio(configuration, complaints)
        case "sse":
            return _sse(configuration, complaints)
        case _:
            return _streamable_http(configuration, complaints)


@asynccontextmanager
async def _stdio(configuration: MCPServerConfiguration, complaints: deque[str]) -> AsyncGenerator[Any, None]:
    from mcp.client.stdio import StdioServerParameters, stdio_client

    assert configuration.command is not None
    parameters = StdioServerParameters(
        command=configuration.command,
        args=list(configuration.args),
        env=dict(configuration.env),
        cwd=configuration.cwd,
    )
    with _standard_error(configuration.label, complaints) as error_file:
        async with stdio_client(parameters, errlog=error_file) as streams:
            yield streams


def _sse(configuration: MCPServerConfiguration, complaints: deque[str]) -> AbstractAsyncContextManager[Any]:
    from mcp.client.sse import sse_client

    assert configuration.url is not None
    return sse_client(
        configuration.url,
        headers=configuration.http_headers,
        auth=_auth(configuration),
        httpx_client_factory=partial(_http_client, complaints),
    )


@asynccontextmanager
async def _streamable_http(
    configuration: MCPServerConfiguration, complaints: deque[str]
) -> AsyncGenerator[Any, None]:
    from mcp.client.streamable_http import streamable_http_client

    assert configuration.url is not None
    client = _http_client(complaints, headers=configuration.http_headers, auth=_auth(configuration))
    async with client, streamable_http_client(configuration.url, http_client=client) as streams:
        yield streams


def _auth(configuration: MCPServerConfiguration) -> Any:
    if configuration.auth is None and configuration.oauth is not None and configuration.url is not None:
        return oauth_provider(configuration.url, configuration.oauth)
    return configuration.auth


def _http_client(
    complaints: deque[str],
    headers: dict[str, str] | None = None,
    timeout: httpx2.Timeout | None = None,
    auth: httpx2.Auth | None = None,
) -> httpx2.AsyncClient:
    """The SDK's client, which also notes refused requests: the transports say no more than that one failed."""
    from mcp.shared._httpx_utils import create_mcp_http_client

    async def note(response: Any) -> None:
        if response.status_code >= 400:
            complaints.append(f"HTTP {response.status_code} {response.reason_phrase}".strip())

    client = create_mcp_http_client(headers, timeout, auth)
    client.event_hooks = {"response": [note]}
    return client


@contextlib.contextmanager
def _standard_error(label: str, complaints: deque[str]) -> Any:
    """A file for a program's standard error. A thread reads it, so that the program never waits."""
    reading, writing = os.pipe()

    def read() -> None:
        with open(reading, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                complaints.append(line.rstrip())
                logger.debug("%s: %s", label, line.rstrip())

    threading.Thread(target=read, name=f"mcp-{label}-stderr", daemon=True).start()
    error_file: IO[str] = open(writing, "w")  # noqa: SIM115
    with error_file:
        yield error_file
