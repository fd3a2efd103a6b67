"""Conversations over real MCP servers: programs on stdio, and by HTTP."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from scripted_llm import ScriptedLLM, replaying, text_answer, tool_answer

pytest.importorskip("mcp", reason="needs the responses extra")

from running_mcp import free_port, http_server, stdio_server

from candlewick.core.errors import InvalidRequestError
from candlewick.responses import (
    ConversationComplete,
    ConversationOptions,
    ConversationResult,
    MCPServerConfiguration,
    ResponsesSession,
    ServerState,
    ServerUse,
)
from candlewick.responses.mcp import connection

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUESTION = [{"role": "user", "content": "Go on."}]


def in_turns(*answers: Any) -> ScriptedLLM:
    left = iter(answers)
    return ScriptedLLM(lambda call: next(left))


def call(name: str, id: str = "c1", **arguments: Any) -> tuple[str, str, list[str]]:
    return (id, name, [json.dumps(arguments)])


async def run(
    session: ResponsesSession, llm: ScriptedLLM, **options: Any
) -> tuple[list[Any], ConversationResult]:
    session.llm = llm
    events = [e async for e in session.stream_conversation(QUESTION, ConversationOptions(**options))]
    assert isinstance(events[-1], ConversationComplete)
    return events, events[-1].result


async def call_once(session: ResponsesSession, name: str, **arguments: Any) -> Any:
    """What one call of a tool comes to."""
    llm = in_turns(tool_answer(call(name, **arguments)), text_answer("Done."))
    _, result = await run(session, llm)
    return result.tool_calls_executed[0]


async def until(session: ResponsesSession, is_so: Callable[[ServerState], bool]) -> ServerState:
    """Wait until a server is in such a state."""
    changed = asyncio.Event()
    unsubscribe = session.servers.add_listener(lambda state: changed.set())
    try:
        async with asyncio.timeout(120):
            while True:
                for state in session.servers.states:
                    if is_so(state):
                        return state
                changed.clear()
                await changed.wait()
    finally:
        unsubscribe()


async def changed_to(session: ResponsesSession, label: str, status: str) -> ServerState:
    return await until(session, lambda state: (state.label, state.status) == (label, status))


@pytest.fixture(scope="module")
def web() -> Iterator[str]:
    """The URL of a server."""
    with http_server() as (url, _):
        yield url


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def local() -> AsyncIterator[ResponsesSession]:
    """A session with one server, the program "local"."""
    servers = [stdio_server(approval={"echo": "always"})]
    async with ResponsesSession(replaying(), mcp_servers=servers) as session:
        yield session


def double(number: int) -> int:
    """Twice as much."""
    return 2 * number


async def test_two_servers_and_a_function_complete_a_conversation(web):
    servers = [
        stdio_server(allowed_tools=["add", "count"]),
        MCPServerConfiguration(label="web", url=web, allowed_tools=["echo", "count"]),
    ]
    async with ResponsesSession(replaying(), tools=[double], mcp_servers=servers) as session:
        llm = in_turns(
            tool_answer(call("add", "c1", a=2, b=3), call("echo", "c2", text="héllo")),
            tool_answer(call("double", "c3", number=5), call("web__count", "c4", steps=2)),
            text_answer("All done."),
        )
        events, result = await run(session, llm)
    assert result.stop_reason == "stop"
    assert [tool.name for tool in llm.calls[0].tools] == [
        "double",
        "add",
        "local__count",
        "echo",
        "web__count",
    ]
    by_id = {executed.call_id: executed for executed in result.tool_calls_executed}
    assert [by_id[id].result.text for id in ("c1", "c2", "c3", "c4")] == ["5", "héllo", "10", "counted to 2"]
    assert {executed.status for executed in by_id.values()} == {"completed"}
    assert [by_id[id].server for id in ("c1", "c2", "c3", "c4")] == ["local", "web", None, "web"]
    assert by_id["c4"].own_name == "count"
    assert by_id["c1"].result.structured == {"result": 5}
    names = [event.sse_name for event in events]
    assert names.count("tool_progress") == 2
    ready = [event for event in events if isinstance(event, ServerState) and event.status == "ready"]
    assert {state.label: [tool.name for tool in state.tools] for state in ready} == {
        "local": ["add", "count"],
        "web": ["echo", "count"],
    }
    assert names.index("turn_start") > max(i for i, name in enumerate(names) if name == "server_state")
    offered = next(event for event in events if event.sse_name == "turn_start").tools
    assert [(tool.kind, tool.server, tool.own_name) for tool in offered][2] == ("mcp", "local", "count")


async def test_results_of_every_kind(local):
    failed = await call_once(local, "fail", reason="the moon is down")
    assert (failed.status, failed.result.is_error) == ("failed", True)
    assert "the moon is down" in failed.result.for_model
    picture = await call_once(local, "picture")
    assert picture.result.text == "[image: image/png, 6 bytes]"
    assert picture.result.images[0].data == b"\x89PNG\r\n"
    long = await call_once(local, "long", length=200_000)
    assert long.result.is_cut
    assert len(long.result.text) < 51_000
    wrong = await call_once(local, "add", a="x")
    assert wrong.status == "failed"


async def test_a_server_that_is_killed_is_told_the_other_goes_on_and_it_comes_back(web, monkeypatch):
    monkeypatch.setattr(connection, "FIRST_DELAY_SECONDS", 0.05)
    second = MCPServerConfiguration(label="second", url=web, allowed_tools=["echo"])
    servers = [stdio_server("first"), second]
    async with ResponsesSession(replaying(), mcp_servers=servers) as session:
        llm = in_turns(
            tool_answer(call("die", "c1"), call("second__echo", "c2", text="still here")),
            tool_answer(call("second__echo", "c3", text="and now")),
            text_answer("One is gone."),
        )
        _, result = await run(session, llm)
        by_id = {executed.call_id: executed for executed in result.tool_calls_executed}
        assert by_id["c1"].status == "failed"
        assert "the server 'first': Connection closed" in by_id["c1"].result.text
        assert by_id["c2"].result.text == "still here"
        assert by_id["c3"].status in ("completed", "failed")
        assert result.stop_reason == "stop"
        await changed_to(session, "first", "ready")
        # It may have been seen as ready before its end was noticed.
        while (answered := await call_once(session, "process_id")).status != "completed":  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        pid = int(answered.result.text)
        os.kill(pid, signal.SIGKILL)
        failed = await changed_to(session, "first", "failed")
        assert failed.error is not None
        assert "it said: the test server is ready" in failed.error
        await changed_to(session, "first", "ready")
        assert int((await call_once(session, "process_id")).result.text) != pid


async def test_an_http_server_that_goes_away_and_comes_back(monkeypatch):
    monkeypatch.setattr(connection, "FIRST_DELAY_SECONDS", 0.05)
    monkeypatch.setattr(connection, "LONGEST_DELAY_SECONDS", 0.3)
    port = free_port()
    configuration = MCPServerConfiguration(label="web", url=f"http://127.0.0.1:{port}/mcp")
    with http_server(port=port):
        session = ResponsesSession(replaying(), mcp_servers=[configuration])
        session.servers.start()
        await changed_to(session, "web", "ready")
    dead = await call_once(session, "add", a=1, b=2)
    assert dead.status == "failed"
    await changed_to(session, "web", "failed")
    with http_server(port=port):
        await changed_to(session, "web", "ready")
        assert (await call_once(session, "add", a=1, b=2)).result.text == "3"
        await session.close()


async def test_a_hanging_tool_is_cut_and_its_server_told(local, tmp_path):
    note = tmp_path / "note"
    llm = in_turns(tool_answer(call("hang", note_path=str(note))), text_answer("Too slow."))
    _, result = await run(local, llm, tool_timeout=1.0)
    assert result.tool_calls_executed[0].status == "timed_out"
    assert "within 1 s; it was stopped" in result.tool_calls_executed[0].result.text
    await written(note, "cancelled")
    assert (await call_once(local, "add", a=1, b=1)).result.text == "2"


async def written(note: Path, text: str) -> None:
    """Wait until the server's process has written it."""

    def look() -> None:
        deadline = time.monotonic() + 20
        while not note.exists() or note.read_text() != text:
            assert time.monotonic() < deadline, "the server did not notice"
            time.sleep(0.01)

    await asyncio.to_thread(look)


