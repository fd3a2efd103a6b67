"""``candlewick agent``: a task for a model with tools."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from contextlib import closing
from typing import Annotated

import typer

from candlewick.cli import loading, options
from candlewick.cli.agent_chat import AgentChat, Approver
from candlewick.cli.answer_printer import AnswerPrinter
from candlewick.cli.asking import generation_params, opening_messages, thinking_mode
from candlewick.cli.demo_tools import choose_tools
from candlewick.cli.run import read_question
from candlewick.responses.events import ConversationComplete, ConversationEvent
from candlewick.responses.mcp.configuration import MCPConfiguration
from candlewick.responses.options import ConversationOptions
from candlewick.responses.result import ConversationResult

_WHY = {
    "length": "the answer was cut at its length",
    "max_turns": "the limit of turns was reached: --max-turns allows more",
    "cancelled": "cancelled",
}


def agent(
    task: Annotated[
        str | None, typer.Argument(help="What to do; '-' or nothing reads it from standard input.")
    ] = None,
    mcp_config: options.McpConfig = None,
    tools: options.DemoTools = None,
    yes: options.Yes = False,
    max_turns: Annotated[int, typer.Option("--max-turns", help="Answers of the model at most.")] = 16,
    tool_timeout: Annotated[
        float, typer.Option("--tool-timeout", help="Seconds that a tool may take.")
    ] = 60.0,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print every event as a line of JSON instead; the last has the result."),
    ] = False,
    model: options.ModelReference = "builtin",
    system: options.System = None,
    think: options.Think = None,
    hide_thinking: options.HideThinking = False,
    max_tokens: options.MaxTokens = None,
    temperature: options.Temperature = None,
    top_p: options.TopP = None,
    seed: options.Seed = None,
    threads: options.Threads = None,
    context: options.Context = None,
    debug: options.Debug = False,
) -> None:
    """Give a task to a model with tools: MCP servers, and watch what it does.

    Each call is asked for, unless the configuration exempts it or --yes is given.
    """
    printer = AnswerPrinter(hide_thinking=hide_thinking)
    limits = ConversationOptions(
        max_turns=max_turns, tool_timeout=tool_timeout, approve=Approver(printer.note, approves_all=yes)
    )
    params = generation_params(max_tokens=max_tokens, temperature=temperature, top_p=top_p, seed=seed)
    configuration = MCPConfiguration.load(mcp_config) if mcp_config is not None else MCPConfiguration()
    offered = choose_tools(tools)
    messages = [*opening_messages(system), {"role": "user", "content": read_question(task, sys.stdin)}]
    llm = loading.load_model_for_tools(model, threads=threads, context=context)
    with (
        AgentChat(llm, configuration, limits, offered) as chat,
        closing(chat.chat(messages, params=params, thinking=thinking_mode(think))) as events,
    ):
        result = _print_json(events) if as_json else printer.show(events).result
    _end(result)


def _print_json(events: Iterable[ConversationEvent]) -> ConversationResult | None:
    result = None
    for event in events:
        print(json.dumps(event.to_json(), ensure_ascii=False), flush=True)
        if isinstance(event, ConversationComplete):
            result = event.result
    return result


def _end(result: ConversationResult | None) -> None:
    """Status 0 for a task that the model ended by itself."""
    if result is None or result.stop_reason == "stop":
        return
    why = (
        result.error.message if result.error is not None else _WHY.get(result.stop_reason, result.stop_reason)
    )
    print(f"candlewick: {why}", file=sys.stderr)
    raise typer.Exit(1)
