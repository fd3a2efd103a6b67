"""A model that runs on the native kernels: the traced program, lowered op by op to the executor's.

Owns the lowering (which buffer, which activations are quantised when) and the sizes of the KV pool. Refuses to
know requests and architectures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from candlewick import __version__
from candlewick.core.batch import BLOCK_SIZE, Batch
from candlewick.core.config import CacheType, EngineConfig
from candlewick.core.errors import ModelLoadError
from candlewick.core.gguf import GGUFFile
from candlewick.core.grammar import TokenMasks
from candlewick.core.kv_file import BlockData, Identity
from candlewick.core.machine import available_cores, available_memory_bytes, choose_instruction_set
from candlewick.core.model_config import ModelConfig
from candlewick.core.models import trace_file
from candlewick.core.params import GenerationParams
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
)
from candlewick.core.sampling import Sample, TokenSampler, new_native_sampler
from candlewick.core.speculation.speculator import MAX_STEP_DRAFT_TOKENS
from candlewick.core.weights import Progress, Weights
from candlewick.core.weights_identity import WeightsIdentity

if TYPE_CHECKING:
    from candlewick import _kernels

KV_ARITHMETIC = 1
"""Raise this when the same tokens come to have other keys and values, or these another layout: files of keys and values
written before are not read any more."""

_NO_BIAS = np.zeros(0, dtype=np.float32)
_FLOAT_ACTIVATIONS = 0


class NativeRunner:
    """The :class:`~candlewick.core.runner_protocol.ModelRunner` of a GGUF file."""

    def __init__(
        self,
        program: _kernels.Program,
        cache: _kernels.KvCache,
        kv_cache_type: CacheType,
        model: ModelConfig,
        max_context: int,
        weights_identity: WeightsIdentity,
    ) -> None:
        self._program: _kernels.Program | None = program
        self._num_logit_rows = 0
        self._num_hidden_rows = 0
        self.isa: str = program.isa
        self.model = model
        self.vocab_size = model.vocab_size
        self.hidden_size = model.hidden_size
        self.pooling = model.pooling
        self.num_blocks: int = cache.num_blocks
        self.block_bytes: int = cache.block_bytes
        self._cache: _kernels.KvCache | None = cache
        self._kv_cache_type = kv_cache_type
        self._weights_identity = weights_identity
        self.max_context = max_context

    @classmethod
    def load(cls, file: GGUFFile, config: EngineConfig, progress: Progress | None = None) -> Self:
        """Trace the file's architecture, pack its weights and reserve the KV pool.

        The file may be closed afterwards.

        Raises:
            ModelLoadError: the file does not hold a model that can be run, or memory does not suffice.
            InvalidRequestError: this CPU can't run the instruction set that is asked for.
        """
        from candlewick import _kernels

        isa = choose_instruction_set(config.isa)
        weights_identity = WeightsIdentity(file.paths)
        model, traced = trace_file(file)
        threads = _kernels.ThreadPool(config.num_threads or available_cores())
        try:
            weights = Weights(file, threads, progress)
            matrices = {
                op.matrix: weights.matrix(op.matrix) for op in traced.ops if isinstance(op, Embed | Linear)
            }
            max_context = min(config.max_context or model.context_length, model.context_length)
            num_blocks, max_context = _pool_size(model, config, max_context)
            cache = _kernels.KvCache(
                model.num_layers, num_blocks, model.num_kv_heads, model.head_dim, config.kv_cache_type
            )
            program = _kernels.Program(
                threads,
                cache,
                config.max_step_tokens,
                min(config.max_running + MAX_STEP_DRAFT_TOKENS, config.max_step_tokens),
                isa,
            )
            _Lowering(traced, program, weights, matrices).lower()
        except MemoryError as error:
            raise ModelLoadError(
                file.path,
                "memory",
                "is not enough for the weights and the KV cache; lower kv_cache_bytes or max_context",
            ) from error
        return cls(program, cache, config.kv_cache_type, model, max_context, weights_identity)

    def execute(self, batch: Batch) -> None:
        """See :meth:`ModelRunner.execute <candlewick.core.runner_protocol.ModelRunner.execute>`."""
        assert self._program is not None, "the runner is closed"
        self._program.run(
            batch.token_ids,
            batch.positions,
            batch.query_starts,
            batch.block_tables,
            batch.logit_rows,
            batch.hidden_rows,
        )
        self._num_logit_rows = len(batch.logit_rows)
        self._num_hidden_rows = len(batch.hidden_rows)

    def logits(self) -> npt.NDArray[np.float32]:
        """The rows ``[R, vocabulary]`` of the last step; a view that the next step overwrites."""
        assert self._program is not None, "the runner is closed"
        return self._program.logits(self._num_logit_rows)

    def hidden_states(self) -> npt.NDArray[np.float32]:
        """The rows ``[H, hidden]`` of the last step; a view that the next step overwrites."""
        assert self._program is not None, "the runner is closed"
        return self._program.hidden_states(self._num_logit_rows, self._num_hidden_rows)

    def new_sampler(
        self, params: GenerationParams, seed: int, choice: int, prompt_ids: Sequence[int]
    ) -> TokenSampler:
        """A native sampler for one choice."""
        return new_native_sampler(params, self.vocab_size, seed, choice, prompt_ids)

    def sample(
        self, samplers: Sequence[TokenSampler], rows: Sequence[int], allowed: TokenMasks | None = None
    ) -> Sequence[Sample | ValueError]:
        """Draw natively, one token a row; a row without a single finite logit gives an error of its own."""
        logits = self.logits()
        try:
            return _draw(logits, samplers, rows, allowed)
        except ValueError:
            masks = [None] * len(rows) if allowed is None else [allowed[i : i + 1] for i in range(len(rows))]
            return [_draw_alone(logits, *drawing) for drawing in zip(samplers, rows, masks, strict=True)]

    @property
    def kv_identity(self) -> Identity:
        """Weights, arithmetic and kind of cache; reads the model's file when first asked.

        Raises:
            ModelLoadError: the file has changed since it was loaded.
            OSError: it can't be read.
        """
        return {
            "weights": self._weights_identity.digest,
            "candlewick": __version__,
            "arithmetic": KV_ARITHMETIC,
            "cache": self._kv_cache_type,
        }

    def read_block(self, block: int) -> BlockData:
        """A copy of a block's keys and values, uint8 ``[block_bytes]``."""
        assert self._cache is not None, "the runner is closed"
        return self._cache.read_block(block)

    def write_block(self, block: int, data: BlockData) -> None:
        """Put what :meth:`read_block` gave into a block."""
        assert self._cache is not None, "the runner is closed"
        self._cache.write_block(block, data)

    def close(self) -> None:
        """Give weights and cache back."""
        self._program = None
        self._cache = None


