"""The adapter without a server; what it writes must be readable by the official client's own types."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

pytest.importorskip("pydantic", reason="needs the server extra")

from scripted_llm import Pause, ScriptedLLM, replaying, text_answer, thinking_answer, tool_answer

from candlewick.chat.events import (
    Complete,
    Error,
    ResponseToken,
    Start,
    ThinkingToken,
    TokenLogprob,
)
from candlewick.core.constraint import Constraint
from candlewick.core.errors import (
    EngineClosed,
    EngineFailed,
    EngineOverloaded,
    InvalidRequestError,
    ModelNotFoundError,
)
from candlewick.core.usage import Usage
from candlewick.openai import OpenAIAdapter
from candlewick.openai.types import ChatCompletion, ChatCompletionChunk

QUESTION: dict[str, Any] = {"model": "scripted", "messages": [{"role": "user", "content": "hi"}]}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


async def ask(llm: ScriptedLLM, **fields: Any) -> ChatCompletion:
    return await OpenAIAdapter(llm).chat_completion(QUESTION | fields)


async def stream(llm: ScriptedLLM, **fields: Any) -> list[ChatCompletionChunk]:
    return [
        chunk
        async for chunk in OpenAIAdapter(llm).stream_chat_completion(QUESTION | {"stream": True} | fields)
    ]


async def test_a_plain_answer() -> None:
    answer = await ask(replaying(*text_answer("Hel", "lo")))
    assert answer["model"] == "scripted"
    assert answer["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hello", "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ]
    assert answer["usage"] == {
        "prompt_tokens": 5,
        "completion_tokens": 2,
        "total_tokens": 7,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


async def test_reasoning_has_its_own_field_under_both_names() -> None:
    llm = replaying(*thinking_answer(["Let me ", "think."], "42"))
    answer = await ask(llm)
    message = answer["choices"][0]["message"]
    assert message["content"] == "42"
    assert message["reasoning_content"] == message["reasoning"] == "Let me think."
    assert answer["usage"]["completion_tokens_details"] == {"reasoning_tokens": 2}
    assert answer["usage"]["prompt_tokens_details"] == {"cached_tokens": 3}

    deltas = [chunk["choices"][0]["delta"] for chunk in await stream(llm)]
    assert deltas == [
        {"role": "assistant", "content": ""},
        {"reasoning_content": "Let me ", "reasoning": "Let me "},
        {"reasoning_content": "think.", "reasoning": "think."},
        {"content": "42"},
        {},
    ]


async def test_tool_calls_keep_their_index_and_empty_arguments() -> None:
    llm = replaying(*tool_answer(("c1", "weather", ['{"city"', ': "Ulm"}']), ("c2", "now", ["{}"])))
    answer = await ask(llm, tools=[TOOL])
    choice = answer["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    assert choice["message"]["tool_calls"] == [
        {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Ulm"}'}},
        {"id": "c2", "type": "function", "function": {"name": "now", "arguments": "{}"}},
    ]
    assert llm.calls[0].tools == [TOOL]

    deltas = [chunk["choices"][0]["delta"].get("tool_calls") for chunk in await stream(llm, tools=[TOOL])]
    assert [calls[0] for calls in deltas if calls] == [
        {"index": 0, "id": "c1", "type": "function", "function": {"name": "weather", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"city"'}},
        {"index": 0, "function": {"arguments": ': "Ulm"}'}},
        {"index": 1, "id": "c2", "type": "function", "function": {"name": "now", "arguments": ""}},
        {"index": 1, "function": {"arguments": "{}"}},
    ]


async def test_the_choice_of_tools_and_the_form_reach_the_model() -> None:
    llm = replaying(*tool_answer(("c1", "weather", ["{}"])))
    named = {"type": "function", "function": {"name": "weather"}}
    form = {
        "type": "json_schema",
        "json_schema": {"name": "x", "strict": True, "schema": {"type": "integer"}},
    }
    await ask(llm, tools=[TOOL], tool_choice=named, parallel_tool_calls=False, response_format=form)
    await ask(llm, tools=[TOOL], tool_choice="required")
    await ask(llm, tools=[TOOL], tool_choice="none", response_format={"type": "text"})
    assert [call.tool_choice for call in llm.calls] == ["weather", "required", "none"]
    assert [call.parallel_tool_calls for call in llm.calls] == [False, True, True]
    assert [call.constraint for call in llm.calls] == [
        Constraint.json_schema({"type": "integer"}),
        None,
        None,
    ]
    assert all(call.tools == [TOOL] for call in llm.calls)


async def test_logprobs_are_those_of_the_answers_tokens() -> None:
    logprob = TokenLogprob("é", (195, 169), -0.5, (TokenLogprob("e", (101,), -1.0),))
    llm = replaying(
        Start("a", "m"),
        ThinkingToken("hm", logprobs=(TokenLogprob("hm", (104, 109), -3.0),)),
        ResponseToken("é", logprobs=(logprob,)),
        ResponseToken("!", logprobs=()),
        Complete("stop"),
    )
    wire = {
        "token": "é",
        "logprob": -0.5,
        "bytes": [195, 169],
        "top_logprobs": [{"token": "e", "logprob": -1.0, "bytes": [101]}],
    }
    answer = await ask(llm, logprobs=True, top_logprobs=1)
    assert answer["choices"][0]["logprobs"] == {"content": [wire], "refusal": None}
    told = [chunk["choices"][0]["logprobs"] for chunk in await stream(llm, logprobs=True, top_logprobs=1)]
    assert [content["content"] if content else None for content in told] == [None, None, [wire], [], None]
    assert llm.calls[0].params.logprobs == 1
    chat = pytest.importorskip("openai.types.chat")
    chat.ChatCompletion.model_validate(answer, strict=True)


async def test_choices_come_interleaved_and_are_told_apart() -> None:
    llm = replaying(
        Start("a", "m"),
        Start("a", "m", choice=1),
        ResponseToken("one", choice=1),
        ResponseToken("zero"),
        Complete("length", Usage(10, 1, cached_tokens=16), choice=1),
        Complete("stop", Usage(10, 1)),
    )
    answer = await ask(llm, n=2)
    assert [(c["index"], c["message"]["content"], c["finish_reason"]) for c in answer["choices"]] == [
        (0, "zero", "stop"),
        (1, "one", "length"),
    ]
    assert answer["usage"]["prompt_tokens"] == 10
    assert answer["usage"]["completion_tokens"] == 2
    assert answer["usage"]["prompt_tokens_details"] == {"cached_tokens": 0}

    chunks = await stream(llm, n=2)
    assert [chunk["choices"][0]["index"] for chunk in chunks] == [0, 1, 1, 0, 1, 0]


async def test_usage_comes_last_when_asked_for() -> None:
    chunks = await stream(replaying(*text_answer("a", "b")), stream_options={"include_usage": True})
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"] is not None
    assert chunks[-1]["usage"]["total_tokens"] == 7
    assert all(chunk["usage"] is None for chunk in chunks[:-1])
    assert not any("usage" in chunk for chunk in await stream(replaying(*text_answer("a"))))


async def test_the_official_types_read_what_we_write() -> None:
    chat = pytest.importorskip("openai.types.chat")
    for llm in (
        replaying(*text_answer("a")),
        replaying(*thinking_answer(["t"], "a")),
        replaying(*tool_answer(("c", "f", ["{}"]))),
    ):
        answer = chat.ChatCompletion.model_validate(await ask(llm), strict=True)
        assert answer.choices[0].finish_reason in ("stop", "tool_calls")
        for chunk in await stream(llm, stream_options={"include_usage": True}):
            chat.ChatCompletionChunk.model_validate(chunk, strict=True)


async def test_wishes_reach_the_model() -> None:
    llm = replaying(*text_answer("a"))
    await ask(llm, max_tokens=7, enable_thinking=False, chat_template_kwargs={"style": "dry"})
    call = llm.calls[0]
    assert (call.params.max_tokens, call.thinking, call.template_variables) == (
        7,
        "no_think",
        {"style": "dry"},
    )
    assert call.messages == QUESTION["messages"]


async def test_a_model_may_have_several_names() -> None:
    adapter = OpenAIAdapter(replaying(*text_answer("a")), model_names=["small", "gpt-4o"])
    assert [model["id"] for model in adapter.models()["data"]] == ["small", "gpt-4o"]
    assert (await adapter.chat_completion(QUESTION | {"model": "gpt-4o"}))["model"] == "small"
    with pytest.raises(ModelNotFoundError, match="small, gpt-4o"):
        adapter.stream_chat_completion(QUESTION)


async def test_a_bad_request_is_refused_before_the_model_is_asked() -> None:
    llm = replaying(*text_answer("a"))
    with pytest.raises(InvalidRequestError, match="temperature"):
        await ask(llm, temperature=-1)
    with pytest.raises(InvalidRequestError, match="temperature"):
        OpenAIAdapter(llm).stream_chat_completion(QUESTION | {"temperature": -1})
    assert llm.calls == []


@pytest.mark.parametrize(
    ("last", "raised"),
    [
        (Error("step failed", "EngineFailed"), EngineFailed),
        (Error("full", "EngineOverloaded"), EngineOverloaded),
        (Complete("cancelled"), EngineClosed),
        (EngineOverloaded("full"), EngineOverloaded),
    ],
)
async def test_a_failure_midway_is_raised(last: Any, raised: type[Exception]) -> None:
    llm = replaying(Start("a", "m"), ResponseToken("x"), last)
    with pytest.raises(raised):
        await ask(llm)
    with pytest.raises(raised):
        await stream(llm)
    assert llm.running == 0


async def test_cancelling_the_task_stops_the_generation() -> None:
    llm = replaying(Start("a", "m"), ResponseToken("x"), Pause())
    task = asyncio.create_task(ask(llm))
    assert await asyncio.to_thread(llm.paused.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (llm.running, llm.cancelled) == (0, 1)


async def test_closing_the_stream_stops_the_generation() -> None:
    llm = replaying(Start("a", "m"), ResponseToken("x"), Pause())
    chunks = OpenAIAdapter(llm).stream_chat_completion(QUESTION | {"stream": True})
    assert (await anext(chunks))["choices"][0]["delta"]["role"] == "assistant"
    await chunks.aclose()
    assert (llm.running, llm.cancelled) == (0, 1)
