"""Candlewick's own arithmetic: steps of its runner, without scheduler or sampling."""

from __future__ import annotations

import statistics
import time

import numpy as np

from candlewick.core.batch import BLOCK_SIZE, Batch
from candlewick.core.config import EngineConfig
from candlewick.core.gguf import GGUFFile
from candlewick.core.native_runner import NativeRunner
from engines import HISTORY, STEPS, Setup, Work

PIECE = 512
"""Tokens of a prompt that are processed in one step."""


class Candlewick:
    name = "candlewick"

    def __init__(self, setup: Setup) -> None:
        self._decode_blocks = -(-(HISTORY + STEPS) // BLOCK_SIZE)
        most_blocks = max(setup.most_streams * self._decode_blocks, -(-setup.most_tokens // BLOCK_SIZE))
        config = EngineConfig(
            max_context=max(most_blocks * BLOCK_SIZE, HISTORY + STEPS),
            max_running=setup.most_streams,
            max_step_tokens=max(PIECE, setup.most_streams),
            num_threads=setup.threads,
        )
        with GGUFFile.open(setup.path) as file:
            self._runner = NativeRunner.load(file, config)
        self._contexts = 0
        """Streams whose context stands in the cache from an earlier measurement."""

    def prefill(self, num_tokens: int) -> Work:
        self._contexts = 0
        table = np.arange(-(-num_tokens // BLOCK_SIZE))[None]
        seconds = 0.0
        for first in range(0, num_tokens, PIECE):
            seconds += self._step(table, first, min(PIECE, num_tokens - first))
        return Work(num_tokens, seconds)

    def decode(self, num_streams: int) -> Work:
        blocks = self._decode_blocks
        tables = np.arange(num_streams * blocks).reshape(num_streams, blocks)
        for table in tables[self._contexts :]:
            self._step(table[None], 0, HISTORY)
        self._contexts = max(self._contexts, num_streams)
        seconds = sum(self._step(tables, HISTORY + i, 1) for i in range(STEPS))
        return Work(num_streams * STEPS, seconds)

    def step_seconds(self, position: int, num_tokens: int) -> float:
        """What so many tokens behind ``position`` others of their sequence take, in one step."""
        self._contexts = 0
        table = np.arange(-(-(position + num_tokens) // BLOCK_SIZE))[None]
        return statistics.median(self._step(table, position, num_tokens) for _ in range(3))

    def _step(self, tables: np.ndarray, position: int, num_tokens: int) -> float:
        """Seconds of one step: ``num_tokens`` more of every sequence that has a row in ``tables``."""
        batch = Batch.alike(tables, position, num_tokens, token_id=100)
        start = time.perf_counter()
        self._runner.execute(batch)
        return time.perf_counter() - start
