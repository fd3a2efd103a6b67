"""A model with its tools: conversations that act, for any number of callers at once.

Owns the tools and what they run in. Refuses to know how a conversation goes: that is ``orchestrator.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from candlewick.chat.llm import LLM
from candlewick.chat.messages import Message, Tool, parse_messages, parse_tools
from candlewick.core.errors import InvalidRequestError
from candlewick.responses.approval import rule_for
from candlewick.responses.conversation import Cancellation, Conversation, Emit
from candlewick.responses.events import ServerState
from candlewick.responses.functions import function_tool
from candlewick.responses.mcp.configuration import MCPConfiguration, MCPServerConfiguration
from candlewick.responses.mcp.servers import MCPServers
from candlewick.responses.options import ConversationOptions, ServerUse
from candlewick.responses.orchestrator import AgentLoop, Chatting
from candlewick.responses.result import ConversationResult
from candlewick.responses.toolbox import Toolbox
from candlewick.responses.tools import ExecutableTool

if TYPE_CHECKING:
    from candlewick.responses.api.library import LibraryStore
    from candlewick.store import Database


class ResponsesSession:
    """A model with tools.

    ::

        async with ResponsesSession(llm, tools=[weather]) as session:
            result = await session.run_conversation([{"role": "user", "content": "Is it sunny in Paris?"}])

    Args:
        llm: an ``AsyncLLM``, which stays the caller's.
        tools: Python functions, or what :func:`~candlewick.responses.functions.function_tool` made of them.
        store: a :class:`~candlewick.store.Database`, the caller's, in which conversations are kept as responses, those
            of a server over the same database among them; ``None``: nothing is kept.
        owner: whose conversations they are in the store. A server without keys calls everybody ``everybody``.
        mcp_servers: servers to connect to, when the session is entered or first used, in that event loop;
            :class:`~candlewick.responses.mcp.servers.MCPServers` are shared with others, and stay the caller's.

    Raises:
        InvalidRequestError: a function can't be a tool, two tools share a name, or two servers a label.
    """

    def __init__(
        self,
        llm: Chatting,
        *,
        tools: Sequence[ExecutableTool | Callable[..., Any]] = (),
        mcp_servers: MCPServers | MCPConfiguration | Sequence[MCPServerConfiguration] = (),
        store: Database | None = None,
        owner: str = "everybody",
    ) -> None:
        if isinstance(llm, LLM):
            raise InvalidRequestError("a session needs an AsyncLLM, got an LLM", "llm")
        self.llm = llm
        self._functions = [
            tool if isinstance(tool, ExecutableTool) else function_tool(tool) for tool in tools
        ]
        self._owns_servers = not isinstance(mcp_servers, MCPServers)
        if isinstance(mcp_servers, MCPConfiguration):
            mcp_servers = mcp_servers.servers
        self.servers = mcp_servers if isinstance(mcp_servers, MCPServers) else MCPServers(mcp_servers)
        Toolbox.assemble(self._functions, (), ())
        self._store: LibraryStore | None = None
        if store is not None:
            from candlewick.responses.api.library import LibraryStore

            self._store = LibraryStore(store, owner)

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
            NotFoundError: there is nothing under ``options.continues``; with the first event.
            EngineError: the engine can't serve, and nothing has happened yet.
            StoreError: the store fails; the run has been stopped.

        What the model or a tool fails at is not raised, unless ``options.raise_tool_errors`` wants the latter: the last
        event is a ``ConversationComplete`` whose result tells of it.
        """
        options = options or ConversationOptions()
        goes_on = options.continues is not None
        parsed = [] if goes_on and not messages else parse_messages(messages)
        tools = _ConversationTools(self._functions, self.servers, options)
        tools.toolbox()  # names that collide are told at once
        if goes_on or options.metadata:
            self._require_store()

        async def loop(
            given: Sequence[Message],
            options: ConversationOptions,
            emit: Emit,
            cancellation: Cancellation,
        ) -> None:
            try:
                await AgentLoop(
                    self.llm,
                    given,
                    options,
                    lambda: tools.open(emit),
                    tools.toolbox,
                    emit,
                    lambda: cancellation.owes_result,
                ).run()
            finally:
                cancellation.end()
                await tools.close()

        async def work(emit: Emit, cancellation: Cancellation) -> None:
            if self._store is None:
                await loop(parsed, options, emit, cancellation)
            else:
                response = self._store.begin(parsed, options, self._definitions, self.llm.model_name)
                await response.run(loop, emit, cancellation)

        return Conversation(work)

    async def run_conversation(
        self,
        messages: Sequence[Message | Mapping[str, Any]],
        options: ConversationOptions | None = None,
    ) -> ConversationResult:
        """As :meth:`stream_conversation`, to its result; errors as there."""
        return await self.stream_conversation(messages, options)

    async def new_conversation(self, metadata: Mapping[str, str] | None = None) -> str:
        """The id of a new conversation in the store: a list of messages that every run with this id under
        ``ConversationOptions.continues`` reads and adds to.

        Raises:
            InvalidRequestError: the session has no store.
            StoreError: the store fails.
        """
        return await self._require_store().new_conversation(metadata or {})

    async def history(self, stored_id: str) -> tuple[Message, ...]:
        """All messages up to the end of a stored response, or of a stored conversation.

        Raises:
            NotFoundError: there is none of this id.
            InvalidRequestError: the session has no store, or the response did not come to its end.
            StoreError: the store fails.
        """
        return await self._require_store().history(stored_id, self._definitions)

    @property
    def _definitions(self) -> list[Tool]:
        return [tool.definition for tool in self._functions]

    def _require_store(self) -> LibraryStore:
        if self._store is None:
            raise InvalidRequestError("give the session a store to keep conversations in", "store")
        return self._store

    async def close(self) -> None:
        """Let go of the servers, if they are its own."""
        if self._owns_servers:
            await self.servers.close()

    async def __aenter__(self) -> Self:
        self.servers.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()


