"""Streams on the wire: frames, one write an event, our own events, and connections that break."""

from __future__ import annotations

import json
import socket
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from scripted_llm import Burst, Pause, replaying, text_answer, thinking_answer, tool_answer

from candlewick.chat.events import Event, ResponseToken, Start
from candlewick.core.errors import EngineFailed, EngineOverloaded
from candlewick.server.sse import frame

HI: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}]}


def read_events(body: str) -> list[tuple[str | None, Any]]:
    """Parse a stream as the HTML standard says, for events of one data line."""
    events = []
    for block in body.split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        events.append((fields.get("event"), fields["data"]))
    return events


def test_a_frame_is_one_line_of_data_whatever_the_text_holds() -> None:
    text = 'a\nb\r\u2028\x00 "ü" 😀'
    assert frame({"text": text}).decode().count("\n") == 2
    assert json.loads(read_events(frame({"text": text}).decode())[0][1]) == {"text": text}


@pytest.mark.parametrize(
    "script",
    [text_answer("a\n\nb", "ü"), thinking_answer(["t"], "a"), tool_answer(("c", "f", ["{}"]))],
)
def test_our_own_events_arrive_as_they_are(serve: Any, script: list[Event]) -> None:
    llm = replaying(*script)
    body = HI | {"thinking": "no_think", "params": {"max_tokens": 3, "stop": ["x"], "logit_bias": {"4": 1}}}
    answer = httpx.post(f"{serve(llm)}/v1/events/chat", json=body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = read_events(answer.text)
    assert [name for name, _ in events] == [event.sse_name for event in script]
    assert [json.loads(data) for _, data in events] == [
        json.loads(json.dumps(event.to_json())) for event in script
    ]
    call = llm.calls[0]
    assert (call.thinking, call.params.max_tokens, call.params.stop) == ("no_think", 3, ("x",))
    assert call.params.logit_bias == {4: 1}


def test_our_own_events_end_with_an_error_event(serve: Any) -> None:
    llm = replaying(Start("a", "m"), EngineFailed("step 7 failed"))
    events = read_events(httpx.post(f"{serve(llm)}/v1/events/chat", json=HI).text)
    assert events[-1][0] == "error"
    error = json.loads(events[-1][1])
    assert (error["message"], error["error_type"]) == ("step 7 failed", "EngineFailed")


def test_an_error_before_the_first_event_is_a_status(serve: Any) -> None:
    answer = httpx.post(f"{serve(replaying(EngineOverloaded('full')))}/v1/events/chat", json=HI)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
    answer = httpx.post(f"{serve(replaying())}/v1/events/chat", json=HI | {"params": {"top_p": 7}})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "top_p")


def test_a_stream_ends_with_the_end_mark(serve: Any) -> None:
    body = HI | {"model": "scripted", "stream": True}
    events = read_events(
        httpx.post(f"{serve(replaying(*text_answer('a')))}/v1/chat/completions", json=body).text
    )
    assert events[-1] == (None, "[DONE]")


def post(address: str, path: str, body: dict[str, Any]) -> socket.socket:
    parts = urlsplit(address)
    assert parts.hostname is not None
    connection = socket.create_connection((parts.hostname, parts.port), timeout=10)
    content = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: {len(content)}\r\n\r\n"
    connection.sendall(head.encode() + content)
    return connection


def written_frames(serve: Any, monkeypatch: pytest.MonkeyPatch, script: list[Any]) -> list[bytes]:
    """The chunks of the transfer coding that hold events, each as it was written to the socket."""
    import asyncio.selector_events as transports

    writes: list[bytes] = []
    original = transports._SelectorSocketTransport.write  # type: ignore[attr-defined]

    def write(self: Any, data: bytes) -> None:
        writes.append(bytes(data))
        original(self, data)

    monkeypatch.setattr(transports._SelectorSocketTransport, "write", write)  # type: ignore[attr-defined]
    answer = httpx.post(f"{serve(replaying(*script))}/v1/events/chat", json=HI)
    assert answer.text.endswith("}\n\n")
    return [data for data in writes if b"data: " in data]


def test_an_event_leaves_as_soon_as_there_is_nothing_else_to_tell(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = text_answer("a", "b", "c")
    written = written_frames(serve, monkeypatch, script)
    assert [data.count(b"data: ") for data in written] == [1] * len(script)
    assert all(data.endswith(b"}\n\n\r\n") for data in written)


def test_events_that_come_at_once_are_written_at_once(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    start, *rest = text_answer(*"abcdefgh")
    written = written_frames(serve, monkeypatch, [start, Burst(rest)])
    assert [data.count(b"data: ") for data in written] == [1 + len(rest)]
    assert all(data.endswith(b"}\n\n\r\n") for data in written)


@pytest.mark.parametrize("path", ["/v1/events/chat", "/v1/chat/completions"])
def test_a_broken_connection_cancels_the_generation(serve: Any, path: str) -> None:
    llm = replaying(Start("a", "m"), ResponseToken("x"), Pause())
    body = HI if "events" in path else HI | {"model": "scripted", "stream": True}
    connection = post(serve(llm), path, body)
    assert llm.paused.wait(10)
    connection.close()
    assert llm.ended.wait(10)
    assert (llm.running, llm.cancelled) == (0, 1)


def test_a_client_that_never_reads_does_not_stop_the_others(serve: Any) -> None:
    flood = [Start("a", "m"), *[ResponseToken("x" * 65536)] * 400, Pause()]
    llm = replaying(*flood)
    address = serve(llm)
    deaf = post(address, "/v1/events/chat", HI)
    assert httpx.get(f"{address}/health").status_code == 200
    deaf.close()
    assert llm.ended.wait(10)
    assert llm.running == 0


def test_a_slow_reader_whose_time_is_over_is_told_so(serve: Any) -> None:
    flood = [Start("a", "m"), *[ResponseToken("x" * 65536)] * 400, Pause()]
    llm = replaying(*flood)
    slow = post(serve(llm, max_request_seconds=0.5), "/v1/events/chat", HI)
    assert llm.ended.wait(10)  # the time is over, and not a byte was read
    with slow, slow.makefile("rb") as answer:
        lines = iter(answer.readline, b"")
        assert b"event: error\n" in lines
        assert b"took longer than this server allows" in next(lines)
        assert b"0\r\n" in lines
