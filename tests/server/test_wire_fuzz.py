"""Whatever a body holds, every route answers with 2xx or 4xx: never with a 500."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("pydantic", reason="needs the server extra")

from scripted_text import scripted_text
from starlette.testclient import TestClient

from candlewick.server import create_app

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "a", "auto", "none", "text", "function", "user", "tool", "scripted", "max_tokens"])
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "type",
                    "text",
                    "content",
                    "role",
                    "name",
                    "function",
                    "parameters",
                    "id",
                    "tool_calls",
                    "input",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=6,
)
MESSAGES: Any = [{"role": "user", "content": "hi"}]
MINIMAL: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"model": "scripted", "messages": MESSAGES},
    "/v1/completions": {"model": "scripted", "prompt": "hi"},
    "/v1/embeddings": {"model": "scripted", "input": "hi"},
    "/v1/tokenize": {"prompt": "hi"},
    "/v1/detokenize": {"tokens": [1]},
    "/v1/events/chat": {"messages": MESSAGES},
    "/v1/messages": {"model": "scripted", "messages": MESSAGES, "max_tokens": 3},
    "/v1/messages/count_tokens": {"model": "scripted", "messages": MESSAGES},
}


@pytest.fixture(scope="module")
def client() -> TestClient:
    return TestClient(
        create_app(scripted_text()),
        base_url="http://localhost",
        raise_server_exceptions=False,  # type: ignore[arg-type]
    )


@pytest.fixture(scope="module")
def fields(client: TestClient) -> dict[str, list[str]]:
    endpoints = client.get("/v1/capabilities").json()["endpoints"]
    return {endpoint["path"]: sorted(endpoint["fields"]) for endpoint in endpoints if endpoint["fields"]}


@pytest.mark.parametrize("path", MINIMAL)
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_no_body_is_an_error_of_ours(
    client: TestClient, fields: dict[str, list[str]], path: str, data: st.DataObject
) -> None:
    changes = data.draw(st.dictionaries(st.sampled_from(fields[path]), VALUES, max_size=4))
    body = MINIMAL[path] | changes
    reply = client.post(path, json=body)
    assert reply.status_code == 200 or 400 <= reply.status_code < 500, (body, reply.text)
    if reply.status_code == 400:
        assert reply.json()["error"]["message"]


def test_every_minimal_body_is_answered(client: TestClient) -> None:
    for path, body in MINIMAL.items():
        assert client.post(path, json=body).status_code == 200, path


def test_capabilities_say_what_becomes_of_every_field(client: TestClient) -> None:
    endpoints = client.get("/v1/capabilities").json()["endpoints"]
    chat = next(endpoint for endpoint in endpoints if endpoint["path"] == "/v1/chat/completions")
    assert chat["method"] == "POST"
    assert chat["fields"]["model"] == {"status": "honoured", "required": True, "schema": {"type": "string"}}
    assert chat["fields"]["user"]["status"] == "harmless"
    assert chat["fields"]["audio"] == {"status": "refused", "reason": "answers are text"}
    for path, minimal in MINIMAL.items():
        known = next(endpoint["fields"] for endpoint in endpoints if endpoint["path"] == path)
        refused = [name for name, field in known.items() if field["status"] == "refused"]
        for name in [*refused, "no_such_field"]:
            reply = client.post(path, json=minimal | {name: "x"})
            assert reply.status_code == 400
            assert f"'{name}'" in reply.json()["error"]["message"]
    assert {"GET /v1/models", "GET /health"} <= {f"{e['method']} {e['path']}" for e in endpoints}