class _ConversationTools:
    """What one conversation may use of a session, and of servers of its own.

    Raises:
        InvalidRequestError: there is no server of a label, or two have the same.
    """

    def __init__(
        self, functions: Sequence[ExecutableTool], servers: MCPServers, options: ConversationOptions
    ) -> None:
        self._functions = functions
        self._options = options
        self._client_tools: list[Tool] = parse_tools(options.client_tools)
        self._extra = MCPServers(options.extra_servers)
        self._groups = (servers, self._extra)
        self._home = {label: group for group in self._groups for label in group.labels}
        if shared := set(servers.labels) & set(self._extra.labels):
            raise InvalidRequestError(f"the label {min(shared)!r} is taken by a server", "extra_servers")
        uses = (
            [ServerUse(label=label) for label in self._home] if options.servers is None else options.servers
        )
        self._uses = {use.label: use for use in uses}
        for label in self._uses:
            if label not in self._home:
                known = ", ".join(self._home) or "none"
                raise InvalidRequestError(f"there is no MCP server {label!r}; there are: {known}", "servers")
        self._unsubscribe: list[Callable[[], None]] = []

    async def open(self, emit: Emit) -> None:
        """Wait until the servers have come or failed; from now on their changes are events."""

        def tell(state: ServerState) -> None:
            if state.label in self._uses:
                emit(state)

        for group in self._groups:
            group.start()
            for state in group.states:
                tell(state)
            self._unsubscribe.append(group.add_listener(tell))
        for group in self._groups:
            await group.settled(self._uses)

    def toolbox(self) -> Toolbox:
        """What can be called at present."""
        server_tools = [
            replace(
                tool, needs_approval=tool.needs_approval or rule_for(use.approval, tool.own_name) == "always"
            )
            for label, use in self._uses.items()
            for tool in self._home[label].tools(label)
            if use.allowed_tools is None or tool.own_name in use.allowed_tools
        ]
        return Toolbox.assemble(
            self._functions,
            server_tools,
            self._client_tools,
            away={label for label in self._uses if not self._home[label].is_ready(label)},
            allowed=self._options.allowed_tools,
        )

    async def close(self) -> None:
        for unsubscribe in self._unsubscribe:
            unsubscribe()
        await self._extra.close()
