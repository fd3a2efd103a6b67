"""One session: asking, branches, stopping, approvals, what is stored, and what listeners hear."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, asynccontextmanager

import pytest

from candlewick.chat.events import (
    Complete,
    Error,
    ResponseToken,
    Start,
    ToolCallArguments,
    ToolCallEnd,
    ToolCallStart,
)
from candlewick.core.errors import EngineOverloaded, InvalidRequestError, SessionBusy, SessionNotFound
from candlewick.responses import ResponsesSession, function_tool
from candlewick.sessions import ModelAnswering, SessionManager, SessionSettings
from candlewick.store import Database
from sessions.scripted_answers import Ask, Hold, ScriptedAnswers, always, text, thinking


@pytest.fixture
def database():
    with Database.open() as database:
        yield database


async def begin(database, answering, **options):
    return await SessionManager(database, answering).create(**options)


def shown(session):
    return [(entry.role, entry.text) for entry in session.tree.path()]


async def test_an_answer_is_stored_with_its_thoughts_and_figures(database):
    session = await begin(database, always(*thinking("hm", "Hel", "lo")))
    answer = await session.send("Good morning,\nfriend")
    await session.finish()
    assert shown(session) == [("user", "Good morning,\nfriend"), ("assistant", "Hello")]
    assert session.title == "Good morning, friend"
    assert [part.kind for part in answer.parts] == ["thinking", "text"]
    assert answer.state == "complete"
    assert answer.model == "scripted"
    assert answer.figures.tokens_per_second == 1.0
    again = await SessionManager(database, always()).open(session.id)
    assert again.snapshot() == session.snapshot()


async def test_the_model_is_told_the_system_prompt_and_the_branch_that_is_shown(database):
    answers = always(*text("one"))
    session = await begin(
        database, answers, settings=SessionSettings(system_prompt="Be brief.", temperature=0)
    )
    await session.send("first")
    await session.finish()
    await session.send("second")
    await session.finish()
    said = [(message.role, message.content) for message in answers.asked[-1]]
    assert said == [("system", "Be brief."), ("user", "first"), ("assistant", "one"), ("user", "second")]
    assert answers.settings[-1].to_params().temperature == 0


async def test_editing_and_asking_again_make_branches_that_can_be_switched(database):
    numbers = iter(range(100))
    session = await begin(database, ScriptedAnswers(lambda messages: text(f"answer {next(numbers)}")))
    first = await session.send("question")
    await session.finish()
    await session.send("more")
    await session.finish()
    again = await session.answer_again(first.id)
    await session.finish()
    assert shown(session) == [("user", "question"), ("assistant", "answer 2")]
    assert session.tree.siblings(again.id) == [first.id, again.id]
    await session.edit(session.tree.path()[0].id, "another question")
    await session.finish()
    assert shown(session) == [("user", "another question"), ("assistant", "answer 3")]
    await session.show(first.id)
    assert shown(session)[-1] == ("assistant", "answer 1")
    assert len(session.tree) == 8 - 1
    reread = await SessionManager(database, always()).open(session.id)
    assert shown(reread) == shown(session)


async def test_stopping_keeps_what_is_written(database):
    hold = Hold()
    answers = always(Start("a", "scripted"), ResponseToken("so far"), hold)
    session = await begin(database, answers)
    answer = await session.send("go")
    await hold.reached.wait()
    assert session.writing == answer.id
    await session.stop()
    assert (answer.state, answer.text, session.writing, answers.closed) == ("stopped", "so far", None, 1)
    await session.stop()


async def test_stopping_at_once_stops(database):
    session = await begin(database, always(Hold()))
    answer = await session.send("go")
    await session.stop()
    assert answer.state == "stopped"


async def test_one_answer_at_a_time(database):
    session = await begin(database, always(Hold()))
    await session.send("go")
    results = await asyncio.gather(session.send("and"), session.send("or"), return_exceptions=True)
    assert [type(result) for result in results] == [SessionBusy, SessionBusy]
    await session.close()
    with pytest.raises(SessionNotFound):
        await session.send("too late")


@pytest.mark.parametrize(
    ("step", "told"),
    [
        (EngineOverloaded("the queue is full"), "the queue is full"),
        (Error("the step failed", "EngineFailed"), "the step failed"),
        (RuntimeError("/secret/path"), "internal error; the server's log has the details"),
    ],
)
async def test_a_failure_is_told_and_can_be_tried_again(database, step, told):
    scripts = iter([[Start("a", "m"), ResponseToken("part"), step], text("well")])
    session = await begin(database, ScriptedAnswers(lambda messages: next(scripts)))
    answer = await session.send("go")
    await session.finish()
    assert (answer.state, answer.error, answer.text) == ("failed", told, "part")
    await session.answer_again(answer.id)
    await session.finish()
    assert shown(session)[-1] == ("assistant", "well")


def call(*after):
    return [
        Start("a", "m"),
        ToolCallStart(0, "c1", "weather"),
        ToolCallArguments(0, '{"city":'),
        ToolCallArguments(0, '"Ulm"}'),
        ToolCallEnd(0, "c1", "weather", '{"city":"Ulm"}'),
        Complete("tool_calls"),
        *after,
    ]


async def heard_until(session, name):
    names = []
    async with aclosing(session.listen()) as events:
        async for event in events:
            names.append(event.name)
            if event.name == name:
                break
    return names


@pytest.mark.parametrize(("approved", "state"), [(True, "done"), (False, "refused")])
async def test_a_call_waits_for_approval(database, approved, state):
    answers = always(*call(Ask("c1", "weather", "rain"), *text("It rains.")))
    session = await begin(database, answers)
    answer = await session.send("Weather?")
    await heard_until(session, "approval_requested")
    assert answer.parts[0].state == "asking"
    with pytest.raises(InvalidRequestError, match="no tool call 'c2' waits"):
        session.decide("c2", approved=True)
    session.decide("c1", approved=approved)
    await session.finish()
    assert [part.kind for part in answer.parts] == ["tool", "text"]
    assert (answer.parts[0].state, answer.parts[0].arguments) == (state, '{"city":"Ulm"}')
    told = answer.to_messages()
    assert [message.role for message in told] == ["assistant", "tool", "assistant"]
    assert told[1].content == ("rain" if approved else "refused by the user")


async def test_a_void_call_is_taken_back(database):
    script = [Start("a", "m"), ToolCallStart(0, "c1", "x"), ResponseToken("<tool>x"), Complete("stop")]
    session = await begin(database, always(*script))
    answer = await session.send("go")
    await session.finish()
    assert [(part.kind, part.id) for part in answer.parts] == [("text", 1)]


async def test_listeners_hear_everything_in_order_and_the_answer_needs_none(database):
    hold = Hold()
    session = await begin(database, always(Start("a", "m"), ResponseToken("a"), hold, ResponseToken("b")))
    listening = asyncio.create_task(heard_until(session, "entry_ended"))
    await asyncio.sleep(0)
    await session.send("go")
    await hold.reached.wait()
    late = asyncio.create_task(heard_until(session, "entry_ended"))
    hold.go_on.set()
    assert await listening == [
        "snapshot", "entry_added", "session", "entry_added", "start", "response_token", "response_token", "entry_ended",
    ]  # fmt: skip
    assert await late in (["snapshot", "response_token", "entry_ended"], ["snapshot", "entry_ended"])


async def test_a_program_that_ends_in_mid_answer_keeps_what_was_written(database):
    hold = Hold()
    manager = SessionManager(database, always(Start("a", "m"), ResponseToken("half an"), hold))
    session = await manager.create()
    await session.send("go")
    await hold.reached.wait()
    await manager.close()
    reread = await SessionManager(database, always()).open(session.id)
    assert shown(reread)[-1] == ("assistant", "half an")
    assert reread.tree.path()[-1].state == "stopped"


@pytest.mark.parametrize(
    ("changes", "parameter"),
    [
        ({"temperature": -1}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"thinking": "maybe"}, "thinking"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"tools": 1}, "tools"),
        ({"colour": "red"}, "colour"),
        ({"system_prompt": None}, "system_prompt"),
    ],
)
async def test_settings_are_checked(database, changes, parameter):
    session = await begin(database, always())
    with pytest.raises(InvalidRequestError) as caught:
        await session.change_settings(changes)
    assert caught.value.parameter == parameter


async def test_nothing_is_not_a_message(database):
    session = await begin(database, always())
    for empty in ("", " \n", "\ud800"):
        with pytest.raises(InvalidRequestError):
            await session.send(empty)
    assert len(session.tree) == 0


async def test_a_model_with_tools_answers_through_approvals(database):
    from scripted_llm import ScriptedLLM, text_answer, tool_answer

    scripts = iter([tool_answer(("c1", "double", ['{"x":', "21}"])), text_answer("It is 42.")])
    llm = ScriptedLLM(lambda call: next(scripts))

    def double(x: int) -> int:
        """Twice as much."""
        return 2 * x

    model = ResponsesSession(llm, tools=[function_tool(double, needs_approval=True)])

    @asynccontextmanager
    async def use(name):
        assert name is None
        yield model

    session = await begin(database, ModelAnswering(use))
    answer = await session.send("Twice 21?")
    await heard_until(session, "approval_requested")
    session.decide("c1", approved=True)
    await session.finish()
    assert [(part.kind, getattr(part, "result", None)) for part in answer.parts] == [
        ("tool", "42"),
        ("text", None),
    ]
    assert (answer.state, answer.text) == ("complete", "It is 42.")
    assert answer.figures.completion_tokens == 8
