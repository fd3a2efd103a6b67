"""``candlewick run``: one question, one answer."""

from __future__ import annotations

import os
import select
import stat
import sys
from contextlib import ExitStack, closing
from typing import Annotated, TextIO

import typer

from candlewick.cli import loading, options
from candlewick.cli.agent_chat import AgentChat
from candlewick.cli.answer_printer import AnswerPrinter, stats_line
from candlewick.cli.asking import Chatting, generation_params, opening_messages, thinking_mode
from candlewick.cli.demo_tools import choose_tools
from candlewick.core.errors import InvalidRequestError
from candlewick.responses.mcp.configuration import MCPConfiguration
from candlewick.responses.options import ConversationOptions

MOST_CALLS = 8
"""Calls of demonstration tools; after them the model gets no tools, so that it must speak."""
PATIENCE_SECONDS = 2.0
"""How long a silent pipe is waited for before saying so."""


def run(
    prompt: Annotated[
        str | None, typer.Argument(help="The question; '-' or nothing reads it from standard input.")
    ] = None,
    model: options.ModelReference = "builtin",
    system: options.System = None,
    think: options.Think = None,
    hide_thinking: options.HideThinking = False,
    max_tokens: options.MaxTokens = None,
    temperature: options.Temperature = None,
    top_p: options.TopP = None,
    seed: options.Seed = None,
    tools: options.DemoTools = None,
    threads: options.Threads = None,
    context: options.Context = None,
    draft_model: options.DraftModel = None,
    stats: options.Stats = False,
    debug: options.Debug = False,
) -> None:
    """Ask a question and watch the answer come.

    What is piped in is added to the question: candlewick run "Summarise this:" < text.txt
    """
    params = generation_params(max_tokens=max_tokens, temperature=temperature, top_p=top_p, seed=seed)
    offered = choose_tools(tools)
    question = read_question(prompt, sys.stdin)
    messages = [*opening_messages(system), {"role": "user", "content": question}]
    printer = AnswerPrinter(hide_thinking=hide_thinking)
    with ExitStack() as stack:
        llm: Chatting
        if offered:
            model_with_tools = loading.load_model_for_tools(
                model, threads=threads, context=context, draft_model=draft_model
            )
            limits = ConversationOptions(max_tool_calls=MOST_CALLS)
            llm = stack.enter_context(AgentChat(model_with_tools, MCPConfiguration(), limits, offered))
        else:
            llm = stack.enter_context(
                loading.load_llm(model, threads=threads, context=context, draft_model=draft_model)
            )
        events = llm.chat(messages, params=params, thinking=thinking_mode(think))
        shown = printer.show(stack.enter_context(closing(events)))
    if stats and shown.complete is not None:
        printer.note(stats_line(shown.complete))


def read_question(prompt: str | None, stdin: TextIO) -> str:
    """The prompt, what is piped in, or both.

    Raises:
        InvalidRequestError: there is neither.
    """
    if prompt in (None, "-"):
        if prompt is None and stdin.isatty():
            raise InvalidRequestError('ask something: candlewick run "Hello!"', "prompt")
        question = stdin.read()
    elif _is_piped(stdin):
        piped = _read_pipe(stdin).strip()
        question = f"{prompt}\n\n{piped}" if piped else str(prompt)
    else:
        question = str(prompt)
    if not question.strip():
        raise InvalidRequestError("the prompt is empty", "prompt")
    return question


def _is_piped(stdin: TextIO) -> bool:
    """Whether somebody sends something: a pipe or a file, not a terminal, a socket or ``/dev/null``."""
    try:
        mode = os.fstat(stdin.fileno()).st_mode
    except (OSError, ValueError):  # closed, or no file at all
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISREG(mode)


def _read_pipe(stdin: TextIO) -> str:
    # A program that starts this one may leave it a pipe that never ends; a silent wait would be a riddle.
    if sys.platform != "win32" and not select.select([stdin], [], [], PATIENCE_SECONDS)[0]:
        print("candlewick: waiting for standard input; '< /dev/null' skips it", file=sys.stderr)
    return stdin.read()
