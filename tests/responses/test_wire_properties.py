"""Whatever happens in a conversation: what the wire tells of it is in order, valid, and can be sent back."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_llm import Call, ScriptedLLM
from test_agent_loop_properties import BEHAVIOURS, TOOL

pytest.importorskip("openai", reason="its types are what is compared with")
sys.path.append(str(Path(__file__).parents[1] / "server"))

from strict_wire import check_item, check_order

from candlewick.chat.events import (
    Complete,
    Error,
    Event,
    ResponseToken,
    Start,
    ThinkingEnd,
    ThinkingStart,
    ThinkingToken,
    TokenLogprob,
    ToolCallArguments,
    ToolCallEnd,
    ToolCallStart,
)
from candlewick.chat.messages import Tool
from candlewick.core.usage import Usage
from candlewick.responses import ConversationComplete, ConversationOptions, ResponsesSession, ServerState
from candlewick.responses.wire.items import read_input, user_message
from candlewick.responses.wire.messages import to_dialogue
from candlewick.responses.wire.request import ResponseRequest
from candlewick.responses.wire.response import ResponseState, settled_fields
from candlewick.responses.wire.stream import ResponseWriter
from candlewick.responses.wire.tool_definitions import read_tools

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.sampled_from(["\n", " ", "Hello."])
CALLS = st.tuples(
    st.sampled_from(["behave", "behave", "unknown", "client"]),
    st.sampled_from([behaviour for behaviour in BEHAVIOURS if behaviour != "hang"]),
)
PIECES = st.lists(
    st.tuples(st.just("think"), st.lists(TEXT, max_size=3))
    | st.tuples(st.just("say"), st.lists(TEXT, max_size=3))
    | st.tuples(st.just("call"), CALLS),
    max_size=5,
)
ENDS = st.sampled_from(["stop", "stop", "stop", "length", "error"])
SERVERS = st.lists(
    st.tuples(
        st.sampled_from(["files", "web"]), st.sampled_from(["connecting", "ready", "failed", "closed"])
    ),
    max_size=4,
)
LOGPROBS = (TokenLogprob("a", (97,), -0.5, (TokenLogprob("b", (98,), -1.0),)),)


class Script:
    """Answers of pieces, one a turn."""

    def __init__(self, turns: list[tuple[Any, str]], has_logprobs: bool) -> None:
        self._turns = iter(turns)
        self._logprobs = LOGPROBS if has_logprobs else None
        self._num_calls = 0

    def __call__(self, call: Call) -> list[Event]:
        pieces, end = next(self._turns, ([("say", ["Done."])], "stop"))
        events: list[Event] = [Start("a", "m")]
        num_calls = 0
        for kind, content in pieces:
            if kind == "think":
                events += [ThinkingStart(), *map(ThinkingToken, content), ThinkingEnd()]
            elif kind == "say":
                events += [ResponseToken(text, self._logprobs) for text in content]
            elif call.tools:
                self._num_calls += 1
                name, behaviour = content
                call_id, arguments = f"c{self._num_calls}", json.dumps({"behaviour": behaviour})
                events.append(ToolCallStart(num_calls, call_id, name))
                events.append(ToolCallArguments(num_calls, arguments))
                events.append(ToolCallEnd(num_calls, call_id, name, arguments))
                num_calls += 1
        if end == "error":
            return [*events, Error("broken", "EngineFailed")]
        reason: Any = "tool_calls" if num_calls and end == "stop" else end
        return [*events, Complete(reason, Usage(3, 2), token_ids=(1, 2))]


@settings(max_examples=60, deadline=None)
@given(
    turns=st.lists(st.tuples(PIECES, ENDS), max_size=4),
    servers=SERVERS,
    asked=st.fixed_dictionaries(
        {"approval": st.sampled_from(["always", "never"]), "max_turns": st.integers(1, 3)}
    ),
    answers=st.none() | st.integers(0, 9),
    cancel_after=st.none() | st.integers(0, 30),
    has_logprobs=st.booleans(),
    has_pieces=st.booleans(),
    has_summary=st.booleans(),
    has_sealed=st.booleans(),
    is_queued=st.booleans(),
)
def test_the_wire_tells_it_well(
    turns, servers, asked, answers, cancel_after, has_logprobs, has_pieces, has_summary, has_sealed, is_queued
):
    llm = ScriptedLLM(Script(turns, has_logprobs))
    happened = asyncio.run(converse(llm, asked, answers, cancel_after))
    state = ResponseState(
        settled_fields(ResponseRequest(model="m", input="Go."), read_tools(None, None), "m")
    )
    state.status = "queued" if is_queued else "in_progress"
    writer = ResponseWriter(
        state, has_reasoning_pieces=has_pieces, has_summary=has_summary, has_sealed=has_sealed, listed=["web"]
    )
    told = list(writer.begin())
    for label, status in servers:
        told += writer.write(
            ServerState(label, status, (Tool(name="a"),), "gone" if status == "failed" else None)
        )
    for event in happened:
        told += writer.write(event)
    told = json.loads(json.dumps(told))
    check_order(told)
    response = told[-1]["response"]
    result = happened[-1].result
    assert (
        told[-1]["type"]
        == {
            "stop": "response.completed",
            "tool_calls": "response.completed",
            "approval": "response.completed",
            "length": "response.incomplete",
            "max_turns": "response.incomplete",
            "cancelled": "response.incomplete",
            "error": "response.failed",
        }[result.stop_reason]
    )
    assert (response["error"] is not None) == (result.stop_reason == "error")
    assert (response["status"] == "cancelled") == (result.stop_reason == "cancelled")
    assert response["usage"]["total_tokens"] == result.usage.total_tokens
    executed = [item for item in response["output"] if item["type"] == "mcp_call"]
    assert len(executed) <= len(result.tool_calls_executed)
    assert all((item["error"] is None) == (item["status"] == "completed") for item in executed)

    # What came back can be sent again, and means the same.
    output = response["output"]
    for item in output:
        check_item(item)
    again = read_input(output)
    assert [(item["type"], item["id"]) for item in again] == [(item["type"], item["id"]) for item in output]
    if result.stop_reason in ("stop", "approval", "tool_calls"):
        outputs = [
            {"type": "function_call_output", "call_id": call.id, "output": "done"}
            for call in result.pending_calls
        ]
        dialogue = to_dialogue([user_message("Go."), *again, *read_input(outputs)])
        said = [m.content or "" for m in dialogue.messages if m.role == "assistant"]
        meant = [m.content or "" for m in result.messages if m.role == "assistant"]
        assert "".join("".join(said).split()) == "".join("".join(meant).split())


async def converse(
    llm: ScriptedLLM, asked: dict[str, Any], answers: int | None, cancel_after: int | None
) -> list[Any]:
    choose = random.Random(answers)

    async def approve(request: Any) -> bool:
        return choose.random() < 0.5

    options = ConversationOptions(
        **asked,
        approve=None if answers is None else approve,
        client_tools=[Tool(name="client")],
        tool_timeout=5,
        max_result_chars=500,
    )
    conversation = ResponsesSession(llm, tools=[TOOL]).stream_conversation(
        [{"role": "user", "content": "Go."}], options
    )
    events: list[Any] = []
    async for event in conversation:
        events.append(event)
        if len(events) == cancel_after:
            conversation.cancel()
    assert isinstance(events[-1], ConversationComplete)
    return events
