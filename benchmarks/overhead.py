"""What the engine itself costs: processor time of a step in which the model computes nothing.

    python benchmarks/overhead.py [MODEL.gguf] [--streams 1,8,32] [--tokens 400] [--rounds 5] [--json]

The native step is replaced by one that returns at once; scheduling, drawing, decoding of text, statistics and the
waking of readers are as ever. The tokens are drawn from flat distributions, so that nothing repeats and no guess saves
a step. Processor time and not the clock's: so other programs on the machine count for little, and of the rounds the
best one is told.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

from candlewick.core.batch import Batch
from candlewick.core.config import EngineConfig
from candlewick.core.engine import InferenceEngine
from candlewick.core.gguf import GGUFFile
from candlewick.core.model_source import resolve_model
from candlewick.core.native_runner import NativeRunner
from candlewick.core.params import GenerationParams
from candlewick.core.tokenizer import Tokenizer

FLAT = 100.0
"""A temperature at which all tokens are about as likely."""


class InstantRunner:
    """A model whose first step is computed, and all others are taken to give the same logits."""

    def __init__(self, runner: NativeRunner) -> None:
        self._runner = runner
        self._most_rows = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runner, name)

    def execute(self, batch: Batch) -> None:
        if len(batch.logit_rows) > self._most_rows:
            self._most_rows = len(batch.logit_rows)
            self._runner.execute(batch)


def new_engine(model: str, most_streams: int) -> InferenceEngine:
    path = resolve_model(model)
    config = EngineConfig(num_threads=1, max_running=most_streams, max_context=2048, kv_cache_bytes=1 << 28)
    with GGUFFile.open(path) as file:
        tokenizer = Tokenizer.from_metadata(file.metadata, path)
        runner = NativeRunner.load(file, config)
    return InferenceEngine(InstantRunner(runner), tokenizer, config)  # type: ignore[arg-type]


def step_microseconds(engine: InferenceEngine, num_streams: int, num_tokens: int) -> float:
    params = GenerationParams(max_tokens=num_tokens, temperature=FLAT, ignore_eos=True, seed=1)
    before = engine.stats().steps
    start = time.process_time()
    generations = [engine.submit([1 + i, 2, 3], params) for i in range(num_streams)]
    for generation in generations:
        for _ in generation:
            pass
    return 1e6 * (time.process_time() - start) / (engine.stats().steps - before)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", nargs="?", default="builtin")
    parser.add_argument("--streams", default="1,8,32", help="answers at the same time")
    parser.add_argument("--tokens", type=int, default=400, help="tokens of each answer")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    streams = [int(text) for text in arguments.streams.split(",")]
    with new_engine(arguments.model, max(streams)) as engine:
        step_microseconds(engine, max(streams), 8)  # logits for all
        best = {
            count: min(step_microseconds(engine, count, arguments.tokens) for _ in range(arguments.rounds))
            for count in streams
        }
    if arguments.json:
        print(json.dumps({str(count): microseconds for count, microseconds in best.items()}))
        return
    for count, microseconds in best.items():
        print(f"{count:3} at once: {microseconds:6.0f} microseconds a step")


if __name__ == "__main__":
    main()
