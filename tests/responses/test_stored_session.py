"""Conversations of a library's user in the store: gone on from, cancelled, and told by a server over the same one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sqlalchemy", reason="needs the store extra")

import httpx
from scripted_llm import Pause, ScriptedLLM, text_answer, thinking_answer, tool_answer

from candlewick import AsyncLLM
from candlewick.chat.events import Complete, Error, ResponseToken, Start
from candlewick.core.batch import BLOCK_SIZE
from candlewick.core.errors import InvalidRequestError, NotFoundError, PreviousResponseNotFound, StoreError
from candlewick.core.params import GenerationParams
from candlewick.core.usage import Usage
from candlewick.responses import ConversationOptions, ConversationResult, ResponsesSession, function_tool
from candlewick.responses.events import (
    ConversationComplete,
    ConversationEvent,
    ToolExecutionEnd,
    ToolExecutionStart,
)
from candlewick.responses.records import Recording, ResponseStore
from candlewick.store import Database

sys.path.insert(0, str(Path(__file__).parents[1] / "server"))

QUESTION = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Weather?"}]
MORE = [{"role": "user", "content": "And tomorrow?"}]


def weather(city: str) -> str:
    """Tell the weather."""
    return f"rain in {city}"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database.open(f"sqlite:///{tmp_path / 'store.db'}")
    yield database
    database.close()


def in_turns(*answers: Any) -> ScriptedLLM:
    left = iter(answers)
    return ScriptedLLM(lambda call: next(left))


async def run(session: ResponsesSession, messages: Any, **options: Any) -> ConversationResult:
    return await session.run_conversation(messages, ConversationOptions(**options))


async def served(database: Database, llm: ScriptedLLM) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a server over the same database."""
    from candlewick.server import create_app
    from candlewick.server.model_registry import ModelRegistry
    from candlewick.server.services import Services

    app = create_app(Services(ModelRegistry.of(llm), database=database))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost/v1") as client:
        yield client


async def stored(database: Database, result_or_id: Any) -> dict[str, Any]:
    response_id = getattr(result_or_id, "response_id", result_or_id)
    return (await ResponseStore(database).get(response_id, "everybody")).response


CALL = tool_answer(("c1", "weather", ['{"city": "Ulm"}']))


async def test_it_goes_on_from_what_is_stored(database: Database) -> None:
    llm = in_turns([*thinking_answer(["hm"])[:-1], *CALL[1:]], text_answer("Rain."), text_answer("Sun."))
    first = await run(ResponsesSession(llm, tools=[weather], store=database), QUESTION)
    assert (first.text, first.stop_reason) == ("Rain.", "stop")
    again = ResponsesSession(llm, tools=[weather], store=database)
    second = await run(again, MORE, continues=first.response_id)
    told = [(message.role, message.content) for message in llm.calls[2].messages]
    assert told == [
        ("system", "Be brief."),
        ("user", "Weather?"),
        ("assistant", None),
        ("tool", "rain in Ulm"),
        ("assistant", "Rain."),
        ("user", "And tomorrow?"),
    ]
    assert llm.calls[2].messages[2].reasoning == "hm"
    history = await again.history(str(second.response_id))
    assert [message.content for message in history[-2:]] == ["And tomorrow?", "Sun."]
    assert second.to_json()["response_id"] == second.response_id


async def test_a_server_tells_the_same_and_goes_on(database: Database) -> None:
    from strict_wire import check_order, check_response

    llm = in_turns(CALL, text_answer("Rain."), text_answer("Sun."), text_answer("Snow."))
    session = ResponsesSession(llm, tools=[weather], store=database)
    first = await run(session, QUESTION, metadata={"by": "me"})
    async for http in served(database, llm):
        response = (await http.get(f"responses/{first.response_id}")).json()
        check_response(response)
        assert [item["type"] for item in response["output"]] == ["mcp_call", "message"]
        assert (response["status"], response["metadata"]) == ("completed", {"by": "me"})
        lines = (await http.get(f"responses/{first.response_id}?stream=true")).text.splitlines()
        events = [line.removeprefix("data: ") for line in lines if line.startswith("data: {")]
        check_order([json.loads(event) for event in events])
        body = {"model": "scripted", "input": "And?", "previous_response_id": first.response_id}
        second = (await http.post("responses", json=body)).json()
        assert second["output"][0]["content"][0]["text"] == "Sun."
        third = await run(session, MORE, continues=second["id"])
        assert [message.content for message in llm.calls[3].messages][-3:] == [
            "And?",
            "Sun.",
            "And tomorrow?",
        ]
        assert (await http.get(f"responses/{third.response_id}")).json()["previous_response_id"] == second[
            "id"
        ]


