"""What a model is traced to: a list of ops over values, and where each value lives in memory.

Owns the meaning of the eight ops and the buffer plan. Refuses to know architectures (see ``core.models``),
how a program is traced (``core.program_builder``), tensor formats, and how ops are run
(``core.native_runner``; the numpy interpreter among the tests is their specification in code).

Every value is a float32 matrix ``[rows, columns]``, assigned by exactly one op. The number of rows is only
known when a batch arrives: all its tokens, those of them of which an output is wanted, or whose logits are.
A printed program reads like assembly::

    %0 = embed token_embd.weight                                         # tokens x 64
    %1 = rms_norm %0, blk.0.attn_norm.weight, epsilon=1e-06, group=64    # tokens x 64
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import ClassVar, Literal

RowKind = Literal["tokens", "outputs", "logits"]
"""``tokens``: a row for each token of the batch; ``outputs``: a row for each entry of ``batch.logit_rows`` and then of
``batch.hidden_rows``; ``logits``: the first of these, a row for each entry of ``batch.logit_rows``."""


@dataclass(frozen=True)
class Value:
    """A float32 matrix that one op writes and later ops read."""

    id: int
    columns: int
    rows: RowKind


@dataclass(frozen=True, kw_only=True)
class Op:
    """One instruction: reads the values ``inputs`` and tensors ``weights``, writes the value ``output``."""

    input_fields: ClassVar[tuple[str, ...]] = ()
    weight_fields: ClassVar[tuple[str, ...]] = ()
    may_overwrite: ClassVar[bool] = False
    """Whether the output may take the place of the first input: nothing of it is read after it is written."""

    output: int

    @property
    def inputs(self) -> tuple[int, ...]:
        """Ids of the values that are read."""
        return tuple(getattr(self, name) for name in self.input_fields)

    @property
    def weights(self) -> tuple[str, ...]:
        """Names of the file's tensors that are read."""
        return tuple(
            name for name in (getattr(self, field) for field in self.weight_fields) if name is not None
        )

    def __str__(self) -> str:
        operands = [f"%{value}" for value in self.inputs] + list(self.weights)
        named = {"output", *self.input_fields, *self.weight_fields}
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in named or value is None:
                continue
            operands.append(f"{field.name}={f'{len(value)} values' if isinstance(value, tuple) else value}")
        mnemonic = re.sub(r"(?<!^)(?=[A-Z])", "_", type(self).__name__).lower()
        return f"%{self.output} = {mnemonic} {', '.join(operands)}"


@dataclass(frozen=True, kw_only=True)
class Embed(Op):
    """``output[i] = matrix[token_ids[i]]``; the matrix is ``[vocabulary, columns]``."""

    weight_fields = ("matrix",)
    matrix: str


@dataclass(frozen=True, kw_only=True)
class RmsNorm(Op):
    """Divide each run of ``group`` columns by its root mean square, then scale it by ``weight`` ``[group]``.

    ``x / sqrt(mean(x²) + epsilon) * weight`` (Zhang and Sennrich 2019). ``group``: all columns, or a head's.
    """

    input_fields = ("x",)
    weight_fields = ("weight",)
    x: int
    weight: str
    epsilon: float
    group: int


@dataclass(frozen=True, kw_only=True)
class Linear(Op):
    """``x @ matrix.T (+ bias)``; matrix ``[output columns, input columns]`` in any GGUF type.

    If the output's rows are ``logits`` and those of ``x`` are ``outputs``, only the first rows are multiplied.
    """

    input_fields = ("x",)
    weight_fields = ("matrix", "bias")
    x: int
    matrix: str
    bias: str | None = None


@dataclass(frozen=True, kw_only=True)
class Rope(Op):
    """Rotate pairs of each head's columns by the token's position (Su et al. 2021).

    Pair ``i`` turns by ``position * inverse_frequencies[i]`` radians, and sine and cosine are multiplied by
    ``scale``. With ``F`` frequencies the pair is columns ``(2i, 2i + 1)`` when ``interleaved``, else
    ``(i, F + i)``. Columns of the head from ``2F`` on are copied.
    """

    input_fields = ("x",)
    may_overwrite = True
    x: int
    inverse_frequencies: tuple[float, ...]
    interleaved: bool
    head_dim: int
    scale: float


