"""The OpenAI Agents SDK, pydantic-ai and LangChain run agents with a function tool on ``/v1/responses``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytestmark = pytest.mark.clients
pytest.importorskip("sqlalchemy", reason="needs the store extra")

QUESTION = "What is the weather in Ulm?"
ANSWER = "It is sunny in Ulm."


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A server whose model thinks, calls ``get_weather``, and then repeats the tool's result."""
    from running_server import running
    from scripted_llm import Call, Script, ScriptedLLM, thinking_answer, tool_answer

    from candlewick.server import create_app

    def script(call: Call) -> Script:
        last = call.messages[-1]
        if last.role == "tool":
            return thinking_answer(["So."], "It is ", str(last.content), ".")
        if last.content != QUESTION:
            return thinking_answer(["Hm."], f"{len(call.messages)} messages")
        assert [tool.name for tool in call.tools or ()] == ["get_weather"]
        called = tool_answer((f"call{len(call.messages)}", "get_weather", ['{"city"', ': "Ulm"}']))
        return [*thinking_answer(["I should ", "look."])[:-1], *called[1:]]

    with running(create_app(ScriptedLLM(script))) as base:
        yield f"{base}/v1"


@pytest.fixture
def agent(address: str) -> Any:
    agents = pytest.importorskip("agents")
    import openai

    agents.set_tracing_disabled(True)

    @agents.function_tool
    def get_weather(city: str) -> str:
        """The weather in a city."""
        return f"sunny in {city}"

    client = openai.AsyncOpenAI(base_url=address, api_key="none", max_retries=0)
    return agents.Agent(
        name="Reporter",
        instructions="Tell the weather.",
        model=agents.OpenAIResponsesModel(model="scripted", openai_client=client),
        tools=[get_weather],
    )


async def test_the_agents_sdk(agent: Any) -> None:
    import agents

    result = await agents.Runner.run(agent, QUESTION)
    assert result.final_output == ANSWER
    kinds = [type(item).__name__ for item in result.new_items]
    assert kinds == [
        "ReasoningItem", "ToolCallItem", "ToolCallOutputItem", "ReasoningItem", "MessageOutputItem",
    ]  # fmt: skip
    streamed = agents.Runner.run_streamed(agent, QUESTION)
    deltas = [
        event.data.delta
        async for event in streamed.stream_events()
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta"
    ]
    assert streamed.final_output == "".join(deltas) == ANSWER


async def test_the_agents_sdk_goes_on_from_a_response(agent: Any) -> None:
    import agents

    first = await agents.Runner.run(agent, QUESTION)
    second = await agents.Runner.run(agent, "And then?", previous_response_id=first.last_response_id)
    assert second.final_output == "6 messages"  # instructions, question, call, result, answer, question


@pytest.mark.parametrize("settings", [{}, {"openai_previous_response_id": "auto"}])
async def test_pydantic_ai(address: str, settings: dict[str, Any]) -> None:
    pydantic_ai = pytest.importorskip("pydantic_ai")
    from pydantic_ai.messages import ThinkingPart
    from pydantic_ai.models.openai import OpenAIResponsesModel
    from pydantic_ai.providers.openai import OpenAIProvider

    provider = OpenAIProvider(base_url=address, api_key="none")
    agent = pydantic_ai.Agent(OpenAIResponsesModel("scripted", provider=provider), model_settings=settings)

    @agent.tool_plain
    def get_weather(city: str) -> str:
        """The weather in a city."""
        return f"sunny in {city}"

    result = await agent.run(QUESTION)
    assert result.output == ANSWER
    assert any(isinstance(part, ThinkingPart) for message in result.new_messages() for part in message.parts)
    async with agent.run_stream(QUESTION) as stream:
        assert await stream.get_output() == ANSWER
    assert (await agent.run("Hm?", message_history=result.all_messages())).output.endswith("messages")


@pytest.mark.parametrize("streams", [False, True])
def test_langchain(address: str, streams: bool) -> None:
    langchain = pytest.importorskip("langchain_openai")
    from langchain_core.messages import HumanMessage, ToolMessage
    from langchain_core.tools import tool

    @tool
    def get_weather(city: str) -> str:
        """The weather in a city."""
        return f"sunny in {city}"

    model = langchain.ChatOpenAI(
        model="scripted", base_url=address, api_key="none", max_retries=0, streaming=streams,
        use_responses_api=True,
    ).bind_tools([get_weather])  # fmt: skip
    messages: list[Any] = [HumanMessage(QUESTION)]
    message = model.invoke(messages)
    (call,) = message.tool_calls
    assert (call["name"], call["args"]) == ("get_weather", {"city": "Ulm"})
    messages += [message, ToolMessage(get_weather.invoke(call["args"]), tool_call_id=call["id"])]
    assert model.invoke(messages).text == ANSWER
