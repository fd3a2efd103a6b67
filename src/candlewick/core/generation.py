"""The handle of one request: read its answer as an iterator, an async iterator or in one piece, or cancel it.

Owns nothing of the work itself; the engine's thread does that and fills the stream which this handle reads.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from candlewick.core.output_stream import EndOfStreamError, FinishReason, Output, OutputStream
from candlewick.core.usage import Timings, Usage


@dataclass(frozen=True)
class ChoiceResult:
    """One finished choice: its outputs in order."""

    index: int
    outputs: tuple[Output, ...]

    @property
    def text(self) -> str:
        return "".join(output.text for output in self.outputs)

    @property
    def token_ids(self) -> tuple[int, ...]:
        """All tokens drawn, the end token included."""
        return tuple(output.token_id for output in self.outputs if output.token_id is not None)

    @property
    def finish_reason(self) -> FinishReason:
        reason = self.outputs[-1].finish_reason
        assert reason is not None, "a result ends with the output that has a finish reason"
        return reason

    @property
    def usage(self) -> Usage:
        return self.outputs[-1].usage or Usage()

    @property
    def timings(self) -> Timings:
        return self.outputs[-1].timings or Timings()


class Generation:
    """One request's answer as it is generated; made by ``InferenceEngine.submit``.

    Read it in one place, by ``for``, ``async for``, :meth:`result` or ``await generation``; the thread and
    the event loop need not be those that submitted. The outputs of several choices come interleaved.

    The work stops, and its blocks are free again, within a step of :meth:`cancel`. These cancel too: leaving
    a ``with`` or ``async with`` block, :meth:`close`, a cancelled task that waits for the next output, and
    dropping the last reference to the handle. A cancelled choice ends with an output whose ``finish_reason``
    is ``"cancelled"``.

    Raises, whichever way it is read:
        EngineOverloaded: the request waited for more than ``max_queue_seconds``.
        EngineClosed: the engine was closed meanwhile, or this is a forked child of its process, where no thread fills
            the stream.
        EngineFailed: a step failed for good, or what belongs to this request alone did.
    """

    def __init__(
        self,
        stream: OutputStream,
        cancel: Callable[[], None],
        require_own_process: Callable[[], None],
        engine: object,
    ) -> None:
        self._stream = stream
        self._cancel = cancel
        self._require_own_process = require_own_process
        self._engine = engine  # an engine that somebody still reads from must not be collected

    def cancel(self) -> None:
        """Stop as soon as possible; from any thread, any number of times, also after the end."""
        self._cancel()

    def close(self) -> None:
        """The same as :meth:`cancel`, under the name that generators have for it."""
        self._cancel()

    async def aclose(self) -> None:
        """The same as :meth:`cancel`, under the name that async generators have for it."""
        self._cancel()

    def result(self) -> tuple[ChoiceResult, ...]:
        """Wait for the end and return all choices in order. In async code, ``await generation`` does this."""
        return _by_choice(self)

    def __await__(self) -> Generator[object, None, tuple[ChoiceResult, ...]]:
        return self._collect().__await__()

    async def _collect(self) -> tuple[ChoiceResult, ...]:
        return _by_choice([output async for output in self])

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Output:
        while True:
            output = self._pop(StopIteration)
            if output is not None:
                return output
            # A bare lock: an event is several of them and wakes its reader in as many steps.
            woken = threading.Lock()
            woken.acquire()
            self._stream.add_waiter(woken)
            woken.acquire()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Output:
        while True:
            output = self._pop(StopAsyncIteration)
            if output is not None:
                return output
            future = asyncio.get_running_loop().create_future()
            self._stream.add_waiter(future)
            try:
                await future
            except asyncio.CancelledError:
                # The task's traceback may keep this handle alive for long, so its collection can't be waited
                # for.
                self._cancel()
                raise

    def _pop(self, end: type[StopIteration | StopAsyncIteration]) -> Output | None:
        self._require_own_process()
        try:
            return self._stream.pop()
        except EndOfStreamError:
            raise end from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._cancel()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._cancel()

    def __del__(self) -> None:
        if not self._stream.ended:
            self._cancel()


def _by_choice(outputs: Iterable[Output]) -> tuple[ChoiceResult, ...]:
    outputs_of: dict[int, list[Output]] = {}
    for output in outputs:
        outputs_of.setdefault(output.index, []).append(output)
    return tuple(ChoiceResult(index, tuple(outputs_of[index])) for index in sorted(outputs_of))
