"""What the published specification wants of ``/v1/responses``, said without any client's help.

Sources: the Open Responses specification with its OpenAPI document of 2026-04-24, and OpenAI's API reference.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from running_server import running
from scripted_llm import Call, Script, ScriptedLLM, thinking_answer
from strict_wire import check_item, check_order, check_response
from websockets.sync.client import connect

from candlewick.chat.events import Error, ResponseToken, Start

pytest.importorskip("sqlalchemy", reason="needs the store extra")

MODEL = {"model": "scripted"}
TOOL = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}}


def script(call: Call) -> Script:
    if call.messages[-1].content == "fail":
        return [Start("a", "m"), ResponseToken("Hel"), Error("broken", "EngineFailed")]
    return thinking_answer(["hm"], f"{len(call.messages)}")


class Model(ScriptedLLM):
    max_context = 4096

    def count_tokens(self, messages: Any, tools: Any = ()) -> int:
        return len(messages)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    from candlewick.server import create_app

    with running(create_app(Model(script))) as base:
        yield f"{base}/v1"


@pytest.fixture(scope="module")
def http(address: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=address, timeout=60) as client:
        yield client


def turn(socket: Any, **fields: Any) -> dict[str, Any]:
    """One turn over a WebSocket; its last event."""
    socket.send(json.dumps({"type": "response.create", **MODEL, **fields}))
    events = []
    while True:
        events.append(json.loads(socket.recv(timeout=60)))
        if events[-1]["type"] in ("response.completed", "response.failed", "response.incomplete"):
            check_order(events)
            return events[-1]
        if events[-1]["type"] == "error":
            return events[-1]


@pytest.mark.parametrize(
    ("fields", "parameter"),
    [
        ({"input": []}, "input"),
        ({"input": None}, "input"),
        ({"input": 5}, "input"),
        ({"input": [5]}, "input[0]"),
        ({"temperature": 2.5}, "temperature"),
        ({"top_p": 1.5}, "top_p"),
        ({"presence_penalty": -3}, "presence_penalty"),
        ({"frequency_penalty": 3}, "frequency_penalty"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"top_logprobs": 21}, "top_logprobs"),
        ({"metadata": {str(n): "" for n in range(17)}}, "metadata"),
        ({"metadata": {"k" * 65: ""}}, "metadata"),
        ({"metadata": {"k": "v" * 513}}, "metadata"),
        ({"metadata": {"k": 1}}, "metadata.k"),
        ({"include": ["everything"]}, "include"),
        ({"truncation": "some"}, "truncation"),
        ({"service_tier": "gold"}, "service_tier"),
        ({"safety_identifier": "x" * 65}, "safety_identifier"),
        ({"prompt_cache_key": "x" * 65}, "prompt_cache_key"),
        ({"reasoning": {"effort": "vast"}}, "reasoning.effort"),
        ({"text": {"verbosity": "loud"}}, "text.verbosity"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"tools": [{**TOOL, "name": "two words"}]}, "tools[0].name"),
        ({"tools": [{**TOOL, "name": "x" * 65}]}, "tools[0].name"),
        ({"tool_choice": "sometimes"}, "tool_choice"),
        ({"background": True, "store": False}, "store"),
        ({"previous_response_id": "resp_a", "conversation": "conv_a"}, "conversation"),
    ],
)
def test_wrong_fields_are_named(http: httpx.Client, fields: dict[str, Any], parameter: str) -> None:
    reply = http.post("responses", json={**MODEL, "input": "hi", **fields})
    error = reply.json()["error"]
    assert (reply.status_code, error["type"], error["param"]) == (400, "invalid_request_error", parameter)
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["code"]
    assert error["message"]


@pytest.mark.parametrize(
    ("query", "parameter"),
    [("limit=0", "limit"), ("limit=101", "limit"), ("limit=x", "limit"), ("order=up", "order")],
)
def test_wrong_queries_are_named(http: httpx.Client, query: str, parameter: str) -> None:
    made = http.post("responses", json={**MODEL, "input": "hi"}).json()["id"]
    for path in (f"responses/{made}/input_items", "conversations/conv_none/items"):
        reply = http.get(f"{path}?{query}")
        assert (reply.status_code, reply.json()["error"]["param"]) == (400, parameter)
    assert http.get(f"responses/{made}?stream=true&starting_after=x").json()["error"]["code"]


def test_nothing_is_found_under_unknown_ids(http: httpx.Client) -> None:
    replies = [
        http.get("responses/resp_none"),
        http.get("responses/resp_none?stream=true"),
        http.delete("responses/resp_none"),
        http.post("responses/resp_none/cancel"),
        http.get("responses/resp_none/input_items"),
        http.get("conversations/conv_none"),
        http.get("conversations/conv_none/items"),
        http.get("conversations/conv_none/items/msg_none"),
        http.delete("conversations/conv_none"),
        http.post("responses", json={**MODEL, "input": "hi", "conversation": "conv_none"}),
        http.post("responses", json={**MODEL, "input": [{"type": "item_reference", "id": "msg_none"}]}),
    ]
    for reply in replies:
        assert (reply.status_code, reply.json()["error"]["code"]) == (404, "not_found")
    gone = http.post("responses", json={**MODEL, "input": "hi", "previous_response_id": "resp_none"})
    assert gone.status_code == 404
    assert gone.json()["error"]["code"] == "previous_response_not_found"
    assert gone.json()["error"]["param"] == "previous_response_id"
    unknown = http.post("responses", json={"model": "nobody", "input": "hi"})
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "model_not_found")
    assert unknown.json()["error"]["param"] == "model"


def test_items_hold_no_null_where_the_specification_has_none(http: httpx.Client) -> None:
    response = http.post("responses", json={**MODEL, "input": "hi"}).json()
    check_response(response)
    reasoning, message = response["output"]
    assert "encrypted_content" not in reasoning
    assert None not in message.values()
    sealed = http.post(
        "responses", json={**MODEL, "input": "hi", "include": ["reasoning.encrypted_content"]}
    ).json()
    assert sealed["output"][0]["encrypted_content"]


def test_assistant_messages_keep_their_phase(http: httpx.Client) -> None:
    items = [
        {"type": "message", "role": "assistant", "phase": "commentary", "content": "I should look."},
        {"type": "message", "role": "assistant", "phase": "final_answer", "content": "Four."},
        {"type": "message", "role": "user", "content": "Repeat only the number."},
    ]
    made = http.post("responses", json={**MODEL, "input": items}).json()
    assert made["status"] == "completed"
    kept = http.get(f"responses/{made['id']}/input_items?order=asc").json()["data"]
    assert [item.get("phase") for item in kept] == ["commentary", "final_answer", None]


def test_pages_of_input_items(http: httpx.Client) -> None:
    items = [{"role": "user", "content": f"{number}"} for number in range(7)]
    made = http.post("responses", json={**MODEL, "input": items}).json()["id"]
    for order in ("asc", "desc"):
        seen: list[str] = []
        after = ""
        while True:
            page = http.get(f"responses/{made}/input_items?limit=3&order={order}{after}").json()
            assert page.keys() == {"object", "data", "first_id", "last_id", "has_more"}
            assert page["object"] == "list"
            assert [page["first_id"], page["last_id"]] == [page["data"][0]["id"], page["data"][-1]["id"]]
            for item in page["data"]:
                check_item(item)
            seen += [item["content"][0]["text"] for item in page["data"]]
            after = f"&after={page['last_id']}"
            if not page["has_more"]:
                break
        assert seen == sorted("0123456", reverse=order == "desc")


def test_a_deleted_response(http: httpx.Client) -> None:
    made = http.post("responses", json={**MODEL, "input": "hi"}).json()["id"]
    assert http.delete(f"responses/{made}").json() == {"id": made, "object": "response", "deleted": True}
    assert http.get(f"responses/{made}").status_code == 404


def test_compaction_needs_a_model(http: httpx.Client) -> None:
    reply = http.post("responses/compact", json={"input": "Compact this."})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "model")


def test_a_stream_ends_as_the_specification_says(http: httpx.Client) -> None:
    with http.stream("POST", "responses", json={**MODEL, "input": "fail", "stream": True}) as reply:
        assert reply.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in reply.iter_lines() if line]
    assert lines[-1] == "data: [DONE]"
    events = [json.loads(line.removeprefix("data: ")) for line in lines[1:-1:2]]
    assert [line.removeprefix("event: ") for line in lines[:-1:2]] == [event["type"] for event in events]
    check_order(events)
    assert events[-1]["type"] == "response.failed"
    assert events[-1]["response"]["error"] == {"code": "server_error", "message": "broken"}


def test_thinking_comes_in_pieces_to_those_who_ask(http: httpx.Client) -> None:
    def kinds(**fields: Any) -> set[str]:
        body = {**MODEL, "input": "hi", "stream": True, **fields}
        with http.stream("POST", "responses", json=body) as reply:
            lines = list(reply.iter_lines())
        check_order([json.loads(line[6:]) for line in lines if line.startswith("data: {")])
        return {line.removeprefix("event: ") for line in lines if line.startswith("event: ")}

    assert not {kind for kind in kinds() if "reasoning" in kind}
    for reasoning in ({"effort": "low"}, {"summary": "auto"}):
        assert {"response.reasoning_text.delta", "response.reasoning_text.done"} <= kinds(reasoning=reasoning)


def test_what_is_not_stored_lives_as_long_as_its_socket(address: str) -> None:
    url = f"{address.replace('http', 'ws', 1)}/responses"
    with connect(url) as socket:
        first = turn(socket, input="a", store=False)["response"]
        second = turn(socket, input="b", store=False, previous_response_id=first["id"])["response"]
        assert second["output"][-1]["content"][0]["text"] == "3"
    with connect(url) as socket:
        error = turn(socket, input="c", store=False, previous_response_id=second["id"])
        assert (error["type"], error["status"]) == ("error", 400)
        assert error["error"]["code"] == "previous_response_not_found"
        assert turn(socket, input="c", store=False)["type"] == "response.completed"


@pytest.mark.parametrize(
    "wrong", [{"input": [{"type": "function_call_output", "call_id": "c", "output": ""}]}, {"input": "fail"}]
)
def test_a_turn_that_failed_takes_what_it_went_on_from_with_it(address: str, wrong: dict[str, Any]) -> None:
    with connect(f"{address.replace('http', 'ws', 1)}/responses") as socket:
        first = turn(socket, input="a", store=False)["response"]["id"]
        assert turn(socket, store=False, previous_response_id=first, **wrong)["type"] != "response.completed"
        error = turn(socket, input="b", store=False, previous_response_id=first)
        assert error["error"]["code"] == "previous_response_not_found"
        kept = turn(socket, input="a")["response"]["id"]
        turn(socket, store=False, previous_response_id=kept, **wrong)
        assert turn(socket, input="b", previous_response_id=kept)["type"] == "response.completed"
