"""How much each key may ask for, and for how long."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import httpx
import pytest
from scripted_llm import Pause, ScriptedLLM, replaying, text_answer

from candlewick.chat.events import ResponseToken, Start
from candlewick.core.errors import InvalidRequestError
from candlewick.server import create_app
from candlewick.server.config import ServerConfig
from candlewick.server.limits import LimitExceeded, Limits

HI: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}]}


def test_a_minutes_worth_may_begin_at_once_and_more_as_time_goes_by() -> None:
    now = 0.0
    limits = Limits(max_per_minute=3, clock=lambda: now)

    def ask() -> int:
        """Seconds to wait; 0 when admitted."""
        try:
            with limits.admit("a"):
                return 0
        except LimitExceeded as error:
            return error.retry_after

    assert [ask() for _ in range(5)] == [0, 0, 0, 20, 20]
    now = 19.0
    assert ask() == 1
    now = 20.0
    assert [ask(), ask()] == [0, 20]
    now = 1000.0
    assert [ask() for _ in range(4)] == [0, 0, 0, 20]


def test_owners_do_not_share() -> None:
    limits = Limits(max_concurrent=1)
    with (
        limits.admit("a"),
        limits.admit("b"),
        pytest.raises(LimitExceeded, match="1 requests"),
        limits.admit("a"),
    ):
        pass
    with limits.admit("a"):
        pass


def bearing(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_a_running_stream_counts_until_it_ends(serve: Any) -> None:
    llm = replaying(Start("a", "m"), ResponseToken("x"), Pause())
    address = serve(llm, api_keys=["ann k1", "bob k2"], max_concurrent_per_key=1)
    with httpx.stream("POST", f"{address}/v1/events/chat", json=HI, headers=bearing("k1")) as running:
        assert running.status_code == 200
        assert llm.paused.wait(10)
        refused = httpx.get(f"{address}/v1/models", headers=bearing("k1"))
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        assert refused.json()["error"]["code"] == "rate_limit_exceeded"
        assert httpx.get(f"{address}/v1/models", headers=bearing("k2")).status_code == 200
    assert llm.ended.wait(10)
    deadline = time.monotonic() + 10
    while httpx.get(f"{address}/v1/models", headers=bearing("k1")).status_code != 200:
        assert time.monotonic() < deadline, "the stream that ended still counts"


async def test_too_many_requests_are_told_when_to_come_back() -> None:
    app = create_app(replaying(*text_answer("ok")), max_requests_per_minute_per_key=2)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        answers = [await client.post("/v1/events/chat", json=HI) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert 1 <= int(answers[2].headers["retry-after"]) <= 30


def test_an_answer_that_takes_too_long_is_ended(serve: Any) -> None:
    llm = replaying(Start("a", "m"), ResponseToken("x"), Pause())
    address = serve(llm, max_request_seconds=0.3)
    plain = httpx.post(f"{address}/v1/chat/completions", json=HI | {"model": "scripted"})
    assert (plain.status_code, plain.json()["error"]["code"]) == (504, "request_timeout")
    streamed = httpx.post(f"{address}/v1/events/chat", json=HI)
    assert streamed.status_code == 200
    last = json.loads(streamed.text.strip().rsplit("data: ", 1)[1])
    assert (last["type"], last["error_type"]) == ("error", "RequestTimeout")
    assert (llm.running, llm.cancelled) == (0, 2)


class SlowStart(ScriptedLLM):
    """Says nothing for a while, then answers or fails."""

    async def chat(self, *given: Any, **options: Any) -> Any:
        await asyncio.sleep(0.5)
        async for event in super().chat(*given, **options):
            yield event


def test_a_silent_stream_gets_comments(serve: Any) -> None:
    address = serve(SlowStart(lambda call: text_answer("ok")), heartbeat_seconds=0.05)
    text = httpx.post(f"{address}/v1/events/chat", json=HI).text
    assert text.startswith(": ")
    blocks = text.split("\n\n")[:-1]
    comments = [block for block in blocks if block.startswith(":")]
    assert 3 <= len(comments) <= 12
    assert [block.split("\n")[0] for block in blocks if block not in comments] == [
        "event: start",
        "event: response_token",
        "event: complete",
    ]


def test_what_fails_after_the_stream_began_is_its_last_event(serve: Any) -> None:
    address = serve(SlowStart(lambda call: [ValueError("secret")]), heartbeat_seconds=0.05)
    answer = httpx.post(f"{address}/v1/events/chat", json=HI)
    assert answer.status_code == 200
    assert "event: error" in answer.text
    assert "secret" not in answer.text


@pytest.mark.parametrize(
    "options",
    [
        {"max_body_bytes": 0},
        {"max_request_seconds": -1},
        {"max_concurrent_per_key": 0},
        {"heartbeat_seconds": 0},
        {"api_keys": "k"},
        {"api_keys": ["a b c"]},
    ],
)
def test_settings_out_of_range_are_refused_by_name(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        create_app(replaying(), **options)
    assert caught.value.parameter == next(iter(options))


def test_keys_do_not_show_in_the_settings() -> None:
    assert "secret" not in repr(ServerConfig(api_keys=("secret",)))
