"""``candlewick serve`` as a process: it starts, answers, and ends when told to."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from candlewick.cli.app import app

pytest.importorskip("uvicorn", reason="needs the server extra")

PROGRAM = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from scripted_llm import ScriptedLLM, text_answer
from candlewick.cli import loading, main

class Closing(ScriptedLLM):
    async def close(self):
        print("closed", file=sys.stderr)

def load(reference, **options):
    return Closing(lambda call: text_answer("Hel", "lo"), model_name=reference)

loading.load_async_llm = load
main()
"""


def start(*arguments: str) -> tuple[subprocess.Popen[str], str]:
    """The server and its address."""
    fakes = Path(__file__).parents[1] / "openai"
    command = [sys.executable, "-c", PROGRAM, str(fakes), "serve", "--port", "0", *arguments]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert server.stderr is not None
    told = ""
    while "startup complete" not in told:
        line = server.stderr.readline()
        assert line, told
        told += line
    address = re.search(r"http://\S+:\d+", told)
    assert address is not None, told
    return server, address[0]


@pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_told_to_stop(ending: signal.Signals) -> None:
    server, address = start("--model", "tiny", "--api-key", "k")
    with server:
        try:
            models = httpx.get(f"{address}/v1/models", headers={"Authorization": "Bearer k"}).json()
            assert models["data"][0]["id"] == "tiny"
            assert httpx.get(f"{address}/v1/models").status_code == 401
            server.send_signal(ending)
            assert server.wait(20) == 0
            assert server.stderr is not None
            assert server.stderr.read().rstrip().endswith("closed")
        finally:
            server.kill()


def test_a_taken_port_is_told_before_the_model_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    from candlewick.cli import loading

    loaded: list[Any] = []
    monkeypatch.setattr(loading, "load_async_llm", lambda *given, **options: loaded.append(given))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = CliRunner().invoke(app, ["serve", "--port", port])
    assert (result.exit_code, loaded) == (1, [])
    assert f"can't listen on 127.0.0.1:{port}" in result.stderr


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    result = CliRunner().invoke(app, ["serve"])
    assert (result.exit_code, result.stderr) == (
        1,
        "candlewick: the server needs uvicorn: pip install 'candlewick[server]'\n",
    )
