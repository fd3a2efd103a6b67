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
Work = Callable[[Emit, "Cancellation"], Awaitable[None]]
"""Tells events to the first argument."""


class Cancellation:
    """How the task of a conversation is stopped: once, whoever asks for it. A second time would hit its clean-up."""

    def __init__(self) -> None:
        self.owes_result = False
        """Whether the stopped task shall still tell a result."""
        self._is_asked = False
        self._is_over = False
        self._task: asyncio.Task[None] | None = None

    def ask(self, *, owes_result: bool) -> None:
        """Stop the task as soon as it runs; the first one who asks says whether a result is owed."""
        if not self._is_asked:
            self._is_asked, self.owes_result = True, owes_result
            self._pass_on()

    def begin(self, task: asyncio.Task[None]) -> None:
        """Say which task it is."""
        self._task = task
        if self._is_asked:
            self._pass_on()

    def end(self) -> None:
        """Stop nothing any more: the task has told its result, and tidies up."""
        self._is_over = True

    def _pass_on(self) -> None:
        if self._task is not None:
            # Not at once: a task that has not begun would never run, and owe its result for ever.
            self._task.get_loop().call_soon(self._stop, self._task)

    def _stop(self, task: asyncio.Task[None]) -> None:
        if not self._is_over:
            task.cancel()


async def wait_to_end(task: asyncio.Task[Any]) -> asyncio.CancelledError | None:
    """Wait until a task is done, also if somebody cancels the wait meanwhile; that is for the caller to raise again."""
    cancelled = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    return cancelled


class Conversation(AsyncIterator[ConversationEvent]):
    """The events of a running conversation: iterate once, or ``await`` its result.

    The work starts when the first event is asked for, and does not wait for a slow reader. Closing or
    dropping the iterator, and cancelling the task that reads it, stop the model and the running tools.
    :meth:`cancel` does so too, but the events go on to a ``ConversationComplete`` that says what was done.
    """

    def __init__(self, work: Work) -> None:
        # The generator shares this with its owner; a reference to the owner would keep it from being dropped.
        self._cancellation = Cancellation()
        self._events = _run(work, self._cancellation)

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
        """Stop, and tell so: the result's ``stop_reason`` is ``cancelled``. Call it from the event loop's thread, any
        number of times; after the end it does nothing.
        """
        self._cancellation.ask(owes_result=True)

    async def aclose(self) -> None:
        """Stop without a result; returns when model and tools have stopped."""
        await self._events.aclose()


async def _run(work: Work, cancellation: Cancellation) -> AsyncGenerator[ConversationEvent, None]:
    queue: asyncio.Queue[ConversationEvent | None] = asyncio.Queue()
    task = asyncio.ensure_future(_as_coroutine(work, queue, cancellation))
    task.add_done_callback(lambda _: queue.put_nowait(None))
    cancellation.begin(task)
    try:
        while (event := await queue.get()) is not None:
            yield event
        await task
    finally:
        cancellation.ask(owes_result=False)
        # As a task group does: what is tidied up, and stored, is done when this returns.
        if (cancelled := await wait_to_end(task)) is not None:
            raise cancelled


async def _as_coroutine(
    work: Work, queue: asyncio.Queue[ConversationEvent | None], cancellation: Cancellation
) -> None:
    await work(queue.put_nowait, cancellation)