@dataclass(frozen=True, kw_only=True)
class Attention(Op):
    """Store ``k`` and ``v`` of the batch's tokens in the cache of ``layer``, then attend causally.

    Query head ``h`` looks at key-value head ``h // (num_heads / num_kv_heads)``, at its own position and all
    before; with a ``window`` at the last ``window`` of these only. ``softmax(q · k * scale) · v``.
    """

    input_fields = ("q", "k", "v")
    q: int
    k: int
    v: int
    layer: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    scale: float
    window: int | None = None


@dataclass(frozen=True, kw_only=True)
class SiluMultiply(Op):
    """``silu(gate) * up``, with ``silu(x) = x / (1 + exp(-x))``."""

    input_fields = ("gate", "up")
    may_overwrite = True
    gate: int
    up: int


@dataclass(frozen=True, kw_only=True)
class Add(Op):
    """``x + y``."""

    input_fields = ("x", "y")
    may_overwrite = True
    x: int
    y: int


@dataclass(frozen=True, kw_only=True)
class SelectRows(Op):
    """The rows ``logit_rows``, then ``hidden_rows``, of the batch."""

    input_fields = ("x",)
    x: int


@dataclass(frozen=True)
class Buffer:
    """Memory for matrices of up to ``columns`` columns."""

    columns: int
    rows: RowKind


@dataclass(frozen=True)
class BufferPlan:
    """Each value lives in ``buffers[buffer_of[value.id]]``, from its start, packed to its own columns."""

    buffers: tuple[Buffer, ...]
    buffer_of: tuple[int, ...]


@dataclass(frozen=True)
class Program:
    """The ops of a model in the order in which they run; ``values[i].id == i``; ``output`` are the logits."""

    ops: tuple[Op, ...]
    values: tuple[Value, ...]
    output: int

    def __str__(self) -> str:
        texts = [str(op) for op in self.ops]
        width = max(map(len, texts), default=0)
        shapes = [self.values[op.output] for op in self.ops]
        lines = [f"{text:<{width}}  # {v.rows} x {v.columns}" for text, v in zip(texts, shapes, strict=True)]
        return "\n".join([*lines, f"return %{self.output}"])

    @property
    def weight_names(self) -> tuple[str, ...]:
        """Every tensor that an op reads, once, in the order of first use."""
        return tuple(dict.fromkeys(name for op in self.ops for name in op.weights))

    @property
    def hidden(self) -> int | None:
        """The value that logits are computed from, the last hidden states ``[outputs, hidden]``; ``None`` if the
        program has no rows of logits."""
        heads = [op for op in self.ops if self.values[op.output].rows == "logits"]
        return heads[0].inputs[0] if heads else None

    def plan_buffers(self) -> BufferPlan:
        """Give each value a buffer so that no living value is overwritten.

        A buffer is free again after the op that reads its value last. That op itself may write there only if
        it ``may_overwrite``. Buffers of different row kinds are kept apart: the logits' columns are the
        vocabulary, and a buffer of that width must not be as tall as the batch. The last hidden states are
        kept as well as the logits.
        """
        last_use = [-1] * len(self.values)
        for index, op in enumerate(self.ops):
            for value_id in op.inputs:
                last_use[value_id] = index
        last_use[self.output] = len(self.ops)
        if self.hidden is not None:
            last_use[self.hidden] = len(self.ops)

        buffers: list[Buffer] = []
        buffer_of = [-1] * len(self.values)
        free: set[int] = set()
        for index, op in enumerate(self.ops):
            output = self.values[op.output]
            if op.may_overwrite and last_use[op.inputs[0]] == index:
                chosen = buffer_of[op.inputs[0]]
            else:
                chosen = _choose_buffer(output, buffers, free)
            buffer_of[output.id] = chosen
            free.update(buffer_of[v] for v in (*op.inputs, output.id) if last_use[v] <= index)
            if last_use[output.id] > index:
                free.discard(chosen)
        return BufferPlan(tuple(buffers), tuple(buffer_of))


def _choose_buffer(value: Value, buffers: list[Buffer], free: set[int]) -> int:
    """The tightest free buffer, else the largest free one made larger, else a new one."""
    candidates = [index for index in sorted(free) if buffers[index].rows == value.rows]
    fitting = [index for index in candidates if buffers[index].columns >= value.columns]
    if fitting:
        return min(fitting, key=lambda index: buffers[index].columns)
    if candidates:
        largest = max(candidates, key=lambda index: buffers[index].columns)
        buffers[largest] = Buffer(value.columns, value.rows)
        return largest
    buffers.append(Buffer(value.columns, value.rows))
    return len(buffers) - 1
