"""A response while it is made: its events for any number of followers, and how it is stopped.

Owns the record that followers read. Refuses to know what makes the events.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

from candlewick.responses.records.context import Context
from candlewick.responses.wire.output import WireEvent
from candlewick.responses.wire.response import ResponseState


class RunningResponse:
    """One response, from its making to its end; belongs to one event loop."""

    def __init__(self, state: ResponseState, owner: str) -> None:
        self.state = state
        self.owner = owner
        self.events: list[WireEvent] = []
        """All so far; the number of an event is its place here."""
        self.stop: Callable[[], None] = lambda: None
        """Makes the conversation end early; set by who makes it."""
        self.is_stopped = False
        self.context: Context | None = None
        """What can be gone on from, when it is over."""
        self.task: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()

    @property
    def id(self) -> str:
        return self.state.id

    def tell(self, events: Sequence[WireEvent]) -> None:
        """Record events and wake the followers."""
        self.events.extend(events)
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def cancel(self) -> None:
        """Stop as soon as possible; the events go on to the last one. Any number of times."""
        if not self.is_stopped:
            self.is_stopped = True
            self.stop()

    async def follow(self, starting_after: int = -1) -> AsyncGenerator[WireEvent, None]:
        """The events after the one with this number, to the last, as they come.

        Raises:
            Exception: why there is no response, if it failed before its first event.
        """
        place = starting_after + 1
        while True:
            while place < len(self.events):
                yield self.events[place]
                place += 1
            if self.task is not None and self.task.done():
                self.task.result()
                return
            await self._wait()

    async def begun(self) -> None:
        """Wait for the first event.

        Raises:
            Exception: why there is no response.
        """
        while not self.events:
            if self.task is not None and self.task.done():
                self.task.result()
                return
            await self._wait()

    async def finished(self) -> dict[str, Any]:
        """Wait for the end; the response object.

        Raises:
            Exception: why there is no response.
        """
        assert self.task is not None
        await asyncio.wait((self.task,))
        self.task.result()
        return self.state.to_json()

    async def _wait(self) -> None:
        changed = asyncio.ensure_future(self._changed.wait())
        waiting = {changed} if self.task is None else {changed, self.task}
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()
