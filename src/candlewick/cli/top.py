"""``candlewick top``: what a running server does, from its ``/metrics``.

Reads the names that Candlewick and vLLM share, so it shows servers of either. Knows no engine.
"""

from __future__ import annotations

import http.client
import re
import threading
import time
import urllib.error
import urllib.request
from collections import defaultdict
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from candlewick.cli import options
from candlewick.cli.sizes import count
from candlewick.core.errors import CandlewickError

PATIENCE_SECONDS = 5.0
"""How long the server may take to tell its numbers."""

_SAMPLE = re.compile(r'^\w+:(?P<name>\w+)\{model_name="(?P<model>(?:[^"\\]|\\.)*)"\} (?P<value>\S+)$')


class NoNumbers(CandlewickError):
    """No server tells its numbers at an address."""


@dataclass(frozen=True)
class Figures:
    """The numbers of one model at a time of the monotonic clock, by their names in ``/metrics`` without the prefix."""

    moment: float
    values: dict[str, float]

    def __getitem__(self, name: str) -> float:
        return self.values.get(name, 0.0)


def top(
    url: Annotated[str, typer.Argument(help="The server's address.")] = "http://127.0.0.1:8000",
    interval: Annotated[
        float, typer.Option("--interval", "-i", min=0.1, help="Seconds between two looks.")
    ] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Look twice, print the figures, and end.")] = False,
    debug: options.Debug = False,
) -> None:
    """Watch what a running server does; Ctrl-C ends it."""
    address = url.rstrip("/").removesuffix("/v1") + "/metrics"
    before = read(address)
    pause = threading.Event()
    if once:
        pause.wait(interval)
        Console(highlight=False).print(picture(before, read(address)))
        return
    with Live(picture({}, before), auto_refresh=False) as live:
        while not pause.wait(interval):
            try:
                now = read(address)
            except NoNumbers as error:
                live.console.print(f"[red]{escape(str(error))}[/]")
                continue
            live.update(picture(before, now), refresh=True)
            before = now


def read(address: str) -> dict[str, Figures]:
    """The figures of each model of a server.

    Raises:
        NoNumbers: nobody answers there, or not with numbers.
    """
    if not address.startswith(("http://", "https://")):
        raise NoNumbers(f"{address!r} is no address of a server; it begins with http:// or https://")
    try:
        with urllib.request.urlopen(address, timeout=PATIENCE_SECONDS) as answer:
            text = answer.read().decode("utf-8")
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise NoNumbers(f"{address} can't be read: {reason}; is the server running?") from None
    return parse(text, time.monotonic())


def parse(text: str, moment: float) -> dict[str, Figures]:
    """The figures in Prometheus' text format, by model; those without a model are left out."""
    values: defaultdict[str, dict[str, float]] = defaultdict(dict)
    for line in text.splitlines():
        if match := _SAMPLE.match(line):
            values[match["model"]][match["name"].removesuffix("_total")] = float(match["value"])
    return {model: Figures(moment, of_model) for model, of_model in values.items()}


def picture(before: dict[str, Figures], now: dict[str, Figures]) -> Table:
    """A table with a row for each model; what happens in a second is of the time since ``before``."""
    table = Table("model", caption=None if now else "no model is loaded")
    for heading in (
        "running",
        "waiting",
        "written/s",
        "read/s",
        "ms a step",
        "blocks used",
        "kept",
        "prefix hits",
        "guesses right",
        "paused",
        "refused",
        "failed",
    ):
        table.add_column(heading, justify="right")
    for model, figures in now.items():
        table.add_row(escape(model), *_cells(before.get(model), figures))
    return table


def _cells(before: Figures | None, now: Figures) -> list[str]:
    def growth(name: str) -> float:
        # A model that was loaded anew counts from 0 again.
        return 0.0 if before is None else max(0.0, now[name] - before[name])

    seconds = 0.0 if before is None else now.moment - before.moment

    def rate(name: str) -> str:
        return f"{growth(name) / seconds:.1f}" if seconds else "–"

    steps = growth("engine_steps")
    return [
        f"{now['num_requests_running']:.0f}",
        f"{now['num_requests_waiting']:.0f}",
        rate("generation_tokens"),
        rate("prompt_tokens"),
        f"{1000 * growth('engine_step_seconds') / steps:.1f}" if steps else "–",
        f"{now['kv_cache_usage_perc']:.0%}",
        f"{now['kv_cache_cached_perc']:.0%}",
        _share(now["prefix_cache_hits"], now["prefix_cache_queries"]),
        _share(now["spec_decode_num_accepted_tokens"], now["spec_decode_num_draft_tokens"]),
        count(now["num_preemptions"]),
        count(now["requests_refused"]),
        count(now["requests_failed"]),
    ]


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.0%}" if whole else "–"
