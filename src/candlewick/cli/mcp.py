"""``candlewick mcp``: a model as an MCP server for other agents."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import Annotated

import typer

from candlewick.cli import loading, options


class McpTransport(StrEnum):
    STDIO = "stdio"
    HTTP = "http"


def mcp(
    transport: Annotated[
        McpTransport, typer.Option("--transport", help="stdio, or http on 127.0.0.1 at /mcp.")
    ] = McpTransport.STDIO,
    port: Annotated[
        int, typer.Option("--port", "-p", min=1, max=65535, help="Of the http transport.")
    ] = 8001,
    model: options.ModelReference = "builtin",
    threads: options.Threads = None,
    context: options.Context = None,
    debug: options.Debug = False,
) -> None:
    """Offer a model to other agents as an MCP server, with the tools chat, complete, embed and count_tokens."""
    from candlewick.responses.mcp.serving import mcp_server

    llm = loading.load_model_for_tools(model, threads=threads, context=context)
    try:
        server = mcp_server(llm)
        if transport is McpTransport.STDIO:
            server.run("stdio")
        else:
            server.run("streamable-http", host="127.0.0.1", port=port)
    finally:
        asyncio.run(llm.close())
