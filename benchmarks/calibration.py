"""The machine's limits around every measurement, so that a moment in which it was slow is known as one.

Virtual machines lose half of their speed for seconds, unseen by any counter. Each measurement stands between two
readings of what the machine can do just then; a pair of measurements with a slow moment in it is not counted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from candlewick import _kernels

READ_BYTES = 192 * 2**20
"""Larger than caches; read in some hundredths of a second."""
SLOW = 0.85
"""A reading below this share of the best one is a slow moment."""


@dataclass(frozen=True)
class Reading:
    products: float
    """Integer multiplications with addition a second."""
    bandwidth: float
    """Bytes a second."""

    def is_slow_beside(self, best: Reading) -> bool:
        return self.products < SLOW * best.products or self.bandwidth < SLOW * best.bandwidth


class Machine:
    """Reads the limits and remembers the best of each."""

    def __init__(self, threads: int, isa: str = "") -> None:
        self._threads = _kernels.ThreadPool(threads)
        self._isa = isa
        self._data = np.ones(READ_BYTES, np.uint8)  # written, since untouched pages are all the one zero page
        self.best = self._now()
        for _ in range(4):
            self.read()

    def read(self) -> Reading:
        now = self._now()
        self.best = Reading(max(self.best.products, now.products), max(self.best.bandwidth, now.bandwidth))
        return now

    def _now(self) -> Reading:
        return Reading(
            _kernels.measure_products(self._threads, self._isa),
            _kernels.measure_reads(self._threads, self._data, self._isa),
        )


def mean(a: Reading, b: Reading) -> Reading:
    return Reading((a.products + b.products) / 2, (a.bandwidth + b.bandwidth) / 2)
