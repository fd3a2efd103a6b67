"""Who may queue for an engine, and for how long.

Owns the count of requests that wait to be begun; the order in which they are begun is the scheduler's. Asked by
the threads that submit and by the engine's own, so every method takes the lock. Times are seconds of one
monotonic clock, told by the callers.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, Protocol, TypeVar

from candlewick.core.errors import EngineOverloaded

_LATEST_WEIGHT = 0.25
"""Of the latest request, in the moving average of how long they wait."""


class Queueing(Protocol):
    """A request as the queue sees it."""

    queued: bool
    """Whether it still counts among those that wait to be begun."""
    submitted_at: float


RequestT = TypeVar("RequestT", bound=Queueing)


class Admission(Generic[RequestT]):
    """A queue's limits: ``max_waiting`` requests beside those that find a free place at once, and
    ``max_queue_seconds`` for each (``None``: no limit).
    """

    def __init__(self, max_waiting: int, max_queue_seconds: float | None, num_free_places: int) -> None:
        self._max_waiting = max_waiting
        self._max_queue_seconds = max_queue_seconds
        self._lock = threading.Lock()
        self._num_queued = 0
        self._num_free_places = num_free_places
        self._mean_wait = 0.0
        self.num_refused = 0
        """Because the queue was full."""
        self._by_age: deque[RequestT] = deque()
        """Those that may become overdue; the first one was submitted first. Some have left the queue since."""

    def enter(self, request: RequestT) -> None:
        """Count ``request`` among those that wait.

        Raises:
            EngineOverloaded: as many as allowed wait already.
        """
        with self._lock:
            if self._num_queued >= self._max_waiting + self._num_free_places:
                self.num_refused += 1
                raise EngineOverloaded(
                    f"{self._num_queued} requests are waiting and max_waiting is {self._max_waiting}; "
                    "try again later or raise max_waiting",
                    retry_after_seconds=self._retry_after(),
                )
            self._num_queued += 1
            if self._max_queue_seconds is not None:
                self._by_age.append(request)

    def begin(self, request: RequestT, now: float) -> None:
        """Note that ``request`` is being computed; from the second time on, nothing."""
        if request.queued:
            self.leave(request)
            wait = now - request.submitted_at
            with self._lock:
                self._mean_wait += _LATEST_WEIGHT * (wait - self._mean_wait)

    def leave(self, request: RequestT) -> None:
        """Note that ``request`` waits no more, for whatever reason; from the second time on, nothing."""
        if request.queued:
            request.queued = False
            with self._lock:
                self._num_queued -= 1

    def set_free_places(self, num_free_places: int) -> None:
        """Tell how many requests could be begun at once."""
        with self._lock:
            self._num_free_places = num_free_places

    def overdue(self, now: float) -> list[tuple[RequestT, EngineOverloaded]]:
        """Those that waited longer than allowed, each with the error that says so."""
        limit = self._max_queue_seconds
        found: list[tuple[RequestT, EngineOverloaded]] = []
        if limit is None:
            return found
        with self._lock:
            while self._by_age and (not self._by_age[0].queued or now - self._by_age[0].submitted_at > limit):
                request = self._by_age.popleft()
                if request.queued:
                    error = EngineOverloaded(
                        f"the request waited {now - request.submitted_at:.1f} s for its turn and "
                        f"max_queue_seconds is {limit:g}; try again later or raise max_queue_seconds",
                        retry_after_seconds=self._retry_after(),
                    )
                    found.append((request, error))
        return found

    def _retry_after(self) -> float:
        """What those who began lately had to wait; the queue is as long as it was for them, or longer."""
        return max(1.0, self._mean_wait)
