"""How fast this machine could be: what its memory delivers, and what its cores multiply in registers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from candlewick.core.machine import largest_cache_bytes

if TYPE_CHECKING:
    from candlewick import _kernels

LEAST_BYTES = 256 * 2**20
ROUNDS = 5


def bandwidth_bytes() -> int:
    """Memory that is read to measure it: so much that hardly any of it is still in a cache."""
    return max(LEAST_BYTES, 2 * largest_cache_bytes())


def memory_bandwidth(threads: _kernels.ThreadPool, num_bytes: int | None = None) -> float:
    """Bytes a second that the threads read, of :func:`bandwidth_bytes` or fewer: the best of some rounds."""
    from candlewick import _kernels

    # Ones, since pages that nobody wrote all are the one zero page.
    data = np.ones(num_bytes or bandwidth_bytes(), dtype=np.uint8)
    return _best(lambda: _kernels.measure_reads(threads, data))


def product_peak(threads: _kernels.ThreadPool, isa: str) -> float:
    """Multiplications with addition a second that nothing holds up: the best of some rounds."""
    from candlewick import _kernels

    return _best(lambda: _kernels.measure_products(threads, isa))


def _best(measure: Callable[[], float]) -> float:
    return max(measure() for _ in range(ROUNDS))
