"""A conversation as it runs: its events, its end, and how it is stopped.

Owns the task that does the work. Refuses to know what the work is.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator
from typing import Any, Self

from candlewick.core.errors import EngineError
from candlewick.responses.events import ConversationComplete, ConversationEvent
from candlewick.responses.result import ConversationResult

Emit = Callable[[ConversationEvent], None]
Work = Callable[[Emit, Callable[[], bool]], Awaitable[None]]
"""Tells events to the first argument; the second says whether a cancelled task still owes a result."""


class Conversation(AsyncIterator[ConversationEvent]):
    """The events of a running conversation: iterate once, or ``await`` its result.

    The work starts when the first event is asked for, and does not wait for a slow reader. Closing or
    dropping the iterator, and cancelling the task that reads it, stop the model and the running tools.
    :meth:`cancel` does so too, but the events go on to a ``ConversationComplete`` that says what was done.
    """

    def __init__(self, work: Work) -> None:
        self._state = _State()
        self._events = _run(work, self._state)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ConversationEvent:
        return await self._events.__anext__()

    def __await__(self) -> Generator[Any, None, ConversationResult]:
        return self._to_result().__await__()

    async def _to_result(self) -> ConversationResult:
        result = None
        async for event in self:  # to the end, which is when all has been tidied up
            if isinstance(event, ConversationComplete):
                result = event.result
        if result is not None:
            return result
        raise EngineError("the conversation ended without a result: it was closed, or read to its end before")

    def cancel(self) -> None:
        """Stop, and tell so: the result's ``stop_reason`` is ``cancelled``. Call it from the event loop's thread;
        after the end it does nothing.
        """
        state = self._state
        if not state.is_cancelled:
            state.is_cancelled = True
            if state.task is not None:
                # Not at once: a task that has not begun would never run, and owe its result for ever.
                asyncio.get_running_loop().call_soon(state.task.cancel)

    async def aclose(self) -> None:
        """Stop without a result; returns when model and tools have stopped."""
        await self._events.aclose()


class _State:
    """What the generator and its owner share; a reference to the owner would keep it from being dropped."""

    def __init__(self) -> None:
        self.is_cancelled = False
        self.task: asyncio.Task[None] | None = None


async def _run(work: Work, state: _State) -> AsyncGenerator[ConversationEvent, None]:
    queue: asyncio.Queue[ConversationEvent | None] = asyncio.Queue()
    task = asyncio.ensure_future(_as_coroutine(work, queue, state))
    task.add_done_callback(lambda _: queue.put_nowait(None))
    state.task = task
    if state.is_cancelled:
        asyncio.get_running_loop().call_soon(task.cancel)
    try:
        while (event := await queue.get()) is not None:
            yield event
        await task
    finally:
        state.is_cancelled = False  # nobody reads any more: no result is owed
        task.cancel()
        await asyncio.wait({task})


async def _as_coroutine(work: Work, queue: asyncio.Queue[ConversationEvent | None], state: _State) -> None:
    await work(queue.put_nowait, lambda: state.is_cancelled)
