"""The WebSocket transport with the official client, and compaction."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from scripted_llm import Pause, ScriptedLLM, replaying, text_answer
from strict_wire import check_order
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

import openai
from candlewick.chat.events import ResponseToken, Start
from candlewick.responses.wire.sealed import seal, unseal

pytest.importorskip("sqlalchemy", reason="needs the store extra")


def client(address: str, **options: Any) -> Any:
    return openai.OpenAI(base_url=f"{address}/v1", **{"api_key": "none", "max_retries": 0} | options)


def until_done(connection: Any) -> list[dict[str, Any]]:
    events = []
    for event in connection:
        events.append(event.to_dict())
        if event.type in ("response.completed", "response.incomplete", "response.failed", "error"):
            return events
    raise AssertionError("the connection ended before the response did")


def test_responses_on_one_connection(serve: Any) -> None:
    llm = ScriptedLLM(lambda call: text_answer(f"{len(call.messages)}"))
    with client(serve(llm)).responses.connect() as connection:
        connection.response.create(model="scripted", input="a", store=False)
        first = until_done(connection)
        check_order(first)
        response = first[-1]["response"]
        connection.response.create(
            model="scripted", input="b", store=False, previous_response_id=response["id"]
        )
        second = until_done(connection)[-1]["response"]
        connection.response.create(
            model="scripted", input="c", previous_response_id=second["id"], generate=False
        )
        prepared = until_done(connection)
        check_order(prepared)
        last = prepared[-1]["response"]
        assert (last["status"], last["output"], len(llm.calls)) == ("completed", [], 2)
        connection.response.create(model="scripted", input="d", previous_response_id=last["id"])
        until_done(connection)
    assert [m.content for m in llm.calls[2].messages] == ["a", "1", "b", "3", "c", "d"]


def test_errors_leave_the_connection_open(serve: Any) -> None:
    with client(serve(replaying(*text_answer("Hello")))).responses.connect() as connection:
        connection.response.create(model="scripted", input="a", previous_response_id="resp_none")
        (error,) = until_done(connection)
        assert (error["status"], error["error"]["code"]) == (400, "previous_response_not_found")
        connection.response.steer(input="left", previous_response_id="resp_none")
        assert connection.recv().error.code == "steering_not_supported"
        for wrong in (
            "{",
            "[]",
            '{"type": "response.destroy"}',
            '{"type": "response.create", "stream_id": 1}',
        ):
            connection._connection.send(wrong)
            assert connection.recv().status == 400
        connection.response.create(model="scripted", input="a")
        assert until_done(connection)[-1]["type"] == "response.completed"


def test_lanes_do_not_wait_for_each_other(serve: Any) -> None:
    def script(call: Any) -> Any:
        if call.messages[-1].content == "slow":
            return [Start("a", "m"), ResponseToken("x"), Pause()]
        return text_answer("quick")

    llm = ScriptedLLM(script)
    with client(serve(llm)).responses.connect() as connection:
        connection.response.create(model="scripted", input="slow", stream_id="one")
        assert llm.paused.wait(10)
        connection.response.create(model="scripted", input="quick", stream_id="two")
        events = [event for event in until_done(connection) if event["stream_id"] == "two"]
        assert events[-1]["type"] == "response.completed"
    assert llm.ended.wait(10)
    assert llm.cancelled == 1


def test_who_may_connect(serve: Any) -> None:
    address = serve(
        replaying(*text_answer("a")), api_keys=["secret"], allowed_origins=["https://page.example"]
    )
    url = f"{address.replace('http', 'ws', 1)}/v1/responses"
    key = {"Authorization": "Bearer secret"}
    for headers, status in (
        ({}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({**key, "Origin": "https://evil.example"}, 403),
    ):
        with pytest.raises(InvalidStatus) as caught:
            connect(url, additional_headers=headers)
        assert caught.value.response.status_code == status
    handshake = {
        "Host": "evil.example",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    assert httpx.get(f"{address}/v1/responses", headers=key | handshake).status_code == 403
    for headers in (key, {**key, "Origin": "https://page.example"}, {**key, "Origin": address}):
        with connect(url, additional_headers=headers) as socket:
            socket.send(json.dumps({"type": "response.create", "model": "scripted", "input": "a"}))
            assert json.loads(socket.recv())["type"] == "response.created"


def test_compaction(serve: Any) -> None:
    llm = ScriptedLLM(lambda call: text_answer("Ann likes red."))
    llm.max_context = 4096
    llm.count_tokens = lambda messages, tools: 100

    async def answer(messages: Any, **options: Any) -> Any:
        from candlewick.chat.answer import fold_events

        return fold_events([event async for event in llm.chat(messages, **options)])

    llm.answer = answer
    responses = client(serve(llm)).responses
    items: Any = [
        {"role": "developer", "content": "Rhyme."},
        {"role": "user", "content": "I am Ann."},
        {"role": "assistant", "content": "Hello!"},
        {"role": "user", "content": "I like red."},
    ]
    compacted = responses.compact(model="scripted", input=items)
    (item,) = compacted.output
    assert (compacted.object, item.type) == ("response.compaction", "compaction")
    assert (
        unseal(item.encrypted_content, "x") == "Rhyme.\n\nSummary of the conversation so far:\nAnn likes red."
    )
    sent = [item.to_dict(), {"role": "user", "content": "Who am I?"}]
    responses.create(model="scripted", input=sent)
    (message,) = llm.calls[-1].messages
    assert message.content.endswith("Ann likes red.\n\nWho am I?")


@pytest.mark.parametrize("text", ["", "hm", "ünï\0\ud800" * 1000])
def test_sealed_content_opens_again_and_damage_is_found(text: str) -> None:
    sealed = seal(text)
    assert unseal(sealed, "x") == text
    for wrong in (
        sealed[:-4],
        sealed[:-2] + "AA",
        "gAAAA" + sealed,
        sealed.replace("candle1.", "candle2."),
        1,
        "é",
    ):
        with pytest.raises(ValueError, match="not made by this server"):
            unseal(wrong, "x")