def _draw(
    logits: npt.NDArray[np.float32],
    samplers: Sequence[TokenSampler],
    rows: Sequence[int],
    allowed: TokenMasks | None,
) -> list[Sample]:
    from candlewick import _kernels

    token_ids, logprobs, top_ids, top_logprobs = _kernels.sample_rows(
        logits, list(samplers), allowed, rows=np.array(rows, dtype=np.int32)
    )
    tops = [
        tuple((token_id, logprob) for token_id, logprob in zip(*row, strict=True) if token_id >= 0)
        for row in zip(top_ids.tolist(), top_logprobs.tolist(), strict=True)
    ]
    return list(map(Sample, token_ids.tolist(), logprobs.tolist(), tops))


def _draw_alone(
    logits: npt.NDArray[np.float32], sampler: TokenSampler, row: int, allowed: TokenMasks | None
) -> Sample | ValueError:
    try:
        return _draw(logits, [sampler], [row], allowed)[0]
    except ValueError as error:
        return error


def kv_block_bytes(model: ModelConfig, cache_type: CacheType) -> int:
    """Bytes of one block: keys and values of ``BLOCK_SIZE`` tokens in all layers."""
    # A key or a value of one head; with bytes goes their common factor.
    vector_bytes = {"f16": 2 * model.head_dim, "f32": 4 * model.head_dim, "q8": model.head_dim + 4}
    return 2 * model.num_layers * model.num_kv_heads * BLOCK_SIZE * vector_bytes[cache_type]


