"""LangChain, pydantic-ai, the OpenAI Agents SDK and litellm each complete a conversation with a tool."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytestmark = pytest.mark.clients

QUESTION = "What is the weather in Ulm?"
ANSWER = "It is sunny in Ulm."


def weather(city: str) -> str:
    return f"sunny in {city}"


@pytest.mark.parametrize("streams", [False, True])
def test_langchain(address: str, streams: bool) -> None:
    langchain = pytest.importorskip("langchain_openai")
    from langchain_core.messages import HumanMessage, ToolMessage
    from langchain_core.tools import tool

    @tool
    def get_weather(city: str) -> str:
        """The weather in a city."""
        return weather(city)

    model = langchain.ChatOpenAI(
        model="scripted", base_url=f"{address}/v1", api_key="none", max_retries=0, streaming=streams
    ).bind_tools([get_weather])
    messages: list[Any] = [HumanMessage(QUESTION)]
    message = model.invoke(messages)
    (call,) = message.tool_calls
    assert (call["name"], call["args"]) == ("get_weather", {"city": "Ulm"})
    messages += [message, ToolMessage(get_weather.invoke(call["args"]), tool_call_id=call["id"])]
    if streams:
        assert "".join(str(chunk.content) for chunk in model.stream(messages)) == ANSWER
    else:
        assert model.invoke(messages).content == ANSWER


async def test_pydantic_ai(address: str) -> None:
    pydantic_ai = pytest.importorskip("pydantic_ai")
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    provider = OpenAIProvider(base_url=f"{address}/v1", api_key="none")
    agent = pydantic_ai.Agent(OpenAIChatModel("scripted", provider=provider))

    @agent.tool_plain
    def get_weather(city: str) -> str:
        """The weather in a city."""
        return weather(city)

    assert (await agent.run(QUESTION)).output == ANSWER
    async with agent.run_stream(QUESTION) as stream:
        assert await stream.get_output() == ANSWER


async def test_the_agents_sdk(address: str) -> None:
    agents = pytest.importorskip("agents")
    import openai

    agents.set_tracing_disabled(True)

    @agents.function_tool
    def get_weather(city: str) -> str:
        """The weather in a city."""
        return weather(city)

    client = openai.AsyncOpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)
    agent = agents.Agent(
        name="Reporter",
        instructions="Tell the weather.",
        model=agents.OpenAIChatCompletionsModel(model="scripted", openai_client=client),
        tools=[get_weather],
    )
    assert (await agents.Runner.run(agent, QUESTION)).final_output == ANSWER
    streamed = agents.Runner.run_streamed(agent, QUESTION)
    async for _ in streamed.stream_events():
        pass
    assert streamed.final_output == ANSWER


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_litellm(address: str, provider: str) -> None:
    litellm = pytest.importorskip("litellm")
    asked: dict[str, Any] = {
        "model": f"{provider}/scripted",
        "api_base": f"{address}/v1" if provider == "openai" else address,
        "api_key": "none",
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "get_weather",
                    "description": "The weather in a city",
                    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
                },
            }
        ],
    }
    messages: list[Any] = [{"role": "user", "content": QUESTION}]
    message = litellm.completion(messages=messages, **asked).choices[0].message
    (call,) = message.tool_calls
    arguments = json.loads(call.function.arguments)
    messages += [
        message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": weather(**arguments)},
    ]
    assert litellm.completion(messages=messages, **asked).choices[0].message.content == ANSWER
    chunks = litellm.completion(messages=messages, stream=True, **asked)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == ANSWER
