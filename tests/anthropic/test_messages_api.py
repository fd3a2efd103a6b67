"""Messages without a server: what requests mean, and the order of the events."""

from __future__ import annotations

import json
import typing
from typing import Any

import pytest
from scripted_llm import Call, ScriptedLLM, replaying, text_answer, thinking_answer, tool_answer
from scripted_text import scripted_text

from candlewick.anthropic import AnthropicAdapter, CountTokensRequest, MessagesRequest
from candlewick.chat.events import (
    Complete,
    Event,
    ResponseToken,
    Start,
    ToolCallArguments,
    ToolCallEnd,
    ToolCallStart,
)
from candlewick.core.constraint import Constraint
from candlewick.core.errors import EngineClosed, InvalidRequestError, ModelNotFoundError

MINIMAL: dict[str, Any] = {
    "model": "scripted",
    "max_tokens": 9,
    "messages": [{"role": "user", "content": "hi"}],
}
TOOL: dict[str, Any] = {"name": "weather", "description": "d", "input_schema": {"type": "object"}}


@pytest.mark.parametrize(
    ("module", "name", "ours"),
    [
        ("message_create_params", "MessageCreateParamsStreaming", MessagesRequest),
        ("message_count_tokens_params", "MessageCountTokensParams", CountTokensRequest),
    ],
)
def test_every_field_of_the_official_client_is_known(module: str, name: str, ours: Any) -> None:
    params = pytest.importorskip(f"anthropic.types.{module}")
    official = set(typing.get_type_hints(getattr(params, name)))
    assert official - set(ours.model_fields) - set(ours.refused) == set()


async def called_with(**fields: Any) -> Call:
    llm = replaying(*text_answer("ok"))
    await AnthropicAdapter(llm).message(MINIMAL | fields)
    return llm.calls[0]


async def test_fields_reach_the_model() -> None:
    call = await called_with(
        system=[{"type": "text", "text": "Be"}, {"type": "text", "text": "brief"}],
        stop_sequences=["x"], temperature=0.5, top_p=0.9, top_k=3, tools=[TOOL],
        thinking={"type": "enabled", "budget_tokens": 1024}, output_config={"effort": "low"},
        metadata={"user_id": "u"},
    )  # fmt: skip
    assert call.messages == [{"role": "system", "content": "Be\nbrief"}, {"role": "user", "content": "hi"}]
    params = call.params
    assert (params.max_tokens, params.stop, params.temperature) == (9, ("x",), 0.5)
    assert (params.top_p, params.top_k) == (0.9, 3)
    assert call.thinking == "think"
    assert call.template_variables == {"reasoning_effort": "low"}
    function = call.tools[0]["function"] if call.tools else {}
    assert (function["name"], function["parameters"]) == ("weather", {"type": "object"})


async def test_thinking_is_asked_for() -> None:
    assert (await called_with()).thinking == "no_think"
    assert (await called_with(thinking={"type": "disabled"})).thinking == "no_think"
    assert (await called_with(thinking={"type": "adaptive"})).thinking == "adaptive"


async def test_blocks_become_messages() -> None:
    call = await called_with(
        messages=[
            {"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]},
            {"role": "user", "content": "b"},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Ulm"}},
                {"type": "tool_use", "id": "c2", "name": "weather", "input": {}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": "sun"},
                {"type": "tool_result", "tool_use_id": "c2", "content": [{"type": "text", "text": "no"}],
                 "is_error": True},
                {"type": "text", "text": "Well?"},
            ]},
        ]
    )  # fmt: skip
    user, assistant, first, second, last = call.messages
    assert user == {"role": "user", "content": "a\nb"}
    assert (assistant["content"], assistant["reasoning_content"]) == ("I look.", "hm")
    assert [json.loads(c["function"]["arguments"]) for c in assistant["tool_calls"]] == [{"city": "Ulm"}, {}]
    assert first == {"role": "tool", "content": "sun", "tool_call_id": "c1"}
    assert second == {"role": "tool", "content": "Error: no", "tool_call_id": "c2"}
    assert last == {"role": "user", "content": "Well?"}


