"""Request ids in and out, and one record a request."""

from __future__ import annotations

import json
import logging
from typing import Any

import httpx
import pytest
from scripted_llm import replaying, text_answer

from candlewick.server import create_app
from candlewick.server.access_log import AccessFormatter, AccessRecord

HI: dict[str, Any] = {"messages": [{"role": "user", "content": "a secret"}]}


@pytest.fixture
def client() -> httpx.AsyncClient:
    app = create_app(replaying(*text_answer("also secret")), api_keys=["ann k1"])
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=("10.1.2.3", 4))
    return httpx.AsyncClient(
        transport=transport, base_url="http://localhost", headers={"Authorization": "Bearer k1"}
    )


def records(caplog: pytest.LogCaptureFixture) -> list[AccessRecord]:
    return [record.args[0] for record in caplog.records if record.name == "candlewick.access"]  # type: ignore[index,misc]


async def test_an_id_that_comes_in_goes_out_and_others_are_made(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/models", headers={"X-Request-ID": "abc-1"})
    assert answer.headers["x-request-id"] == "abc-1"
    made = {(await client.get("/v1/models")).headers["x-request-id"] for _ in range(3)}
    assert len(made) == 3
    for wrong in ("", "a b", "x" * 129, "a\tb"):
        answer = await client.get("/v1/models", headers={"X-Request-ID": wrong})
        assert answer.headers["x-request-id"] not in (wrong, "")


async def test_every_request_leaves_one_record(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "candlewick.access")
    await client.post("/v1/events/chat", json=HI)
    await client.get("/nowhere%0A")
    await client.get("/v1/models", headers={"Authorization": "Bearer wrong"})
    await client.get("/health", headers={"Host": "evil.example"})
    answered, nowhere, unknown, evil = records(caplog)
    assert (answered.owner, answered.status, answered.method) == ("ann", 200, "POST")
    assert (answered.client, answered.path) == ("10.1.2.3", "/v1/events/chat")
    assert answered.first_byte_milliseconds is not None
    assert answered.milliseconds >= answered.first_byte_milliseconds > 0
    assert answered.bytes_sent > 100
    assert (nowhere.status, nowhere.owner) == (404, None)
    assert (unknown.status, unknown.owner) == (401, None)
    assert evil.status == 403


@pytest.mark.parametrize("form", ["text", "json"])
async def test_records_are_one_line_and_tell_no_words(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture, form: Any
) -> None:
    caplog.set_level(logging.INFO, "candlewick.access")
    await client.post("/v1/events/chat", json=HI)
    await client.get("/a%0Ab")
    lines = [
        AccessFormatter(form).format(record)
        for record in caplog.records
        if record.name == "candlewick.access"
    ]
    assert len(lines) == 2
    assert not any("\n" in line or "secret" in line or "k1" in line for line in lines)
    if form == "json":
        values = [json.loads(line) for line in lines]
        assert (values[0]["owner"], values[0]["status"], values[1]["path"]) == ("ann", 200, "/a\nb")