async def test_cancelling_a_conversation_reaches_the_server(local, tmp_path):
    note = tmp_path / "note"
    local.llm = in_turns(tool_answer(call("hang", note_path=str(note))))
    conversation = local.stream_conversation(QUESTION)
    async for event in conversation:
        if event.sse_name == "tool_execution_start":
            await written(note, "began")
            conversation.cancel()
    assert event.result.stop_reason == "cancelled"
    assert event.result.tool_calls_executed[0].status == "cancelled"
    await written(note, "cancelled")


async def test_servers_that_do_not_start_or_answer_take_nobody_with_them():
    broken = MCPServerConfiguration(label="broken", command="no-such-program-anywhere")
    complains = MCPServerConfiguration(
        label="complains", command=sys.executable, args=("-c", "raise SystemExit('no licence')")
    )
    silent = MCPServerConfiguration(
        label="silent", command=sys.executable, args=("-c", "import sys; sys.stdin.read()"), connect_timeout=1
    )
    refused = MCPServerConfiguration(label="refused", url=f"http://127.0.0.1:{free_port()}/mcp")
    servers = [broken, complains, silent, refused, stdio_server()]
    async with ResponsesSession(replaying(), mcp_servers=servers) as session:
        llm = in_turns(tool_answer(call("add", a=1, b=2)), text_answer("Three."))
        events, result = await run(session, llm)
        assert result.tool_calls_executed[0].result.text == "3"
        states = {event.label: event for event in events if isinstance(event, ServerState)}
    assert {label: state.status for label, state in states.items()} == {
        "broken": "failed", "complains": "failed", "silent": "failed", "refused": "failed", "local": "ready",
    }  # fmt: skip
    assert "no-such-program-anywhere" in states["broken"].error
    assert "no licence" in states["complains"].error
    assert states["silent"].error == "no answer within 1 s"
    assert "connection" in states["refused"].error.lower()