async def test_a_conversation_is_added_to(database: Database) -> None:
    llm = ScriptedLLM(lambda call: text_answer(f"{len(call.messages)}"))
    session = ResponsesSession(llm, store=database)
    conversation = await session.new_conversation({"topic": "weather"})
    for question in ("a", "b"):
        await run(session, [{"role": "user", "content": question}], continues=conversation)
    assert [message.content for message in await session.history(conversation)] == ["a", "1", "b", "3"]
    async for http in served(database, llm):
        items = (await http.get(f"conversations/{conversation}/items?order=asc")).json()["data"]
        assert [item["content"][0]["text"] for item in items] == ["a", "1", "b", "3"]


async def test_the_next_turn_goes_on_from_the_very_tokens(database: Database) -> None:
    answer = [Start("a", "m"), ResponseToken("Hi."), Complete("stop", Usage(2, 1), token_ids=(5, 6, 7))]
    llm = ScriptedLLM(lambda call: answer)
    first = await run(ResponsesSession(llm, store=database), QUESTION)
    await run(ResponsesSession(llm, store=database), MORE, continues=first.response_id, keeps_thinking=True)
    transcript = llm.calls[1].transcript
    assert transcript is not None
    assert (transcript.token_ids, transcript.num_messages) == ((5, 6, 7), 3)
    assert transcript.keeps_thinking


async def test_a_call_of_the_caller_is_answered_later(database: Database) -> None:
    called = [*CALL[:-1], Complete("tool_calls", Usage(2, 1), token_ids=(5, 6))]
    llm = in_turns(called, text_answer("Rain."))
    tool = function_tool(weather).definition
    session = ResponsesSession(llm, store=database)
    first = await run(session, QUESTION, client_tools=[tool])
    assert [call.id for call in first.pending_calls] == ["c1"]
    *_, last = await session.history(str(first.response_id))
    assert [call.id for call in last.tool_calls] == ["c1"]
    result = {"role": "tool", "tool_call_id": "c1", "content": "rain in Ulm"}
    second = await run(session, [result], client_tools=[tool], continues=first.response_id)
    assert second.text == "Rain."
    assert [message.role for message in llm.calls[1].messages] == ["system", "user", "assistant", "tool"]
    assert llm.calls[1].transcript is not None
    assert llm.calls[1].transcript.num_messages == 3


async def test_an_approval_is_given_later(database: Database) -> None:
    llm = in_turns(CALL, text_answer("Rain."), text_answer("Done."))
    tool = function_tool(weather, needs_approval=True)
    first = await run(ResponsesSession(llm, tools=[tool], store=database), QUESTION)
    assert first.stop_reason == "approval"
    (request,) = first.pending_approvals
    session = ResponsesSession(llm, tools=[tool], store=database)
    *_, last = await session.history(str(first.response_id))
    assert [call.name for call in last.tool_calls] == ["weather"]
    second = await run(
        session, [], continues=first.response_id, approvals={request.call_id: request.name == "weather"}
    )
    assert (second.text, [call.status for call in second.tool_calls_executed]) == ("Rain.", ["completed"])
    await run(session, MORE, continues=second.response_id)
    assert [message.role for message in llm.calls[2].messages] == [
        "system", "user", "assistant", "tool", "assistant", "user",
    ]  # fmt: skip


@pytest.mark.parametrize("way", ["cancel", "close", "store"])
async def test_a_cancelled_conversation_is_seen_in_the_store(database: Database, way: str) -> None:
    llm = ScriptedLLM(lambda call: [Start("a", "m"), ResponseToken("Hel"), Pause()])
    session = ResponsesSession(llm, store=database)
    assert session._store is not None
    session._store.responses.lease_seconds = 6.0  # looked at six times as often
    conversation = session.stream_conversation(QUESTION)
    result = None
    async for event in conversation:
        if isinstance(event, ResponseToken):
            (response_id,) = await database.run(
                lambda connection: list(
                    connection.exec_driver_sql("SELECT id FROM candlewick_responses").scalars()
                )
            )
            assert (await stored(database, response_id))["status"] == "in_progress"
            if way == "cancel":
                conversation.cancel()
            elif way == "close":
                break
            else:
                async for http in served(database, llm):
                    assert (await http.post(f"responses/{response_id}/cancel")).status_code == 200
        result = getattr(event, "result", None)
    await conversation.aclose()
    if way != "close":
        assert result is not None
        assert (result.stop_reason, result.response_id) == ("cancelled", response_id)
    response = await stored(database, response_id)
    assert (response["status"], response["output"][0]["status"]) == ("cancelled", "incomplete")
    assert llm.running == 0


