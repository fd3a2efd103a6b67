"""The names of tools: unique, and the same for as long as a conversation lasts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from candlewick.chat.messages import Tool
from candlewick.core.errors import InvalidRequestError
from candlewick.responses.toolbox import Toolbox
from candlewick.responses.tools import ExecutableTool, ToolContext, ToolResult


async def nothing(arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
    return ToolResult("")


def tool(name: str, server: str | None = None) -> ExecutableTool:
    return ExecutableTool(definition=Tool(name=name), execute=nothing, server=server, own_name=name)


def names(*server_tools: ExecutableTool, away: tuple[str, ...] = ()) -> list[str]:
    return list(Toolbox.assemble([tool("own")], server_tools, [Tool(name="theirs")], away=away).executable)


def test_tools_of_servers_have_the_label_in_front_where_names_collide() -> None:
    assert names(tool("read", "files"), tool("read", "mail"), tool("send", "mail"), tool("own", "mail")) == [
        "own", "files__read", "mail__read", "send", "mail__own",
    ]  # fmt: skip
    assert names(tool("theirs", "mail"), tool("mail__theirs", "odd")) == [
        "own", "mail__theirs", "mail__theirs_2",
    ]  # fmt: skip


def test_a_server_that_is_lost_leaves_the_names_of_the_others() -> None:
    both = (tool("read", "files"), tool("read", "mail"))
    assert names(*both, away=("files",)) == ["own", "mail__read"]
    assert names(tool("read", "mail")) == ["own", "read"]


def test_functions_that_share_a_name_are_refused() -> None:
    with pytest.raises(InvalidRequestError, match="two tools are called 'own'"):
        Toolbox.assemble([tool("own")], (), [Tool(name="own")])
