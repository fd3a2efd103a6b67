"""Every client completes a conversation with a tool on the built-in model: asks, is asked to call, tells the result.

The model is small, so the first call is forced, its arguments are an enumeration, and the answer after it is cut short:
what is asserted is the form of what comes back, never its words. Streams and plain answers are both tried.
"""

from __future__ import annotations

import json
from typing import Any, Literal, get_args

import pytest

pytest.importorskip("candlewick._kernels", reason="needs the native module")
pytest.importorskip("llguidance", reason="the extra 'structured' is not installed")

QUESTION = "What is the weather in Ulm?"
City = Literal["Ulm", "Rome"]
CITIES = get_args(City)
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "enum": list(CITIES)}},
    "required": ["city"],
    "additionalProperties": False,
}
FUNCTION = {
    "type": "function",
    "function": {"name": "get_weather", "description": "The weather in a city", "parameters": SCHEMA},
}
SHORT = 40
"""Tokens of an answer's text."""


def weather(city: str) -> str:
    assert city in CITIES
    return f"sunny in {city}"


@pytest.mark.parametrize("streams", [False, True])
def test_openai(builtin: str, streams: bool) -> None:
    openai = pytest.importorskip("openai")
    chat = openai.OpenAI(base_url=f"{builtin}/v1", api_key="none", max_retries=0).chat.completions

    def ask(**more: Any) -> Any:
        asked: dict[str, Any] = {"model": "builtin", "messages": messages, "tools": [FUNCTION]} | more
        if not streams:
            return chat.create(**asked).choices[0]
        with chat.stream(**asked) as stream:
            kinds = [event.type for event in stream]
            choice = stream.get_final_completion().choices[0]
        calls = choice.message.tool_calls or []
        assert kinds.count("tool_calls.function.arguments.done") == len(calls)
        return choice

    messages: list[Any] = [{"role": "user", "content": QUESTION}]
    choice = ask(tool_choice="required", parallel_tool_calls=False)
    assert choice.finish_reason == "tool_calls"
    (call,) = choice.message.tool_calls
    assert call.function.name == "get_weather"
    result = weather(**json.loads(call.function.arguments))
    messages += [choice.message, {"role": "tool", "tool_call_id": call.id, "content": result}]
    choice = ask(tool_choice="none", max_tokens=SHORT, reasoning_effort="none")
    assert not choice.message.tool_calls
    assert choice.message.content
    assert choice.finish_reason in ("stop", "length")


@pytest.mark.parametrize("streams", [False, True])
def test_anthropic(builtin: str, streams: bool) -> None:
    anthropic = pytest.importorskip("anthropic")
    tool = {"name": "get_weather", "description": "The weather in a city", "input_schema": SCHEMA}
    client = anthropic.Anthropic(base_url=builtin, api_key="none", max_retries=0)

    def ask(**more: Any) -> Any:
        asked: dict[str, Any] = {"model": "builtin", "messages": messages, "tools": [tool]} | more
        if not streams:
            return client.messages.create(**asked)
        with client.messages.stream(**asked) as stream:
            return stream.get_final_message()

    messages: list[Any] = [{"role": "user", "content": QUESTION}]
    forced = {"type": "tool", "name": "get_weather", "disable_parallel_tool_use": True}
    message = ask(tool_choice=forced, max_tokens=500)
    assert message.stop_reason == "tool_use"
    (use,) = [block for block in message.content if block.type == "tool_use"]
    result = {"type": "tool_result", "tool_use_id": use.id, "content": weather(**use.input)}
    messages += [
        {"role": "assistant", "content": message.content},
        {"role": "user", "content": [result]},
    ]
    message = ask(tool_choice={"type": "none"}, max_tokens=SHORT)
    assert message.stop_reason in ("end_turn", "max_tokens")
    assert {block.type for block in message.content} <= {"text", "thinking"}
    assert message.usage.output_tokens > 0


@pytest.mark.clients
@pytest.mark.parametrize("streams", [False, True])
def test_langchain(builtin: str, streams: bool) -> None:
    langchain = pytest.importorskip("langchain_openai")
    from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
    from langchain_core.tools import tool

    @tool
    def get_weather(city: City) -> str:
        """The weather in a city."""
        return weather(city)

    model = langchain.ChatOpenAI(
        model="builtin", base_url=f"{builtin}/v1", api_key="none", max_retries=0, streaming=streams
    )
    messages: list[Any] = [HumanMessage(QUESTION)]
    forced = model.bind_tools([get_weather], tool_choice="get_weather", parallel_tool_calls=False)
    message = forced.invoke(messages)
    (call,) = message.tool_calls
    assert call["name"] == "get_weather"
    messages += [message, ToolMessage(get_weather.invoke(call["args"]), tool_call_id=call["id"])]
    answer = model.bind_tools([get_weather], tool_choice="none").invoke(messages, max_tokens=SHORT)
    assert isinstance(answer, AIMessage)
    assert not answer.tool_calls
    assert answer.response_metadata["finish_reason"] in ("stop", "length")


