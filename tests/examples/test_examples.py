"""The examples, each run on the built-in model."""

from __future__ import annotations

import runpy
import threading
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("candlewick._kernels", reason="the native module is not built")
httpx = pytest.importorskip("httpx")

EXAMPLES = Path(__file__).parents[2] / "examples"


def load(name: str) -> dict[str, Any]:
    return runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="example")


async def test_the_agent_framework(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pydantic", reason="needs the responses extra")
    from candlewick.responses import MCPConfiguration

    await load("agent_framework")["main"]("Say hello.", MCPConfiguration())
    assert " turns; " in capsys.readouterr().out


async def test_the_gateway() -> None:
    pytest.importorskip("fastapi", reason="needs the server extra")
    example = load("ai_gateway")
    question = {
        "model": example["llm"].model_name,
        "messages": [{"role": "user", "content": "Hi"}],
        "max_tokens": 4,
    }
    transport = httpx.ASGITransport(app=example["gateway"])
    async with example["llm"], httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        stranger = await client.post("/ai/v1/chat/completions", json=question)
        assert stranger.status_code == 403
        key = {"Authorization": "Bearer key-of-the-moon-team"}
        answer = await client.post("/ai/v1/chat/completions", json=question, headers=key, timeout=60)
        assert answer.status_code == 200, answer.text
        assert answer.json()["usage"]["completion_tokens"] > 0
        assert (await client.get("/usage")).json() == {"moon": 1, "sun": 0}


def test_the_desktop_application() -> None:
    from candlewick import LLM

    with LLM() as llm, load("desktop_app")["open_window"](llm) as window:
        serving = threading.Thread(target=window.serve_forever)
        serving.start()
        try:
            address = f"http://127.0.0.1:{window.server_port}"
            assert "<h1>Notes</h1>" in httpx.get(address).text
            answer = httpx.post(f"{address}/answer", json={"note": "Hello!"}, timeout=60)
            assert answer.text.strip()
        finally:
            window.shutdown()
            serving.join()
