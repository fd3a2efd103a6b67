"""How fast this machine could be: what its memory delivers, and what its cores multiply out of their caches."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from candlewick import _kernels

BANDWIDTH_BYTES = 256 * 2**20
"""Memory that the measurement reads; larger than caches."""
ROUNDS = 3

_PEAK_ROWS, _PEAK_COLUMNS, _PEAK_TOKENS = 512, 1024, 256
"""A matrix of half a megabyte and its activations: they stay in the caches."""
_Q8_0_BLOCK, _Q8_0_BYTES = 32, 34


def memory_bandwidth(num_threads: int, num_bytes: int = BANDWIDTH_BYTES) -> float:
    """Bytes a second that ``num_threads`` read: the best of some rounds of numpy's maximum of an array."""
    array = np.zeros(num_bytes // 8, dtype=np.int64)
    array += 1  # pages that nobody wrote all are the one zero page
    pieces = np.array_split(array, num_threads)
    with ThreadPoolExecutor(num_threads) as pool:
        return array.nbytes / _best_seconds(lambda: list(pool.map(np.max, pieces)))


def product_peak(threads: _kernels.ThreadPool, isa: str) -> float:
    """Multiplications with addition a second in products with an 8-bit matrix that stays in the caches."""
    from candlewick import _kernels
    from candlewick.core.tensor_types import TensorType

    num_bytes = _PEAK_ROWS * _PEAK_COLUMNS // _Q8_0_BLOCK * _Q8_0_BYTES
    data = np.zeros(num_bytes, np.uint8)
    matrix = _kernels.PackedMatrix.pack(TensorType.Q8_0, data, _PEAK_ROWS, _PEAK_COLUMNS, threads)
    tokens = np.ones((_PEAK_TOKENS, _PEAK_COLUMNS), np.float32)
    matrix.multiply(tokens, threads, isa)
    seconds = _best_seconds(lambda: matrix.multiply(tokens, threads, isa))
    return _PEAK_ROWS * _PEAK_COLUMNS * _PEAK_TOKENS / seconds


def _best_seconds(work: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best
