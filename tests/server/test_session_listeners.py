"""A crowd that listens to sessions over HTTP, each of it coming and going as it likes, some reading slowly."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import resource
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

pytest.importorskip("sqlalchemy", reason="needs the store extra")

from scripted_llm import Call, ScriptedLLM

from candlewick.chat.events import Complete, Event, ResponseToken, Start
from candlewick.sessions import Published

NUM_TOKENS = 120
ROUNDS = 3
PATIENCE_SECONDS = 800


def count(call: Call) -> list[Event]:
    tokens = [ResponseToken(f"{number} ") for number in range(NUM_TOKENS)]
    return [Start("a1", "m"), *tokens, Complete("stop")]


WHOLE = "".join(f"{number} " for number in range(NUM_TOKENS))


@dataclass
class Listener:
    """Keeps nothing over a reconnect but what it has seen and the last id."""

    address: str
    session: str
    chance: random.Random
    last_id: str | None = None
    answers: dict[str, str] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    reconnects: int = -1
    snapshots: int = 0

    async def listen(self) -> None:
        """Until every answer has ended, over as many connections as it takes."""
        while len(self.ended) < ROUNDS:
            self.reconnects += 1
            patience = self.chance.randint(1, 3 * NUM_TOKENS)
            async with self.connection() as events:
                async for name, data in events:
                    self.apply(name, data)
                    patience -= 1
                    if patience <= 0 or len(self.ended) == ROUNDS:
                        break  # in the middle of whatever is on its way
                    if self.chance.random() < 0.01:
                        await asyncio.sleep(0.05)

    def apply(self, name: str, data: dict[str, Any]) -> None:
        if name == "snapshot":
            self.snapshots += 1
            self.answers, self.ended = {}, set()
            for entry in data["entries"]:
                self.hear_of(entry)
        elif name == "entry_added":
            assert data["entry"]["id"] not in self.answers
            self.hear_of(data["entry"])
        elif name == "response_token":
            assert data["entry"] not in self.ended
            self.answers[data["entry"]] += data["text"]
        elif name == "entry_ended":
            entry = data["entry"]
            assert entry["parts"][0]["text"] == self.answers[entry["id"]]
            self.ended.add(entry["id"])

    def hear_of(self, entry: dict[str, Any]) -> None:
        if entry["role"] == "assistant":
            self.answers[entry["id"]] = "".join(part["text"] for part in entry["parts"])
            if entry["state"] != "writing":
                self.ended.add(entry["id"])

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncIterator[tuple[str, dict[str, Any]]]]:
        """A plain socket: a client of five hundred must not be what the time is spent on."""
        place = urlsplit(self.address)
        reader, writer = await asyncio.open_connection(place.hostname, place.port, limit=2**24)
        last_id = f"Last-Event-ID: {self.last_id}\r\n" if self.last_id else ""
        writer.write(
            f"GET /v1/sessions/{self.session}/events HTTP/1.1\r\nHost: {place.netloc}\r\n{last_id}\r\n".encode()
        )
        try:
            yield self.events(reader)
        finally:
            writer.transport.abort()

    async def events(self, reader: asyncio.StreamReader) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        assert b" 200 " in await reader.readline()
        while await reader.readline() != b"\r\n":
            pass
        event: dict[bytes, bytes] = {}
        async for line in lines_of_chunks(reader):
            if line:
                key, _, value = line.partition(b": ")
                event[key] = value
                continue
            if b"data" in event:
                self.last_id = event[b"id"].decode()
                yield event[b"event"].decode(), json.loads(event[b"data"])
            event = {}


async def lines_of_chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """The lines of a body that comes in chunks, without their ends."""
    rest = b""
    while size := int(await reader.readline(), 16):
        rest += (await reader.readexactly(size + 2))[:-2]
        *lines, rest = rest.split(b"\n")
        for line in lines:
            yield line


async def crowd(address: str, num_listeners: int, num_sessions: int) -> list[Listener]:
    """Sessions that answer again and again, and their listeners, at the end of it."""
    async with httpx.AsyncClient(base_url=f"{address}/v1/sessions", timeout=PATIENCE_SECONDS) as client:
        sessions = [
            (await client.post(address + "/v1/sessions", json={})).json()["id"] for _ in range(num_sessions)
        ]
        chance = random.Random(50)
        listeners = [
            Listener(address, sessions[number % num_sessions], random.Random(number))
            for number in range(num_listeners)
        ]

        async def converse(session: str) -> None:
            for _ in range(ROUNDS):
                await asyncio.sleep(0.2 * chance.random())
                (await client.post(f"/{session}/messages", json={"text": "Count"})).raise_for_status()
                while True:
                    found = (await client.get(f"/{session}")).json()
                    if not found["session"]["writing"]:
                        break
                    await asyncio.sleep(0.1)

        async with asyncio.timeout(PATIENCE_SECONDS):
            await asyncio.gather(*(listener.listen() for listener in listeners), *map(converse, sessions))
    return listeners


def require_all_heard(address: str, num_listeners: int, num_sessions: int) -> None:
    listeners = asyncio.run(crowd(address, num_listeners, num_sessions))
    assert sum(listener.reconnects for listener in listeners) > num_listeners
    for listener in listeners:
        assert listener.snapshots == 1, "the log was long enough: all but the first must come from it"
        assert list(listener.answers.values()) == [WHOLE] * ROUNDS


def memory_bytes() -> int:
    gc.collect()
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def many_files():
    """Each connection is two open files of this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_crowd_hears_everything_once_and_in_order(serve):
    require_all_heard(serve(ScriptedLLM(count)), 50, 5)


def test_nothing_is_left_of_what_was_told_of_a_deleted_session(serve):
    address = serve(ScriptedLLM(count))

    async def hear_to_the_end() -> Listener:
        (listener,) = await crowd(address, 1, 1)
        async with httpx.AsyncClient() as client, listener.connection() as events:
            await client.delete(f"{address}/v1/sessions/{listener.session}")
            assert [name async for name, _ in events][-1] == "deleted"
        return listener

    life = str(asyncio.run(hear_to_the_end()).last_id).partition("-")[0]
    deadline = time.monotonic() + 20  # for what still runs in the server's thread
    while left := [event for event in gc.get_objects() if is_of_life(event, life)]:
        assert time.monotonic() < deadline, left
        del left
        time.sleep(0.01)
        gc.collect()


def is_of_life(thing: object, life: str) -> bool:
    return type(thing) is Published and thing.id.startswith(life)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_five_hundred_listeners_of_fifty_sessions_in_memory_that_stays(serve, many_files):
    address = serve(ScriptedLLM(count))
    require_all_heard(address, 500, 50)
    before = memory_bytes()
    require_all_heard(address, 500, 50)
    assert memory_bytes() < before + 2**24
