"""``/metrics``, read by Prometheus' own parser."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from candlewick.chat.llm import AsyncLLM
from candlewick.server import create_app

pytest.importorskip("candlewick._kernels", reason="needs the native module")


@pytest.fixture
def llm() -> Any:
    llm = AsyncLLM("builtin", num_threads=1, max_context=256)
    yield llm
    asyncio.run(llm.close())


@pytest.mark.parametrize("prefix", ["candlewick", "vllm"])
async def test_the_numbers_are_those_of_the_answers(llm: Any, prefix: str) -> None:
    app = create_app(llm, model_names=["tiny"], metrics_prefix=prefix)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        usage = []
        for _ in range(2):
            body = {"model": "tiny", "messages": [{"role": "user", "content": "Hello!"}], "max_tokens": 5}
            usage.append((await client.post("/v1/chat/completions", json=body)).json()["usage"])
        answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    samples = {
        (sample.name, sample.labels.get("le") or sample.labels.get("finished_reason")): sample
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }

    def value(name: str, label: str | None = None) -> float:
        sample = samples[f"{prefix}:{name}", label]
        assert sample.labels["model_name"] == "tiny"
        return sample.value

    generated = sum(each["completion_tokens"] for each in usage)
    assert value("prompt_tokens_total") == sum(each["prompt_tokens"] for each in usage)
    assert value("generation_tokens_total") == generated
    assert value("request_generation_tokens_sum") == generated
    assert value("request_generation_tokens_count") == 2
    assert value("num_requests_running") == 0
    assert value("prefix_cache_hits_total") == usage[1]["prompt_tokens_details"]["cached_tokens"]
    assert 0 < value("time_to_first_token_seconds_sum") <= value("e2e_request_latency_seconds_sum")
    assert value("e2e_request_latency_seconds_bucket", "+Inf") == 2
    reasons = [key[1] for key in samples if key[0] == f"{prefix}:request_success_total"]
    assert set(reasons) <= {"stop", "length"}
    assert sum(value("request_success_total", reason) for reason in reasons) == 2
    assert samples["process_resident_memory_bytes", None].value > 0
