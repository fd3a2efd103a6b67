"""Every client completes a conversation with a tool: asks, is asked to call, tells the result, is answered.

Streams and plain answers are both tried, with a model that follows a script and with the built-in one, of whose answers
the form is asserted, never the words.
"""

from __future__ import annotations

import json
from typing import Any, Literal, get_args

import pytest
from served_model import Served

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
def test_openai(served: Served, streams: bool) -> None:
    openai = pytest.importorskip("openai")
    chat = openai.OpenAI(base_url=f"{served.address}/v1", api_key="none", max_retries=0).chat.completions

    def ask(**more: Any) -> Any:
        asked: dict[str, Any] = {"model": served.model, "messages": messages, "tools": [FUNCTION]} | more
        if not streams:
            return chat.create(**asked).choices[0]
        with chat.stream(**asked) as stream:
            kinds = [event.type for event in stream]
            choice = stream.get_final_completion().choices[0]
        calls = choice.message.tool_calls or []
        assert kinds.count("tool_calls.function.arguments.done") == len(calls)
        return choice

    messages: list[Any] = [{"role": "user", "content": QUESTION}]
    choice = ask(**served.lead(tool_choice="required", parallel_tool_calls=False))
    assert choice.finish_reason == "tool_calls"
    (call,) = choice.message.tool_calls
    assert call.function.name == "get_weather"
    result = weather(**json.loads(call.function.arguments))
    messages += [choice.message, {"role": "tool", "tool_call_id": call.id, "content": result}]
    choice = ask(**served.lead(tool_choice="none", max_tokens=SHORT, reasoning_effort="none"))
    assert not choice.message.tool_calls
    assert choice.message.content
    served.check(choice.message.content)
    assert choice.finish_reason in ("stop", "length")


@pytest.mark.parametrize("streams", [False, True])
def test_anthropic(served: Served, streams: bool) -> None:
    anthropic = pytest.importorskip("anthropic")
    tool = {"name": "get_weather", "description": "The weather in a city", "input_schema": SCHEMA}
    client = anthropic.Anthropic(base_url=served.address, api_key="none", max_retries=0)

    def ask(**more: Any) -> Any:
        asked: dict[str, Any] = {"model": served.model, "messages": messages, "tools": [tool]} | more
        if not streams:
            return client.messages.create(**asked)
        with client.messages.stream(**asked) as stream:
            return stream.get_final_message()

    messages: list[Any] = [{"role": "user", "content": QUESTION}]
    forced = {"type": "tool", "name": "get_weather", "disable_parallel_tool_use": True}
    message = ask(max_tokens=500, **served.lead(tool_choice=forced))
    assert message.stop_reason == "tool_use"
    (use,) = [block for block in message.content if block.type == "tool_use"]
    result = {"type": "tool_result", "tool_use_id": use.id, "content": weather(**use.input)}
    messages += [
        {"role": "assistant", "content": message.content},
        {"role": "user", "content": [result]},
    ]
    message = ask(max_tokens=SHORT, **served.lead(tool_choice={"type": "none"}))
    assert message.stop_reason in ("end_turn", "max_tokens")
    assert {block.type for block in message.content} <= {"text", "thinking"}
    served.check("".join(block.text for block in message.content if block.type == "text"))
    assert message.usage.output_tokens > 0


@pytest.mark.clients
@pytest.mark.parametrize("streams", [False, True])
def test_langchain(served: Served, streams: bool) -> None:
    langchain = pytest.importorskip("langchain_openai")
    from langchain_core.messages import HumanMessage, ToolMessage
    from langchain_core.tools import tool

    @tool
    def get_weather(city: City) -> str:
        """The weather in a city."""
        return weather(city)

    model = langchain.ChatOpenAI(
        model=served.model,
        base_url=f"{served.address}/v1",
        api_key="none",
        max_retries=0,
        streaming=streams,
    )
    messages: list[Any] = [HumanMessage(QUESTION)]
    forced = served.lead(tool_choice="get_weather", parallel_tool_calls=False)
    message = model.bind_tools([get_weather], **forced).invoke(messages)
    (call,) = message.tool_calls
    assert call["name"] == "get_weather"
    messages += [message, ToolMessage(get_weather.invoke(call["args"]), tool_call_id=call["id"])]
    answering = model.bind_tools([get_weather], **served.lead(tool_choice="none", max_tokens=SHORT))
    if streams:
        answer, *rest = answering.stream(messages)
        assert len(rest) > 1
        for chunk in rest:
            answer += chunk
    else:
        answer = answering.invoke(messages)
    assert not answer.tool_calls
    served.check(answer.content)
    assert answer.response_metadata["finish_reason"] in ("stop", "length")


