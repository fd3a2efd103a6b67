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
from candlewick.server.pages.charts import line_chart
from candlewick.server.pages.templates import Templates
from candlewick.server.services import Services

SAMPLE_SECONDS = 2.0
HISTORY_SECONDS = 600.0


@dataclass(frozen=True)
class Sample:
    """All engines together, at a time of the monotonic clock."""

    time: float
    generated_tokens: int
    prompt_tokens: int
    steps: int
    step_seconds: float
    running: int
    waiting: int
    blocks_used: int


class StatusPage:
    """Looks at the engines every few seconds, from the first time that somebody looks at the page."""

    def __init__(self, services: Services, templates: Templates) -> None:
        self._services = services
        self._templates = templates
        self._samples: deque[Sample] = deque(maxlen=int(HISTORY_SECONDS / SAMPLE_SECONDS))
        self._sampling: asyncio.Task[None] | None = None

    def body(self) -> str:
        """The part of the page that changes, as HTML."""
        if self._sampling is None or self._sampling.done():
            self._sampling = asyncio.create_task(self._sample_for_ever())
        self._samples.append(self._sample())
        rates = [_rates(a, b) for a, b in zip(self._samples, list(self._samples)[1:], strict=False)]
        return self._templates.render(
            "partials/status.html",
            models=[self._model(status) for status in self._services.models.statuses()],
            machine=_machine(),
            servers=self._services.tool_servers.states,
            charts=[
                {"title": "Tokens written a second", "svg": line_chart([(r.age, r.written) for r in rates])},
                {"title": "Tokens read a second", "svg": line_chart([(r.age, r.read) for r in rates])},
                {"title": "Milliseconds a step", "svg": line_chart([(r.age, r.step_ms) for r in rates])},
                {"title": "Answers at once", "svg": line_chart([(r.age, r.running) for r in rates])},
            ],
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
            steps=sum(s.steps for s in stats),
            step_seconds=sum(s.step_seconds for s in stats),
            running=sum(s.running for s in stats),
            waiting=sum(s.waiting for s in stats),
            blocks_used=sum(s.blocks_used for s in stats),
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
            "hit_share": stats.prefix_hit_tokens / stats.prompt_tokens if stats.prompt_tokens else None,
        }


@dataclass(frozen=True)
class Rates:
    """Of the time between two samples; ``age`` is how many seconds ago it ended."""

    age: float
    written: float
    read: float
    step_ms: float
    running: float


def _rates(before: Sample, after: Sample) -> Rates:
    seconds = max(1e-3, after.time - before.time)
    steps = after.steps - before.steps
    return Rates(
        age=time.monotonic() - after.time,
        # A model that was unloaded took its counts with it.
        written=max(0, after.generated_tokens - before.generated_tokens) / seconds,
        read=max(0, after.prompt_tokens - before.prompt_tokens) / seconds,
        step_ms=1000 * max(0.0, after.step_seconds - before.step_seconds) / steps if steps > 0 else 0.0,
        running=after.running,
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
