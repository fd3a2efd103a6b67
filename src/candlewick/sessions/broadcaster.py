"""One session's events for any number of listeners, each of whom sees all of them, in order, once.

There is one log, a ring of the latest events, and a listener is nothing but a place in it. So a listener costs
no memory for events, a slow one can't hold up anybody, and one that comes back names the last event that it saw
and goes on behind it. Whoever has fallen out of the ring, or comes back after the program was started anew, gets
a snapshot of how things are now, and goes on behind that.

Everything here happens in one event loop.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Any

LOG_EVENTS = 4096
HEARTBEAT_SECONDS = 15.0

JSON = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Published:
    """``id`` is what a listener names to go on behind this event."""

    id: str
    name: str
    data: JSON


SNAPSHOT = "snapshot"
"""The name of the event that replaces all before it."""


class Broadcaster:
    """``number`` counts the events so far."""

    def __init__(self, log_events: int = LOG_EVENTS) -> None:
        if log_events < 1:
            raise ValueError(f"log_events must be at least 1, got {log_events}")
        # Numbers of another life of this session must not be taken for ours.
        self._life = secrets.token_hex(4)
        self._log: deque[Published] = deque(maxlen=log_events)
        self._news = asyncio.Event()
        self._is_closed = False
        self.number = 0
        self.num_listeners = 0

    def publish(self, name: str, data: JSON) -> int:
        """Append an event, wake who waits, and give the event's number."""
        self.number += 1
        self._log.append(Published(self.id_of(self.number), name, data))
        self._wake()
        return self.number

    def close(self) -> None:
        """Listeners hear what is left, then end."""
        self._is_closed = True
        self._wake()

    @property
    def last_id(self) -> str:
        return self.id_of(self.number)

    async def listen(
        self,
        snapshot: Callable[[], JSON],
        last_id: str | None = None,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
    ) -> AsyncGenerator[Published | None, None]:
        """The events behind ``last_id``, then those to come.

        Args:
            snapshot: how things are, at the moment of the call; asked for when ``last_id`` is ``None``,
                unknown or no longer in the log.
            last_id: the id of the last event that the listener has seen.
            heartbeat_seconds: ``None`` is given whenever nothing happened for so long.
        """
        seen = self.number_of(last_id)
        self.num_listeners += 1
        try:
            while True:
                if seen is None or not self._oldest - 1 <= seen <= self.number:
                    seen = self.number
                    yield Published(self.id_of(seen), SNAPSHOT, snapshot())
                elif seen < self.number:
                    event = self._log[seen - self.number]
                    seen += 1
                    yield event
                elif not await self.beyond(seen, heartbeat_seconds):
                    if self._is_closed:
                        return
                    yield None
        finally:
            self.num_listeners -= 1

    async def beyond(self, number: int, seconds: float) -> bool:
        """Wait until there are more than ``number`` events; ``False`` if that took too long or this was closed."""
        deadline = asyncio.get_running_loop().time() + seconds
        while self.number <= number:
            if self._is_closed:
                return False
            news = self._news
            try:
                async with asyncio.timeout_at(deadline):
                    await news.wait()
            except TimeoutError:
                return False
        return True

    @property
    def is_closed(self) -> bool:
        return self._is_closed

    def number_of(self, id: str | None) -> int | None:
        """The number in an id of this life; ``None`` for any other text."""
        life, _, number = (id or "").partition("-")
        is_ours = life == self._life and number.isascii() and number.isdigit() and len(number) < 20
        return int(number) if is_ours else None

    def id_of(self, number: int) -> str:
        """What a listener that has seen ``number`` events names."""
        return f"{self._life}-{number}"

    @property
    def _oldest(self) -> int:
        return self.number - len(self._log) + 1

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()
