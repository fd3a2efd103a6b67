"""All MCP servers of a session.

Owns that they live and end together, and who hears of their changes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable
from types import TracebackType
from typing import Self

from candlewick.responses.events import ServerState
from candlewick.responses.mcp.configuration import MCPConfiguration, MCPServerConfiguration
from candlewick.responses.mcp.connection import ServerConnection
from candlewick.responses.tools import ExecutableTool

Listener = Callable[[ServerState], None]


class MCPServers:
    """Connections by label. Servers that fail are tried again; each is on its own.

    Raises:
        InvalidRequestError: two have one label.
    """

    def __init__(self, configurations: Iterable[MCPServerConfiguration]) -> None:
        servers = MCPConfiguration(tuple(configurations)).servers
        self._connections = {server.label: ServerConnection(server, self._tell) for server in servers}
        self._listeners: list[Listener] = []

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(self._connections)

    @property
    def states(self) -> tuple[ServerState, ...]:
        """Every server as it is now, for health and status pages."""
        return tuple(connection.state for connection in self._connections.values())

    def start(self) -> None:
        """Begin to connect, in the running event loop; returns at once, and does nothing the second time."""
        for connection in self._connections.values():
            connection.start()

    async def settled(self, labels: Collection[str] | None = None) -> tuple[ServerState, ...]:
        """The states once every server has either come or failed for the first time."""
        chosen = [c for label, c in self._connections.items() if labels is None or label in labels]
        return tuple(await asyncio.gather(*(connection.settled() for connection in chosen)))

    def tools(self, label: str) -> tuple[ExecutableTool, ...]:
        """The tools that a server listed last; they can be called while it :meth:`is_ready`."""
        return self._connections[label].tools

    def is_ready(self, label: str) -> bool:
        """Whether a server is there now."""
        return self._connections[label].state.status == "ready"

    def add_listener(self, listener: Listener) -> Callable[[], None]:
        """Hear of every change of a state; returns what ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def close(self) -> None:
        """Disconnect from all."""
        await asyncio.gather(*(connection.close() for connection in self._connections.values()))

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def _tell(self, state: ServerState) -> None:
        for listener in tuple(self._listeners):
            listener(state)
