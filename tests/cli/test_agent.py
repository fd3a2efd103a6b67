"""The agent command, and chat with tools: calls shown, asked for and told, over a real MCP server."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from scripted_llm import ScriptedLLM, text_answer, thinking_answer, tool_answer
from typer.testing import CliRunner

pytest.importorskip("mcp", reason="needs the responses extra")

from candlewick.cli import loading
from candlewick.cli.agent_chat import Approver
from candlewick.cli.app import app
from candlewick.responses import ApprovalRequest

sys.path.append(str(Path(__file__).parents[1] / "responses"))
SERVER = Path(__file__).parents[1] / "responses" / "mcp_test_server.py"


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Any:
    """``play(*answers)`` makes every command load a model that gives these answers, one a turn."""

    def prepare(*answers: Any) -> ScriptedLLM:
        left = iter(answers)
        llm = ScriptedLLM(lambda call: next(left))
        monkeypatch.setattr(loading, "load_model_for_tools", lambda reference, **options: llm)
        return llm

    return prepare


@pytest.fixture
def mcp_config(tmp_path: Path) -> str:
    path = tmp_path / "mcp.json"
    server = {
        "command": sys.executable,
        "args": [str(SERVER), "stdio"],
        "autoApprove": ["echo"],
        "connectTimeout": 120,
    }
    path.write_text(json.dumps({"mcpServers": {"test": server}}))
    return str(path)


def calculation(id: str = "c1") -> list[Any]:
    return tool_answer((id, "calculator", ['{"expression": "6*7"}']))


def test_a_task_with_a_tool(play: Any) -> None:
    llm = play(calculation(), thinking_answer(["Easy."], "It is 42."))
    result = CliRunner().invoke(app, ["agent", "6*7?", "--tools", "calculator"])
    assert (result.exit_code, result.stdout) == (0, "It is 42.\n")
    assert result.stderr == '→ calculator({"expression": "6*7"})\n← 42\nEasy.\n'
    assert llm.health_status == "closed"


def test_every_event_as_json(play: Any) -> None:
    play(calculation(), text_answer("It is 42."))
    result = CliRunner().invoke(app, ["agent", "6*7?", "--tools", "calculator", "--json"])
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert events[0]["type"] == "turn_start"
    assert events[-1]["type"] == "conversation_complete"
    assert events[-1]["final_message"]["content"] == "It is 42."
    assert events[-1]["tool_calls_executed"][0]["result"]["text"] == "42"


def test_a_task_that_does_not_end_by_itself_has_a_status(play: Any) -> None:
    play(calculation("c1"), calculation("c2"))
    result = CliRunner().invoke(app, ["agent", "6*7?", "--tools", "calculator", "--max-turns", "2"])
    assert result.exit_code == 1
    assert result.stderr.endswith("candlewick: the limit of turns was reached: --max-turns allows more\n")


def test_mistakes_are_one_line(play: Any, tmp_path: Path) -> None:
    play()
    result = CliRunner().invoke(app, ["agent", "x", "--mcp-config", str(tmp_path / "missing.json")])
    assert result.exit_code == 2
    assert "can't be read: No such file or directory" in result.stderr
    assert CliRunner().invoke(app, ["agent", "x", "--max-turns", "0"]).exit_code == 2


def test_calls_of_a_server_are_refused_where_nobody_can_be_asked_but_exempt_ones_run(
    play: Any, mcp_config: str
) -> None:
    calls = [("c1", "add", ['{"a": 1, "b": 2}']), ("c2", "echo", ['{"text": "hi"}'])]
    llm = play(tool_answer(*calls), text_answer("One was refused."))
    result = CliRunner().invoke(app, ["agent", "add", "--mcp-config", mcp_config])
    told = [message.content for message in llm.calls[1].messages if message.role == "tool"]
    assert told == ["error: the user refused this call: nobody could be asked", "hi"]
    assert "[test: 10 tools]" in result.stderr
    assert "add was refused: nobody can be asked here; --yes allows every call" in result.stderr


def test_a_conversation_with_tools_goes_on_with_their_results(play: Any, mcp_config: str) -> None:
    llm = play(tool_answer(("c1", "add", ['{"a": 1, "b": 2}'])), text_answer("3."), text_answer("Bye."))
    result = CliRunner().invoke(
        app, ["chat", "--mcp-config", mcp_config, "--yes"], input="1 + 2?\nThank you.\n"
    )
    assert result.exit_code == 0, result.stderr
    assert [message.role for message in llm.calls[2].messages] == [
        "user", "assistant", "tool", "assistant", "user",
    ]  # fmt: skip
    assert "← 3\n" in result.stderr


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


async def test_a_person_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    answers = iter(["what?", "y", "n", "a"])

    def ask(question: str) -> str:
        asked.append(question)
        return next(answers)

    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("builtins.input", ask)
    approver = Approver(lambda text: None)

    async def approved(name: str) -> bool:
        request = ApprovalRequest(
            call_id="c", name=name, own_name=name, arguments='{"x": "\x1b[31m"}', server="s"
        )
        return (await approver(request)).approved

    assert [await approved(name) for name in ("f", "f", "g", "g")] == [True, False, True, True]
    assert len(asked) == 4
    assert asked[0] == 'run f of s with {"x": "�[31m"}? [y]es, [n]o, [a]lways: '


def test_a_server_that_wants_a_sign_in(play: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from running_mcp import guarded_server

    opened: list[str] = []

    def browse(address: str) -> bool:
        opened.append(address)
        return "close this page" in httpx.get(address, follow_redirects=True).text

    monkeypatch.setattr("webbrowser.open", browse)
    monkeypatch.setenv("HOME", str(tmp_path))
    with guarded_server(3600) as url:
        config = tmp_path / "mcp.json"
        config.write_text(json.dumps({"mcpServers": {"guarded": {"url": url, "oauth": True}}}))
        for _ in range(2):
            play(tool_answer(("c1", "whoami", ["{}"])), text_answer("You."))
            result = CliRunner().invoke(app, ["agent", "Who?", "--yes", "--mcp-config", str(config)])
            assert (result.exit_code, result.stdout) == (0, "You.\n")
            assert "← granted" in result.stderr
    assert len(opened) == 1
    assert (tmp_path / ".config" / "candlewick" / "mcp_tokens.json").stat().st_mode & 0o777 == 0o600