def _pool_size(model: ModelConfig, config: EngineConfig, max_context: int) -> tuple[int, int]:
    """Blocks in the pool, and the context that they allow.

    Unless told otherwise the pool holds what all running sequences could need, but takes no more than a quarter
    of the free memory: pages are only taken when they are first written.
    """
    block_bytes = kv_block_bytes(model, config.kv_cache_type)
    blocks_per_sequence = -(-max_context // BLOCK_SIZE)
    if config.kv_cache_bytes is not None:
        num_blocks = config.kv_cache_bytes // block_bytes
        if num_blocks < 1:
            raise ModelLoadError(
                "kv_cache_bytes", str(config.kv_cache_bytes), f"is less than one block of {block_bytes} bytes"
            )
    else:
        free = available_memory_bytes()
        affordable = blocks_per_sequence * 4 if free is None else free // 4 // block_bytes
        num_blocks = max(1, min(blocks_per_sequence * config.max_running, affordable))
    return num_blocks, min(max_context, num_blocks * BLOCK_SIZE)


def kv_pool_bytes(model: ModelConfig, config: EngineConfig) -> int:
    """Bytes that the pool of keys and values would have if the model were loaded now."""
    max_context = min(config.max_context or model.context_length, model.context_length)
    return _pool_size(model, config, max_context)[0] * kv_block_bytes(model, config.kv_cache_type)


class _Lowering:
    """One pass over the traced ops. Values live where the plan says; quantised copies are made once a value."""

    def __init__(
        self,
        traced: Program,
        program: _kernels.Program,
        weights: Weights,
        matrices: dict[str, _kernels.PackedMatrix],
    ) -> None:
        self._traced = traced
        self._program = program
        self._weights = weights
        self._matrices = matrices
        plan = traced.plan_buffers()
        buffers = [program.add_buffer(buffer.columns, buffer.rows) for buffer in plan.buffers]
        self._buffer_of = [buffers[index] for index in plan.buffer_of]
        self._angles: dict[tuple[tuple[float, ...], float], int] = {}
        # A buffer of activations for each width and kind, and the value whose quantised copy it holds now.
        self._activations: dict[tuple[int, RowKind, int], int] = {}
        self._quantised: dict[int, int] = {}

    def lower(self) -> None:
        for op in self._traced.ops:
            self._lower(op)
        output = self._traced.values[self._traced.output]
        assert self._traced.hidden is not None, "a model has logits"
        hidden = self._traced.values[self._traced.hidden]
        self._program.finish(
            self._buffer_of[output.id], output.columns, self._buffer_of[hidden.id], hidden.columns
        )

    def _lower(self, op: Op) -> None:
        program, buffer = self._program, self._buffer_of
        value = self._traced.values[op.output]
        match op:
            case Embed():
                program.embed(buffer[op.output], self._matrices[op.matrix])
            case RmsNorm():
                weight = self._weights.vector(op.weight)
                program.rms_norm(
                    buffer[op.x], buffer[op.output], value.rows, weight, value.columns, op.epsilon
                )
            case Linear():
                matrix = self._matrices[op.matrix]
                bias = _NO_BIAS if op.bias is None else self._weights.vector(op.bias)
                operand = self._operand(op.x, matrix.activation_kind, value.rows)
                program.linear(operand, buffer[op.output], value.rows, matrix, bias)
            case Rope():
                num_heads = value.columns // op.head_dim
                program.rope(
                    buffer[op.x],
                    buffer[op.output],
                    self._angles_of(op),
                    num_heads,
                    op.head_dim,
                    op.interleaved,
                )
            case Attention():
                program.attention(
                    buffer[op.q],
                    buffer[op.k],
                    buffer[op.v],
                    buffer[op.output],
                    op.layer,
                    op.num_heads,
                    op.scale,
                    op.window or 0,
                )
            case SiluMultiply():
                program.silu_multiply(
                    buffer[op.gate], buffer[op.up], buffer[op.output], value.rows, value.columns
                )
            case Add():
                program.add(buffer[op.x], buffer[op.y], buffer[op.output], value.rows, value.columns)
            case SelectRows():
                program.select_rows(buffer[op.x], buffer[op.output], value.columns)
            case _:
                raise TypeError(f"{type(op).__name__} has no native operation")

    def _operand(self, value_id: int, kind: int, rows: RowKind) -> int:
        """The buffer that a product reads: the value itself, or its quantised copy."""
        if kind == _FLOAT_ACTIVATIONS:
            return self._buffer_of[value_id]
        value = self._traced.values[value_id]
        key = (value.columns, rows, kind)
        if key not in self._activations:
            self._activations[key] = self._program.add_activations(value.columns, rows)
        activations = self._activations[key]
        if self._quantised.get(activations) != value_id:
            self._program.quantize(self._buffer_of[value_id], activations, rows, value.columns, kind)
            self._quantised[activations] = value_id
        return activations

    def _angles_of(self, op: Rope) -> int:
        key = (op.inverse_frequencies, op.scale)
        if key not in self._angles:
            self._angles[key] = self._program.add_angles(list(op.inverse_frequencies), op.scale)
        return self._angles[key]