async def test_a_cancellation_that_comes_too_late_changes_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = ResponseStore.finish

    async def finish_slowly(store: ResponseStore, outcome: Any) -> None:
        conversation.cancel()
        for _ in range(10):
            await asyncio.sleep(0)
        await finish(store, outcome)

    monkeypatch.setattr(ResponseStore, "finish", finish_slowly)
    session = ResponsesSession(ScriptedLLM(lambda call: text_answer("Hi.")), store=database)
    conversation = session.stream_conversation(QUESTION)
    result = await conversation
    assert (result.stop_reason, result.text) == ("stop", "Hi.")
    assert (await stored(database, result))["status"] == "completed"


@pytest.mark.parametrize("second", ["cancel", "reader", "store"])
@pytest.mark.parametrize("first", ["cancel", "reader", "store"])
async def test_whoever_cancels_it_twice_it_tidies_up_once(
    database: Database, monkeypatch: pytest.MonkeyPatch, first: str, second: str
) -> None:
    started, stopping, may_stop = asyncio.Event(), asyncio.Event(), asyncio.Event()
    told: list[ConversationEvent] = []
    cancel_by: dict[str, Callable[[], object]] = {}

    async def weather(city: str) -> str:
        """Tell the weather."""
        try:
            await asyncio.Event().wait()
        finally:
            stopping.set()
            await may_stop.wait()
        return "never"

    async def renew(recording: Recording, cancel: Callable[[], None]) -> None:
        cancel_by["store"] = cancel
        await asyncio.Event().wait()

    async def read() -> None:
        async for event in conversation:
            told.append(event)
            if isinstance(event, ToolExecutionStart):  # told, and so kept
                started.set()

    monkeypatch.setattr(Recording, "renew", renew)
    session = ResponsesSession(in_turns(CALL), tools=[weather], store=database)
    options = ConversationOptions(parallel=False)  # the tool runs in the conversation's own task
    conversation = session.stream_conversation(QUESTION, options)
    reading = asyncio.create_task(read())
    cancel_by |= {"cancel": conversation.cancel, "reader": reading.cancel}
    try:
        async with asyncio.timeout(20):
            await started.wait()
            cancel_by[first]()
            await stopping.wait()
            cancel_by[second]()
            for _ in range(10):
                await asyncio.sleep(0)
            assert not reading.done()
    finally:
        may_stop.set()
        await asyncio.wait({reading})
    (status,) = await statuses(database)
    assert status == "cancelled"
    assert reading.cancelled() == ("reader" in (first, second))
    if not reading.cancelled():
        reading.result()
        *_, end, last = told
        assert isinstance(end, ToolExecutionEnd)
        assert (end.call.status, "it was stopped" in end.call.result.text) == ("cancelled", True)
        assert isinstance(last, ConversationComplete)
        assert last.result.stop_reason == "cancelled"


async def test_who_is_cancelled_while_closing_it_hears_of_that_when_it_is_closed(database: Database) -> None:
    llm = ScriptedLLM(lambda call: [Start("a", "m"), ResponseToken("Hel"), Pause()])
    conversation = ResponsesSession(llm, store=database).stream_conversation(QUESTION)
    async for event in conversation:
        if isinstance(event, ResponseToken):
            break
    closing = asyncio.create_task(conversation.aclose())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert llm.running == 0
    assert await statuses(database) == ["cancelled"]


def test_a_program_that_ends_leaves_no_response_in_progress(database: Database) -> None:
    """All its tasks are cancelled at once, those that keep a response among them."""
    llm = ScriptedLLM(lambda call: [Start("a", "m"), ResponseToken("Hel"), Pause()])

    async def end_soon() -> None:
        conversation = ResponsesSession(llm, store=database).stream_conversation(QUESTION)
        running.append(asyncio.create_task(conversation._to_result()))
        await asyncio.to_thread(llm.paused.wait, 20)

    running: list[Any] = []
    asyncio.run(end_soon())
    assert asyncio.run(statuses(database)) == ["cancelled"]


