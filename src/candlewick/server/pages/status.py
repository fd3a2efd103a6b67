"""The status page: how the server is, and how it was in the last minutes."""

from __future__ import annotations

import asyncio
import platform
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

from candlewick.core.engine_stats import EngineStats
from candlewick.core.machine import available_cores, available_memory_bytes, choose_instruction_set
from candlewick.core.output_stream import Output
from candlewick.core.params import GenerationParams
from candlewick.server.model_registry import LoadedModel
from candlewick.server.pages.charts import latency_chart, line_chart, milliseconds
from candlewick.server.pages.templates import Templates
from candlewick.server.services import Services

SAMPLE_SECONDS = 2.0
HISTORY_SECONDS = 600.0
MOST_ANSWERS = 1000
"""Of how many answers the latencies are remembered."""


@dataclass(frozen=True)
class Sample:
    """All engines together, at a time of the monotonic clock."""

    time: float
    generated_tokens: int
    prompt_tokens: int
    running: int
    waiting: int


@dataclass(frozen=True)
class Latency:
    """Of one answer, which ended at ``time`` of the monotonic clock."""

    time: float
    first_token_seconds: float
    seconds_per_token: float
    """0 where there was one token only."""


class StatusPage:
    """Looks at the engines every few seconds, from the first time that somebody looks at the page; hears of answers
    from the start."""

    def __init__(self, services: Services, templates: Templates) -> None:
        self._services = services
        self._templates = templates
        self._samples: deque[Sample] = deque(maxlen=int(HISTORY_SECONDS / SAMPLE_SECONDS))
        self._sampling: asyncio.Task[None] | None = None
        self._latencies: deque[Latency] = deque(maxlen=MOST_ANSWERS)
        services.models.watch(self._watch)

    def body(self) -> str:
        """The part of the page that changes, as HTML."""
        if self._sampling is None or self._sampling.done():
            self._sampling = asyncio.create_task(self._sample_for_ever())
        self._services.tool_servers.start()  # their states are shown, not that nobody has asked for them yet
        self._samples.append(self._sample())
        now = time.monotonic()
        latencies = [
            (now - latency.time, latency)
            for latency in tuple(self._latencies)
            if now - latency.time < HISTORY_SECONDS
        ]
        rates = [_rates(a, b) for a, b in zip(self._samples, list(self._samples)[1:], strict=False)]
        return self._templates.render(
            "partials/status.html",
            models=[self._model(status) for status in self._services.models.statuses()],
            machine=_machine(),
            servers=self._services.tool_servers.states,
            charts=[
                _figure("Tokens written a second", line_chart([(r.age, r.written) for r in rates])),
                _figure("Tokens read a second", line_chart([(r.age, r.read) for r in rates])),
                _figure("Answers at once", line_chart([(r.age, r.running) for r in rates])),
                _figure(
                    "Time to the first token, median",
                    latency_chart([(age, latency.first_token_seconds) for age, latency in latencies]),
                ),
                _figure(
                    "Time between tokens, median",
                    latency_chart(
                        [
                            (age, latency.seconds_per_token)
                            for age, latency in latencies
                            if latency.seconds_per_token
                        ]
                    ),
                ),
                _figure("Answers that wait", line_chart([(r.age, r.waiting) for r in rates])),
            ],
        )

    def _watch(self, model: LoadedModel) -> None:
        model.llm.engine.observe_answers(self._hear)

    def _hear(self, last: Output, params: GenerationParams) -> None:
        """Called by an engine's thread with the last output of each answer."""
        if last.usage is not None and last.timings is not None and last.usage.completion_tokens:
            self._latencies.append(
                Latency(
                    time=time.monotonic(),
                    first_token_seconds=last.timings.time_to_first_token_seconds,
                    seconds_per_token=last.timings.seconds_per_token(last.usage.completion_tokens),
                )
            )

    async def _sample_for_ever(self) -> None:
        while True:
            await asyncio.sleep(SAMPLE_SECONDS)
            self._samples.append(self._sample())

    def _sample(self) -> Sample:
        stats = [model.llm.engine.stats() for model in self._services.models.loaded()]
        return Sample(
            time=time.monotonic(),
            generated_tokens=sum(s.generated_tokens for s in stats),
            prompt_tokens=sum(s.computed_prompt_tokens for s in stats),
            running=sum(s.running for s in stats),
            waiting=sum(s.waiting for s in stats),
        )

    def _model(self, status: Any) -> dict[str, Any]:
        loaded = {model.name: model.llm.engine for model in self._services.models.loaded()}
        engine = loaded.get(status.name)
        stats = engine.stats() if engine else EngineStats()
        blocks = stats.blocks_used + stats.blocks_cached + stats.blocks_free
        return {
            "name": status.name,
            "state": status.state,
            "progress": status.progress,
            "error": status.error,
            "memory": status.memory_bytes and _size(status.memory_bytes),
            "context": engine.max_context if engine else None,
            "stats": stats,
            "blocks": blocks,
            "used_share": stats.blocks_used / blocks if blocks else 0,
            "cached_share": stats.blocks_cached / blocks if blocks else 0,
            "step": milliseconds(stats.recent.mean_step_seconds) if stats.recent.mean_step_seconds else None,
            "hit_share": stats.prefix_hit_tokens / stats.prompt_tokens if stats.prompt_tokens else None,
        }


def _figure(title: str, svg: str) -> dict[str, str]:
    return {"title": title, "svg": svg}


@dataclass(frozen=True)
class Rates:
    """Of the time between two samples; ``age`` is how many seconds ago it ended."""

    age: float
    written: float
    read: float
    running: float
    waiting: float


def _rates(before: Sample, after: Sample) -> Rates:
    seconds = max(1e-3, after.time - before.time)
    return Rates(
        age=time.monotonic() - after.time,
        # A model that was unloaded took its counts with it.
        written=max(0, after.generated_tokens - before.generated_tokens) / seconds,
        read=max(0, after.prompt_tokens - before.prompt_tokens) / seconds,
        running=after.running,
        waiting=after.waiting,
    )


def _machine() -> dict[str, Any]:
    memory = available_memory_bytes()
    return {
        "processor": _processor(),
        "cores": available_cores(),
        "instruction_set": choose_instruction_set(None),
        "memory_free": _size(memory) if memory is not None else "unknown",
        "memory_own": _size(own) if (own := _own_memory()) else "unknown",
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _own_memory() -> int | None:
    try:
        with open("/proc/self/status", encoding="utf-8") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmRSS:"))
    except (OSError, StopIteration):
        return None


def _size(num_bytes: int) -> str:
    for unit in ("B", "KiB", "MiB"):
        if num_bytes < 1024:
            return f"{num_bytes:.0f} {unit}"
        num_bytes = num_bytes // 1024 if unit != "MiB" else num_bytes
    return f"{num_bytes / 1024:.1f} GiB"
