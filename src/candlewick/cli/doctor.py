"""``candlewick doctor``: what this machine is, what Candlewick makes of it, and whether it works."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from candlewick.chat.events import Complete
from candlewick.cli import loading, options
from candlewick.cli.answer_printer import Shown
from candlewick.cli.sizes import size
from candlewick.core.errors import CandlewickError
from candlewick.core.machine import available_cores, available_memory_bytes, choose_instruction_set
from candlewick.core.params import GenerationParams

PACKAGES = (
    "candlewick",
    "numpy",
    "tokenizers",
    "minijinja",
    "huggingface_hub",
    "typer",
    "rich",
    "fastapi",
    "uvicorn",
)
TEST_TOKENS = 32

Row = tuple[str, str]


def doctor(debug: options.Debug = False) -> None:
    """Examine this machine and try the built-in model."""
    console = Console()
    table = Table(show_header=False, title="Candlewick's doctor")
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, finding in (*_machine_rows(), *_kernel_rows(), *_package_rows()):
        table.add_row(name, escape(finding))
    passed, finding = _try_builtin_model()
    table.add_row("self-test", f"[{'green' if passed else 'red'}]{escape(finding)}[/]")
    console.print(table)
    if not passed:
        raise typer.Exit(1)


def _machine_rows() -> Iterator[Row]:
    yield "system", f"{platform.system()} {platform.release()}, {platform.machine()}"
    yield "Python", f"{platform.python_version()} ({sys.executable})"
    yield "CPU", _cpu_name()
    cores = available_cores()
    yield "cores", f"{cores} usable of {os.cpu_count()}"
    free = available_memory_bytes()
    yield "free memory", "unknown" if free is None else size(free)


def _kernel_rows() -> Iterator[Row]:
    try:
        from candlewick import _kernels
        from candlewick.cli import machine_limits
    except ImportError as error:
        yield "kernels", f"missing: {error}"
        return
    yield "instruction sets", ", ".join(_kernels.instruction_sets())
    chosen = choose_instruction_set(None)
    yield "chosen", chosen
    cores, free = available_cores(), available_memory_bytes()
    threads = _kernels.ThreadPool(cores)
    products = machine_limits.product_peak(threads, chosen)
    yield "integer products", f"{products / 1e9:,.0f} billion/s with {cores} threads"
    if free is None or free > 2 * machine_limits.bandwidth_bytes():
        yield "memory reads", f"{size(machine_limits.memory_bandwidth(threads))}/s with {cores} threads"


def _package_rows() -> Iterator[Row]:
    for package in PACKAGES:
        try:
            yield package, version(package)
        except PackageNotFoundError:
            yield package, "not installed"


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # no Linux
    return platform.processor() or "unknown"


def _try_builtin_model() -> tuple[bool, str]:
    """Whether the built-in model answers, and what there is to say about it."""
    params = GenerationParams(max_tokens=TEST_TOKENS, temperature=0, ignore_eos=True)
    shown = Shown()
    try:
        start = time.perf_counter()
        with loading.load_llm("builtin") as llm:
            loaded = time.perf_counter() - start
            for event in llm.chat([{"role": "user", "content": "Hello!"}], params=params):
                if isinstance(event, Complete):
                    shown.complete = event
    except (CandlewickError, ImportError) as error:
        return False, f"failed: {error}"
    if shown.complete is None:
        return False, "failed: the answer had no end"
    tokens = shown.complete.usage.completion_tokens
    speed = shown.complete.timings.tokens_per_second(tokens)
    return True, f"passed: loaded in {loaded:.2f} s, {tokens} tokens at {speed:.0f} tokens/s"
