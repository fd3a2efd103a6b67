"""Which MCP servers a request may use: those that the operator set up, and those whose host the operator allowed.

No request makes this process call where the request likes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

from candlewick.core.errors import InvalidRequestError
from candlewick.responses.mcp.configuration import MCPServerConfiguration
from candlewick.responses.mcp.servers import MCPServers
from candlewick.responses.options import ServerUse
from candlewick.responses.wire.tool_definitions import ServerRequest, ToolRequest


class ServerAccess:
    """What requests may use.

    Args:
        servers: those that the operator set up; a request names one by its label, without a URL.
        allowed_hosts: hosts of URLs that requests may bring: ``mcp.example.com``, or with a port
            ``localhost:8080``. A name without a port stands for the usual port of the URL's scheme.
    """

    def __init__(self, servers: MCPServers | None = None, allowed_hosts: Collection[str] = ()) -> None:
        self.servers = servers or MCPServers(())
        self._allowed_hosts = frozenset(host.lower() for host in allowed_hosts)

    def admit(self, tools: ToolRequest) -> tuple[list[ServerUse], list[MCPServerConfiguration]]:
        """The servers of a request: their parts in its conversation, and those that it brings.

        Raises:
            InvalidRequestError: one may not be used; its place is named.
        """
        uses, extra = [], []
        if tools.choice == "none":
            return [], []
        for server in tools.servers:
            if server.url is not None:
                extra.append(self._brought(server, server.url))
            elif server.label not in self.servers.labels:
                known = ", ".join(self.servers.labels) or "none"
                raise InvalidRequestError(
                    f"there is no MCP server {server.label!r} here; there are: {known}",
                    f"{server.where}.server_label",
                )
            if tools.allowed is None or server.label in tools.allowed:
                approval = server.approval
                uses.append(
                    ServerUse(
                        label=server.label,
                        allowed_tools=server.allowed_tools,
                        approval=dict(approval) if isinstance(approval, Mapping) else approval,
                    )
                )
        return uses, extra

    def _brought(self, server: ServerRequest, url: str) -> MCPServerConfiguration:
        try:
            address = urlsplit(url)
            port = address.port
        except ValueError:
            raise InvalidRequestError(f"{url!r} is no URL", f"{server.where}.server_url") from None
        host = (address.hostname or "").lower()
        is_usual = port in (None, {"http": 80, "https": 443}.get(address.scheme))
        if address.username is not None or not (
            f"{host}:{port}" in self._allowed_hosts or (is_usual and host in self._allowed_hosts)
        ):
            raise InvalidRequestError(
                f"the MCP server {url!r} may not be used: its host is not one that this server's operator allowed",
                f"{server.where}.server_url",
            )
        if server.label in self.servers.labels:
            raise InvalidRequestError(
                f"the label {server.label!r} is that of a server of ours; give this one another",
                f"{server.where}.server_label",
            )
        return MCPServerConfiguration(label=server.label, url=url, headers=dict(server.headers))