@pytest.mark.clients
def test_langchain_parses_and_embeds(builtin: Served) -> None:
    langchain = pytest.importorskip("langchain_openai")
    from pydantic import BaseModel

    class Report(BaseModel):
        """The weather in a city."""

        city: City
        sky: Literal["clear", "cloudy"]

    reached = {
        "model": "builtin",
        "base_url": f"{builtin.address}/v1",
        "api_key": "none",
        "max_retries": 0,
    }
    for method in ("json_schema", "function_calling"):
        model = langchain.ChatOpenAI(**reached).with_structured_output(Report, method=method)
        assert isinstance(model.invoke(QUESTION), Report)
    vectors = langchain.OpenAIEmbeddings(**reached, check_embedding_ctx_length=False)
    one, other = vectors.embed_documents(["sun", "rain"])
    assert len(one) == len(other) > 0


def pydantic_model(served: Served) -> Any:
    """pydantic-ai's model of a server."""
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    provider = OpenAIProvider(base_url=f"{served.address}/v1", api_key="none")
    return OpenAIChatModel(served.model, provider=provider)


@pytest.mark.clients
async def test_pydantic_ai(served: Served) -> None:
    pydantic_ai = pytest.importorskip("pydantic_ai")

    def settings(context: Any) -> Any:
        if context.run_step == 1:
            return served.lead(tool_choice="required", parallel_tool_calls=False)
        return served.lead(tool_choice="none", max_tokens=SHORT, extra_body={"reasoning_effort": "none"})

    agent = pydantic_ai.Agent(pydantic_model(served), model_settings=settings)
    asked: list[str] = []

    @agent.tool_plain
    def get_weather(city: City) -> str:
        """The weather in a city."""
        asked.append(city)
        return weather(city)

    result = await agent.run(QUESTION)
    assert len(asked) == 1
    assert isinstance(result.output, str)
    served.check(result.output)
    async with agent.run_stream(QUESTION) as stream:
        streamed = await stream.get_output()
    assert len(asked) == 2
    assert isinstance(streamed, str)
    served.check(streamed)


@pytest.mark.clients
async def test_pydantic_ai_parses(builtin: Served) -> None:
    pydantic_ai = pytest.importorskip("pydantic_ai")
    from pydantic import BaseModel

    class Report(BaseModel):
        """The weather in a city."""

        city: City

    # An agent with an output type asks for it as a tool, which it requires.
    parsed = await pydantic_ai.Agent(pydantic_model(builtin), output_type=Report).run(QUESTION)
    assert isinstance(parsed.output, Report)


@pytest.mark.clients
@pytest.mark.parametrize("streams", [False, True])
async def test_the_agents_sdk(served: Served, streams: bool) -> None:
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

    client = openai.AsyncOpenAI(base_url=f"{served.address}/v1", api_key="none", max_retries=0)
    led = served.lead(tool_choice="required", max_tokens=200, extra_body={"reasoning_effort": "none"})
    agent = agents.Agent(
        name="Reporter",
        instructions="Tell the weather.",
        model=agents.OpenAIChatCompletionsModel(model=served.model, openai_client=client),
        model_settings=agents.ModelSettings(**led),
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
    served.check(result.final_output)


@pytest.mark.clients
@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_litellm(served: Served, provider: str, streams: bool) -> None:
    litellm = pytest.importorskip("litellm")
    messages: list[Any] = [{"role": "user", "content": QUESTION}]

    def ask(**more: Any) -> Any:
        reply = litellm.completion(
            model=f"{provider}/{served.model}",
            api_base=f"{served.address}/v1" if provider == "openai" else served.address,
            api_key="none",
            messages=messages,
            tools=[FUNCTION],
            stream=streams,
            **more,
        )
        return (litellm.stream_chunk_builder(list(reply)) if streams else reply).choices[0]

    forced = {"type": "function", "function": {"name": "get_weather"}}
    choice = ask(**served.lead(tool_choice=forced, parallel_tool_calls=False, max_tokens=500))
    assert choice.finish_reason == "tool_calls"
    (call,) = choice.message.tool_calls
    result = weather(**json.loads(call.function.arguments))
    messages += [
        choice.message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": result},
    ]
    choice = ask(**served.lead(tool_choice="none", max_tokens=SHORT))
    assert not choice.message.tool_calls
    served.check(choice.message.content)
    assert choice.finish_reason in ("stop", "length")
