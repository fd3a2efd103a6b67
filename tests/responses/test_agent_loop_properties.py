"""Whatever tools do and models call: the loop ends, with a result that tells the truth."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_llm import Call, ScriptedLLM, text_answer, tool_answer

from candlewick.chat.messages import Tool
from candlewick.responses import (
    ConversationComplete,
    ConversationOptions,
    ExecutableTool,
    ResponsesSession,
    ToolError,
    ToolResult,
)

BEHAVIOURS = ("answer", "error", "own words", "slow", "hang", "huge", "invalid", "cancel itself", "exit")


async def behave(arguments: Any, context: Any) -> ToolResult:
    match arguments.get("behaviour"):
        case "error":
            raise RuntimeError("broken \ud800")
        case "own words":
            raise ToolError("")
        case "slow":
            await asyncio.sleep(0.001)
        case "hang":
            await asyncio.Event().wait()
        case "huge":
            return ToolResult(text="x" * 100_000, structured=["y"] * 1000)
        case "invalid":
            return {"not": "a result"}  # type: ignore[return-value]
        case "cancel itself":
            raise asyncio.CancelledError
        case "exit":
            raise ExceptionGroup("several", [ValueError("one"), OSError("two")])
    for step in range(3):
        context.report_progress(step)
    return ToolResult(text="ok")


TOOL = ExecutableTool(definition=Tool(name="behave"), execute=behave)
CALL = st.tuples(
    st.sampled_from(["behave", "behave", "behave", "unknown", "client"]), st.sampled_from(BEHAVIOURS)
)
TURN = st.lists(CALL, max_size=4)


@settings(max_examples=60, deadline=None)
@given(
    turns=st.lists(TURN, max_size=6),
    max_turns=st.integers(1, 5),
    max_tool_calls=st.none() | st.integers(0, 5),
    parallel=st.booleans(),
    refuses=st.booleans(),
    cancel_after=st.none() | st.integers(0, 40),
    seed=st.integers(0, 9),
)
def test_the_loop_always_ends_with_the_truth(
    turns, max_turns, max_tool_calls, parallel, refuses, cancel_after, seed
):
    asyncio.run(hold_conversation(turns, max_turns, max_tool_calls, parallel, refuses, cancel_after, seed))


async def hold_conversation(turns, max_turns, max_tool_calls, parallel, refuses, cancel_after, seed) -> None:
    choose = random.Random(seed)
    script = iter(turns)
    num_calls = 0

    def answer(call: Call) -> Any:
        nonlocal num_calls
        calls = []
        for name, behaviour in next(script, []) if call.tools else []:
            num_calls += 1
            calls.append((f"c{num_calls}", name, [json.dumps({"behaviour": behaviour})]))
        return tool_answer(*calls) if calls else text_answer("Done.")

    async def approve(request: Any) -> bool:
        return not refuses or choose.random() < 0.5

    options = ConversationOptions(
        max_turns=max_turns,
        max_tool_calls=max_tool_calls,
        parallel=parallel,
        tool_timeout=0.05,
        max_result_chars=1000,
        approval="always" if refuses else "never",
        approve=approve,
        client_tools=[Tool(name="client")],
    )
    llm = ScriptedLLM(answer)
    conversation = ResponsesSession(llm, tools=[TOOL]).stream_conversation(
        [{"role": "user", "content": "Go."}], options
    )
    events = []
    async with asyncio.timeout(20):
        async for event in conversation:
            events.append(event)
            if len(events) == cancel_after:
                conversation.cancel()

    assert isinstance(events[-1], ConversationComplete)
    result = events[-1].result
    names = Counter(event.sse_name for event in events)
    assert names["conversation_complete"] == 1
    assert result.turns_taken == names["turn_start"] <= max_turns
    assert names["tool_execution_end"] == len(result.tool_calls_executed)
    json.dumps(events[-1].to_json())

    # Each call of the model has exactly one end or waits for the client, and the messages say the same.
    called = [call.id for message in result.messages for call in message.tool_calls]
    ended = [executed.call_id for executed in result.tool_calls_executed]
    pending = [call.id for call in result.pending_calls]
    assert sorted(called) == sorted(ended + pending)
    answered = {m.tool_call_id: m.content for m in result.messages if m.role == "tool"}
    assert answered == {e.call_id: e.result.for_model for e in result.tool_calls_executed}
    ran = [e for e in result.tool_calls_executed if e.status in ("completed", "timed_out")]
    assert max_tool_calls is None or len(ran) <= max_tool_calls
    for executed in result.tool_calls_executed:
        assert len(executed.result.text) < 1100
        if executed.status == "completed":
            assert not executed.result.is_error

    # A call begins before it progresses and ends, and nothing comes after its end.
    open_calls, closed_calls = set(), set()
    for event in events:
        match event.sse_name:
            case "tool_execution_start":
                assert event.call_id not in open_calls | closed_calls
                open_calls.add(event.call_id)
            case "tool_progress":
                assert event.call_id in open_calls
            case "tool_execution_end":
                assert event.call.call_id not in closed_calls
                open_calls.discard(event.call.call_id)
                closed_calls.add(event.call.call_id)
    assert not open_calls

    expected = {"stop", "max_turns", "tool_calls"} | ({"cancelled"} if cancel_after is not None else set())
    assert result.stop_reason in expected
    assert (result.stop_reason == "tool_calls") == bool(pending) or result.stop_reason == "cancelled"
    assert llm.running == 0
