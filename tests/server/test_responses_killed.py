"""``kill -9`` while stored responses are streamed: what a client has heard of is there afterwards, whole."""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from strict_wire import check_item, check_response

pytest.importorskip("sqlalchemy", reason="needs the store extra")

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


def start(file: Path) -> tuple[subprocess.Popen[str], str]:
    server = subprocess.Popen([sys.executable, SERVER, str(file)], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    address = server.stdout.readline().strip()
    assert address.startswith("http"), "the server did not start"
    return server, address


def kill_in_the_middle(file: Path, chance: random.Random, num_clients: int = 3) -> list[Heard]:
    """One life of a server; what its clients heard."""
    server, address = start(file)
    heard: list[Heard] = []
    clients = [threading.Thread(target=listen, args=(address, f"hi {n}", heard)) for n in range(num_clients)]
    for client in clients:
        client.start()
    deadline = time.monotonic() + 120
    while not any(one.id for one in heard):  # the life begins with the first response
        assert time.monotonic() < deadline
        time.sleep(0.001)
    time.sleep(chance.random() * 0.2)  # the moment of death is the point of the test
    server.kill()
    server.wait()
    for client in clients:
        client.join()
    return heard


def check_all(file: Path, heard: list[Heard]) -> None:
    """Start again, and compare what is there with what was heard."""
    server, address = start(file)
    try:
        with httpx.Client(base_url=f"{address}/v1", timeout=120) as http:
            for one in heard:
                if one.id is not None:
                    check_one(http, one)
    finally:
        server.kill()
        server.wait()
    with sqlite3.connect(file) as connection:
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


def run_lives(file: Path, count: int, every: int) -> int:
    """Kill ``count`` servers, looking after ``every`` of them; how many responses were heard of."""
    chance, heard, total = random.Random(0), [], 0
    for life in range(1, count + 1):
        heard += kill_in_the_middle(file, chance)
        if life % every == 0 or life == count:
            check_all(file, heard)
            total += sum(one.id is not None for one in heard)
            heard = []
    return total


def test_a_few_times(tmp_path: Path) -> None:
    assert run_lives(tmp_path / "store.db", 3, 3) >= 3


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_a_thousand_times(tmp_path: Path) -> None:
    assert run_lives(tmp_path / "store.db", 1000, 50) >= 1000
