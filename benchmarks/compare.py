"""Candlewick beside llama.cpp on one GGUF file, in one process, taking turns: A B A B.

    python benchmarks/compare.py MODEL.gguf [--prompt 512] [--streams 1,4,8,16] [--rounds 5] [--json]

The machine's speed wanders, so each round measures both sides of every case one after the other, and what counts is
the median of the rounds' ratios. Needs ``pip install llama-cpp-python``, compiled for this machine.

Only the models' arithmetic is compared: prompt processing in one piece, and decode steps of several streams, each
with its own short context. Neither side samples.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from candlewick.core.batch import BLOCK_SIZE, Batch
from candlewick.core.config import EngineConfig
from candlewick.core.gguf import GGUFFile
from candlewick.core.machine import available_cores
from candlewick.core.native_runner import NativeRunner

HISTORY = 64
"""Tokens in each stream's context before a decode step is timed."""
STEPS = 6
"""Decode steps in one measurement."""


class Contestant(Protocol):
    name: str

    def prefill(self, num_tokens: int) -> float:
        """Seconds to process a prompt."""

    def decode(self, num_streams: int) -> float:
        """Seconds for one step of all streams."""


class Candlewick:
    name = "candlewick"

    def __init__(self, path: Path, max_tokens: int, threads: int) -> None:
        config = EngineConfig(max_context=4096, max_step_tokens=max_tokens, num_threads=threads)
        with GGUFFile.open(path) as file:
            self._runner = NativeRunner.load(file, config)

    def prefill(self, num_tokens: int) -> float:
        return self._step(1, 0, num_tokens)

    def decode(self, num_streams: int) -> float:
        for stream in range(num_streams):
            self._step(1, 0, HISTORY, first_stream=stream)
        return sum(self._step(num_streams, HISTORY + i, 1) for i in range(STEPS)) / STEPS

    def _step(self, num_streams: int, position: int, num_tokens: int, first_stream: int = 0) -> float:
        blocks = -(-(HISTORY + STEPS) // BLOCK_SIZE)
        if num_streams == 1 and position == 0:
            blocks = max(blocks, -(-num_tokens // BLOCK_SIZE))
        tables = (first_stream + np.arange(num_streams))[:, None] * blocks + np.arange(blocks)
        starts = np.arange(num_streams + 1) * num_tokens
        batch = Batch(
            token_ids=np.full(num_streams * num_tokens, 100, np.int32),
            positions=np.tile(np.arange(position, position + num_tokens), num_streams).astype(np.int32),
            query_starts=starts.astype(np.int32),
            block_tables=tables.astype(np.int32),
            logit_rows=(starts[1:] - 1).astype(np.int32),
        )
        start = time.perf_counter()
        self._runner.execute(batch)
        return time.perf_counter() - start


class LlamaCpp:
    name = "llama.cpp"

    def __init__(self, path: Path, max_tokens: int, threads: int, repacks: bool) -> None:
        import llama_cpp

        self._api = llama_cpp
        llama_cpp.llama_backend_init()
        silence = llama_cpp.llama_log_callback(lambda level, text, data: None)
        llama_cpp.llama_log_set(silence, None)
        self._silence = silence
        loading = llama_cpp.llama_model_default_params()
        loading.use_extra_bufts = repacks
        self._model = llama_cpp.llama_model_load_from_file(str(path).encode(), loading)
        settings = llama_cpp.llama_context_default_params()
        settings.n_ctx = 8192
        settings.n_batch = settings.n_ubatch = max_tokens
        settings.n_seq_max = 32
        settings.n_threads = settings.n_threads_batch = threads
        settings.kv_unified = True
        self._context = llama_cpp.llama_init_from_model(self._model, settings)
        self._batch = llama_cpp.llama_batch_init(max_tokens, 0, 1)

    def prefill(self, num_tokens: int) -> float:
        self._forget()
        return self._step([(0, 0, num_tokens)])

    def decode(self, num_streams: int) -> float:
        self._forget()
        for stream in range(num_streams):
            self._step([(stream, 0, HISTORY)])
        return (
            sum(self._step([(s, HISTORY + i, 1) for s in range(num_streams)]) for i in range(STEPS)) / STEPS
        )

    def _forget(self) -> None:
        self._api.llama_memory_clear(self._api.llama_get_memory(self._context), True)

    def _step(self, parts: list[tuple[int, int, int]]) -> float:
        """``(stream, first position, tokens)``; logits of the last token of each."""
        batch = self._batch
        row = 0
        for stream, position, num_tokens in parts:
            for i in range(num_tokens):
                batch.token[row] = 100
                batch.pos[row] = position + i
                batch.n_seq_id[row] = 1
                batch.seq_id[row][0] = stream
                batch.logits[row] = i == num_tokens - 1
                row += 1
        batch.n_tokens = row
        start = time.perf_counter()
        status = self._api.llama_decode(self._context, batch)
        self._api.llama_synchronize(self._context)
        seconds = time.perf_counter() - start
        if status != 0:
            raise RuntimeError(f"llama_decode returned {status}")
        return seconds


@dataclass(frozen=True)
class Result:
    test: str
    ours_tokens_per_second: float
    theirs_tokens_per_second: float
    ratio: float
    """Median over the rounds of ours / theirs."""


def compare(
    ours: Contestant, theirs: Contestant, prompt: int, streams: list[int], rounds: int
) -> list[Result]:
    cases = [(f"pp{prompt}", prompt, lambda side: side.prefill(prompt))]
    cases += [(f"tg x{n}", n, lambda side, n=n: side.decode(n)) for n in streams]
    results = []
    for name, tokens, measure in cases:
        measure(ours), measure(theirs)  # the first time is for page faults and sleeping threads
        pairs = [(measure(ours), measure(theirs)) for _ in range(rounds)]
        results.append(
            Result(
                name,
                tokens / statistics.median(mine for mine, _ in pairs),
                tokens / statistics.median(other for _, other in pairs),
                statistics.median(other / mine for mine, other in pairs),
            )
        )
    return results


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--streams", default="1,4,8,16")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--json", action="store_true")
    parser.add_argument(
        "--no-repacking",
        action="store_true",
        help="llama.cpp with its weights as in the file (its AMX form crashes in llama-cpp-python 0.3.36)",
    )
    arguments = parser.parse_args()
    streams = [int(n) for n in arguments.streams.split(",")]
    most = max(arguments.prompt, HISTORY)
    ours = Candlewick(arguments.model, most, arguments.threads)
    theirs = LlamaCpp(arguments.model, most, arguments.threads, repacks=not arguments.no_repacking)
    results = compare(ours, theirs, arguments.prompt, streams, arguments.rounds)
    if arguments.json:
        print(json.dumps([asdict(result) for result in results], indent=2))
        return
    print(f"{'test':>8} {'candlewick t/s':>15} {'llama.cpp t/s':>15} {'ratio':>7}")
    for r in results:
        print(
            f"{r.test:>8} {r.ours_tokens_per_second:>15.1f} {r.theirs_tokens_per_second:>15.1f} {r.ratio:>7.2f}"
        )


if __name__ == "__main__":
    main()
