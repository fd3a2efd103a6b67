"""The agent loop with a scripted model: every way out, every event order."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import Any

import pytest
from scripted_llm import Call, Pause, ScriptedLLM, replaying, text_answer, tool_answer

from candlewick.chat.events import Error, ResponseToken, Start
from candlewick.chat.messages import Message, Tool
from candlewick.chat.transcript import Transcript
from candlewick.core.errors import EngineOverloaded, InvalidRequestError
from candlewick.core.usage import Usage
from candlewick.responses import (
    ApprovalAnswer,
    ApprovalRequest,
    ConversationComplete,
    ConversationOptions,
    ConversationResult,
    ResponsesSession,
    ToolContext,
    ToolError,
    ToolExecutionEnd,
    function_tool,
)

QUESTION = [{"role": "user", "content": "What is 2 + 3?"}]


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def in_turns(*answers: Any) -> ScriptedLLM:
    """A model that gives these answers one after the other."""
    left = iter(answers)
    return ScriptedLLM(lambda call: next(left))


def call_add(id: str = "c1", arguments: str = '{"a": 2, "b": 3}') -> tuple[str, str, list[str]]:
    return (id, "add", [arguments])


async def run(
    llm: ScriptedLLM, *tools: Any, messages: Any = QUESTION, **options: Any
) -> tuple[list[str], ConversationResult]:
    """The names of the events, and the result."""
    session = ResponsesSession(llm, tools=tools)
    names, result = [], None
    async for event in session.stream_conversation(messages, ConversationOptions(**options)):
        assert result is None, "something came after the end"
        names.append(event.sse_name)
        assert event.to_json()["type"] == event.sse_name
        if isinstance(event, ConversationComplete):
            result = event.result
    assert result is not None
    return names, result


def told(call: Call) -> list[str | None]:
    """What the model was told by tools."""
    return [message.content for message in call.messages if message.role == "tool"]


async def test_an_answer_without_tools():
    names, result = await run(replaying(*text_answer("Five.")))
    assert names == ["turn_start", "start", "response_token", "complete", "conversation_complete"]
    assert (result.stop_reason, result.turns_taken, result.text) == ("stop", 1, "Five.")
    assert result.messages == (Message(role="assistant", content="Five."),)
    assert result.usage == Usage(5, 1)


async def test_a_call_is_run_and_told():
    llm = in_turns(tool_answer(call_add()), text_answer("It is 5."))
    names, result = await run(llm, add)
    assert names == [
        "turn_start", "start", "tool_call_start", "tool_call_arguments", "tool_call_end", "complete",
        "tool_execution_start", "tool_execution_end",
        "turn_start", "start", "response_token", "complete", "conversation_complete",
    ]  # fmt: skip
    assert told(llm.calls[1]) == ["5"]
    assert [message.role for message in result.messages] == ["assistant", "tool", "assistant"]
    assert result.messages[1].tool_call_id == "c1"
    (executed,) = result.tool_calls_executed
    assert (executed.status, executed.result.text, executed.result.structured) == ("completed", "5", 5)
    assert result.usage == Usage(14, 8)
    assert result.turns_taken == 2
    assert llm.calls[0].tools[0].parameters["required"] == ["a", "b"]


@pytest.mark.parametrize("parallel", [True, False])
async def test_parallel_calls_overlap_only_when_asked_and_results_keep_the_order_of_calls(parallel):
    both_run = asyncio.Event()
    running: list[str] = []

    async def slow(name: str) -> str:
        running.append(name)
        if len(running) == 2:
            both_run.set()
        if parallel:
            await both_run.wait()
            if name == "first":
                await asyncio.sleep(0.01)
        running.remove(name)
        return name

    calls = [("c1", "slow", ['{"name": "first"}']), ("c2", "slow", ['{"name": "second"}'])]
    llm = in_turns(tool_answer(*calls), text_answer("Done."))
    names, _ = await run(llm, slow, parallel=parallel)
    assert told(llm.calls[1]) == ["first", "second"]
    execution = [name for name in names if name.startswith("tool_execution")]
    overlapping = execution[:2] == ["tool_execution_start"] * 2
    assert overlapping == parallel


async def test_errors_are_told_to_the_model():
    def fails(kind: str) -> str:
        if kind == "own words":
            raise ToolError("the file is locked; try another one")
        raise OSError("disk on fire")

    calls = [
        ("c1", "fails", ['{"kind": "own words"}']),
        ("c2", "fails", ['{"kind": "other"}']),
        ("c3", "fails", ['{"kindness": 1}']),
        ("c4", "nothing", ["{}"]),
        ("c5", "fails", ["[1]"]),
    ]
    llm = in_turns(tool_answer(*calls), text_answer("Hm."))
    _, result = await run(llm, fails)
    texts = told(llm.calls[1])
    assert texts[0] == "error: the file is locked; try another one"
    assert texts[1] == "error: OSError: disk on fire"
    assert "kind: Field required" in texts[2]
    assert "kindness: Extra inputs" in texts[2]
    assert texts[3] == "error: there is no tool 'nothing'; there are: fails"
    assert "must be JSON text of an object" in texts[4]
    assert [call.status for call in result.tool_calls_executed] == ["failed"] * 5
    assert result.stop_reason == "stop"


async def test_errors_are_raised_when_asked():
    def fails() -> str:
        raise OSError("disk on fire")

    with pytest.raises(OSError, match="disk on fire"):
        await run(in_turns(tool_answer(("c1", "fails", ["{}"]))), fails, raise_tool_errors=True)


async def test_a_hanging_tool_is_cut_and_its_end_told():
    cleaned_up = False

    async def hangs() -> str:
        nonlocal cleaned_up
        try:
            await asyncio.Event().wait()
        finally:
            cleaned_up = True
        return "never"

    llm = in_turns(tool_answer(("c1", "hangs", ["{}"]), call_add("c2")), text_answer("Too slow."))
    _, result = await run(llm, hangs, add, tool_timeout=1)
    assert [call.status for call in result.tool_calls_executed] == ["completed", "timed_out"]
    assert told(llm.calls[1]) == ["error: the tool gave no result within 1 s; it was stopped", "5"]
    assert cleaned_up


async def test_a_tool_that_will_not_stop_is_left_to_itself(monkeypatch):
    monkeypatch.setattr("candlewick.responses.execution.GRACE_SECONDS", 0.02)
    release = asyncio.Event()

    async def stubborn() -> str:
        while not release.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await release.wait()
        return "late"

    llm = in_turns(tool_answer(("c1", "stubborn", ["{}"])), text_answer("Well."))
    _, result = await run(llm, stubborn, tool_timeout=0.02)
    assert "it does not stop" in result.tool_calls_executed[0].result.text
    release.set()


async def test_a_repeating_loop_ends_at_max_turns():
    llm = ScriptedLLM(lambda call: tool_answer(call_add()))
    names, result = await run(llm, add, max_turns=3)
    assert (result.stop_reason, result.turns_taken, len(llm.calls)) == ("max_turns", 3, 3)
    assert [call.status for call in result.tool_calls_executed] == ["completed", "completed", "skipped"]
    assert result.messages[-1].content == "error: not run: 3 turns were taken, which is the limit"
    assert names.count("tool_execution_start") == 2
    assert names.count("tool_execution_end") == 3


async def test_calls_over_the_limit_are_not_run_and_the_model_must_answer():
    calls = [call_add("c1"), call_add("c2"), call_add("c3")]
    llm = in_turns(tool_answer(*calls), text_answer("Five."))
    _, result = await run(llm, add, max_tool_calls=2)
    assert sorted(call.status for call in result.tool_calls_executed) == ["completed", "completed", "skipped"]
    assert "the limit of 2 tool calls is reached" in told(llm.calls[1])[2]
    assert llm.calls[1].tools is None
    assert result.stop_reason == "stop"


async def test_only_allowed_tools_are_offered_and_run():
    def forbidden() -> str:
        raise AssertionError("was run")

    llm = in_turns(tool_answer(("c1", "forbidden", ["{}"])), text_answer("No."))
    _, result = await run(llm, add, forbidden, allowed_tools=["add"])
    assert [tool.name for tool in llm.calls[0].tools] == ["add"]
    assert result.tool_calls_executed[0].status == "failed"
    assert told(llm.calls[1]) == ["error: there is no tool 'forbidden'; there are: add"]


async def test_a_refusal_is_told_to_the_model():
    asked: list[ApprovalRequest] = []

    async def approve(request: ApprovalRequest) -> ApprovalAnswer:
        asked.append(request)
        return ApprovalAnswer(request.call_id == "c2", "not today")

    llm = in_turns(tool_answer(call_add("c1"), call_add("c2")), text_answer("As you like."))
    names, result = await run(llm, add, approval="always", approve=approve)
    assert [request.arguments for request in asked] == ['{"a": 2, "b": 3}'] * 2
    assert told(llm.calls[1]) == ["error: the user refused this call: not today", "5"]
    assert [call.status for call in result.tool_calls_executed] == ["refused", "completed"]
    assert names[9:15] == [
        "approval_requested", "approval_answered", "tool_execution_end",
        "approval_requested", "approval_answered", "tool_execution_start",
    ]  # fmt: skip


async def test_without_a_callback_the_conversation_stops_and_goes_on_later():
    llm = in_turns(tool_answer(call_add("c1"), call_add("c2"), call_add("c3")), text_answer("Done."))
    tool = function_tool(add, needs_approval=True)
    _, stopped = await run(llm, tool)
    assert (stopped.stop_reason, stopped.turns_taken) == ("approval", 1)
    assert [request.call_id for request in stopped.pending_approvals] == ["c1", "c2", "c3"]

    messages = [*QUESTION, *stopped.messages]
    answers = {"c1": True, "c2": ApprovalAnswer(False, "why?")}
    names, still = await run(llm, tool, messages=messages, approvals=answers)
    assert (still.stop_reason, still.turns_taken) == ("approval", 0)
    assert [request.call_id for request in still.pending_approvals] == ["c3"]
    assert still.final_message is None

    messages += still.messages
    names, done = await run(llm, tool, messages=messages, approvals={"c3": True})
    assert names[:4] == ["approval_answered", "tool_execution_start", "tool_execution_end", "turn_start"]
    assert done.stop_reason == "stop"
    assert told(llm.calls[1]) == ["5", "error: the user refused this call: why?", "5"]


async def test_the_clients_own_tools_stop_the_loop():
    search = Tool(name="search")
    llm = in_turns(tool_answer(("c1", "search", ["{}"]), call_add("c2")), text_answer("Found."))
    _, stopped = await run(llm, add, client_tools=[search])
    assert stopped.stop_reason == "tool_calls"
    assert [call.id for call in stopped.pending_calls] == ["c1"]
    assert [call.call_id for call in stopped.tool_calls_executed] == ["c2"]

    result = Message(role="tool", content="found it", tool_call_id="c1")
    messages = [*QUESTION, *stopped.messages]
    _, again = await run(llm, add, messages=messages, client_tools=[search])
    assert (again.stop_reason, again.turns_taken) == ("tool_calls", 0)
    _, done = await run(llm, add, messages=[*messages, result], client_tools=[search])
    assert (done.stop_reason, done.text) == ("stop", "Found.")


async def test_open_calls_that_the_talk_went_past_are_left_alone():
    llm = in_turns(text_answer("Hello."))
    open_call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    messages = [*QUESTION, {"role": "assistant", "tool_calls": [open_call]}, *QUESTION]
    names, result = await run(llm, add, messages=messages)
    assert names[0] == "turn_start"
    assert result.tool_calls_executed == ()


async def test_an_answer_cut_at_its_length_runs_no_calls():
    *events, complete = tool_answer(call_add())
    cut = [*events, type(complete)("length", complete.usage)]
    _, result = await run(in_turns(cut), add)
    assert result.stop_reason == "length"
    assert result.tool_calls_executed[0].result.text == "not run: the answer was cut at its length"


class ObedientLLM(ScriptedLLM):
    """Notes what it is forced to."""

    def chat(self, messages, *, tool_choice="auto", parallel_tool_calls=True, **options):
        self.forced = [*getattr(self, "forced", []), (tool_choice, parallel_tool_calls)]
        return super().chat(messages, **options)


@pytest.mark.parametrize(
    ("tool_choice", "later"), [("auto", "auto"), ("none", "none"), ("required", "auto"), ("add", "auto")]
)
async def test_a_call_is_forced_once_only(tool_choice, later):
    answers = iter([tool_answer(call_add()), text_answer("Five.")])
    llm = ObedientLLM(lambda call: next(answers))
    await run(llm, add, tool_choice=tool_choice, parallel_tool_calls=False)
    assert llm.forced == [(tool_choice, False), (later, False)]


async def test_progress_is_told_while_the_tool_runs():
    def counts(steps: int, context: ToolContext) -> str:
        for step in range(steps):
            context.report_progress(step + 1, steps, f"step {step + 1}")
        return "counted"

    llm = in_turns(tool_answer(("c1", "counts", ['{"steps": 3}'])), text_answer("Done."))
    names, _ = await run(llm, counts)
    start = names.index("tool_execution_start")
    assert names[start : start + 5] == ["tool_execution_start", *["tool_progress"] * 3, "tool_execution_end"]
    assert list(llm.calls[0].tools[0].properties) == ["steps"]


async def test_a_failure_midway_keeps_what_was_said():
    llm = replaying(Start("a", "m"), ResponseToken("Four, n"), Error("a step failed", "EngineFailed"))
    names, result = await run(llm)
    assert names[-2:] == ["error", "conversation_complete"]
    assert (result.stop_reason, result.text) == ("error", "Four, n")
    assert result.error.message == "a step failed"
    assert result.error.error_type == "EngineFailed"


async def test_a_request_that_is_refused_at_once_raises_and_one_refused_later_is_a_result():
    with pytest.raises(EngineOverloaded):
        await run(replaying(EngineOverloaded("full")))
    llm = in_turns(tool_answer(call_add()), [EngineOverloaded("full")])
    names, result = await run(llm, add)
    assert (result.stop_reason, result.turns_taken) == ("error", 1)
    assert result.error.error_type == "EngineOverloaded"
    assert [message.role for message in result.messages] == ["assistant", "tool"]
    assert names.count("turn_start") == 1


async def test_cancelled_while_the_model_speaks():
    llm = replaying(Start("a", "m"), ResponseToken("Four, n"), Pause())
    conversation = ResponsesSession(llm).stream_conversation(QUESTION)
    names = []
    async for event in conversation:
        names.append(event.sse_name)
        if event.sse_name == "response_token":
            conversation.cancel()
            conversation.cancel()
    assert names[-1] == "conversation_complete"
    assert isinstance(event, ConversationComplete)
    assert (event.result.stop_reason, event.result.text) == ("cancelled", "Four, n")
    assert llm.running == 0
    assert llm.cancelled == 1


async def test_cancelled_while_tools_run():
    started = asyncio.Event()

    async def hangs() -> str:
        started.set()
        await asyncio.Event().wait()
        return "never"

    calls = [call_add("c1"), ("c2", "hangs", ["{}"]), ("c3", "hangs", ["{}"])]
    llm = in_turns(tool_answer(*calls))
    conversation = ResponsesSession(llm, tools=[add, hangs]).stream_conversation(
        QUESTION, ConversationOptions(parallel=False)
    )
    ends = []
    async for event in conversation:
        if event.sse_name == "tool_execution_start" and event.call_id == "c2":
            await started.wait()
            conversation.cancel()
        if isinstance(event, ToolExecutionEnd):
            ends.append((event.call.call_id, event.call.status))
    assert ends == [("c1", "completed"), ("c2", "cancelled"), ("c3", "skipped")]
    assert event.result.stop_reason == "cancelled"
    contents = [message.content for message in event.result.messages[1:]]
    assert contents[0] == "5"
    assert contents[1].startswith("error: the call was cancelled while it ran; it was stopped")
    assert contents[2] == "error: not run: the conversation was cancelled"


async def test_cancelled_before_it_began():
    conversation = ResponsesSession(replaying(*text_answer("Hi"))).stream_conversation(QUESTION)
    conversation.cancel()
    result = await conversation
    assert (result.stop_reason, result.messages, result.turns_taken) == ("cancelled", (), 0)


async def test_cancelled_after_its_end_it_tidies_up_to_the_end(monkeypatch):
    is_closed = False

    async def close(tools) -> None:
        nonlocal is_closed
        conversation.cancel()
        for _ in range(5):
            await asyncio.sleep(0)
        is_closed = True

    monkeypatch.setattr("candlewick.responses.session._ConversationTools.close", close)
    conversation = ResponsesSession(replaying(*text_answer("Hi"))).stream_conversation(QUESTION)
    result = await conversation
    assert (result.stop_reason, result.text) == ("stop", "Hi")
    assert is_closed


@pytest.mark.parametrize("way", ["close", "task"])
async def test_closing_and_cancelling_the_reader_stop_model_and_tools(way):
    stopped = asyncio.Event()
    started = asyncio.Event()

    async def hangs() -> str:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        return "never"

    conversation = ResponsesSession(
        in_turns(tool_answer(("c1", "hangs", ["{}"]))), tools=[hangs]
    ).stream_conversation(QUESTION)
    if way == "close":
        async for event in conversation:
            if event.sse_name == "tool_execution_start":
                break
        await started.wait()
        await conversation.aclose()
    else:
        task = asyncio.ensure_future(conversation._to_result())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert stopped.is_set()


async def test_a_dropped_conversation_stops_its_model():
    llm = replaying(Start("a", "m"), Pause())
    conversation = ResponsesSession(llm).stream_conversation(QUESTION)
    async for event in conversation:
        if event.sse_name == "start":
            break
    await asyncio.to_thread(llm.paused.wait, 5)
    del conversation
    assert await asyncio.to_thread(llm.ended.wait, 5)


async def test_results_are_cut_to_their_limit():
    def long() -> str:
        return "x" * 1000

    llm = in_turns(tool_answer(("c1", "long", ["{}"])), text_answer("Long."))
    _, result = await run(llm, long, max_result_chars=10)
    assert told(llm.calls[1]) == ["xxxxxxxxxx\n[cut: 10 of 1000 characters are shown]"]
    assert result.tool_calls_executed[0].result.is_cut


@pytest.mark.parametrize(
    ("options", "parameter"),
    [
        ({"max_turns": 0}, "max_turns"),
        ({"max_tool_calls": -1}, "max_tool_calls"),
        ({"tool_timeout": 0}, "tool_timeout"),
        ({"allowed_tools": "add"}, "allowed_tools"),
        ({"approval": "sometimes"}, "approval"),
        ({"approval": {"add": True}}, "approval"),
        ({"max_result_chars": 0}, "max_result_chars"),
    ],
)
def test_options_are_checked(options, parameter):
    with pytest.raises(InvalidRequestError) as raised:
        ConversationOptions(**options)
    assert raised.value.parameter == parameter


def test_names_that_collide_are_refused():
    with pytest.raises(InvalidRequestError, match="two tools are called 'add'"):
        ResponsesSession(replaying(), tools=[add, add])
    session = ResponsesSession(replaying(), tools=[add])
    with pytest.raises(InvalidRequestError, match="two tools are called 'add'"):
        session.stream_conversation(QUESTION, ConversationOptions(client_tools=[Tool(name="add")]))


async def test_each_turn_goes_on_from_the_tokens_of_the_one_before() -> None:
    first = tool_answer(call_add())
    first[-1] = replace(first[-1], token_ids=(1, 2, 3))
    llm = in_turns(first, text_answer("five"))
    given = Transcript((1,), 1, keeps_thinking=True)
    await run(llm, add, transcript=given)
    assert llm.calls[0].transcript == given
    assert llm.calls[1].transcript == Transcript((1, 2, 3), num_messages=2, keeps_thinking=True)