async def statuses(database: Database) -> list[str]:
    """Of all responses."""
    query = "SELECT status FROM candlewick_responses"
    return await database.run(lambda connection: list(connection.exec_driver_sql(query).scalars()))


async def test_a_response_that_is_deleted_while_it_runs_leaves_nothing(database: Database) -> None:
    def count(table: str) -> int:
        query = f"SELECT count(*) FROM candlewick_{table}"
        return database.run_blocking(lambda connection: connection.exec_driver_sql(query).scalar_one())

    def weather(city: str) -> str:
        """Tell the weather."""
        assert count("responses") == 1
        database.run_blocking(
            lambda connection: connection.exec_driver_sql("DELETE FROM candlewick_responses")
        )
        return "rain"

    session = ResponsesSession(in_turns(CALL, text_answer("Rain.")), tools=[weather], store=database)
    result = await run(session, QUESTION)
    assert (result.stop_reason, result.text) == ("stop", "Rain.")
    assert (count("responses"), count("response_items")) == (0, 0)


async def test_what_failed_is_seen_in_the_store(database: Database) -> None:
    llm = ScriptedLLM(lambda call: [Start("a", "m"), ResponseToken("Hel"), Error("broken", "EngineFailed")])
    result = await run(ResponsesSession(llm, store=database), QUESTION)
    response = await stored(database, result)
    assert (result.stop_reason, response["status"], response["error"]["message"]) == (
        "error",
        "failed",
        "broken",
    )

    def bad(city: str) -> str:
        raise OSError("no net")

    session = ResponsesSession(in_turns(CALL), tools=[function_tool(bad, name="weather")], store=database)
    with pytest.raises(OSError, match="no net"):
        await run(session, QUESTION, raise_tool_errors=True)
    assert await statuses(database) == ["failed", "failed"]


async def test_a_store_that_fails_stops_the_model(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    llm = ScriptedLLM(lambda call: [Start("a", "m"), ResponseToken("Hel"), Pause()])
    session = ResponsesSession(llm, store=database)

    async def fail(*args: Any) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(ResponseStore, "begin", fail)
    with pytest.raises(StoreError, match="disk is full"):
        async with asyncio.timeout(20):
            await run(session, QUESTION)
    assert llm.running == 0


async def test_what_is_not_there_is_refused(database: Database) -> None:
    llm = ScriptedLLM(lambda call: text_answer("Hi."))
    for options in ({"continues": "resp_a"}, {"metadata": {"a": "b"}}):
        with pytest.raises(InvalidRequestError, match="store"):
            await run(ResponsesSession(llm), QUESTION, **options)
    session = ResponsesSession(llm, store=database)
    with pytest.raises(InvalidRequestError, match="16 entries"):
        await run(session, QUESTION, metadata={str(number): "" for number in range(17)})
    with pytest.raises(PreviousResponseNotFound):
        await run(session, MORE, continues="resp_none")
    with pytest.raises(NotFoundError):
        await session.history("conv_none")
    mine = await run(ResponsesSession(llm, store=database, owner="me"), QUESTION)
    with pytest.raises(NotFoundError):
        await session.history(str(mine.response_id))
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    with pytest.raises(InvalidRequestError, match="no output"):
        await run(
            session,
            [{"role": "assistant", "content": None, "tool_calls": [call]}, *MORE],
        )


@pytest.mark.parametrize("restarts", [False, True])
async def test_the_built_in_model_computes_nothing_twice(
    database: Database, tmp_path: Path, restarts: bool
) -> None:
    options = {"params": GenerationParams(max_tokens=24, temperature=0), "keeps_thinking": True}
    kept: Any = {"kv_cache_path": tmp_path / "cache.kv"} if restarts else {}
    async with AsyncLLM(num_threads=1, **kept) as llm, contextlib.AsyncExitStack() as stack:
        first = await run(ResponsesSession(llm, store=database), QUESTION, **options)
        if restarts:
            await llm.close()
            llm = await stack.enter_async_context(AsyncLLM(num_threads=1, **kept))
        second = await run(
            ResponsesSession(llm, store=database), MORE, continues=first.response_id, **options
        )
    known = first.usage.prompt_tokens + first.usage.completion_tokens
    assert second.usage.cached_tokens >= (known - 1) // BLOCK_SIZE * BLOCK_SIZE
