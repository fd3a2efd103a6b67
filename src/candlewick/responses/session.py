"""A model with its tools: conversations that act, for any number of callers at once.

Owns the tools and what they run in. Refuses to know how a conversation goes: that is ``orchestrator.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from candlewick.chat.messages import Message, parse_messages, parse_tools
from candlewick.responses.conversation import Conversation, Emit
from candlewick.responses.functions import function_tool
from candlewick.responses.options import ConversationOptions
from candlewick.responses.orchestrator import AgentLoop, Chatting
from candlewick.responses.result import ConversationResult
from candlewick.responses.toolbox import Toolbox
from candlewick.responses.tools import ExecutableTool


class ResponsesSession:
    """A model with tools.

    ::

        async with ResponsesSession(llm, tools=[weather]) as session:
            result = await session.run_conversation([{"role": "user", "content": "Is it sunny in Paris?"}])

    Args:
        llm: an ``AsyncLLM``, which stays the caller's.
        tools: Python functions, or what :func:`~candlewick.responses.functions.function_tool` made of them.

    Raises:
        InvalidRequestError: a function can't be a tool, or two share a name.
    """

    def __init__(self, llm: Chatting, *, tools: Sequence[ExecutableTool | Callable[..., Any]] = ()) -> None:
        self.llm = llm
        self._functions = [
            tool if isinstance(tool, ExecutableTool) else function_tool(tool) for tool in tools
        ]
        Toolbox.assemble(self._functions, (), ())

    def stream_conversation(
        self,
        messages: Sequence[Message | Mapping[str, Any]],
        options: ConversationOptions | None = None,
    ) -> Conversation:
        """Answer a conversation, running tools as the model calls them, event by event; see
        :mod:`candlewick.responses.events` for their order.

        Args:
            messages: the conversation so far. Where the last answer has calls without results, these are
                dealt with first: that is how a stopped conversation goes on.

        Raises:
            InvalidRequestError: a message, a tool or an option is wrong; at once, or with the first event.
        """
        options = options or ConversationOptions()
        parsed = parse_messages(messages)
        client_tools = parse_tools(options.client_tools)

        def toolbox() -> Toolbox:
            return Toolbox.assemble(self._functions, (), client_tools, allowed=options.allowed_tools)

        toolbox()  # names that collide are told at once

        async def work(emit: Emit, is_cancelled: Callable[[], bool]) -> None:
            await AgentLoop(self.llm, parsed, options, toolbox, emit, is_cancelled).run()

        return Conversation(work)

    async def run_conversation(
        self,
        messages: Sequence[Message | Mapping[str, Any]],
        options: ConversationOptions | None = None,
    ) -> ConversationResult:
        """As :meth:`stream_conversation`, to its result."""
        return await self.stream_conversation(messages, options)

    async def close(self) -> None:
        """Let go of the tools' servers."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
