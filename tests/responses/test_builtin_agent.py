"""The built-in model over two real MCP servers and a Python function, one of the servers killed midway.

The model is small, so the first call of each run is forced; how it goes on is its own affair. Asserted is what was
done and told, never the words.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from typing import Any, Literal

import pytest
from running_mcp import http_server, stdio_server

pytest.importorskip("mcp", reason="needs the responses extra")
pytest.importorskip("sqlalchemy", reason="needs the store extra")
pytest.importorskip("candlewick._kernels", reason="needs the native module")
pytest.importorskip("llguidance", reason="the extra 'structured' is not installed")

from candlewick import AsyncLLM
from candlewick.core.params import GenerationParams
from candlewick.responses import (
    ConversationOptions,
    ConversationResult,
    ExecutedCall,
    MCPServerConfiguration,
    ResponsesSession,
)
from candlewick.store import Database

GO = [{"role": "user", "content": "Go on."}]


def paint(colour: Literal["red", "blue"]) -> str:
    """Paint the house."""
    return f"the house is {colour}"


async def wait_for_ever() -> str:
    """Wait."""
    await asyncio.Event().wait()
    return "never"


@pytest.fixture(scope="module")
def web() -> Iterator[str]:
    with http_server() as (url, _):
        yield url


async def force(
    session: ResponsesSession, tool: str, **options: Any
) -> tuple[ConversationResult, ExecutedCall]:
    """One run that begins with a call of a tool."""
    result = await session.run_conversation(
        GO,
        ConversationOptions(
            tool_choice=tool,
            parallel_tool_calls=False,
            params=GenerationParams(max_tokens=40, seed=1),
            thinking="no_think",
            **{"max_turns": 2, **options},
        ),
    )
    return result, result.tool_calls_executed[0]


async def test_two_servers_a_function_and_what_goes_wrong(web: str) -> None:
    database = Database.open()
    servers = [
        stdio_server(),
        MCPServerConfiguration(label="web", url=web, connect_timeout=120),
    ]
    async with (
        AsyncLLM(num_threads=1) as llm,
        ResponsesSession(llm, tools=[paint, wait_for_ever], mcp_servers=servers, store=database) as session,
    ):
        painted, call = await force(session, "paint")
        assert (call.name, call.status) == ("paint", "completed")
        assert call.result.text in ("the house is red", "the house is blue")

        local, call = await force(session, "local__process_id", continues=painted.response_id)
        assert (call.server, call.own_name, call.status) == ("local", "process_id", "completed")
        local_process = int(call.result.text)

        remote, call = await force(session, "web__process_id", continues=local.response_id)
        assert (call.server, call.status) == ("web", "completed")
        assert int(call.result.text) != local_process

        os.kill(local_process, signal.SIGKILL)  # the other goes on
        _, call = await force(session, "web__process_id", continues=remote.response_id)
        assert (call.server, call.status) == ("web", "completed")

        _, call = await force(session, "wait_for_ever", tool_timeout=0.2)
        assert (call.status, call.result.is_error) == ("timed_out", True)
        assert "within 0.2 s" in call.result.text

        async def refuse(request: Any) -> bool:
            return False

        refused, call = await force(session, "paint", approval="always", approve=refuse)
        assert (call.status, call.result.text) == ("refused", "the user refused this call")
        assert refused.messages[1].content == "error: the user refused this call"

        limited, call = await force(session, "paint", max_turns=1)
        assert (limited.stop_reason, limited.turns_taken, call.status) == ("max_turns", 1, "skipped")

        _, call = await force(session, "required", allowed_tools=["paint"])
        assert call.name == "paint"
        history = await session.history(str(remote.response_id))
        called = [made.name for message in history for made in message.tool_calls]
        assert [name for name in ("paint", "local__process_id", "web__process_id") if name in called] == [
            "paint", "local__process_id", "web__process_id",
        ]  # fmt: skip
    database.close()
