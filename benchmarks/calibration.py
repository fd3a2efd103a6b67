"""The machine's limits around every measurement, so that a moment in which it changed is known as one.

Virtual machines lose half of their speed for seconds, unseen by any counter, and gain it again. Each measurement
stands between two readings of what the machine can do just then; a pair of measurements during which it changed is not
counted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from candlewick import _kernels
from candlewick.cli.machine_limits import bandwidth_bytes

STEADY = 0.85
"""Of readings around a steady measurement, the lowest is at least this share of the highest."""
TRIES = 3
"""Times that are measured for one reading, of which the best counts: a thread that wakes late is no slow machine."""


@dataclass(frozen=True)
class Reading:
    products: float
    """Integer multiplications with addition a second."""
    bandwidth: float
    """Bytes a second."""


class Machine:
    """Reads the limits and remembers the best of each."""

    def __init__(self, threads: int, isa: str = "") -> None:
        self._threads = _kernels.ThreadPool(threads)
        self._isa = isa
        # Written, since untouched pages are all the one zero page.
        self._data = np.ones(bandwidth_bytes(), np.uint8)
        self.best = self._now()
        for _ in range(4):
            self.read()

    def read(self) -> Reading:
        now = self._now()
        self.best = Reading(max(self.best.products, now.products), max(self.best.bandwidth, now.bandwidth))
        return now

    def _now(self) -> Reading:
        products = max(_kernels.measure_products(self._threads, self._isa) for _ in range(TRIES))
        bandwidth = max(_kernels.measure_reads(self._threads, self._data, self._isa) for _ in range(TRIES))
        return Reading(products, bandwidth)


def is_steady(values: list[float]) -> bool:
    return min(values) >= STEADY * max(values)


def mean(a: Reading, b: Reading) -> Reading:
    return Reading((a.products + b.products) / 2, (a.bandwidth + b.bandwidth) / 2)
