"""Each kernel alone, against what the machine can do just then.

    python benchmarks/kernels.py [--instruction-set avx2] [--threads 1] [--only products,attention,rows,sampling]

Products of a matrix with 1, 4, 8 and 512 tokens, in billions of multiplications a second and their share of what the
cores do in registers; a matrix larger than the caches with one token, in bytes a second and their share of what memory
delivers; attention, in billions of multiplications; the operations on rows, in bytes moved; sampling over a large
vocabulary, in microseconds a row. Every figure is the best of some rounds; compare figures of one run only.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from calibration import Machine
from gguf.constants import GGMLQuantizationType as GgmlType
from random_model import random_blocks

from candlewick import _kernels
from candlewick.core.machine import available_cores

ROUNDS = 7
REPEATS = 8
"""How often an operation stands in the program that is timed: starting threads counts less."""
HIDDEN, FEED_FORWARD = 2048, 11008
HEADS, KV_HEADS, HEAD_DIM, BLOCK = 16, 4, 128, 16
VOCABULARY = 128256

NO_INTS = np.zeros(0, np.int32)


@dataclass(frozen=True)
class Figure:
    name: str
    value: float
    unit: str
    share: float | None = None
    """Of the machine's limit, where there is one."""


class Bench:
    def __init__(self, threads: int, isa: str) -> None:
        self.threads = _kernels.ThreadPool(threads)
        self.isa = isa
        self.machine = Machine(threads, isa)
        self.rng = np.random.default_rng(0)

    def program(self, max_tokens: int, cache: _kernels.KvCache | None = None) -> _kernels.Program:
        cache = cache or _kernels.KvCache(1, -(-max_tokens // BLOCK), 1, BLOCK, "f16")
        return _kernels.Program(self.threads, cache, max_tokens, 1, self.isa)

    def matrix(self, ggml_type: GgmlType, rows: int, columns: int) -> _kernels.PackedMatrix:
        data = random_blocks(ggml_type, rows, columns, self.rng).reshape(-1)
        return _kernels.PackedMatrix.pack(int(ggml_type), data, rows, columns, self.threads)

    def seconds(self, work: Callable[[], object]) -> float:
        """Of one of the repeated operations, the best of some rounds."""
        work()
        best = float("inf")
        for _ in range(ROUNDS):
            start = time.perf_counter()
            work()
            best = min(best, time.perf_counter() - start)
        return best / REPEATS

    def run(self, program: _kernels.Program, buffer: int, num_tokens: int, position: int = 0) -> float:
        """Seconds of one repeated operation of ``program`` in a step of one sequence from ``position`` on."""
        program.finish(buffer, 1, buffer, 1)
        positions = np.arange(position, position + num_tokens, dtype=np.int32)
        tables = np.arange(-(-(position + num_tokens) // BLOCK), dtype=np.int32)[None]
        starts = np.array([0, num_tokens], np.int32)
        ids = np.zeros(num_tokens, np.int32)
        return self.seconds(lambda: program.run(ids, positions, starts, tables, NO_INTS, NO_INTS))

    # -- what is measured ---------------------------------------------------------------------------------------------

    def products(self) -> Iterator[Figure]:
        for ggml_type in (GgmlType.Q4_K, GgmlType.Q6_K, GgmlType.Q8_0, GgmlType.Q4_0, GgmlType.Q5_K):
            small = self.matrix(ggml_type, 512, HIDDEN)
            for tokens in (1, 4, 8, 512):
                seconds = self._product(small, tokens)
                rate = small.rows * small.columns * tokens / seconds
                peak = max(self.machine.read().products for _ in range(3))
                yield Figure(f"{ggml_type.name} in cache x {tokens}", rate / 1e9, "GMAC/s", rate / peak)
            large = self.matrix(ggml_type, 16 * 1024, 8 * 1024)
            rate = large.num_bytes / self._product(large, 1)
            limit = max(self.machine.read().bandwidth for _ in range(3))
            yield Figure(f"{ggml_type.name} from memory x 1", rate / 1e9, "GB/s", rate / limit)

    def _product(self, matrix: _kernels.PackedMatrix, tokens: int) -> float:
        program = self.program(tokens)
        x = program.add_buffer(matrix.columns, "tokens")
        out = program.add_buffer(matrix.rows, "tokens")
        operand = program.add_activations(matrix.columns, "tokens")
        program.quantize(x, operand, "tokens", matrix.columns, matrix.activation_kind)
        for _ in range(REPEATS):
            program.linear(operand, out, "tokens", matrix, np.zeros(0, np.float32))
        return self.run(program, out, tokens)

    def attention(self) -> Iterator[Figure]:
        for name in ("f16", "q8"):
            for context, tokens in ((512, 512), (2048, 512), (8192, 512), (2048, 1), (8192, 1)):
                first = context - tokens
                cache = _kernels.KvCache(1, -(-context // BLOCK), KV_HEADS, HEAD_DIM, name)
                program = self.program(tokens, cache)
                q, k, v, out = (
                    program.add_buffer(heads * HEAD_DIM, "tokens")
                    for heads in (HEADS, KV_HEADS, KV_HEADS, HEADS)
                )
                for _ in range(REPEATS):
                    program.attention(q, k, v, out, 0, HEADS, HEAD_DIM**-0.5, 0)
                seconds = self.run(program, out, tokens, first)
                seen = sum(range(first + 1, context + 1))
                rate = 2 * seen * HEADS * HEAD_DIM / seconds
                yield Figure(f"attention {name}, {tokens} tokens of {context}", rate / 1e9, "GMAC/s")

    def rows(self) -> Iterator[Figure]:
        tokens = 512
        weight = np.ones(HIDDEN, np.float32)

        def moved(name: str, build: Callable[[_kernels.Program], int], num_bytes: int) -> Figure:
            program = self.program(tokens)
            rate = tokens * num_bytes / self.run(program, build(program), tokens)
            return Figure(name, rate / 1e9, "GB/s")

        def norm(program: _kernels.Program) -> int:
            x, out = program.add_buffer(HIDDEN, "tokens"), program.add_buffer(HIDDEN, "tokens")
            for _ in range(REPEATS):
                program.rms_norm(x, out, "tokens", weight, HIDDEN, 1e-6)
            return out

        def quantise(program: _kernels.Program) -> int:
            x, out = program.add_buffer(HIDDEN, "tokens"), program.add_activations(HIDDEN, "tokens")
            for _ in range(REPEATS):
                program.quantize(x, out, "tokens", HIDDEN, 1)
            return x

        def gate(program: _kernels.Program) -> int:
            x, y = (program.add_buffer(FEED_FORWARD, "tokens") for _ in range(2))
            for _ in range(REPEATS):
                program.silu_multiply(x, y, x, "tokens", FEED_FORWARD)
            return x

        def rotate(program: _kernels.Program) -> int:
            angles = program.add_angles([10000.0 ** (-2 * i / HEAD_DIM) for i in range(HEAD_DIM // 2)], 1.0)
            x = program.add_buffer(HIDDEN, "tokens")
            for _ in range(REPEATS):
                program.rope(x, x, angles, HEADS, HEAD_DIM, False)
            return x

        yield moved("norm", norm, 2 * 4 * HIDDEN)
        yield moved("quantise", quantise, 4 * HIDDEN + HIDDEN)
        yield moved("gated activation", gate, 3 * 4 * FEED_FORWARD)
        yield moved("rope", rotate, 2 * 4 * HIDDEN)

    def sampling(self) -> Iterator[Figure]:
        rows = 16
        logits = self.rng.standard_normal((rows, VOCABULARY), np.float32) * 3
        for name, temperature, top_k, top_p in (
            ("greedy", 0.0, 0, 1.0),
            ("temperature", 1.0, 0, 1.0),
            ("top_k 40, top_p 0.95", 0.7, 40, 0.95),
        ):
            samplers = [
                _kernels.Sampler(
                    VOCABULARY, temperature, top_k, top_p, 0.0, 1.0, 0.0, 0.0, NO_INTS, np.zeros(0, np.float32), row,
                    0, 0, NO_INTS,
                )
                for row in range(rows)
            ]  # fmt: skip
            seconds = self.seconds(
                lambda samplers=samplers: [
                    _kernels.sample_rows(logits, samplers, num_threads=self.threads.num_threads)
                    for _ in range(REPEATS)
                ]
            )
            yield Figure(f"sampling {VOCABULARY} logits, {name}", seconds / rows * 1e6, "us/row")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--instruction-set", default="", choices=["", *_kernels.instruction_sets()])
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--only", default="products,attention,rows,sampling")
    arguments = parser.parse_args()
    bench = Bench(arguments.threads, arguments.instruction_set)
    print(f"{arguments.instruction_set or _kernels.instruction_sets()[0]}, {arguments.threads} threads")
    for part in arguments.only.split(","):
        for figure in getattr(bench, part)():
            share = "" if figure.share is None else f"{figure.share:>5.0%} of the limit"
            print(f"{figure.name:<42} {figure.value:>9.1f} {figure.unit:<7}{share}", flush=True)
    best = bench.machine.best
    print(f"limits: {best.products / 1e9:.0f} billion products/s, {best.bandwidth / 1e9:.1f} GB/s")


if __name__ == "__main__":
    main()
