"""The application itself: who may come in, what bodies it takes, and that nothing makes it fail."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, HTTPException
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_llm import ScriptedLLM, replaying, text_answer

from candlewick.openai.request import ChatCompletionRequest
from candlewick.server import create_app

QUESTION: dict[str, Any] = {"model": "scripted", "messages": [{"role": "user", "content": "hi"}]}


def client(app: FastAPI, host: str = "127.0.0.1:8000", **headers: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url=f"http://{host}", headers=headers)


ORDINARY = create_app(replaying(*text_answer("ok")))


def app(llm: ScriptedLLM | None = None, **options: Any) -> FastAPI:
    """An application that says ok: the ordinary one, unless something about it is special."""
    if llm is None and not options:
        return ORDINARY
    return create_app(llm or replaying(*text_answer("ok")), **options)


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:80", "a.localhost:1", "127.0.0.1", "[::1]:8000", "10.0.0.7"]
)
async def test_addresses_and_localhost_may_come_in(host: str) -> None:
    assert (await client(app()).get("/health", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example:8000", "127.0.0.1.evil.example", ""]
)
async def test_other_names_may_not(host: str) -> None:
    answer = await client(app()).get("/health", headers={"Host": host})
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "host_not_allowed"


async def test_names_can_be_allowed() -> None:
    for allowed in ("Box.example", "*"):
        inside = client(app(allowed_hosts=[allowed]), host="box.example")
        assert (await inside.get("/health")).status_code == 200


async def test_keys_guard_the_api_but_not_the_health() -> None:
    guarded = app(api_keys=["k1", "k2"])
    assert (await client(guarded).get("/health")).status_code == 200
    answer = await client(guarded).post("/v1/chat/completions", json=QUESTION)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    for key, status in (("k1", 200), ("k2", 200), ("k", 401), ("", 401)):
        answer = await client(guarded, Authorization=f"Bearer {key}").post(
            "/v1/chat/completions", json=QUESTION
        )
        assert answer.status_code == status


async def test_no_web_page_may_call_unless_allowed() -> None:
    ask = {"Origin": "https://page.example", "Access-Control-Request-Method": "POST"}
    assert "access-control-allow-origin" not in (await client(app()).get("/v1/models", headers=ask)).headers
    opened = client(app(allowed_origins=["https://page.example"]))
    answer = await opened.options("/v1/chat/completions", headers=ask)
    assert answer.headers["access-control-allow-origin"] == "https://page.example"


async def test_health_tells_the_engines_state() -> None:
    llm = replaying()
    answer = await client(app(llm)).get("/health")
    assert (answer.json()["status"], answer.json()["engine"]["running"]) == ("ready", 0)
    llm.health_status = "failed"
    assert (await client(app(llm)).get("/health/ready")).status_code == 503
    assert (await client(app(llm)).get("/health/live")).status_code == 200


async def test_unknown_routes_answer_in_the_same_form() -> None:
    for method, path, status in (("GET", "/v2", 404), ("GET", "/v1/chat/completions", 405)):
        answer = await client(app()).request(method, path)
        assert answer.status_code == status
        assert answer.json()["error"]["type"] == "invalid_request_error"
        assert f"{method} {path} is not served here" in answer.json()["error"]["message"]


async def test_errors_of_routes_that_were_added_keep_their_words() -> None:
    extended = create_app(replaying(*text_answer("ok")))

    @extended.get("/fails")
    async def fails(status: int, why: str) -> None:
        raise HTTPException(status, why)

    for status, why, kind in (
        (420, "enhance your calm", "invalid_request_error"),  # a number that Python does not know
        (599, "the wire is cut", "server_error"),
        (503, "Service Unavailable", "server_error"),
        (403, "Forbidden", "invalid_request_error"),
    ):
        answer = await client(extended).get("/fails", params={"status": status, "why": why})
        assert answer.status_code == status
        assert answer.json()["error"] == {"message": why, "type": kind, "param": None, "code": None}


async def test_a_large_body_is_refused() -> None:
    answer = await client(app(max_body_bytes=100)).post("/v1/chat/completions", content=b" " * 101)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "request_too_large")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"1",
        b'{"temperature": NaN}',
        b'"\xff"',
        b'{"user": "\\ud800"}',
        b"[" * 100_000,
        b'{"seed": ' + b"1" * 5000 + b"}",
    ],
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/events/chat"])
async def test_what_is_no_json_object_is_refused(path: str, body: bytes) -> None:
    answer = await client(app()).post(path, content=body)
    assert answer.status_code == 400
    assert "request body" in answer.json()["error"]["message"]


async def test_a_pair_of_surrogate_escapes_is_text() -> None:
    llm = replaying(*text_answer("ok"))
    body = b'{"model": "scripted", "messages": [{"role": "user", "content": "\\ud83d\\ude00"}]}'
    assert (await client(app(llm)).post("/v1/chat/completions", content=body)).status_code == 200
    assert llm.calls[0].messages[0]["content"] == "😀"


async def test_it_can_be_mounted_in_another_application() -> None:
    outer = FastAPI()
    outer.mount("/llm", app())
    answer = await client(outer).post("/llm/v1/chat/completions", json=QUESTION)
    assert answer.json()["choices"][0]["message"]["content"] == "ok"
    assert (await client(outer).post("/llm/v1/chat/completions", json={})).status_code == 400


async def test_the_api_document_shows_the_bodies() -> None:
    document = (await client(app()).get("/openapi.json")).json()
    body = document["paths"]["/v1/chat/completions"]["post"]["requestBody"]["content"]["application/json"]
    assert body["schema"] == {"$ref": "#/components/schemas/ChatCompletionRequest"}
    schemas = document["components"]["schemas"]
    assert set(schemas["ChatCompletionRequest"]["properties"]) == set(ChatCompletionRequest.model_fields)
    references = {
        part.split('"')[0] for part in json.dumps(document).split('"$ref": "#/components/schemas/')[1:]
    }
    assert references <= set(schemas)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = sorted(
    {*ChatCompletionRequest.model_fields, "functions", "params", "thinking", "template_variables"}
)


@settings(max_examples=100, deadline=None)
@given(
    path=st.sampled_from(["/v1/chat/completions", "/v1/events/chat"]),
    fields=st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=4),
    complete=st.booleans(),
)
async def test_no_json_makes_it_fail(path: str, fields: dict[str, Any], complete: bool) -> None:
    body = json.dumps((QUESTION if complete else {}) | fields)
    answer = await client(app()).post(path, content=body.encode("utf-8", "surrogatepass"))
    assert answer.status_code in (200, 400, 404)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
async def test_no_bytes_make_it_fail(body: bytes) -> None:
    assert (await client(app()).post("/v1/chat/completions", content=body)).status_code == 400
