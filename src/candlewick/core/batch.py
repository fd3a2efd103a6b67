"""The flat arrays of one engine step: what the scheduler hands to the model's program."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np
import numpy.typing as npt

Int32Array = npt.NDArray[np.int32]

BLOCK_SIZE = 16
"""Tokens in one KV block; the kernels' attention works on blocks of this size."""


@dataclass(frozen=True)
class Batch:
    """One step over ``S`` sequences with ``N`` new tokens in total, of which ``R`` rows want logits and ``H`` others
    the last hidden state.

    Sequence ``s`` owns the rows ``query_starts[s] : query_starts[s + 1]``; its tokens are consecutive positions.
    The key and value of position ``p`` live in block ``block_tables[s, p // BLOCK_SIZE]``, slot ``p % BLOCK_SIZE``;
    this step writes those of its own tokens and attends to every position up to each token's own.
    """

    token_ids: Int32Array  # [N]
    positions: Int32Array  # [N]
    query_starts: Int32Array  # [S + 1], from 0 to N
    block_tables: Int32Array  # [S, most blocks of a sequence], unused entries 0
    logit_rows: Int32Array  # [R], rows of the N whose logits are wanted, ascending
    hidden_rows: Int32Array = field(default_factory=lambda: np.zeros(0, dtype=np.int32))  # [H], as well

    @classmethod
    def alike(cls, block_tables: Int32Array, position: int, num_tokens: int, token_id: int) -> Self:
        """A step to measure: ``num_tokens`` more of every sequence that has a row in ``block_tables``, all of them
        ``token_id`` and from ``position`` on, with the logits of each one's last."""
        streams = len(block_tables)
        starts = np.arange(streams + 1, dtype=np.int32) * np.int32(num_tokens)
        return cls(
            token_ids=np.full(streams * num_tokens, token_id, np.int32),
            positions=np.tile(np.arange(position, position + num_tokens, dtype=np.int32), streams),
            query_starts=starts,
            block_tables=block_tables.astype(np.int32),
            logit_rows=starts[1:] - 1,
        )

    @property
    def num_tokens(self) -> int:
        return len(self.token_ids)

    @property
    def num_sequences(self) -> int:
        return len(self.query_starts) - 1
