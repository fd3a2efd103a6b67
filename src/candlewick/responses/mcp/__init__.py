"""Tools of MCP servers: their configuration, one supervised task a server, results as the loop wants them.

And the other way round, in ``serving.py``: a model here as an MCP server. The official SDK speaks the
protocol; it is imported when a server is first connected, for that takes most of a second.
"""

from candlewick.responses.mcp.configuration import MCPConfiguration, MCPServerConfiguration
from candlewick.responses.mcp.oauth import OAuth
from candlewick.responses.mcp.servers import MCPServers

__all__ = ["MCPConfiguration", "MCPServerConfiguration", "MCPServers", "OAuth"]
