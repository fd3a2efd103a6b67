"""All sessions of a program: making, finding, copying, deleting, expiring, in each kind of database."""

from __future__ import annotations

import asyncio
import gc

import pytest

from candlewick.core.errors import InvalidRequestError, SessionNotFound
from candlewick.sessions import Entry, SessionManager, TextPart, ToolPart, session_manager, transcript
from candlewick.store import Database
from sessions.scripted_answers import Hold, always, text


@pytest.fixture
def manager(database_url):
    with Database.open(database_url) as database:
        yield SessionManager(database, always(*text("An answer about \0 Candles")))


async def talk(manager, *questions, **options):
    session = await manager.create(**options)
    for question in questions:
        await session.send(question)
        await session.finish()
    return session


async def test_sessions_are_listed_searched_renamed_and_deleted(manager):
    rivers = await talk(manager, "Which RIVERS flow north?")
    empty = await manager.create(title="Ärger\n100%")
    assert [item["id"] for item in await manager.list()] == [empty.id, rivers.id]
    for search, found in {
        "rivers": [rivers.id], "ÄRGER": [empty.id], "candles NORTH": [rivers.id], "%": [empty.id], "_": [],
        "rivers ärger": [], "x\0": [],
    }.items():  # fmt: skip
        assert [item["id"] for item in await manager.list(search=search)] == found, search
    await rivers.rename("  Geo\x1bgraphy ")
    assert (await manager.list(search="geo"))[0]["title"] == "Geo graphy"
    await manager.delete(rivers.id)
    with pytest.raises(SessionNotFound):
        await manager.open(rivers.id)
    assert [item["id"] for item in await manager.list()] == [empty.id]


async def test_owners_see_their_own_only(manager):
    mine = await talk(manager, "secret", owner="me")
    assert await manager.list("you", search="secret") == []
    for action in (manager.open, manager.delete):
        with pytest.raises(SessionNotFound):
            await action(mine.id, owner="you")
    with pytest.raises(SessionNotFound):
        await manager.fork(mine.id, owner="you")
    assert (await manager.open(mine.id, owner="me")) is mine


async def test_a_fork_shares_nothing(manager):
    first = await talk(manager, "one", "two")
    fork = await manager.fork(first.id, first.tree.path()[1].id)
    assert [entry.text for entry in fork.tree.path()] == [entry.text for entry in first.tree.path()[:2]]
    await fork.send("three")
    await fork.finish()
    assert len(first.tree) == len(fork.tree) == 4
    await manager.delete(first.id)
    assert len((await manager.open(fork.id)).tree) == 4


async def test_old_sessions_expire_and_their_listeners_hear_it(manager):
    session = await talk(manager, "one")
    events = session.listen()
    await anext(events)
    assert await manager.expire(3600) == 0
    assert await manager.expire(-1) == 1
    assert (await anext(events)).name == "deleted"
    with pytest.raises(StopAsyncIteration):
        await anext(events)


async def test_two_requests_open_the_same_object_and_unused_ones_leave_memory(manager, monkeypatch):
    monkeypatch.setattr(session_manager, "KEPT_SESSIONS", 2)
    session = await talk(manager, "one")
    id = session.id
    del session
    for _ in range(3):
        await manager.create()
    gc.collect()
    assert len(manager._open) == 2
    a, b = await asyncio.gather(manager.open(id), manager.open(id))
    assert a is b


async def test_a_session_that_writes_stays_itself(manager, monkeypatch):
    monkeypatch.setattr(session_manager, "KEPT_SESSIONS", 1)
    hold = Hold()
    manager._answering = always(hold, *text("late"))
    id = (await talk_without_waiting(manager)).id
    await hold.reached.wait()
    await manager.create()
    gc.collect()
    assert (await manager.list())[-1]["writing"] is not None
    hold.go_on.set()
    session = await manager.open(id)
    await session.finish()
    assert session.tree.path()[-1].text == "late"


async def talk_without_waiting(manager):
    session = await manager.create()
    await session.send("go")
    return session


async def test_a_whole_session_survives_export_and_import(manager):
    session = await talk(manager, "one", "two")
    await session.answer_again(session.tree.head)
    await session.finish()
    read = transcript.from_json(transcript.to_json(session))
    copy = await manager.create(
        title=read.title, settings=read.settings, entries=read.entries, head=read.head
    )
    assert copy.snapshot()["entries"] == session.snapshot()["entries"]
    assert copy.tree.head == session.tree.head


async def test_openais_messages_are_read_and_markdown_is_written(manager):
    read = transcript.from_json(
        {
            "title": "Weather",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Weather?"},
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [
                        {"id": "c", "type": "function", "function": {"name": "w", "arguments": "{}"}}
                    ],
                },
                {"role": "tool", "tool_call_id": "c", "content": "```rain```"},
                {"role": "assistant", "content": "It rains."},
            ],
        }
    )
    assert read.settings.system_prompt == "Be brief."
    session = await manager.create(title=read.title, settings=read.settings, entries=read.entries)
    assert [[type(part) for part in entry.parts] for entry in session.tree] == [
        [TextPart],
        [ToolPart, TextPart],
    ]
    written = transcript.to_markdown(session)
    assert written.startswith("# Weather\n\n## You\n\nWeather?\n\n## Answer\n\nCalled `w` (done):")
    assert "````\n```rain```\n````" in written


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"format": "candlewick-session", "version": 2},
        {"messages": "hello"},
        {"messages": [{"role": "tool", "tool_call_id": "c", "content": "x"}]},
        {"format": "candlewick-session", "version": 1, "entries": [1], "settings": {}, "head": None},
        {"format": "candlewick-session", "version": 1, "entries": [], "settings": {"x": 1}, "head": None},
        {
            "format": "candlewick-session",
            "version": 1,
            "entries": [{"id": "<b>"}],
            "settings": {},
            "head": None,
        },
    ],
)
def test_a_damaged_file_is_refused(value):
    with pytest.raises(InvalidRequestError):
        transcript.from_json(value)


async def test_a_conversation_has_no_loops_and_no_strangers(manager):
    first = Entry.from_user("a", None)
    for entries in ([first, first], [Entry.from_user("b", "nowhere")]):
        with pytest.raises(InvalidRequestError):
            await manager.create(entries=entries)
    with pytest.raises(InvalidRequestError):
        await manager.create(entries=[first], head="nowhere")
