"""The tools of one turn under the names that the model uses.

Owns that names are unique and what is offered. Refuses to know how tools run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from candlewick.chat.messages import Tool
from candlewick.core.errors import InvalidRequestError
from candlewick.responses.events import OfferedTool
from candlewick.responses.tools import ExecutableTool


@dataclass(frozen=True)
class Toolbox:
    """``executable`` are run by the loop, ``client`` by the caller; no name is in both."""

    executable: Mapping[str, ExecutableTool]
    client: Mapping[str, Tool]

    @classmethod
    def assemble(
        cls,
        functions: Iterable[ExecutableTool],
        server_tools: Iterable[ExecutableTool],
        client_tools: Iterable[Tool],
        *,
        away: Collection[str] = (),
        allowed: Collection[str] | None = None,
    ) -> Toolbox:
        """Put together what a conversation may use.

        Tools of servers whose name is also another's are called ``label__name``. ``away`` are the labels of servers
        that are lost for now: their tools can't be called, but the others' names stay what they were.

        Raises:
            InvalidRequestError: two Python functions, or a function and a client's tool, share a name.
        """
        functions, client_tools, server_tools = list(functions), list(client_tools), list(server_tools)
        _require_unique([*(tool.name for tool in functions), *(tool.name for tool in client_tools)])
        executable = {tool.name: tool for tool in functions}
        client = {tool.name: tool for tool in client_tools}
        count = Counter([*client, *executable, *(tool.name for tool in server_tools)])
        for tool in server_tools:
            wanted = tool.name if count[tool.name] == 1 else f"{tool.server}__{tool.name}"
            name, number = wanted, 2
            while name in executable or name in client:
                name, number = f"{wanted}_{number}", number + 1
            executable[name] = tool if name == tool.name else tool.renamed(name)
        usable = {
            name: tool
            for name, tool in executable.items()
            if tool.server not in away and (allowed is None or name in allowed)
        }
        return cls(usable, client)

    def definitions(self) -> list[Tool]:
        """What the model is told."""
        return [*(tool.definition for tool in self.executable.values()), *self.client.values()]

    def offered(self) -> tuple[OfferedTool, ...]:
        """What the turn's event tells."""
        own = (
            OfferedTool(name, "function" if tool.server is None else "mcp", tool.server, tool.own_name)
            for name, tool in self.executable.items()
        )
        return (*own, *(OfferedTool(name, "client", None, name) for name in self.client))


def _require_unique(names: Iterable[str]) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise InvalidRequestError(
                f"two tools are called {name!r}; rename one of them (function_tool has name=)", "tools"
            )
