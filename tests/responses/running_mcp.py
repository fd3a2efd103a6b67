"""MCP servers for tests: real programs, started and stopped."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from candlewick.responses import MCPServerConfiguration

PROGRAM = str(Path(__file__).parent / "mcp_test_server.py")
GUARDED_PROGRAM = str(Path(__file__).parent / "oauth_mcp_server.py")


def stdio_server(label: str = "local", **options: Any) -> MCPServerConfiguration:
    options = {"connect_timeout": 120.0, **options}
    return MCPServerConfiguration(label=label, command=sys.executable, args=(PROGRAM, "stdio"), **options)


def free_port() -> int:
    with closing(socket.socket()) as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@contextmanager
def http_server(
    transport: str = "http", port: int | None = None
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A server that listens; its URL and process."""
    port = port or free_port()
    process = subprocess.Popen(
        [sys.executable, PROGRAM, transport, str(port)], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    try:
        assert process.stderr is not None
        for line in process.stderr:  # uvicorn tells when it listens
            if b"Uvicorn running" in line:
                break
        else:
            raise AssertionError("the server did not start")
        yield f"http://127.0.0.1:{port}/{'sse' if transport == 'sse' else 'mcp'}", process
    finally:
        process.kill()
        process.communicate()


@contextmanager
def guarded_server(lifetime: int, *more: str) -> Iterator[str]:
    """A server that wants a sign-in, whose tokens live for so many seconds; its URL."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, GUARDED_PROGRAM, str(port), str(lifetime), *more],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    try:
        assert process.stderr is not None
        assert any(b"Uvicorn running" in line for line in process.stderr), "the server did not start"
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.kill()
        process.communicate()
