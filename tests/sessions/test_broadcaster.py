"""Every listener hears every event of its session, in order, once, however it comes and goes."""

from __future__ import annotations

import asyncio
import gc
import random
import tracemalloc
from contextlib import aclosing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from candlewick.sessions.broadcaster import Broadcaster, Published


class Counted:
    """A state that events change, so that a snapshot can stand for those before it."""

    def __init__(self, log_events: int = 64) -> None:
        self.broadcaster = Broadcaster(log_events)
        self.values: list[int] = []

    def publish(self, value: int) -> None:
        self.values.append(value)
        self.broadcaster.publish("value", {"value": value})

    def snapshot(self) -> dict[str, list[int]]:
        return {"values": list(self.values)}


class Listener:
    """Applies what it hears to what it has; remembers the last id over reconnects."""

    def __init__(self, source: Counted) -> None:
        self.source = source
        self.values: list[int] = []
        self.last_id: str | None = None
        self.snapshots = 0

    async def listen(self, most: int | None = None) -> None:
        heard = 0
        async with aclosing(
            self.source.broadcaster.listen(self.source.snapshot, self.last_id, heartbeat_seconds=30)
        ) as events:
            async for event in events:
                if event is not None:
                    self.apply(event)
                    heard += 1
                if heard == most:
                    return
                if random.random() < 0.1:
                    await asyncio.sleep(0)

    def apply(self, event: Published) -> None:
        self.last_id = event.id
        if event.name == "snapshot":
            self.values = list(event.data["values"])
            self.snapshots += 1
        else:
            self.values.append(event.data["value"])


Step = st.one_of(
    st.tuples(st.just("publish"), st.integers(1, 20)),
    st.tuples(st.just("listen"), st.integers(1, 12)),
)


@given(steps=st.lists(Step, max_size=30), log_events=st.integers(1, 16))
@settings(max_examples=150, deadline=None)
def test_a_listener_that_comes_and_goes_misses_nothing_and_hears_nothing_twice(steps, log_events):
    async def run() -> None:
        source = Counted(log_events)
        listener = Listener(source)
        next_value = 0
        for what, count in steps:
            if what == "publish":
                for _ in range(count):
                    source.publish(next_value)
                    next_value += 1
            elif listener.last_id != source.broadcaster.last_id:
                number = source.broadcaster.number_of(listener.last_id)
                behind = source.broadcaster.number - (number or 0)
                # A snapshot takes a listener straight to the present.
                await listener.listen(min(count, 1 if number is None or behind > log_events else behind))
            assert listener.values == list(range(len(listener.values)))
        source.broadcaster.close()
        await listener.listen()
        assert listener.values == source.values

    asyncio.run(run())


@pytest.mark.parametrize("last_id", ["", "nonsense", "ffffffff-3", "-", "-1", "12-" + "9" * 5000, None])
async def test_an_unknown_id_gets_a_snapshot(last_id):
    source = Counted()
    source.publish(0)
    source.broadcaster.close()
    listener = Listener(source)
    listener.last_id = last_id
    await listener.listen()
    assert listener.values == [0]
    assert listener.snapshots == 1


async def test_ids_of_the_future_and_of_another_life_get_a_snapshot():
    source, before = Counted(), Counted()
    for value in range(5):
        before.publish(value)
    source.publish(0)
    for last_id in (before.broadcaster.last_id, source.broadcaster.last_id[:-1] + "99"):
        events = source.broadcaster.listen(source.snapshot, last_id)
        assert (await anext(events)).name == "snapshot"
        await events.aclose()


async def test_silence_is_a_heartbeat_and_the_end_is_heard():
    source = Counted()
    events = source.broadcaster.listen(source.snapshot, heartbeat_seconds=0.01)
    assert (await anext(events)).name == "snapshot"
    assert await anext(events) is None
    source.publish(1)
    assert (await anext(events)).data == {"value": 1}
    source.broadcaster.close()
    with pytest.raises(StopAsyncIteration):
        await anext(events)
    assert source.broadcaster.num_listeners == 0


async def crowd(num_listeners: int, num_sessions: int, num_events: int) -> None:
    """Listeners that reconnect at random while sessions speak."""
    chance = random.Random(8)
    sources = [Counted(log_events=256) for _ in range(num_sessions)]
    listeners = [Listener(sources[i % num_sessions]) for i in range(num_listeners)]

    async def follow(listener: Listener) -> None:
        while not listener.source.broadcaster.is_closed:
            await listener.listen(chance.randint(1, 200))
            for _ in range(chance.randint(0, 3)):
                await asyncio.sleep(0)
        await listener.listen()

    async def speak(source: Counted) -> None:
        for value in range(num_events):
            source.publish(value)
            if chance.random() < 0.2:
                await asyncio.sleep(0)
        source.broadcaster.close()

    await asyncio.gather(*map(follow, listeners), *map(speak, sources))
    for listener in listeners:
        assert listener.values == listener.source.values == list(range(num_events))
        assert listener.source.broadcaster.num_listeners == 0


async def test_fifty_listeners_of_five_sessions_hear_exactly_their_own():
    await crowd(50, 5, 400)


@pytest.mark.slow
async def test_five_hundred_listeners_of_fifty_sessions_hear_exactly_their_own():
    await crowd(500, 50, 2000)


async def test_the_log_does_not_grow_with_the_number_of_events():
    broadcaster = Broadcaster(log_events=100)

    def publish(count: int) -> int:
        for number in range(count):
            broadcaster.publish("value", {"value": number})
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        before = publish(1000)
        assert publish(50_000) < before + 20_000
    finally:
        tracemalloc.stop()
