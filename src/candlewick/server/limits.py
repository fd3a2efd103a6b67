"""How much each owner of a key may ask for: requests at a time, and requests a minute.

Knows owners by name only. Belongs to one event loop.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from candlewick.core.errors import CandlewickError


class LimitExceeded(CandlewickError):
    """An owner asks for more than is allowed; ``retry_after`` is in whole seconds."""

    def __init__(self, message: str, retry_after: int) -> None:
        self.retry_after = retry_after
        super().__init__(message)


@dataclass
class _Usage:
    running: int
    tokens: float
    """Requests that may still begin at once: a bucket that fills steadily and holds one minute's worth."""
    filled_at: float


class Limits:
    """The same limits for every owner.

    Args:
        max_concurrent: requests that may run at a time; ``None``: any number.
        max_per_minute: requests that may begin in a minute, all at once or one after the other; ``None``: any number.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        max_concurrent: int | None = None,
        max_per_minute: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_concurrent = max_concurrent
        self._max_per_minute = max_per_minute
        self._clock = clock
        self._usage: dict[str, _Usage] = {}  # as many as there are keys

    @contextmanager
    def admit(self, owner: str) -> Iterator[None]:
        """Count a request of ``owner`` for as long as the block runs.

        Raises:
            LimitExceeded: it is one too many.
        """
        now = self._clock()
        usage = self._usage.setdefault(owner, _Usage(0, self._max_per_minute or 0, now))
        if self._max_concurrent is not None and usage.running >= self._max_concurrent:
            raise LimitExceeded(
                f"{usage.running} requests with this key are running, and {self._max_concurrent} are allowed at a "
                "time; wait for one to end",
                retry_after=1,
            )
        if self._max_per_minute is not None:
            rate = self._max_per_minute / 60
            usage.tokens = min(self._max_per_minute, usage.tokens + (now - usage.filled_at) * rate)
            usage.filled_at = now
            if usage.tokens < 1:
                raise LimitExceeded(
                    f"more than {self._max_per_minute} requests a minute with this key; wait a little",
                    retry_after=math.ceil((1 - usage.tokens) / rate),
                )
            usage.tokens -= 1
        usage.running += 1
        try:
            yield
        finally:
            usage.running -= 1
