"""An MCP server for tests, written with the SDK; ``python mcp_test_server.py stdio|http|sse [port]``."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

from mcp.server import MCPServer
from mcp.server.mcpserver import Context, Image
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import CallToolResult, TextContent

server = MCPServer("test")


@server.tool()
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@server.tool()
def echo(text: str) -> str:
    """Say it again."""
    return text


@server.tool()
def fail(reason: str) -> str:
    """Fail in its own words."""
    raise ToolError(reason)


@server.tool()
def picture() -> Image:
    """A picture."""
    return Image(data=b"\x89PNG\r\n", format="png")


@server.tool()
def long(length: int) -> CallToolResult:
    """A long text."""
    return CallToolResult(content=[TextContent(type="text", text="x" * length)])


@server.tool()
async def count(steps: int, context: Context[Any, Any]) -> str:
    """Tell progress."""
    for step in range(steps):
        await context.report_progress(step + 1, steps, f"step {step + 1}")
    return f"counted to {steps}"


def write_note(path: str, text: str) -> None:
    Path(path).write_text(text)


@server.tool()
async def hang(note_path: str) -> str:
    """Hang for ever, and note in a file that it began and that it was cancelled."""
    write_note(note_path, "began")
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        write_note(note_path, "cancelled")
        raise
    return "never"


@server.tool()
def process_id() -> int:
    """The process of this server."""
    return os.getpid()


@server.tool()
def die() -> str:
    """End the process in the middle of the call."""
    os._exit(3)


@server.tool()
async def grow(context: Context[Any, Any]) -> str:
    """Add another tool, and tell so."""

    def grown() -> str:
        """A tool that was not there."""
        return "I am new"

    server.add_tool(grown)
    await context.notify_tools_changed()
    return "grown"


if __name__ == "__main__":
    transport = sys.argv[1]
    if transport == "stdio":
        print("the test server is ready", file=sys.stderr, flush=True)
        server.run("stdio")
    else:
        server.run("sse" if transport == "sse" else "streamable-http", port=int(sys.argv[2]))
