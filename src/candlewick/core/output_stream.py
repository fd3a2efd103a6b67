"""The one-way street from the engine's thread to whoever reads an answer: another thread or any event loop.

Knows nothing of tokens' meaning. The engine never waits on a reader, and a reader never polls: it leaves a
*waiter* (a lock that it holds and waits for, or a future of its own loop) that the engine wakes.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, TypeAlias

from candlewick.core.usage import Timings, Usage

FinishReason = Literal["stop", "length", "cancelled"]
Waiter: TypeAlias = "threading.Lock | asyncio.Future[None]"


@dataclass(frozen=True, slots=True)
class Output:
    """What one token adds to one choice of an answer."""

    index: int
    """Which of the ``n`` choices."""
    token_id: int | None
    """``None`` on the last output of a cancelled choice, which no token brought about."""
    text: str
    """Newly visible text; empty while characters are incomplete or may belong to a stop string."""
    logprob: float | None = None
    """The token's log-probability, if ``GenerationParams.logprobs`` asked for it."""
    top_logprobs: tuple[tuple[int, float], ...] = ()
    """``(token id, log-probability)`` of the most likely tokens, as many as asked for."""
    finish_reason: FinishReason | None = None
    """Set on the last output of the choice, and so are ``usage`` and ``timings``."""
    usage: Usage | None = None
    timings: Timings | None = None
    stop_string: str | None = None
    """Which of ``GenerationParams.stop`` ended the choice, if one did."""


class EndOfStreamError(Exception):
    """Every output was read and no more will come."""


class OutputStream:
    """An unbounded queue of outputs with one writer (the engine's thread) and any number of readers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._outputs: deque[Output] = deque()
        self._waiters: list[Waiter] = []
        self._error: Exception | None = None
        self._ended = False

    @property
    def ended(self) -> bool:
        """Whether the writer is done; outputs may still be unread."""
        return self._ended

    def put(self, outputs: Iterable[Output]) -> list[Waiter]:
        """Add outputs; the caller must :func:`wake` the waiters returned."""
        with self._lock:
            self._outputs.extend(outputs)
            return self._take_waiters()

    def end(self, error: Exception | None = None) -> list[Waiter]:
        """Say that no more will come; ``error`` is raised to readers after the outputs before it."""
        with self._lock:
            self._ended = True
            self._error = error
            return self._take_waiters()

    def pop(self) -> Output | None:
        """The next output, ``None`` when there is none yet.

        Raises:
            EndOfStreamError: all is read.
            Exception: the error that the stream ended with.
        """
        with self._lock:
            if self._outputs:
                return self._outputs.popleft()
            if self._error is not None:
                raise self._error
            if self._ended:
                raise EndOfStreamError
            return None

    def add_waiter(self, waiter: Waiter) -> None:
        """Have ``waiter`` woken as soon as :meth:`pop` has something to say, which may be at once."""
        with self._lock:
            if not (self._outputs or self._ended):
                self._waiters.append(waiter)
                return
        wake([waiter])

    def _take_waiters(self) -> list[Waiter]:
        waiters, self._waiters = self._waiters, []
        return waiters


def wake(waiters: Iterable[Waiter]) -> None:
    """Wake readers: threads directly, futures through their loops with one call a loop."""
    futures_of: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
    for waiter in waiters:
        if isinstance(waiter, asyncio.Future):
            futures_of.setdefault(waiter.get_loop(), []).append(waiter)
        else:
            waiter.release()
    for loop, futures in futures_of.items():
        with suppress(RuntimeError):  # the loop was closed: nobody reads there any more
            loop.call_soon_threadsafe(_resolve, futures)


def _resolve(futures: Iterable[asyncio.Future[None]]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)