async def test_a_changed_list_of_tools_is_noticed(local):
    assert (await call_once(local, "grow")).result.text == "grown"
    await until(local, lambda state: "grown" in [tool.name for tool in state.tools])
    assert (await call_once(local, "grown")).result.text == "I am new"


async def test_the_older_transport_by_events():
    with http_server("sse") as (url, _):
        server = MCPServerConfiguration(label="old", url=url, transport="sse")
        async with ResponsesSession(replaying(), mcp_servers=[server]) as session:
            assert (await call_once(session, "add", a=4, b=5)).result.text == "9"


async def test_approvals_allowed_tools_and_servers_of_one_conversation(local):
    llm = in_turns(tool_answer(call("echo", "c1", text="x"), call("add", "c2", a=1, b=2), call("long", "c3")))
    use = ServerUse(label="local", allowed_tools=["echo", "add"], approval={"add": "always"})
    _, result = await run(local, llm, servers=[use])
    assert [tool.name for tool in llm.calls[0].tools] == ["add", "echo"]
    assert result.stop_reason == "approval"
    assert [(r.call_id, r.server) for r in result.pending_approvals] == [("c1", "local"), ("c2", "local")]
    assert result.tool_calls_executed[0].result.text == "there is no tool 'long'; there are: add, echo"

    llm = in_turns(text_answer("Alone."))
    events, _ = await run(local, llm, servers=[])
    assert llm.calls[0].tools is None
    assert events[0].sse_name == "turn_start"
    with pytest.raises(InvalidRequestError, match="there is no MCP server 'remote'; there are: local"):
        local.stream_conversation(QUESTION, ConversationOptions(servers=[ServerUse(label="remote")]))


async def test_a_server_for_one_conversation_alone():
    session = ResponsesSession(replaying())
    llm = in_turns(tool_answer(call("process_id")), text_answer("Bye."))
    _, result = await run(session, llm, extra_servers=[stdio_server("guest")])
    pid = int(result.tool_calls_executed[0].result.text)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert session.servers.labels == ()


async def test_headers_and_bearer_tokens_are_sent():
    received: list[dict[str, str]] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        received.append({name.decode(): value.decode() for name, value in scope["headers"]})
        await send({"type": "http.response.start", "status": 401, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    import uvicorn

    port = free_port()
    server = uvicorn.Server(uvicorn.Config(application, port=port, log_level="error", lifespan="off"))
    serving = asyncio.create_task(server.serve())
    configuration = MCPServerConfiguration(
        label="web", url=f"http://127.0.0.1:{port}/mcp", headers={"X-Team": "moon"}, bearer_token="s3cret"
    )
    assert "s3cret" not in repr(configuration)
    async with ResponsesSession(replaying(), mcp_servers=[configuration]) as session:
        failed = await changed_to(session, "web", "failed")
    server.should_exit = True
    await serving
    assert received[0]["authorization"] == "Bearer s3cret"
    assert received[0]["x-team"] == "moon"
    assert "401" in failed.error
