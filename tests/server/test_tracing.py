"""Traces, as OpenTelemetry's own exporter in memory has them: requests, in them answers, in those their phases."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from candlewick.core.errors import InvalidRequestError

pytest.importorskip("candlewick._kernels", reason="needs the native module")
pytest.importorskip("opentelemetry.sdk", reason="the extra 'otel' is not installed")

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

HI: Any = [{"role": "user", "content": "Hello!"}]
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture(scope="module")
def exporter() -> InMemorySpanExporter:
    """What the process' provider was told; there can be one in a process."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


@pytest.fixture
def spans(exporter: InMemorySpanExporter) -> Iterator[InMemorySpanExporter]:
    exporter.clear()
    yield exporter
    exporter.clear()


@pytest.fixture(scope="module")
def llm() -> Iterator[Any]:
    from candlewick.chat.llm import AsyncLLM

    llm = AsyncLLM("builtin", num_threads=1, max_context=256)
    yield llm
    asyncio.run(llm.close())


async def post(llm: Any, path: str, body: dict[str, Any], **options: Any) -> httpx.Response:
    from candlewick.server import create_app

    app = create_app(llm, model_names=["tiny"], **options)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "x-request-id": "mine"}
        return await client.post(path, json={"model": "tiny"} | body, headers=headers)


def by_name(spans: InMemorySpanExporter, name: str) -> ReadableSpan:
    (found,) = [span for span in spans.get_finished_spans() if span.name == name]
    return found


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_is_told_with_its_phases(llm: Any, spans: InMemorySpanExporter, stream: bool) -> None:
    body = {"messages": HI, "max_tokens": 5, "temperature": 0.5, "ignore_eos": True, "stream": stream}
    reply = await post(llm, "/v1/chat/completions", body, traces=True)
    assert reply.status_code == 200
    request, answer = by_name(spans, "POST /v1/chat/completions"), by_name(spans, "chat tiny")
    assert request.kind is SpanKind.SERVER
    assert request.attributes is not None
    assert dict(request.attributes) == {
        "http.request.method": "POST",
        "http.route": "/v1/chat/completions",
        "http.response.status_code": 200,
        "http.request.header.x-request-id": ("mine",),
        "url.path": "/v1/chat/completions",
        "url.scheme": "http",
    }
    assert request.parent is not None
    assert (f"{request.parent.trace_id:032x}", f"{request.parent.span_id:016x}") == (TRACE, PARENT)
    assert answer.parent == request.context
    assert answer.attributes is not None
    told = dict(answer.attributes)
    assert told["gen_ai.operation.name"] == "chat"
    assert told["gen_ai.provider.name"] == "candlewick"
    assert told["gen_ai.request.model"] == told["gen_ai.response.model"] == "tiny"
    assert (told["gen_ai.request.max_tokens"], told["gen_ai.request.temperature"]) == (5, 0.5)
    assert told["gen_ai.response.finish_reasons"] == ("length",)
    assert told["gen_ai.usage.output_tokens"] == 5
    assert told["gen_ai.usage.input_tokens"] > 0  # type: ignore[operator]
    assert "Hello" not in str(told)
    phases = [by_name(spans, name) for name in ("queue", "prefill", "decode")]
    assert all(phase.parent == answer.context for phase in phases)
    moments = [answer.start_time, *(phase.end_time for phase in phases)]
    assert moments == sorted(moments)  # type: ignore[type-var]
    assert [phase.start_time for phase in phases] == moments[:-1]
    assert answer.end_time is not None
    assert (
        abs(answer.end_time - (phases[-1].end_time or 0)) < 1000
    )  # rounded to nanoseconds, each phase by itself


async def test_every_choice_has_a_span(llm: Any, spans: InMemorySpanExporter) -> None:
    await post(llm, "/v1/completions", {"prompt": "One", "n": 2, "max_tokens": 3}, traces=True)
    answers = [span for span in spans.get_finished_spans() if span.name == "text_completion tiny"]
    assert len(answers) == 2
    assert all(span.attributes and span.attributes["gen_ai.request.choice.count"] == 2 for span in answers)


async def test_what_is_refused_has_its_status(llm: Any, spans: InMemorySpanExporter) -> None:
    await post(llm, "/v1/chat/completions", {"messages": []}, traces=True)
    request = by_name(spans, "POST /v1/chat/completions")
    assert request.attributes is not None
    assert request.attributes["http.response.status_code"] == 400
    assert request.status.is_unset


async def test_a_route_is_told_without_what_it_names(llm: Any, spans: InMemorySpanExporter) -> None:
    from candlewick.server import create_app

    app = create_app(llm, model_names=["tiny"], traces=True)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        await client.get("/v1/models/tiny")
        await client.get("/nowhere")
    assert {span.name for span in spans.get_finished_spans()} == {"GET /v1/models/{name}", "GET"}


async def test_without_being_asked_nothing_is_told(spans: InMemorySpanExporter) -> None:
    from candlewick.chat.llm import AsyncLLM

    async with AsyncLLM("builtin", num_threads=1, max_context=256) as llm:
        assert (await post(llm, "/v1/completions", {"prompt": "One", "max_tokens": 2})).status_code == 200
    assert spans.get_finished_spans() == ()


def test_a_missing_extra_is_named(llm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from candlewick.server import create_app

    monkeypatch.delitem(sys.modules, "candlewick.server.tracing", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(InvalidRequestError, match=r"candlewick\[otel\]"):
        create_app(llm, traces=True)
