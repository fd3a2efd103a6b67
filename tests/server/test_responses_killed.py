"""``kill -9`` while stored responses are streamed: what a client has heard of is there afterwards, whole."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from strict_wire import check_item, check_response

pytest.importorskip("sqlalchemy", reason="needs the store extra")
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="servers are forked")

SERVER = Path(__file__).parent / "stored_responses_server.py"


@dataclass
class Heard:
    """What one client was told before the server died."""

    id: str | None = None
    input: str = ""
    items: list[dict[str, Any]] = field(default_factory=list)
    final: dict[str, Any] | None = None


def listen(address: str, text: str, heard: list[Heard]) -> None:
    """Ask for responses, one going on from the other, until the server is gone."""
    previous = None
    while True:
        one = Heard(input=text)
        heard.append(one)
        body = {"model": "scripted", "input": text, "stream": True, "previous_response_id": previous}
        try:
            with httpx.stream("POST", f"{address}/v1/responses", json=body, timeout=120) as reply:
                for line in reply.iter_lines():
                    if line.startswith("data: {"):
                        hear(one, json.loads(line.removeprefix("data: ")))
        except httpx.HTTPError:
            return
        if one.final is None:
            return
        previous = one.id


def hear(one: Heard, event: dict[str, Any]) -> None:
    if event["type"] == "response.created":
        one.id = event["response"]["id"]
    elif event["type"] == "response.output_item.done":
        one.items.append(event["item"])
    elif event["type"] == "response.completed":
        one.final = event["response"]


@dataclass
class Servers:
    """Servers over one file, one after the other."""

    file: Path

    def __post_init__(self) -> None:
        self._mother = subprocess.Popen(
            [sys.executable, SERVER, str(self.file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    @contextmanager
    def running(self) -> Iterator[str]:
        """The address of a server that is killed at the end of the block."""
        assert self._mother.stdin is not None
        assert self._mother.stdout is not None
        print(file=self._mother.stdin, flush=True)
        pid, address = self._mother.stdout.readline().split()
        try:
            yield address
        finally:
            os.kill(int(pid), signal.SIGKILL)

    def close(self) -> None:
        self._mother.kill()
        self._mother.communicate()


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    servers = Servers(tmp_path / "store.db")
    yield servers
    servers.close()


def kill_in_the_middle(servers: Servers, chance: random.Random, num_clients: int = 3) -> list[Heard]:
    """One life of a server; what its clients heard."""
    heard: list[Heard] = []
    with servers.running() as address:
        clients = [
            threading.Thread(target=listen, args=(address, f"hi {n}", heard)) for n in range(num_clients)
        ]
        for client in clients:
            client.start()
        deadline = time.monotonic() + 120
        while not any(one.id for one in heard):  # the life begins with the first response
            assert time.monotonic() < deadline
            time.sleep(0.001)
        time.sleep(chance.random() * 0.2)  # the moment of death is the point of the test
    for client in clients:
        client.join()
    return heard


def check_all(servers: Servers, heard: list[Heard]) -> None:
    """Start again, and compare what is there with what was heard."""
    # A connection kept idle for 5 s may be closed as it is used again.
    fresh = httpx.Limits(max_keepalive_connections=0)
    with (
        servers.running() as address,
        httpx.Client(base_url=f"{address}/v1", timeout=120, limits=fresh) as http,
    ):
        for one in heard:
            if one.id is not None:
                check_one(http, one)
    with closing(sqlite3.connect(servers.file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def check_one(http: httpx.Client, one: Heard) -> None:
    deadline = time.monotonic() + 120
    while (response := http.get(f"responses/{one.id}").raise_for_status().json())["status"] == "in_progress":
        assert time.monotonic() < deadline, "nobody noticed that the server had died"
        time.sleep(0.05)
    check_response(response)
    (item,) = http.get(f"responses/{one.id}/input_items").raise_for_status().json()["data"]
    check_item(item)
    assert item["content"][0]["text"] == one.input
    assert response["output"][: len(one.items)] == one.items
    for item in response["output"]:
        assert item["status"] in ("completed", "incomplete")
        assert item["content"][0]["text"] in ("hm" * 3, "word " * 10)
    if one.final is not None:
        assert response == one.final
    assert response["status"] in ("completed", "failed")
    assert (response["status"] == "failed") == (response["error"] is not None)


def run_lives(servers: Servers, count: int, every: int) -> Counter[str]:
    """Kill ``count`` servers, looking after ``every`` of them; how much of each kind was heard of."""
    chance, heard, total = random.Random(0), [], Counter[str]()
    for life in range(1, count + 1):
        heard += kill_in_the_middle(servers, chance)
        if life % every == 0 or life == count:
            check_all(servers, heard)
            total["responses"] += sum(one.id is not None for one in heard)
            total["items"] += sum(len(one.items) for one in heard)
            total["ends"] += sum(one.final is not None for one in heard)
            heard = []
            print(f"{life} lives: {dict(total)}", flush=True)
    return total


def test_a_few_times(servers: Servers) -> None:
    assert run_lives(servers, 3, 3)["responses"] >= 3


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_a_thousand_times(servers: Servers) -> None:
    assert run_lives(servers, 1000, 50)["responses"] >= 1000
