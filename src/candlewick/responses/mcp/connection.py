"""One MCP server: a task that connects, lists tools, notices what changes, and connects again.

Owns the connection's whole life, in one task, as the SDK's cancel scopes demand. Whatever happens to the
server ends here as a state that can be read; nobody else is disturbed.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from candlewick.responses.approval import rule_for
from candlewick.responses.events import ServerState, ServerStatus
from candlewick.responses.mcp.configuration import MCPServerConfiguration
from candlewick.responses.mcp.results import to_result, to_tool
from candlewick.responses.tools import ExecutableTool, ToolContext, ToolError, ToolResult

if TYPE_CHECKING:
    import mcp_types as types
    from mcp import Client

logger = logging.getLogger(__name__)

FIRST_DELAY_SECONDS = 0.5
LONGEST_DELAY_SECONDS = 60.0
CHECK_SECONDS = 60.0
"""How often a silent server is asked for its tools, to know that it is there."""
CLOSE_SECONDS = 8.0
"""The SDK gives a program 2 s to leave by itself, and as much after each signal."""
MOST_PAGES = 50
MOST_TOOLS = 1000


class ServerConnection:
    """A server as it is now. ``start`` it in the event loop that uses it; ``on_change`` is told new states."""

    def __init__(
        self, configuration: MCPServerConfiguration, on_change: Callable[[ServerState], None]
    ) -> None:
        self.configuration = configuration
        self.tools: tuple[ExecutableTool, ...] = ()
        """As they were last listed; of use while the state is ``ready``."""
        self._on_change = on_change
        self._status: ServerStatus = "connecting"
        self._error: str | None = None
        self._client: Client | None = None
        self._task: asyncio.Task[None] | None = None
        self._settled = asyncio.Event()
        self._wake = asyncio.Event()
        self._is_closing = False
        self._is_lost = False

    @property
    def label(self) -> str:
        return self.configuration.label

    @property
    def state(self) -> ServerState:
        tools = (
            tuple(tool.renamed(tool.own_name).definition for tool in self.tools)
            if self._status == "ready"
            else ()
        )
        return ServerState(self.label, self._status, tools, self._error)

    def start(self) -> None:
        """Begin to connect; returns at once."""
        if self._task is None:
            self._task = asyncio.create_task(self._supervise(), name=f"mcp {self.label}")

    async def settled(self) -> ServerState:
        """The state once the first attempt has succeeded or failed."""
        await self._settled.wait()
        return self.state

    async def close(self) -> None:
        """Disconnect, and end a started program."""
        self._is_closing = True
        self._wake.set()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=CLOSE_SECONDS)
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=CLOSE_SECONDS)
        self._change("closed", None)

    async def _supervise(self) -> None:
        delay = FIRST_DELAY_SECONDS
        loop = asyncio.get_running_loop()
        while not self._is_closing:
            began = loop.time()
            error = await self._connect()
            if self._is_closing:
                return
            self._change("failed", error)
            if loop.time() - began > LONGEST_DELAY_SECONDS:  # it had been well for a while
                delay = FIRST_DELAY_SECONDS
            try:
                async with asyncio.timeout(delay):
                    while not self._is_closing:
                        await self._wake.wait()
                        self._wake.clear()
            except TimeoutError:
                delay = min(delay * 2, LONGEST_DELAY_SECONDS)

    async def _connect(self) -> str:
        """Connect and stay until the connection ends; why it did."""
        mcp = await asyncio.to_thread(importlib.import_module, "mcp")  # a second that the event loop has not

        from candlewick.responses.mcp.transports import open_transport

        limit = self.configuration.connect_timeout
        complaints: deque[str] = deque(maxlen=20)
        self._is_lost = False
        attempt = asyncio.timeout(limit)
        try:
            async with attempt:
                client = mcp.Client(
                    open_transport(self.configuration, complaints),
                    message_handler=self._hear,
                    read_timeout_seconds=None,
                )
                async with client:
                    self.tools = await self._list_tools(client)
                    attempt.reschedule(None)
                    self._client = client
                    self._change("ready", None)
                    await self._stay(client)
            reason = "the connection was closed"
        except Exception as error:
            reason = f"no answer within {limit:g} s" if attempt.expired() else _explain(error)
            logger.debug("MCP server %s", self.label, exc_info=True)
        finally:
            self._client = None
        if complaints:
            reason += "; it said: " + " / ".join(list(complaints)[-3:])
        return reason

    async def _stay(self, client: Client) -> None:
        """Refresh the list of tools when it changes and once a while, until the connection is lost."""
        listener = asyncio.create_task(self._listen(client))
        try:
            while True:
                with contextlib.suppress(TimeoutError):  # time to look whether it is still there
                    async with asyncio.timeout(CHECK_SECONDS):
                        await self._wake.wait()
                self._wake.clear()
                if self._is_closing or self._is_lost:
                    return
                async with asyncio.timeout(self.configuration.connect_timeout):
                    tools = await self._list_tools(client)
                if [tool.definition for tool in tools] != [tool.definition for tool in self.tools]:
                    self.tools = tools
                    self._on_change(self.state)
        finally:
            listener.cancel()
            await asyncio.wait({listener})

    async def _listen(self, client: Client) -> None:
        """Hear of changes from servers that tell them on a stream of its own (2026 and later)."""
        from mcp.client.subscriptions import ListenNotSupportedError

        capabilities = client.server_capabilities.tools
        if capabilities is None or not capabilities.list_changed:
            return
        try:
            async with client.listen(tools_list_changed=True) as changes:
                async for _ in changes:
                    self._wake.set()
        except ListenNotSupportedError:
            return  # older servers send notifications, which come to _hear
        except Exception as error:
            logger.debug("MCP server %s tells no changes: %s", self.label, error)
        self._wake.set()  # the stream ended: is the server still there?

    async def _hear(self, message: Any) -> None:
        if getattr(message, "method", None) == "notifications/tools/list_changed":
            self._wake.set()

    async def _list_tools(self, client: Client) -> tuple[ExecutableTool, ...]:
        listed: list[types.Tool] = []
        cursor: str | None = None
        for _ in range(MOST_PAGES):
            page = await client.list_tools(cursor=cursor, cache_mode="refresh")
            listed += page.tools
            cursor = page.next_cursor
            if cursor is None or len(listed) > MOST_TOOLS:
                break
        if cursor is not None:
            logger.warning(
                "MCP server %s has more than %d tools; the others are left out", self.label, len(listed)
            )
        allowed = self.configuration.allowed_tools
        tools = {tool.name: tool for tool in listed if allowed is None or tool.name in allowed}
        return tuple(self._executable(tool) for tool in tools.values())

    def _executable(self, tool: types.Tool) -> ExecutableTool:
        async def execute(arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
            return await self._call(tool.name, arguments, context)

        return ExecutableTool(
            definition=to_tool(tool),
            execute=execute,
            needs_approval=rule_for(self.configuration.approval or "never", tool.name) == "always",
            timeout=self.configuration.timeout,
            server=self.label,
            own_name=tool.name,
        )

    async def _call(self, name: str, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        from mcp import MCPError
        from mcp_types import CONNECTION_CLOSED

        client = self._client
        if client is None:
            raise ToolError(f"the server {self.label!r} is not connected: {self._error or self._status}")

        async def report(progress: float, total: float | None, message: str | None) -> None:
            context.report_progress(progress, total, message)

        try:
            return to_result(await client.call_tool(name, dict(arguments), progress_callback=report))
        except MCPError as error:
            # Whatever it was, the supervisor looks whether the server is still there.
            self._is_lost = self._is_lost or error.code == CONNECTION_CLOSED
            self._wake.set()
            raise ToolError(f"the server {self.label!r}: {error.message}") from error

    def _change(self, status: ServerStatus, error: str | None) -> None:
        before, self._status, self._error = self.state, status, error
        if status != "connecting":
            self._settled.set()
        if self.state != before:
            log = logger.warning if status == "failed" and before.status != "failed" else logger.debug
            log("MCP server %s is %s%s", self.label, status, f": {error}" if error else "")
            self._on_change(self.state)


def _explain(error: BaseException) -> str:
    """The innermost reasons; groups of errors say nothing themselves."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(dict.fromkeys(_explain(inner) for inner in error.exceptions))
    text = str(error) or type(error).__name__
    return text if len(text) <= 500 else text[:500] + "…"
