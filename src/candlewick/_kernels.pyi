"""Candlewick's native kernels: packed matrices, programs, sampling."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int32]
Floats = NDArray[np.float32]
Words = NDArray[np.uint32]

def instruction_sets() -> list[str]:
    """What this CPU can run, best first."""

def is_supported(type: int) -> bool:
    """Whether matrices of this GGML type can be packed."""

class ThreadPool:
    def __init__(self, num_threads: int) -> None: ...
    @property
    def num_threads(self) -> int: ...

class PackedMatrix:
    @staticmethod
    def pack(type: int, data: Bytes, rows: int, columns: int, threads: ThreadPool) -> PackedMatrix: ...
    @property
    def type(self) -> int: ...
    @property
    def rows(self) -> int: ...
    @property
    def columns(self) -> int: ...
    @property
    def num_bytes(self) -> int: ...
    @property
    def activation_kind(self) -> int: ...
    def dequantize(self) -> Floats: ...
    def multiply(self, x: Floats, threads: ThreadPool, isa: str = "") -> Floats: ...

class KvCache:
    def __init__(
        self, num_layers: int, num_blocks: int, num_kv_heads: int, head_dim: int, type: str
    ) -> None: ...
    @property
    def num_blocks(self) -> int: ...
    @property
    def num_bytes(self) -> int: ...
    @property
    def block_bytes(self) -> int: ...
    def read_block(self, block: int) -> Bytes: ...
    def write_block(self, block: int, data: Bytes) -> None: ...

class Program:
    def __init__(
        self, threads: ThreadPool, cache: KvCache, max_tokens: int, max_logit_rows: int, isa: str = ""
    ) -> None: ...
    @property
    def isa(self) -> str: ...
    @property
    def buffer_bytes(self) -> int: ...
    def add_buffer(self, columns: int, rows: str) -> int: ...
    def add_activations(self, columns: int, rows: str) -> int: ...
    def add_angles(self, inverse_frequencies: Sequence[float], scale: float) -> int: ...
    def embed(self, out: int, matrix: PackedMatrix) -> None: ...
    def rms_norm(self, x: int, out: int, rows: str, weight: Floats, columns: int, epsilon: float) -> None: ...
    def quantize(self, x: int, out: int, rows: str, columns: int, kind: int) -> None: ...
    def linear(self, operand: int, out: int, rows: str, matrix: PackedMatrix, bias: Floats) -> None: ...
    def rope(
        self, x: int, out: int, angles: int, num_heads: int, head_dim: int, interleaved: bool
    ) -> None: ...
    def attention(
        self, q: int, k: int, v: int, out: int, layer: int, num_heads: int, scale: float, window: int
    ) -> None: ...
    def silu_multiply(self, gate: int, up: int, out: int, rows: str, columns: int) -> None: ...
    def add(self, x: int, y: int, out: int, rows: str, columns: int) -> None: ...
    def select_rows(self, x: int, out: int, columns: int) -> None: ...
    def finish(self, logits: int, vocab_size: int, hidden: int, hidden_size: int) -> None: ...
    def run(
        self,
        token_ids: Ints,
        positions: Ints,
        query_starts: Ints,
        block_tables: Ints,
        logit_rows: Ints,
        hidden_rows: Ints,
    ) -> None: ...
    def hidden_states(self, first: int, rows: int) -> Floats:
        """
        The last step's hidden states [rows, hidden] behind the logits, of its output rows (those that want logits, then
        the others) from the first on: a view that the next step overwrites.
        """
    def logits(self, rows: int) -> Floats:
        """
        The last step's logits [rows, vocabulary]: a view that the next step overwrites.
        """

def measure_products(threads: ThreadPool, isa: str = "") -> float:
    """Integer multiplications with addition a second that the threads do together in registers, now."""

def measure_reads(threads: ThreadPool, data: Bytes, isa: str = "") -> float:
    """Bytes a second that the threads read together from this array, now."""

class Sampler:
    """One request's sampling state."""

    def __init__(
        self,
        vocab_size: int,
        temperature: float,
        top_k: int,
        top_p: float,
        min_p: float,
        repetition_penalty: float,
        frequency_penalty: float,
        presence_penalty: float,
        bias_ids: Ints,
        bias_values: Floats,
        seed: int,
        choice: int,
        num_logprobs: int,
        prompt_ids: Ints,
    ) -> None: ...
    def accept(self, token_id: int) -> None:
        """Record that the token now stands in the answer."""

    def retract(self, token_id: int) -> None:
        """Undo an accept of this token."""

    @property
    def num_accepted(self) -> int: ...

def sample_rows(
    logits: Floats,
    samplers: Sequence[object],
    allowed: Words | None = None,
    num_threads: int = 1,
    rows: Ints | None = None,
) -> tuple[Ints, Floats, Ints, Floats]:
    """Token ids [R], log-probabilities [R], and the most likely ids and theirs [R, most]; draws, does not accept.

    Sampler r draws from row ``rows[r]`` of the logits (``r`` if ``None``) and the r-th row of ``allowed``.

    Raises ValueError, naming the row, when a row has no finite or no allowed logit.
    """
