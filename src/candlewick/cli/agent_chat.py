"""Conversations with tools on a terminal: the session behind a command, how its events look, who is asked.

Owns the event loop that runs between two events. Refuses to know commands and their options.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import webbrowser
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from candlewick.chat.reasoning import ThinkingMode
from candlewick.cli.demo_tools import DemoTool
from candlewick.core.params import GenerationParams
from candlewick.responses.approval import ApprovalAnswer, ApprovalRequest
from candlewick.responses.events import ConversationEvent
from candlewick.responses.mcp.configuration import MCPConfiguration, MCPServerConfiguration
from candlewick.responses.mcp.oauth import SIGN_IN_SECONDS
from candlewick.responses.options import ConversationOptions
from candlewick.responses.session import ResponsesSession

if TYPE_CHECKING:
    from candlewick.chat.llm import AsyncLLM


class AgentChat:
    """A model with tools for code that does not await: servers and tools run while an event is asked for."""

    def __init__(
        self,
        llm: AsyncLLM,
        configuration: MCPConfiguration,
        options: ConversationOptions,
        tools: Sequence[DemoTool] = (),
    ) -> None:
        self._runner = asyncio.Runner()
        self._llm = llm
        self._options = options
        self._session = ResponsesSession(
            llm,
            tools=[tool.to_executable() for tool in tools],
            mcp_servers=[_attended(server) for server in configuration.servers],
        )

    def chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        params: GenerationParams | None = None,
        thinking: ThinkingMode = "adaptive",
        tools: Sequence[Mapping[str, Any]] | None = None,
    ) -> Generator[ConversationEvent, None, None]:
        """The events of one conversation; ``tools`` are a caller's own. Closing it stops model and tools."""
        options = replace(
            self._options, params=params or GenerationParams(), thinking=thinking, client_tools=tools or ()
        )
        conversation = self._session.stream_conversation(messages, options)

        async def next_event() -> ConversationEvent | None:
            return await anext(conversation, None)

        try:
            while (event := self._runner.run(next_event())) is not None:
                yield event
        finally:
            self._runner.run(conversation.aclose())

    def close(self) -> None:
        """End the servers and free the model."""
        try:
            self._runner.run(self._session.close())
            self._runner.run(self._llm.close())
        finally:
            self._runner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _attended(server: MCPServerConfiguration) -> MCPServerConfiguration:
    """A server where a person sits: what its configuration does not settle is asked, and somebody can sign in."""
    if server.approval is None:
        server = replace(server, approval="always")
    if server.oauth is not None:
        server = replace(
            server,
            oauth=replace(server.oauth, sign_in=_show_sign_in),
            connect_timeout=max(server.connect_timeout, SIGN_IN_SECONDS),
        )
    return server


async def _show_sign_in(address: str) -> None:
    """In the browser, and as text for those who have none here."""
    print(f"candlewick: sign in at {address}", file=sys.stderr)
    await asyncio.to_thread(webbrowser.open, address)


class Approver:
    """Asks the person at the terminal; what was answered with "always" is not asked again."""

    def __init__(self, note: Callable[[str], None], *, approves_all: bool = False) -> None:
        self._note = note
        self._approves_all = approves_all
        self._always: set[tuple[str | None, str]] = set()

    async def __call__(self, request: ApprovalRequest) -> ApprovalAnswer:
        tool = (request.server, request.own_name)
        if self._approves_all or tool in self._always:
            return ApprovalAnswer(True)
        if not sys.stdin.isatty():
            self._note(f"{request.name} was refused: nobody can be asked here; --yes allows every call")
            return ApprovalAnswer(False, "nobody could be asked")
        where = f" of {request.server}" if request.server else ""
        while True:
            match _ask(f"run {request.own_name}{where} with {request.arguments}? [y]es, [n]o, [a]lways: "):
                case "y" | "yes":
                    return ApprovalAnswer(True)
                case "a" | "always":
                    self._always.add(tool)
                    return ApprovalAnswer(True)
                case "n" | "no" | "":
                    return ApprovalAnswer(False)


def _ask(question: str) -> str:
    """A line from the terminal. Nothing else has to run meanwhile, and Ctrl-C must end the question."""
    shown = "".join(character if character.isprintable() else "�" for character in question)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return input(shown).strip().lower()
    except EOFError:
        return "no"
    finally:
        signal.signal(signal.SIGINT, before)