@pytest.mark.parametrize(
    ("fields", "parameter"),
    [
        ({"max_tokens": 0}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "tool_use", "id": "a", "name": "b", "input": {}}]}]},
         "messages[0].content"),
        ({"messages": [{"role": "robot", "content": "a"}]}, "messages[0].role"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0]"),
        ({"mcp_servers": [{}]}, "mcp_servers"),
        ({"container": "c"}, "container"),
        ({"tool_choice": {"type": "tool", "name": "x"}, "tools": [TOOL]}, "tool_choice.name"),
        ({"tool_choice": {"type": "any"}}, "tool_choice.type"),
        ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
        ({"top_k": -1}, "top_k"),
        ({"stop_sequences": [""]}, "stop"),
        ({"temprature": 1}, "temprature"),
    ],
)  # fmt: skip
async def test_what_cant_be_honoured_is_named(fields: dict[str, Any], parameter: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        await called_with(**fields)
    assert (caught.value.parameter or "").startswith(parameter)


async def events_of(*events: Event) -> list[dict[str, Any]]:
    adapter = AnthropicAdapter(replaying(*events))
    return [event async for event in adapter.stream_message(MINIMAL)]


async def test_the_order_of_events() -> None:
    told = await events_of(*thinking_answer(["h", "m"], "Hel", "lo"))
    assert [event["type"] for event in told] == [
        "message_start", "ping",
        "content_block_start", "content_block_delta", "content_block_delta", "content_block_delta",
        "content_block_stop",
        "content_block_start", "content_block_delta", "content_block_delta", "content_block_stop",
        "message_delta", "message_stop",
    ]  # fmt: skip
    assert [event["index"] for event in told if "index" in event] == [0] * 5 + [1] * 4
    assert told[5]["delta"]["type"] == "signature_delta"
    assert told[-2]["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}
    assert told[-2]["usage"]["input_tokens"] == 2
    assert told[-2]["usage"]["cache_read_input_tokens"] == 3
    assert told[-2]["usage"]["output_tokens_details"] == {"thinking_tokens": 2}


async def test_a_void_call_is_no_block() -> None:
    told = await events_of(
        Start("a", "m"),
        ToolCallStart(0, "x", "f"),
        ToolCallArguments(0, '{"a": '),
        ResponseToken('<tool_call>{"name": "f", "arguments": {"a": oops'),
        ToolCallStart(1, "y", "g"),
        ToolCallEnd(1, "y", "g", "{}"),
        Complete("tool_calls"),
    )
    blocks = [event["content_block"] for event in told if event["type"] == "content_block_start"]
    assert [block["type"] for block in blocks] == ["text", "tool_use"]
    assert blocks[1] == {"type": "tool_use", "id": "y", "name": "g", "input": {}}


async def test_a_plain_answer_is_what_the_stream_tells() -> None:
    llm = replaying(*tool_answer(("c1", "weather", ['{"city"', ': "Ulm"}']), ("c2", "weather", ["{}"])))
    message = await AnthropicAdapter(llm).message(MINIMAL | {"tools": [TOOL]})
    assert message["content"] == [
        {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Ulm"}},
        {"type": "tool_use", "id": "c2", "name": "weather", "input": {}},
    ]
    assert (message["stop_reason"], message["role"], message["model"]) == (
        "tool_use",
        "assistant",
        "scripted",
    )
    plain = await AnthropicAdapter(replaying(*thinking_answer(["hm"], "Hello"))).message(MINIMAL)
    assert plain["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": ""},
        {"type": "text", "text": "Hello"},
    ]


@pytest.mark.parametrize(
    ("choice", "tool_choice", "parallel"),
    [
        ({"type": "auto"}, "auto", True),
        ({"type": "any", "disable_parallel_tool_use": True}, "required", False),
        ({"type": "tool", "name": "weather"}, "weather", True),
        ({"type": "none"}, "none", True),
    ],
)
async def test_the_choice_of_a_tool(choice: dict[str, Any], tool_choice: str, parallel: bool) -> None:
    call = await called_with(tools=[TOOL], tool_choice=choice)
    assert (call.tool_choice, call.parallel_tool_calls) == (tool_choice, parallel)


async def test_the_form_of_an_answer_and_the_budget_of_thinking() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    call = await called_with(
        output_config={"format": {"type": "json_schema", "schema": schema}},
        thinking={"type": "enabled", "budget_tokens": 1024},
    )
    assert call.constraint == Constraint.json_schema(schema)
    assert call.params.max_thinking_tokens == 1024


async def test_answers_that_end_early() -> None:
    told = await events_of(Start("a", "m"), ResponseToken("x"), Complete("length"))
    assert told[-2]["delta"]["stop_reason"] == "max_tokens"
    told = await events_of(Start("a", "m"), ResponseToken("x"), Complete("stop", stop_string="END"))
    assert told[-2]["delta"] == {"stop_reason": "stop_sequence", "stop_sequence": "END"}
    with pytest.raises(EngineClosed):
        await events_of(Start("a", "m"), ResponseToken("x"), Complete("cancelled"))


async def test_a_closed_stream_stops_the_generation() -> None:
    llm = ScriptedLLM(lambda call: text_answer("a", "b"))
    stream = AnthropicAdapter(llm).stream_message(MINIMAL)
    await anext(stream)
    await stream.aclose()
    assert (llm.running, llm.cancelled) == (0, 1)


async def test_tokens_are_counted_and_names_are_checked() -> None:
    adapter = AnthropicAdapter(scripted_text())
    count = await adapter.count_tokens({"model": "scripted", "messages": MINIMAL["messages"], "system": "x"})
    assert count["input_tokens"] >= 1
    with pytest.raises(ModelNotFoundError, match="scripted"):
        await adapter.message(MINIMAL | {"model": "claude"})
