"""Traces for OpenTelemetry: a span for every request, and in it one for every answer with its phases.

The names are those of OpenTelemetry's semantic conventions for HTTP servers and for generative AI. Needs the extra
``otel``, and is asked for by the setting ``traces``. Tells a request's settings, stop strings among them, and nothing
else of what was asked or answered. Spans go to the process' tracer provider; :func:`export_traces` makes one, for
programs that have none.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextvars import ContextVar
from functools import partial
from typing import Any
from weakref import WeakSet

from opentelemetry import propagate, trace
from opentelemetry.trace import SpanKind, Status, StatusCode
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from candlewick.core.engine import InferenceEngine
from candlewick.core.output_stream import Output
from candlewick.core.params import GenerationParams
from candlewick.core.usage import Timings
from candlewick.server.model_registry import LoadedModel

_SCOPE = "candlewick"
_OPERATIONS = {"/v1/completions": "text_completion", "/v1/embeddings": "embeddings"}
_traced: WeakSet[InferenceEngine] = WeakSet()
_operation: ContextVar[str] = ContextVar("operation", default="chat")


def trace_answers(engine: InferenceEngine, model_name: str) -> None:
    """Have every answer of ``engine`` told as a span, inside of the span in which it was asked for; once is enough."""
    if engine not in _traced:
        _traced.add(engine)
        engine.observe_answers(partial(_tell, model_name))


def trace_model(model: LoadedModel) -> None:
    """The same for a model of a server."""
    trace_answers(model.llm.engine, model.name)


def export_traces() -> None:
    """Send the process' spans to an OpenTelemetry collector; where it is, ``OTEL_…`` variables of the environment say.

    Raises:
        ModuleNotFoundError: the extra ``otel`` is not installed.
    """
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    os.environ.setdefault("OTEL_SERVICE_NAME", "candlewick")
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)


class Tracing:
    """Makes every request a span, a part of the client's trace if it says so (W3C Trace Context).

    Where another application has made a span of it already, this one is inside of that.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method, path = scope["method"], scope["path"]
        attributes = {
            "http.request.method": method,
            "url.path": path,
            "url.scheme": scope["scheme"],
            "http.request.header.x-request-id": (scope["state"]["request_id"],),
        }
        is_inside = trace.get_current_span().get_span_context().is_valid
        with trace.get_tracer(_SCOPE).start_as_current_span(
            method,
            context=None if is_inside else propagate.extract(Headers(scope=scope)),
            kind=SpanKind.INTERNAL if is_inside else SpanKind.SERVER,
            attributes=attributes,
            record_exception=False,
        ) as span:

            async def observe(message: Message) -> None:
                if message["type"] == "http.response.start":
                    status = message["status"]
                    span.set_attribute("http.response.status_code", status)
                    if status >= 500:
                        span.set_status(Status(StatusCode.ERROR))
                    if route := _pattern(scope):
                        span.update_name(f"{method} {route}")
                        span.set_attribute("http.route", route)
                await send(message)

            token = _operation.set(_OPERATIONS.get(path, "chat"))
            try:
                await self._app(scope, receive, observe)
            finally:
                _operation.reset(token)


def _pattern(scope: Scope) -> str | None:
    """The path without anybody's ids, so that there are few; ``None`` if it leads nowhere."""
    if "endpoint" not in scope:
        return None
    pattern: str = scope["path"]
    for name, value in scope.get("path_params", {}).items():
        pattern = pattern.replace(f"/{value}", f"/{{{name}}}", 1)
    return pattern


def _tell(model_name: str, last: Output, params: GenerationParams) -> None:
    """Make the spans of an answer that has just ended, in the context in which it was asked for."""
    if last.usage is None or last.timings is None:
        return
    end = time.time_ns()
    start = end - _nanoseconds(last.timings.total_seconds)
    tracer = trace.get_tracer(_SCOPE)
    operation = _operation.get()
    span = tracer.start_span(
        f"{operation} {model_name}",
        start_time=start,
        attributes=_attributes(operation, model_name, last, params),
    )
    inside = trace.set_span_in_context(span)
    for name, seconds in _phases(last.timings):
        until = start + _nanoseconds(seconds)
        tracer.start_span(name, inside, start_time=start).end(until)
        start = until
    span.end(end)


def _phases(timings: Timings) -> list[tuple[str, float]]:
    """Those that were entered, in order."""
    phases = [
        ("queue", timings.queued_seconds),
        ("prefill", timings.prefill_seconds),
        ("decode", timings.decode_seconds),
    ]
    return [phase for phase in phases if phase[1] > 0]


def _attributes(operation: str, model_name: str, last: Output, params: GenerationParams) -> Mapping[str, Any]:
    usage, timings = last.usage, last.timings
    assert usage is not None
    assert timings is not None
    attributes = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": "candlewick",
        "gen_ai.request.model": model_name,
        "gen_ai.response.model": model_name,
        "gen_ai.request.max_tokens": params.max_tokens,
        "gen_ai.request.temperature": params.temperature,
        "gen_ai.request.top_p": params.top_p,
        "gen_ai.request.top_k": params.top_k or None,
        "gen_ai.request.frequency_penalty": params.frequency_penalty,
        "gen_ai.request.presence_penalty": params.presence_penalty,
        "gen_ai.request.seed": params.seed if params.seed is None or params.seed < 2**63 else None,
        "gen_ai.request.stop_sequences": params.stop or None,
        "gen_ai.request.choice.count": params.n if params.n > 1 else None,
        "gen_ai.response.finish_reasons": (last.finish_reason,),
        "gen_ai.response.time_to_first_chunk": timings.time_to_first_token_seconds or None,
        "gen_ai.usage.input_tokens": usage.prompt_tokens,
        "gen_ai.usage.output_tokens": usage.completion_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens,
    }
    return {name: value for name, value in attributes.items() if value is not None}


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)
