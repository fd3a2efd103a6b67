"""The ops of a program in plain numpy: their specification, and the judge of every faster implementation.

It is written to be read and is slow. Keys and values live in blocks that a batch's tables point to, as in the
engine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from candlewick.core.batch import BLOCK_SIZE, Batch
from candlewick.core.program import (
    Add,
    Attention,
    BufferPlan,
    Embed,
    Linear,
    Op,
    Program,
    RmsNorm,
    Rope,
    SelectRows,
    SiluMultiply,
)

Array = npt.NDArray[np.floating]


class NumpyInterpreter:
    """Runs a program batch after batch.

    Args:
        program: what to run.
        weights: every tensor that the program reads, as plain numbers in the shape of the file.
        num_blocks: KV blocks of ``BLOCK_SIZE`` tokens.
        dtype: of all arithmetic; float64 makes it a reference.
        plan: let the values share memory as this plan says, which shows whether the plan is sound.
        round_activations: what becomes of the input of each ``linear``; kernels round it where the matrix is
            quantised, see :func:`round_to_int8`.
    """

    def __init__(
        self,
        program: Program,
        weights: Mapping[str, Array],
        num_blocks: int = 64,
        dtype: type[np.floating] = np.float64,
        plan: BufferPlan | None = None,
        round_activations: Callable[[Array], Array] = lambda x: x,
    ) -> None:
        self._program = program
        self._weights = {name: np.asarray(weights[name], dtype) for name in program.weight_names}
        self._dtype = dtype
        self._plan = plan
        self._round_activations = round_activations
        # By layer; a slot that was never written holds NaN, so that reading it spoils the result.
        self._keys: dict[int, Array] = {}
        self._values: dict[int, Array] = {}
        for op in program.ops:
            if isinstance(op, Attention):
                shape = (num_blocks, BLOCK_SIZE, op.num_kv_heads, op.head_dim)
                self._keys[op.layer] = np.full(shape, np.nan, dtype)
                self._values[op.layer] = np.full(shape, np.nan, dtype)

    def execute(self, batch: Batch) -> Array:
        """Run one step; returns the logits ``[len(batch.logit_rows), vocabulary]``.

        Afterwards ``hidden_states`` are the last hidden states of ``batch.hidden_rows``.
        """
        memory = self._allocate(batch)
        for op in self._program.ops:
            inputs = [memory[value_id] for value_id in op.inputs]
            output = memory[op.output]
            if isinstance(op, Linear):
                inputs[0] = inputs[0][: len(output)]
            if not (op.may_overwrite and np.may_share_memory(output, inputs[0])):
                output.fill(
                    np.nan
                )  # an op that writes before it has read everything must not be harmed by a plan
            output[...] = self._run(op, inputs, batch)
        if self._program.hidden is not None:
            self.hidden_states = memory[self._program.hidden][len(batch.logit_rows) :].copy()
        return memory[self._program.output].copy()

    def _allocate(self, batch: Batch) -> list[Array]:
        num_logits = len(batch.logit_rows)
        num_rows = {
            "tokens": batch.num_tokens,
            "outputs": num_logits + len(batch.hidden_rows),
            "logits": num_logits,
        }
        values = self._program.values
        if self._plan is None:
            return [np.full((num_rows[v.rows], v.columns), np.nan, self._dtype) for v in values]
        buffers = [np.full(num_rows[b.rows] * b.columns, np.nan, self._dtype) for b in self._plan.buffers]
        return [
            buffers[self._plan.buffer_of[v.id]][: num_rows[v.rows] * v.columns].reshape(
                num_rows[v.rows], v.columns
            )
            for v in values
        ]

    def _run(self, op: Op, inputs: list[Array], batch: Batch) -> Array:
        weights = self._weights
        match op:
            case Embed():
                return weights[op.matrix][batch.token_ids]
            case RmsNorm():
                return rms_norm(inputs[0], weights[op.weight], op.epsilon)
            case Linear():
                product = self._round_activations(inputs[0]) @ weights[op.matrix].T
                return product if op.bias is None else product + weights[op.bias]
            case Rope():
                return rope(inputs[0], batch.positions, op)
            case Attention():
                return self._attention(op, *inputs, batch)
            case SiluMultiply():
                gate, up = inputs
                return gate / (1 + np.exp(-gate)) * up
            case Add():
                return inputs[0] + inputs[1]
            case SelectRows():
                return inputs[0][np.concatenate([batch.logit_rows, batch.hidden_rows])]
        raise NotImplementedError(f"{type(op).__name__}: add it here, this is where ops are specified")

    def _attention(self, op: Attention, q: Array, k: Array, v: Array, batch: Batch) -> Array:
        keys, values = self._keys[op.layer], self._values[op.layer]
        q = q.reshape(-1, op.num_heads, op.head_dim)
        k = k.reshape(-1, op.num_kv_heads, op.head_dim)
        v = v.reshape(-1, op.num_kv_heads, op.head_dim)
        output = np.empty_like(q)
        heads_per_kv_head = op.num_heads // op.num_kv_heads
        for sequence in range(batch.num_sequences):
            table = batch.block_tables[sequence]
            rows = range(batch.query_starts[sequence], batch.query_starts[sequence + 1])
            for row in rows:
                block, slot = divmod(int(batch.positions[row]), BLOCK_SIZE)
                keys[table[block], slot] = k[row]
                values[table[block], slot] = v[row]
            for row in rows:
                position = int(batch.positions[row])
                first = 0 if op.window is None else max(0, position + 1 - op.window)
                seen = np.arange(first, position + 1)
                seen_keys = keys[
                    table[seen // BLOCK_SIZE], seen % BLOCK_SIZE
                ]  # [positions, kv heads, head_dim]
                seen_values = values[table[seen // BLOCK_SIZE], seen % BLOCK_SIZE]
                scores = (
                    np.einsum("hd,phd->hp", q[row], seen_keys.repeat(heads_per_kv_head, axis=1)) * op.scale
                )
                output[row] = np.einsum(
                    "hp,phd->hd", softmax(scores), seen_values.repeat(heads_per_kv_head, axis=1)
                )
        return output.reshape(len(output), -1)


def rms_norm(x: Array, weight: Array, epsilon: float) -> Array:
    groups = x.reshape(len(x), -1, len(weight))
    root_mean_square = np.sqrt(np.mean(groups**2, axis=-1, keepdims=True) + epsilon)
    return (groups / root_mean_square * weight).reshape(x.shape)


def rope(x: Array, positions: npt.NDArray[np.integer], op: Rope) -> Array:
    angles = positions[:, None, None] * np.array(op.inverse_frequencies)  # [rows, 1, pairs]
    cosines = (np.cos(angles) * op.scale).astype(x.dtype)
    sines = (np.sin(angles) * op.scale).astype(x.dtype)
    pairs = len(op.inverse_frequencies)
    firsts = np.arange(pairs) * 2 if op.interleaved else np.arange(pairs)
    seconds = firsts + 1 if op.interleaved else firsts + pairs
    heads = x.reshape(len(x), -1, op.head_dim)
    rotated = heads.copy()
    rotated[:, :, firsts] = heads[:, :, firsts] * cosines - heads[:, :, seconds] * sines
    rotated[:, :, seconds] = heads[:, :, seconds] * cosines + heads[:, :, firsts] * sines
    return rotated.reshape(x.shape)


def round_to_int8(x: Array, group: int = 32) -> Array:
    """Each run of ``group`` columns as multiples of a 127th of its largest magnitude, halves to even."""
    groups = x.reshape(len(x), -1, group)
    steps = np.abs(groups).max(axis=-1, keepdims=True) / 127
    return (np.rint(np.divide(groups, steps, where=steps > 0, out=np.zeros_like(groups))) * steps).reshape(
        x.shape
    )


def softmax(x: Array) -> Array:
    exponentials = np.exp(x - x.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def make_batch(
    chunks: list[tuple[list[int], int]], block_tables: list[list[int]], logits: str = "last"
) -> Batch:
    """A batch of ``(new token ids, position of the first)`` for each sequence.

    ``logits="all"`` asks for the logits of every token, ``"last"`` for each sequence's last.
    """
    lengths = [len(token_ids) for token_ids, _ in chunks]
    starts = np.concatenate([[0], np.cumsum(lengths)])
    width = max(map(len, block_tables))
    return Batch(
        token_ids=np.concatenate([token_ids for token_ids, _ in chunks]).astype(np.int32),
        positions=np.concatenate([np.arange(len(t)) + p for t, p in chunks]).astype(np.int32),
        query_starts=starts.astype(np.int32),
        block_tables=np.array([t + [0] * (width - len(t)) for t in block_tables], dtype=np.int32),
        logit_rows=(np.arange(starts[-1]) if logits == "all" else starts[1:] - 1).astype(np.int32),
    )
