"""Traces a model: each method appends one op and returns the value that it writes.

Owns the names and shapes of the file's tensors while tracing: every tensor must be read by the model, with
the shape that the model expects, and all that is wrong is reported at once. Refuses to know architectures and
tensor formats.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from candlewick.core.errors import ModelLoadError
from candlewick.core.program import (
    Add,
    Attention,
    Embed,
    Linear,
    Op,
    Program,
    RmsNorm,
    Rope,
    RowKind,
    SelectRows,
    SiluMultiply,
    Value,
)

_DERIVED_TENSOR = re.compile(r"(^|\.)(rope_freqs|attn_rot_embd|rotary_emb\.inv_freq)(\.weight)?$")
"""Tensors that hold nothing of their own: RoPE frequencies, which the configuration has read or computes
itself."""


class TensorShape(Protocol):
    """What tracing needs to know of a tensor; ``core.gguf.TensorInfo`` is one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Outermost dimension first."""
        ...


class ProgramBuilder:
    """Collects the ops of a model over the tensors of one file.

    Tensor names are relative to the current :meth:`scope` and lack their ending: ``linear(x, "attn_q", 64)``
    within ``scope("blk.3")`` reads ``blk.3.attn_q.weight`` and, if the file has it, ``blk.3.attn_q.bias``.

    Methods raise ``ValueError`` when a model puts values together that don't fit; what is wrong with the file
    comes out of :meth:`build`, all at once.
    """

    def __init__(self, tensors: Mapping[str, TensorShape], path: str | Path) -> None:
        self._tensors = tensors
        self._path = path
        self._ops: list[Op] = []
        self._values: list[Value] = []
        self._prefix = ""
        self._read: set[str] = set()
        self._missing: dict[str, tuple[int, ...]] = {}
        self._misshapen: dict[str, tuple[int, ...]] = {}

    @contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Within the ``with`` block, tensor names start with ``name`` and a dot."""
        outer = self._prefix
        self._prefix = f"{outer}{name}."
        try:
            yield
        finally:
            self._prefix = outer

    def has(self, name: str) -> bool:
        """Whether the file has the tensor ``name`` (with its ending, relative to the scope)."""
        return self._prefix + name in self._tensors

    def embed(self, name: str, num_rows: int, columns: int) -> Value:
        """Look the batch's token ids up in a matrix ``[num_rows, columns]``."""
        matrix = self._tensor(f"{name}.weight", (num_rows, columns))
        return self._append(Embed(matrix=matrix, output=self._next_id), columns, "tokens")

    def rms_norm(self, x: Value, name: str, epsilon: float, group: int | None = None) -> Value:
        """Normalise each run of ``group`` columns (all of them by default)."""
        group = x.columns if group is None else group
        if x.columns % group:
            raise ValueError(
                f"rms_norm {self._prefix}{name}: {x.columns} columns are not a multiple of the group {group}"
            )
        weight = self._tensor(f"{name}.weight", (group,))
        return self._append(
            RmsNorm(x=x.id, weight=weight, epsilon=epsilon, group=group, output=self._next_id),
            x.columns,
            x.rows,
        )

    def linear(self, x: Value, name: str, columns: int, *, requires_bias: bool = False) -> Value:
        """Multiply by the matrix ``[columns, x.columns]``; a bias in the file is always added."""
        return self._linear(x, name, columns, requires_bias, x.rows)

    def logits(self, x: Value, name: str, columns: int) -> Value:
        """:meth:`linear`, for those of the selected rows that want logits."""
        if x.rows != "outputs":
            raise ValueError("logits: select_rows comes first")
        return self._linear(x, name, columns, False, "logits")

    def _linear(self, x: Value, name: str, columns: int, requires_bias: bool, rows: RowKind) -> Value:
        matrix = self._tensor(f"{name}.weight", (columns, x.columns))
        has_bias = requires_bias or self.has(f"{name}.bias")
        bias = self._tensor(f"{name}.bias", (columns,)) if has_bias else None
        return self._append(Linear(x=x.id, matrix=matrix, bias=bias, output=self._next_id), columns, rows)

    def rope(
        self,
        x: Value,
        inverse_frequencies: tuple[float, ...],
        *,
        interleaved: bool,
        head_dim: int,
        scale: float = 1.0,
    ) -> Value:
        """Rotate every head of ``x`` by the token's position; see :class:`~candlewick.core.program.Rope`."""
        if x.columns % head_dim or not 0 < 2 * len(inverse_frequencies) <= head_dim:
            raise ValueError(
                f"rope: {len(inverse_frequencies)} frequencies over heads of {head_dim} "
                f"do not fit {x.columns} columns"
            )
        return self._append(
            Rope(
                x=x.id,
                inverse_frequencies=inverse_frequencies,
                interleaved=interleaved,
                head_dim=head_dim,
                scale=scale,
                output=self._next_id,
            ),
            x.columns,
            x.rows,
        )

    def attention(
        self,
        q: Value,
        k: Value,
        v: Value,
        *,
        layer: int,
        num_heads: int,
        num_kv_heads: int,
        head_dim: int,
        scale: float,
        window: int | None = None,
    ) -> Value:
        """Store ``k`` and ``v``, attend causally; see :class:`~candlewick.core.program.Attention`."""
        kv_columns = num_kv_heads * head_dim
        if (
            num_heads % num_kv_heads
            or q.columns != num_heads * head_dim
            or {k.columns, v.columns} != {kv_columns}
        ):
            raise ValueError(
                f"attention: {num_heads} heads and {num_kv_heads} key-value heads of {head_dim} do not fit "
                f"q, k, v of {q.columns}, {k.columns}, {v.columns} columns"
            )
        return self._append(
            Attention(
                q=q.id,
                k=k.id,
                v=v.id,
                layer=layer,
                num_heads=num_heads,
                num_kv_heads=num_kv_heads,
                head_dim=head_dim,
                scale=scale,
                window=window,
                output=self._next_id,
            ),
            q.columns,
            q.rows,
        )

    def silu_multiply(self, gate: Value, up: Value) -> Value:
        """``silu(gate) * up``."""
        self._require_alike("silu_multiply", gate, up)
        return self._append(
            SiluMultiply(gate=gate.id, up=up.id, output=self._next_id), gate.columns, gate.rows
        )

    def add(self, x: Value, y: Value) -> Value:
        """``x + y``; the sum may take the memory of ``x``, so put the one that is needed no more first."""
        self._require_alike("add", x, y)
        return self._append(Add(x=x.id, y=y.id, output=self._next_id), x.columns, x.rows)

    def select_rows(self, x: Value) -> Value:
        """Keep the rows of which an output is wanted: logits, or the last hidden state."""
        if x.rows != "tokens":
            raise ValueError("select_rows: the rows are already selected")
        return self._append(SelectRows(x=x.id, output=self._next_id), x.columns, "outputs")

    def build(self, output: Value) -> Program:
        """The traced program with ``output`` as its logits.

        Raises:
            ModelLoadError: tensors are missing, have another shape than the model expects, or are left over;
            the one
                error lists all of them.
        """
        left_over = [
            f"{name} {_show(info.shape)}"
            for name, info in self._tensors.items()
            if name not in self._read and not _DERIVED_TENSOR.search(name)
        ]
        missing = [f"{name} {_show(shape)}" for name, shape in self._missing.items()]
        misshapen = [
            f"{name} is {_show(self._tensors[name].shape)} but must be {_show(shape)}"
            for name, shape in self._misshapen.items()
        ]
        problems = [
            f"{len(names)} {title}: {', '.join(names)}"
            for title, names in (
                ("missing", missing),
                ("of the wrong shape", misshapen),
                ("left over", left_over),
            )
            if names
        ]
        if problems:
            advice = "The file is damaged or made for another model: convert or download it again"
            raise ModelLoadError(self._path, "tensors", f"{'; '.join(problems)}. {advice}")
        return Program(tuple(self._ops), tuple(self._values), output.id)

    def _tensor(self, name: str, shape: tuple[int, ...]) -> str:
        full_name = self._prefix + name
        self._read.add(full_name)
        info = self._tensors.get(full_name)
        if info is None:
            self._missing[full_name] = shape
        elif tuple(info.shape) != shape:
            self._misshapen[full_name] = shape
        return full_name

    @property
    def _next_id(self) -> int:
        return len(self._values)

    def _append(self, op: Op, columns: int, rows: RowKind) -> Value:
        value = Value(self._next_id, columns, rows)
        self._ops.append(op)
        self._values.append(value)
        return value

    @staticmethod
    def _require_alike(operation: str, x: Value, y: Value) -> None:
        if (x.columns, x.rows) != (y.columns, y.rows):
            raise ValueError(f"{operation}: {x.rows} x {x.columns} does not fit {y.rows} x {y.columns}")


def _show(shape: tuple[int, ...]) -> str:
    return "[" + ", ".join(map(str, shape)) + "]"
