"""An MCP server over standard input and output, for tests of the chat page."""

from mcp.server import MCPServer

server = MCPServer("numbers")


@server.tool()
def add(a: int, b: int) -> str:
    """The sum of two numbers."""
    return f"{a} + {b} is {a + b} <b>&</b>"


if __name__ == "__main__":
    server.run("stdio")
