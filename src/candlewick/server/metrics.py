"""What a monitoring system reads: the engines' numbers and how long answers took, in Prometheus' format.

The names are those that dashboards for vLLM know, under a prefix of one's own choice; so with the prefix ``vllm`` such
dashboards work as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from candlewick.core.engine_stats import EngineStats
from candlewick.core.output_stream import Output
from candlewick.core.params import GenerationParams
from candlewick.server.model_registry import LoadedModel, ModelRegistry

if TYPE_CHECKING:
    from candlewick.core.usage import Timings, Usage

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_LABEL = "model_name"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250)
_TOKENS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000)

_GAUGES: dict[str, tuple[str, Callable[[EngineStats], float]]] = {
    "num_requests_running": ("Answers being computed.", lambda stats: stats.running),
    "num_requests_waiting": ("Answers that wait for their turn.", lambda stats: stats.waiting),
    "kv_cache_usage_perc": (
        "The part of the blocks of keys and values that is in use; 1 is all.",
        lambda stats: stats.blocks_used / max(1, stats.blocks_used + stats.blocks_cached + stats.blocks_free),
    ),
    "kv_cache_cached_perc": (
        "The part of the blocks that nobody uses, kept in case their content is wanted again.",
        lambda stats: (
            stats.blocks_cached / max(1, stats.blocks_used + stats.blocks_cached + stats.blocks_free)
        ),
    ),
    "generation_tokens_per_second": (
        "Tokens generated a second, lately, while there was something to do.",
        lambda stats: stats.recent.generated_tokens_per_second,
    ),
}
_COUNTERS: dict[str, tuple[str, Callable[[EngineStats], float]]] = {
    "prompt_tokens": ("Tokens of prompts.", lambda stats: stats.prompt_tokens),
    "generation_tokens": ("Tokens generated.", lambda stats: stats.generated_tokens),
    "prefix_cache_queries": ("Tokens of prompts that were looked up.", lambda stats: stats.prompt_tokens),
    "prefix_cache_hits": ("Those that had been computed before.", lambda stats: stats.prefix_hit_tokens),
    "num_preemptions": ("Times that an answer had to give way.", lambda stats: stats.preemptions),
    "spec_decode_num_draft_tokens": ("Tokens guessed ahead.", lambda stats: stats.draft_tokens),
    "spec_decode_num_accepted_tokens": (
        "Guesses that were right.",
        lambda stats: stats.accepted_draft_tokens,
    ),
    "requests_refused": ("Requests for which there was no room.", lambda stats: stats.requests_refused),
    "requests_failed": ("Requests that failed.", lambda stats: stats.requests_failed),
    "engine_steps": ("Steps of the engine.", lambda stats: stats.steps),
    "engine_step_seconds": ("Time spent in steps.", lambda stats: stats.step_seconds),
}
_HISTOGRAMS: dict[str, tuple[str, tuple[float, ...], Callable[[Usage, Timings], float]]] = {
    "time_to_first_token_seconds": (
        "From the request to the first token.",
        _SECONDS,
        lambda usage, timings: timings.time_to_first_token_seconds,
    ),
    "request_time_per_output_token_seconds": (
        "Mean time between the tokens of an answer.",
        _SECONDS,
        lambda usage, timings: timings.seconds_per_token(usage.completion_tokens),
    ),
    "e2e_request_latency_seconds": (
        "From the request to the last token.",
        _SECONDS,
        lambda usage, timings: timings.total_seconds,
    ),
    "request_queue_time_seconds": (
        "Waiting for the first step.",
        _SECONDS,
        lambda usage, timings: timings.queued_seconds,
    ),
    "request_prefill_time_seconds": (
        "From the first step to the first token.",
        _SECONDS,
        lambda usage, timings: timings.prefill_seconds,
    ),
    "request_decode_time_seconds": (
        "From the first token to the last.",
        _SECONDS,
        lambda usage, timings: timings.decode_seconds,
    ),
    "request_prompt_tokens": (
        "Tokens of a prompt.",
        _TOKENS,
        lambda usage, timings: usage.prompt_tokens,
    ),
    "request_generation_tokens": (
        "Tokens of an answer.",
        _TOKENS,
        lambda usage, timings: usage.completion_tokens,
    ),
}


class Metrics(Collector):
    """The numbers of all models of a registry; engines count, and are asked when somebody reads.

    Args:
        models: whose engines; those that are loaded later are watched too.
        prefix: what all names begin with, before a colon.
    """

    def __init__(self, models: ModelRegistry, prefix: str) -> None:
        self._models = models
        self._prefix = prefix
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        self._finished = Counter(
            f"{prefix}:request_success",
            "Answers that ended, by reason.",
            [_LABEL, "finished_reason"],
            registry=self._registry,
        )
        self._histograms = {
            name: Histogram(f"{prefix}:{name}", about, [_LABEL], buckets=buckets, registry=self._registry)
            for name, (about, buckets, _) in _HISTOGRAMS.items()
        }
        models.watch(self._observe)

    def render(self) -> bytes:
        """All numbers as they are now, as text."""
        return generate_latest(self._registry)

    def describe(self) -> list[Metric]:
        """Nothing: so registering needs no engine."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The engines' numbers."""
        models = [(model.name, model.llm.engine.stats()) for model in self._models.loaded()]
        for name, (about, read) in _GAUGES.items():
            gauge = GaugeMetricFamily(f"{self._prefix}:{name}", about, labels=[_LABEL])
            for model, stats in models:
                gauge.add_metric([model], read(stats))
            yield gauge
        for name, (about, read) in _COUNTERS.items():
            counter = CounterMetricFamily(f"{self._prefix}:{name}", about, labels=[_LABEL])
            for model, stats in models:
                counter.add_metric([model], read(stats))
            yield counter

    def _observe(self, model: LoadedModel) -> None:
        model.llm.engine.observe_answers(partial(self._count, model.name))

    def _count(self, model: str, last: Output, params: GenerationParams) -> None:
        """Called by an engine's thread with the last output of each answer."""
        if last.usage is None or last.timings is None:
            return
        self._finished.labels(model, last.finish_reason).inc()
        if last.finish_reason != "cancelled":
            for name, (_, _, read) in _HISTOGRAMS.items():
                self._histograms[name].labels(model).observe(read(last.usage, last.timings))