@pytest.mark.clients
def test_langchain_parses_and_embeds(builtin: str) -> None:
    langchain = pytest.importorskip("langchain_openai")
    from pydantic import BaseModel

    class Report(BaseModel):
        """The weather in a city."""

        city: City
        sky: Literal["clear", "cloudy"]

    reached = {"model": "builtin", "base_url": f"{builtin}/v1", "api_key": "none", "max_retries": 0}
    for method in ("json_schema", "function_calling"):
        model = langchain.ChatOpenAI(**reached).with_structured_output(Report, method=method)
        assert isinstance(model.invoke(QUESTION), Report)
    vectors = langchain.OpenAIEmbeddings(**reached, check_embedding_ctx_length=False)
    one, other = vectors.embed_documents(["sun", "rain"])
    assert len(one) == len(other) > 0


@pytest.mark.clients
async def test_pydantic_ai(builtin: str) -> None:
    pydantic_ai = pytest.importorskip("pydantic_ai")
    from pydantic import BaseModel
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    model = OpenAIChatModel("builtin", provider=OpenAIProvider(base_url=f"{builtin}/v1", api_key="none"))

    def settings(context: Any) -> Any:
        if context.run_step == 1:
            return {"tool_choice": "required", "parallel_tool_calls": False}
        return {"tool_choice": "none", "max_tokens": SHORT, "extra_body": {"reasoning_effort": "none"}}

    agent = pydantic_ai.Agent(model, model_settings=settings)
    asked: list[str] = []

    @agent.tool_plain
    def get_weather(city: City) -> str:
        """The weather in a city."""
        asked.append(city)
        return weather(city)

    result = await agent.run(QUESTION)
    assert len(asked) == 1
    assert isinstance(result.output, str)
    async with agent.run_stream(QUESTION) as stream:
        assert isinstance(await stream.get_output(), str)
    assert len(asked) == 2

    class Report(BaseModel):
        """The weather in a city."""

        city: City

    # An agent with an output type asks for it as a tool, which it requires.
    parsed = await pydantic_ai.Agent(model, output_type=Report).run(QUESTION)
    assert isinstance(parsed.output, Report)


@pytest.mark.clients
@pytest.mark.parametrize("streams", [False, True])
async def test_the_agents_sdk(builtin: str, streams: bool) -> None:
    agents = pytest.importorskip("agents")
    import openai

    agents.set_tracing_disabled(True)
    asked: list[str] = []

    # A tool that is called once and then no longer offered: whatever the model says next is its answer.
    @agents.function_tool(is_enabled=lambda context, agent: not asked)
    def get_weather(city: City) -> str:
        """The weather in a city."""
        asked.append(city)
        return weather(city)

    client = openai.AsyncOpenAI(base_url=f"{builtin}/v1", api_key="none", max_retries=0)
    agent = agents.Agent(
        name="Reporter",
        instructions="Tell the weather.",
        model=agents.OpenAIChatCompletionsModel(model="builtin", openai_client=client),
        model_settings=agents.ModelSettings(
            tool_choice="required", max_tokens=200, extra_body={"reasoning_effort": "none"}
        ),
        tools=[get_weather],
    )
    if streams:
        result = agents.Runner.run_streamed(agent, QUESTION)
        kinds = [event.type async for event in result.stream_events()]
        assert "run_item_stream_event" in kinds
    else:
        result = await agents.Runner.run(agent, QUESTION)
    assert len(asked) == 1
    assert isinstance(result.final_output, str)


@pytest.mark.clients
@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_litellm(builtin: str, provider: str, streams: bool) -> None:
    litellm = pytest.importorskip("litellm")
    messages: list[Any] = [{"role": "user", "content": QUESTION}]

    def ask(**more: Any) -> Any:
        reply = litellm.completion(
            model=f"{provider}/builtin",
            api_base=f"{builtin}/v1" if provider == "openai" else builtin,
            api_key="none",
            messages=messages,
            tools=[FUNCTION],
            stream=streams,
            **more,
        )
        return (litellm.stream_chunk_builder(list(reply)) if streams else reply).choices[0]

    forced = {"type": "function", "function": {"name": "get_weather"}}
    choice = ask(tool_choice=forced, parallel_tool_calls=False, max_tokens=500)
    assert choice.finish_reason == "tool_calls"
    (call,) = choice.message.tool_calls
    result = weather(**json.loads(call.function.arguments))
    messages += [
        choice.message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": result},
    ]
    choice = ask(tool_choice="none", max_tokens=SHORT)
    assert not choice.message.tool_calls
    assert choice.finish_reason in ("stop", "length")
