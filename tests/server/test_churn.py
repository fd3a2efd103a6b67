"""Many streams whose clients come and go: nothing of them stays behind."""

from __future__ import annotations

import asyncio
import json
import os
import random
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

pytest.importorskip("candlewick._kernels", reason="needs the native module")

PATHS = ("/v1/chat/completions", "/v1/events/chat", "/v1/completions")


async def come_and_go(address: str, dice: random.Random) -> bool:
    """One stream, read to its end or left at a random place; true when it came whole."""
    parts = urlsplit(address)
    path = dice.choice(PATHS)
    body: dict[str, Any] = {"model": "builtin", "stream": True, "max_tokens": 40, "ignore_eos": True}
    if path == "/v1/completions":
        body["prompt"] = "Once"
    else:
        body["messages"] = [{"role": "user", "content": f"Tell me about {dice.random()}."}]
    if path == "/v1/events/chat":
        body = {"messages": body["messages"], "params": {"max_tokens": 40, "ignore_eos": True}}
    content = json.dumps(body).encode()
    leaves_after = dice.choice([None, 0, 1, 300, 1000, 3000])
    await asyncio.sleep(dice.random() * 0.2)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        head = [f"POST {path} HTTP/1.1", f"Host: {parts.netloc}", f"Content-Length: {len(content)}"]
        writer.write("\r\n".join([*head, "Connection: close", "", ""]).encode() + content)
        received = bytearray()
        while leaves_after is None or len(received) < leaves_after:
            piece = await reader.read(256)
            if not piece:
                assert b" 200 " in received.split(b"\r\n", 1)[0], bytes(received[:300])
                return True
            received += piece
        return False
    finally:
        if dice.random() < 0.5:
            writer.transport.abort()  # a reset instead of an orderly end
        writer.close()


async def quiet_engine(address: str) -> dict[str, Any]:
    """The engine's numbers once nothing runs."""
    async with asyncio.timeout(30):
        while True:
            async with httpx.AsyncClient() as client:
                engine: dict[str, Any] = (await client.get(f"{address}/health")).json()["engine"]
            if engine["running"] == engine["waiting"] == 0:
                return engine
            await asyncio.sleep(0.05)


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(
    ("streams", "rounds"),
    [pytest.param(24, 2, id="few"), pytest.param(200, 12, id="many", marks=pytest.mark.slow)],
)
def test_streams_that_break_off_leave_nothing(streams: int, rounds: int) -> None:
    from running_server import running

    from candlewick.chat.llm import AsyncLLM
    from candlewick.server import create_app

    dice = random.Random(streams)
    llm = AsyncLLM("builtin", num_threads=1, max_context=512)
    memory = []

    async def churn(address: str) -> None:
        for _ in range(rounds):
            whole = await asyncio.gather(*[come_and_go(address, dice) for _ in range(streams)])
            engine = await quiet_engine(address)
            assert engine["blocks_used"] == 0
            assert 0 < sum(whole) < streams
            memory.append(resident_bytes())

    try:
        with running(create_app(llm)) as address:
            asyncio.run(churn(address))
    finally:
        asyncio.run(llm.close())
    if rounds > 2 and Path("/proc/self/statm").exists():
        assert memory[-1] - memory[rounds // 2] < 8 * 2**20, memory
