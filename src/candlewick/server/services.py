"""What the routes of one application share: the models, the settings, and what else the operator set up.

Everything is made by whoever makes the application, who also closes it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Self

from candlewick.server.config import ServerConfig
from candlewick.server.model_registry import ModelRegistry

if TYPE_CHECKING:
    from candlewick.chat.llm import AsyncLLM
    from candlewick.responses.api import ResponsesService
    from candlewick.responses.mcp.configuration import MCPServerConfiguration
    from candlewick.responses.mcp.servers import MCPServers
    from candlewick.sessions import SessionManager
    from candlewick.store.database import Database


@dataclass(frozen=True)
class Services:
    """Handed to every route factory; a route takes from it what it needs."""

    models: ModelRegistry
    config: ServerConfig = field(default_factory=ServerConfig)
    database: Database | None = None
    """Where responses, conversations and sessions are kept; ``None``: nothing outlives the process."""
    mcp_servers: tuple[MCPServerConfiguration, ...] = ()
    """The MCP servers that the operator set up."""

    @cached_property
    def responses(self) -> ResponsesService:
        """Responses and conversations; without a database they are kept in memory."""
        from candlewick.responses.api import ResponsesService, ServerAccess
        from candlewick.store import Database

        access = ServerAccess(self.tool_servers, self.config.mcp_hosts)
        return ResponsesService(self.models, self.database or Database.open(), access=access)

    @cached_property
    def tool_servers(self) -> MCPServers:
        """The MCP servers that the operator set up, connected when first used."""
        from candlewick.responses.mcp.servers import MCPServers

        return MCPServers(self.mcp_servers)

    @classmethod
    def of(
        cls, llm: AsyncLLM, *, model_names: tuple[str, ...] = (), config: ServerConfig | None = None
    ) -> Self:
        """Services of one model, which the caller keeps and closes."""
        return cls(ModelRegistry.of(llm, model_names), config or ServerConfig())

    @cached_property
    def sessions(self) -> SessionManager:
        """The conversations that last, made when somebody first asks for them."""
        from candlewick.responses import ResponsesSession
        from candlewick.sessions import ModelAnswering, SessionManager
        from candlewick.store import Database

        @asynccontextmanager
        async def use(name: str | None) -> AsyncIterator[ResponsesSession]:
            async with self.models.using(name) as model:
                yield ResponsesSession(model.llm, mcp_servers=self.tool_servers)

        return SessionManager(self.database or Database.open(), ModelAnswering(use))

    async def close(self) -> None:
        """Close what the application was given to own: the models that it loaded, and the database."""
        if "responses" in self.__dict__:
            await self.responses.close()
        if "sessions" in self.__dict__:
            await self.sessions.close()
        if "tool_servers" in self.__dict__:
            await self.tool_servers.close()
        await self.models.close()
        if self.database is not None:
            self.database.close()
