"""``candlewick bench``: how fast a model's arithmetic is here, in the form of llama-bench; and how a server does."""

from __future__ import annotations

import json
import statistics
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from typer.core import TyperGroup

from candlewick.cli import loading, machine_limits, options
from candlewick.cli.bench_serve import bench_serve
from candlewick.cli.model_work import ModelWork
from candlewick.core.errors import InvalidRequestError

if TYPE_CHECKING:
    from candlewick.core.native_runner import NativeRunner

ROUNDS = 3
STEP_TOKENS = 512
"""Of a prompt, at a time."""
SMALLEST_READ = 4 * 2**20
"""Bytes below which the calls around a measurement of memory would count more than the reading."""
LOCAL = "model"
TOKEN = 1
"""Which token does not change the work."""


@dataclass(frozen=True)
class Figure:
    """One line of the result."""

    test: str
    """``pp512``: a prompt of 512 tokens; ``tg32``: 32 tokens one after the other; ``tg32x8``: of 8 answers at once."""
    tokens_per_second: float
    """Of all answers together."""
    share_of_limit: float
    """Of what the machine could do if its products never waited for memory, and its reading never for products."""


class _BenchCommands(TyperGroup):
    """Takes what is no command for a model: ``bench MODEL`` beside ``bench serve URL``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = [LOCAL, *args]
        return super().parse_args(ctx, args)


bench = typer.Typer(cls=_BenchCommands, help="Measure a model on this machine, or a server under load.")
bench.command("serve")(bench_serve)


@bench.command(LOCAL)
def bench_model(
    model: Annotated[
        str, typer.Argument(envvar="CANDLEWICK_MODEL", help="As for --model of other commands.")
    ] = "builtin",
    prompt: Annotated[int, typer.Option("--prompt", min=1, help="Tokens of the prompt.")] = 512,
    generate: Annotated[int, typer.Option("--generate", min=1, help="Tokens that follow.")] = 32,
    streams: Annotated[
        str, typer.Option("--streams", help="Answers at once, separated by commas.")
    ] = "1,4,8,16",
    threads: options.Threads = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a list of objects.")] = False,
    debug: options.Debug = False,
) -> None:
    """Measure a model's prompts and tokens a second, without sampling; 'model' may be left out."""
    figures = measure(model, prompt, generate, _numbers(streams), threads)
    if as_json:
        print(json.dumps([asdict(figure) for figure in figures], indent=2))
        return
    table = Table(title=escape(model))
    table.add_column("test")
    table.add_column("tokens/s", justify="right")
    table.add_column("of the limit", justify="right")
    for figure in figures:
        table.add_row(figure.test, f"{figure.tokens_per_second:,.1f}", f"{figure.share_of_limit:.0%}")
    Console(highlight=False).print(table)


def measure(
    model: str, prompt: int, generate: int, streams: list[int], threads: int | None = None
) -> list[Figure]:
    """All figures of a model, and the machine's limits in the same minute.

    Raises:
        ModelNotFoundError, ModelLoadError: the model can't be loaded.
        InvalidRequestError: the model's context is too short.
    """
    from candlewick import _kernels
    from candlewick.core.config import EngineConfig
    from candlewick.core.gguf import GGUFFile
    from candlewick.core.machine import available_cores, choose_instruction_set
    from candlewick.core.model_source import resolve_model
    from candlewick.core.native_runner import NativeRunner

    num_threads = threads or available_cores()
    most = max(streams)
    with loading.LoadingBar() as bar, GGUFFile.open(resolve_model(model, progress=bar.update)) as file:
        config = EngineConfig(
            num_threads=num_threads,
            max_running=most,
            max_step_tokens=max(STEP_TOKENS, most),
            max_context=None,
        )
        runner = NativeRunner.load(file, config, progress=bar.update)
        work = ModelWork.of(file)
    try:
        bench = _Bench(runner, prompt, generate)
        prefill = bench.prefill_seconds()
        decode = {count: bench.decode_seconds(count) for count in streams}
    finally:
        runner.close()
    # A model that fits into the caches is read from there.
    num_bytes = min(max(work.num_bytes, SMALLEST_READ), machine_limits.bandwidth_bytes())
    pool = _kernels.ThreadPool(num_threads)
    bandwidth = machine_limits.memory_bandwidth(pool, num_bytes)
    peak = machine_limits.product_peak(pool, choose_instruction_set(None))

    def share(steps: int, tokens: int, drawn: int, seconds: float) -> float:
        return work.shortest_seconds(steps, tokens, drawn, bandwidth, peak) / seconds

    pieces = -(-prompt // STEP_TOKENS)

    return [
        Figure(f"pp{prompt}", prompt / prefill, share(pieces, prompt, pieces, prefill)),
        *[
            Figure(
                f"tg{generate}" + (f"x{count}" if count > 1 else ""),
                count * generate / seconds,
                share(generate, count * generate, count * generate, seconds),
            )
            for count, seconds in decode.items()
        ],
    ]


class _Bench:
    """Steps of a model, on sequences of one token again and again."""

    def __init__(self, runner: NativeRunner, prompt: int, generate: int) -> None:
        from candlewick.core.batch import BLOCK_SIZE

        needed = max(prompt, generate)
        if needed > runner.max_context:
            raise InvalidRequestError(
                f"the model's context of {runner.max_context} tokens is too short for {needed}", "prompt"
            )
        self._runner = runner
        self._prompt = prompt
        self._generate = generate
        self._blocks = -(-needed // BLOCK_SIZE)

    def prefill_seconds(self) -> float:
        """Of the prompt, the median of some rounds."""
        return _median(self._prefill)

    def decode_seconds(self, streams: int) -> float:
        """Of all tokens of ``streams`` answers, each step with one of each; the median of some rounds."""
        if streams * self._blocks > self._runner.num_blocks:
            raise InvalidRequestError(
                f"{streams} answers need more than the {self._runner.num_blocks} blocks of keys and values",
                "streams",
            )
        return _median(lambda: self._decode(streams))

    def _prefill(self) -> None:
        for first in range(0, self._prompt, STEP_TOKENS):
            self._step(1, first, min(STEP_TOKENS, self._prompt - first))

    def _decode(self, streams: int) -> None:
        for position in range(self._generate):
            self._step(streams, position, 1)

    def _step(self, streams: int, position: int, num_tokens: int) -> None:
        from candlewick.core.batch import Batch

        tables = np.arange(streams * self._blocks, dtype=np.int32).reshape(streams, self._blocks)
        self._runner.execute(Batch.alike(tables, position, num_tokens, TOKEN))


def _median(work: Any) -> float:
    work()  # caches and pages
    seconds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def _numbers(text: str) -> list[int]:
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 1:
        raise InvalidRequestError(
            f"--streams must be numbers from 1, separated by commas, got {text!r}", "streams"
        )
    return numbers
