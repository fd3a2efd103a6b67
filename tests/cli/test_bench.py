"""The load generator against servers of our own and hostile ones; the local figures on the built-in model."""

from __future__ import annotations

import asyncio
import json
import socketserver
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

pytest.importorskip("fastapi", reason="needs the server extra")
pytest.importorskip("uvicorn", reason="needs the server extra")

sys.path.insert(0, str(Path(__file__).parents[1] / "server"))

from running_server import running
from scripted_llm import replaying, text_answer

from candlewick.cli.app import app
from candlewick.cli.load_generator import Load, Report, Spread, generate
from candlewick.server import create_app


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with running(create_app(replaying(*text_answer("a", "b", "c")), api_keys=["k"])) as base:
        yield f"{base}/v1"


def run(load: Load) -> Report:
    return asyncio.run(generate(load))


def load(url: str, **options: object) -> Load:
    fields: dict[str, object] = {"rate": 200.0, "prompt_words": 5, "max_tokens": 3, "api_key": "k"}
    return Load(url=url, model="scripted", requests=10, **(fields | options))  # type: ignore[arg-type]


def test_every_answer_is_measured(address: str) -> None:
    report = run(load(address))
    assert report.failures == []
    assert [answer.tokens for answer in report.answers] == [3] * 10
    assert all(len(answer.pieces) == 3 for answer in report.answers)
    for answer in report.answers:
        assert 0 < answer.pieces[0] <= answer.pieces[1] <= answer.pieces[2] <= answer.ended
    spreads = report.spreads()
    assert len(spreads["inter_token"].values) == 20  # type: ignore[union-attr]
    assert spreads["time_to_first_token"].mean <= spreads["end_to_end"].mean  # type: ignore[union-attr]


def test_arrivals_do_not_wait_for_answers_and_come_from_the_seed(address: str) -> None:
    first, again, other = (run(load(address, rate=50.0, seed=seed)) for seed in (1, 1, 2))
    begun = [[answer.begun_at for answer in report.answers] for report in (first, again, other)]
    assert begun[0] == sorted(begun[0])
    assert all(abs(a - b) < 0.5 for a, b in zip(begun[0], begun[1], strict=True))
    assert 0.02 < begun[0][-1] < 2


@contextmanager
def answering(reply: bytes) -> Iterator[str]:
    """A server that says ``reply`` to whatever it is sent."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65536)
            self.request.sendall(reply)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
        server.shutdown()


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (b"", "does not answer in HTTP"),
        (b"nonsense\r\n\r\n", "does not answer in HTTP"),
        (b"HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\nno", "status 401: no"),
        (b"HTTP/1.1 200 OK\r\n\r\ndata: {}\n\n", "before its end mark"),
        (b'HTTP/1.1 200 OK\r\n\r\ndata: {"error": "full"}\n\n', "full"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nda", "bytes"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "base 16"),
        (b"HTTP/1.1 200 OK\r\n\r\ndata: {\n\n", "Expecting"),
    ],
)
def test_what_a_server_does_wrong_is_a_failure_of_its_request(reply: bytes, told: str) -> None:
    with answering(reply) as url:
        report = run(load(url, rate=1000.0))
    assert len(report.failures) == 10
    assert all(told in failure for failure in report.failures)


def test_pieces_of_the_transfer_may_end_anywhere() -> None:
    events = b'data: {"choices": [{"delta": {"content": "a"}}]}\n\ndata: [DONE]\n\n'
    chunked = b"".join(b"1\r\n%c\r\n" % byte for byte in events) + b"0\r\n\r\n"
    with answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked) as url:
        report = run(load(url))
    assert report.failures == []
    assert [answer.tokens for answer in report.answers] == [1] * 10


def test_percentiles_are_values_that_were_measured() -> None:
    spread = Spread.of([float(value) for value in range(100, 0, -1)])
    assert spread is not None
    assert dict(spread.percentiles) == {50: 50.0, 90: 90.0, 95: 95.0, 99: 99.0}
    assert Spread.of([]) is None
    alone = Spread.of([3.0])
    assert alone is not None
    assert set(alone.percentiles.values()) == {3.0}


def test_the_command_prints_a_table_json_and_a_picture(address: str, tmp_path: Path) -> None:
    svg = tmp_path / "load.svg"
    arguments = ["bench", "serve", address, "--api-key", "k", "--requests", "5", "--rate", "100"]
    shown = CliRunner().invoke(app, [*arguments, "--svg", str(svg)])
    assert shown.exit_code == 0, shown.output
    assert "time to first token" in shown.stdout
    root = ElementTree.parse(svg).getroot()
    assert len(root.findall("{http://www.w3.org/2000/svg}polyline")) == 3
    figures = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
    assert (figures["requests"], figures["failed"], figures["tokens"]) == (5, 0, 15)
    assert figures["end_to_end"]["p50"] <= figures["end_to_end"]["p99"]


def test_a_server_that_is_not_there_is_told() -> None:
    result = CliRunner().invoke(app, ["bench", "serve", "http://127.0.0.1:9/v1"])
    assert result.exit_code == 2
    assert "tells no model" in result.stderr


def test_a_model_is_measured_in_the_form_of_llama_bench() -> None:
    pytest.importorskip("candlewick._kernels", reason="needs the native module")
    arguments = [
        "bench",
        "builtin",
        "--prompt",
        "16",
        "--generate",
        "2",
        "--streams",
        "1,3",
        "--threads",
        "1",
    ]
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)
    assert [figure["test"] for figure in figures] == ["pp16", "tg2", "tg2x3"]
    for figure in figures:
        assert figure["tokens_per_second"] > 0
        assert figure["share_of_limit"] > 0


def test_options_may_come_before_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    from candlewick.cli import bench

    asked: list[object] = []
    monkeypatch.setattr(bench, "measure", lambda *given: asked.append(given) or [])
    for arguments in (["--prompt", "7", "x.gguf"], ["x.gguf", "--prompt", "7"]):
        assert CliRunner().invoke(app, ["bench", *arguments, "--streams", "2"]).exit_code == 0
    assert asked == [("x.gguf", 7, 32, [2], None)] * 2
    wrong = CliRunner().invoke(app, ["bench", "--streams", "0"])
    assert (wrong.exit_code, "--streams must be numbers from 1" in wrong.stderr) == (2, True)
