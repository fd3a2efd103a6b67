"""``candlewick serve`` as a process: it starts, answers, and ends when told to."""

from __future__ import annotations

import json
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

def load(reference, engine, progress):
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
    while "is ready after" not in told:
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
    import candlewick.server

    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "candlewick.server.serving", raising=False)
    monkeypatch.delattr(candlewick.server, "serving", raising=False)
    result = CliRunner().invoke(app, ["serve"])
    assert (result.exit_code, result.stderr) == (
        1,
        "candlewick: the server needs uvicorn: pip install 'candlewick[server]'\n",
    )


def test_settings_are_shown_with_their_sources(tmp_path: Path) -> None:
    file = tmp_path / "serve.toml"
    file.write_text('names = ["tiny"]\nport = 1\n')
    environment = {"CANDLEWICK_CONFIG": str(file), "CANDLEWICK_CONTEXT": "64", "CANDLEWICK_API_KEY": "secret"}
    result = CliRunner().invoke(app, ["serve", "--show-config", "-p", "2"], env=environment)
    lines = {line.split(" = ")[0]: line for line in result.stdout.splitlines()}
    assert lines["names"].split() == ["names", "=", '["tiny"]', "#", str(file)]
    assert lines["port"].split()[2:] == ["2", "#", "--port"]
    assert lines["context"].split()[2:] == ["64", "#", "CANDLEWICK_CONTEXT"]
    assert "secret" not in result.stdout


def test_wrong_settings_are_told_in_one_line() -> None:
    for arguments, told in (
        (["--port", "x"], "--port: port must be a whole number, got 'x'"),
        (["--port", "70000"], "port must be from 0 to 65535, got 70000"),
        (["--config", "nowhere.toml"], "nowhere.toml can't be read"),
    ):
        result = CliRunner().invoke(app, ["serve", *arguments])
        assert result.exit_code == 2
        assert result.stderr.startswith("candlewick: ")
        assert told in result.stderr


def test_keys_come_from_a_file_too(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("# who may come in\nann k1  # from the office\n\nk2\n")
    server, address = start("--api-key-file", str(file), "--access-log", "json")
    with server:
        try:
            for key, status in (("k1", 200), ("k2", 200), ("k3", 401)):
                answer = httpx.get(f"{address}/v1/models", headers={"Authorization": f"Bearer {key}"})
                assert answer.status_code == status
            server.terminate()
            assert server.stderr is not None
            records = [json.loads(line) for line in server.stderr if line.startswith("{")]
            assert [record["status"] for record in records] == [200, 200, 401]
            assert records[0]["owner"] == "ann"
            assert server.wait(20) == 0
        finally:
            server.kill()


def test_a_model_that_cannot_be_loaded_ends_the_server() -> None:
    command = [sys.executable, "-m", "candlewick", "serve", "--port", "0", "--model", "nowhere.gguf"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert "candlewick: 'nowhere.gguf' is neither 'builtin' nor a file or directory" in ended.stderr
