"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

_DEBUG_KEY = "candlewick.debug"


def _remember_debug(ctx: typer.Context, value: bool) -> bool:
    ctx.find_root().meta[_DEBUG_KEY] = value
    return value


def is_debugging(ctx: Any) -> bool:
    """Whether the command was given ``--debug``."""
    return bool(ctx.find_root().meta.get(_DEBUG_KEY))


ModelReference = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        envvar="CANDLEWICK_MODEL",
        help="A path to a GGUF file, hf:owner/repository[:file or quantisation], or 'builtin'.",
    ),
]
System = Annotated[str | None, typer.Option("--system", "-s", help="The system message.")]
Think = Annotated[
    bool | None,
    typer.Option("--think/--no-think", help="Think before answering, or not; else the model decides."),
]
MaxTokens = Annotated[int | None, typer.Option("--max-tokens", "-n", help="Most tokens to generate.")]
Temperature = Annotated[
    float | None, typer.Option("--temperature", "-t", help="0 always takes the likeliest token.")
]
TopP = Annotated[
    float | None, typer.Option("--top-p", help="Draw from the likeliest tokens that sum to this.")
]
Seed = Annotated[int | None, typer.Option("--seed", help="The same seed gives the same answer.")]
Threads = Annotated[int | None, typer.Option("--threads", help="Worker threads; else all usable cores.")]
Context = Annotated[
    int | None,
    typer.Option("--context", help="Tokens of prompt and answer together; else the model's limit."),
]
DraftModel = Annotated[
    str | None,
    typer.Option(
        "--draft-model", help="A much smaller model with the same vocabulary, to guess ahead for it."
    ),
]
Stats = Annotated[bool, typer.Option("--stats", help="Tell tokens and speed at the end.")]
HideThinking = Annotated[bool, typer.Option("--hide-thinking", help="Show the answer only.")]
McpConfig = Annotated[
    Path | None,
    typer.Option(
        "--mcp-config",
        envvar="CANDLEWICK_MCP_CONFIG",
        help="A JSON file with mcpServers, as desktop tools have it: servers whose tools the model may call.",
    ),
]
DemoTools = Annotated[
    str | None, typer.Option("--tools", help="Let the model call demo tools: calculator,clock,dice.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Run every call without asking.")]
Debug = Annotated[
    bool,
    typer.Option(
        "--debug", callback=_remember_debug, envvar="CANDLEWICK_DEBUG", help="Show where an error came from."
    ),
]
