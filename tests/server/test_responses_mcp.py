"""MCP servers through ``/v1/responses``: a real one over streamable HTTP, with approvals, and who may name which."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from running_server import running
from scripted_llm import ScriptedLLM, text_answer, tool_answer
from strict_wire import check_order

import openai

pytest.importorskip("mcp", reason="needs the mcp extra")
pytest.importorskip("sqlalchemy", reason="needs the store extra")

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

from candlewick.responses.mcp.configuration import MCPServerConfiguration
from candlewick.server import create_app
from candlewick.server.config import ServerConfig
from candlewick.server.model_registry import ModelRegistry
from candlewick.server.services import Services


@pytest.fixture(scope="module")
def weather_url() -> Iterator[str]:
    """A server with two tools."""
    server = MCPServer("weather")

    @server.tool()
    def weather(city: str) -> str:
        """The weather of a city."""
        return f"rain in {city}"

    @server.tool()
    def storm() -> str:
        """Always fails."""
        raise ToolError("no storm today")

    with running(server.streamable_http_app()) as address:
        yield f"{address}/mcp"


def in_turns(*answers: Any) -> ScriptedLLM:
    left = iter(answers)
    return ScriptedLLM(lambda call: next(left))


def call(name: str, arguments: str = '{"city": "Ulm"}', id: str = "c1") -> Any:
    return tool_answer((id, name, [arguments]))


@pytest.fixture
def client(weather_url: str) -> Iterator[Any]:
    """``client(llm)`` of a server with the weather under its own label."""
    from contextlib import ExitStack

    with ExitStack() as stack:

        def connect(llm: ScriptedLLM, **config: Any) -> Any:
            own = MCPServerConfiguration(label="weather", url=weather_url)
            services = Services(ModelRegistry.of(llm), ServerConfig(**config), mcp_servers=(own,))
            address = stack.enter_context(running(create_app(services)))
            return openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0, timeout=30)

        yield connect


WEATHER = {"type": "mcp", "server_label": "weather", "require_approval": "never"}


def test_a_server_of_ours_by_its_label(client: Any) -> None:
    llm = in_turns(call("weather"), call("storm", "{}"), text_answer("Rain."), text_answer("Still."))
    responses = client(llm).responses
    events = [
        e.to_dict() for e in responses.create(model="scripted", input="?", tools=[WEATHER], stream=True)
    ]
    check_order(events)
    response = responses.retrieve(events[-1]["response"]["id"])
    listed, rain, storm, message = response.output
    assert (listed.type, {tool.name for tool in listed.tools}) == ("mcp_list_tools", {"weather", "storm"})
    assert (rain.type, rain.output, rain.error, rain.arguments) == (
        "mcp_call",
        "rain in Ulm",
        None,
        '{"city": "Ulm"}',
    )
    assert storm.output is None
    assert "no storm today" in str(storm.error)
    assert message.content[0].text == "Rain."
    kinds = [event["type"].removeprefix("response.") for event in events]
    start = kinds.index("mcp_call.in_progress")
    assert kinds[start - 1 : start + 5] == [
        "output_item.added",
        "mcp_call.in_progress",
        "mcp_call_arguments.delta",
        "mcp_call_arguments.done",
        "mcp_call.completed",
        "output_item.done",
    ]
    assert "mcp_call.failed" in kinds
    more = responses.create(
        model="scripted", input="And now?", previous_response_id=response.id, tools=[WEATHER]
    )
    assert [item.type for item in more.output] == ["message"]
    roles = [message.role for message in llm.calls[3].messages]
    assert roles == ["user", "assistant", "tool", "tool", "assistant", "user"] or roles == [
        "user", "assistant", "tool", "assistant", "tool", "assistant", "user",
    ]  # fmt: skip


@pytest.mark.parametrize("approve", [True, False])
@pytest.mark.parametrize("stored", [True, False])
def test_approvals(client: Any, approve: bool, stored: bool) -> None:
    llm = in_turns(call("weather"), text_answer("Done."))
    responses = client(llm).responses
    tools = [{"type": "mcp", "server_label": "weather"}]
    first = responses.create(model="scripted", input="?", tools=tools, store=stored)
    request = first.output[-1]
    assert (request.type, request.name, request.arguments) == (
        "mcp_approval_request",
        "weather",
        '{"city": "Ulm"}',
    )
    answer = {
        "type": "mcp_approval_response",
        "approval_request_id": request.id,
        "approve": approve,
        "reason": None if approve else "too wet",
    }
    if stored:
        second = responses.create(
            model="scripted", input=[answer], previous_response_id=first.id, tools=tools
        )
    else:
        sent = [{"role": "user", "content": "?"}, *(item.to_dict() for item in first.output), answer]
        second = responses.create(model="scripted", input=sent, tools=tools, store=False)
    ran = next(item for item in second.output if item.type == "mcp_call")
    assert ran.approval_request_id == request.id
    assert second.output_text == "Done."
    told = llm.calls[1].messages[-1].content
    assert told == "rain in Ulm" if approve else "too wet" in told
    assert (ran.output == "rain in Ulm") is approve


def test_a_server_by_its_url_only_where_the_operator_allows_its_host(client: Any, weather_url: str) -> None:
    brought = {**WEATHER, "server_label": "mine", "server_url": weather_url, "authorization": "secret"}
    with pytest.raises(openai.BadRequestError, match="operator allowed") as caught:
        client(in_turns()).responses.create(model="scripted", input="?", tools=[brought])
    assert caught.value.param == "tools[0].server_url"
    host = weather_url.removeprefix("http://").removesuffix("/mcp")
    llm = in_turns(call("weather"), text_answer("Rain."))
    responses = client(llm, mcp_hosts=[host]).responses
    response = responses.create(model="scripted", input="?", tools=[brought])
    assert [item.type for item in response.output] == ["mcp_list_tools", "mcp_call", "message"]
    assert "secret" not in response.to_json()
    for url in (
        "http://127.0.0.1:1/mcp",
        f"http://{host}@evil.example/mcp",
        "file:///etc/passwd",
        "http://[/",
    ):
        with pytest.raises(openai.BadRequestError):
            responses.create(model="scripted", input="?", tools=[{**brought, "server_url": url}])


def test_only_tools_that_a_request_names_take_part(client: Any) -> None:
    llm = in_turns(text_answer("a"), text_answer("b"))
    responses = client(llm).responses
    responses.create(model="scripted", input="?", tools=[{**WEATHER, "allowed_tools": ["storm"]}])
    assert [tool.name for tool in llm.calls[0].tools] == ["storm"]
    responses.create(model="scripted", input="?")
    assert not llm.calls[1].tools


def test_a_server_that_is_not_there_is_told_and_stops_nobody(client: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    gone = {**WEATHER, "server_label": "gone", "server_url": f"http://127.0.0.1:{port}/mcp"}
    responses = client(in_turns(text_answer("Alone.")), mcp_hosts=[f"127.0.0.1:{port}"]).responses
    stream = responses.create(model="scripted", input="?", tools=[gone], stream=True)
    events = [event.to_dict() for event in stream]
    check_order(events)
    listed, message = events[-1]["response"]["output"]
    assert listed["error"]
    assert message["content"][0]["text"] == "Alone."
