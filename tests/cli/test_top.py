"""``candlewick top``, over a real server and over numbers that are written down."""

from __future__ import annotations

import re
import socket
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console
from rich.table import Table
from typer.testing import CliRunner

from candlewick.cli.app import app
from candlewick.cli.top import Figures, parse, picture


def rows(table: Table) -> list[dict[str, str]]:
    columns = [(str(column.header), list(column.cells)) for column in table.columns]
    return [{name: cells[i] for name, cells in columns} for i in range(table.row_count)]


NUMBERS = """\
# HELP candlewick:generation_tokens_total Tokens generated.
# TYPE candlewick:generation_tokens_total counter
candlewick:generation_tokens_total{model_name="a \\"quoted\\" name"} 120.0
candlewick:generation_tokens_total{model_name="tiny"} 50.0
candlewick:kv_cache_usage_perc{model_name="tiny"} 0.25
candlewick:request_success_total{finished_reason="stop",model_name="tiny"} 3.0
candlewick:num_requests_running{model_name="tiny"} 2.0
process_cpu_seconds_total 1.5
"""


def test_numbers_are_read_by_model() -> None:
    figures = parse(NUMBERS, 0.0)
    assert list(figures) == ['a \\"quoted\\" name', "tiny"]
    assert figures["tiny"].values == {
        "generation_tokens": 50.0,
        "kv_cache_usage_perc": 0.25,
        "num_requests_running": 2.0,
    }


def test_rates_are_of_the_time_between_two_looks() -> None:
    before = {"tiny": Figures(10.0, {"generation_tokens": 100, "engine_steps": 10, "engine_step_seconds": 1})}
    after = {
        "tiny": Figures(
            12.0,
            {
                "generation_tokens": 150,
                "engine_steps": 30,
                "engine_step_seconds": 1.5,
                "prefix_cache_queries": 8,
                "prefix_cache_hits": 6,
            },
        ),
        "new": Figures(12.0, {}),
    }
    tiny, new = rows(picture(before, after))
    assert (tiny["written/s"], tiny["read/s"], tiny["ms a step"]) == ("25.0", "0.0", "25.0")
    assert (tiny["prefix hits"], tiny["guesses right"]) == ("75%", "–")
    assert (new["written/s"], new["ms a step"]) == ("–", "–")


def test_a_model_that_was_loaded_anew_has_no_negative_rate() -> None:
    before = {"tiny": Figures(0.0, {"generation_tokens": 100})}
    (tiny,) = rows(picture(before, {"tiny": Figures(1.0, {"generation_tokens": 3})}))
    assert tiny["written/s"] == "0.0"


def test_no_model_is_said() -> None:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(picture({}, {}))
    assert "no model is loaded" in capture.get()


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "127.0.0.1:8000", "file:///etc/hosts"])
def test_where_nobody_tells_numbers_the_address_is_named(url: str) -> None:
    finished = CliRunner().invoke(app, ["top", url, "--once"])
    assert finished.exit_code == 1
    assert f"{url}/metrics" in finished.stderr


def test_somebody_who_speaks_another_protocol_is_told_from_a_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def greet() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"SSH-2.0-Candle\r\n")

        threading.Thread(target=greet, daemon=True).start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        finished = CliRunner().invoke(app, ["top", url, "--once"])
    assert finished.exit_code == 1
    assert f"{url}/metrics can't be read" in finished.stderr


def test_a_real_server(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("uvicorn", reason="needs the server extra")
    pytest.importorskip("candlewick._kernels", reason="the native module is not built")
    from candlewick.chat.llm import AsyncLLM
    from candlewick.server import create_app

    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "server"))
    from running_server import running

    llm = AsyncLLM("builtin", num_threads=1, max_context=256)
    monkeypatch.setenv("COLUMNS", "250")
    try:
        with running(create_app(llm, model_names=["tiny"])) as address:
            body = {"model": "tiny", "messages": [{"role": "user", "content": "Hello!"}], "max_tokens": 5}
            assert httpx.post(f"{address}/v1/chat/completions", json=body).status_code == 200
            shown = CliRunner().invoke(app, ["top", f"{address}/v1", "--once", "--interval", "0.1"])
    finally:
        llm.engine.close()
    assert shown.exit_code == 0, shown.output
    (row,) = re.findall(r"tiny.*", shown.stdout)
    cells = [cell.strip() for cell in row.split("│")]
    assert cells[1:5] == ["0", "0", "0.0", "0.0"]


def test_the_live_picture_goes_on_after_a_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[Any] = [
        {"tiny": Figures(0.0, {"generation_tokens": 0})},
        {"tiny": Figures(1.0, {"generation_tokens": 77})},
    ]
    from candlewick.cli import top

    def read(address: str) -> dict[str, Figures]:
        if not looks:
            raise KeyboardInterrupt
        if len(looks) == 1 and silences:
            silences.pop()
            raise top.NoNumbers("nobody is there")
        return looks.pop(0)  # type: ignore[no-any-return]

    silences = [1]
    monkeypatch.setattr(top, "read", read)
    monkeypatch.setenv("COLUMNS", "250")
    finished = CliRunner().invoke(app, ["top", "--interval", "0.1"])
    assert finished.exit_code == 130
    assert "nobody is there" in finished.stdout
    assert "77.0" in finished.stdout
    assert "tiny" in finished.stdout
