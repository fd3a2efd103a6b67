"""``candlewick chat``: questions, commands and what Ctrl-C does."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from scripted_chat import ScriptedChat
from scripted_llm import text_answer, thinking_answer
from typer.testing import CliRunner

from candlewick.chat.events import Error, ResponseToken, Start
from candlewick.cli.app import app
from candlewick.cli.chat import COMMANDS, Conversation
from candlewick.core.errors import ContextOverflowError, EngineClosed
from candlewick.core.params import GenerationParams


def talk(llm: ScriptedChat, lines: Iterable[str | type[BaseException]], **settings: Any) -> Conversation:
    """A conversation of these lines; an exception among them is what reading the line raises."""
    remaining: Iterator[str | type[BaseException]] = iter([*lines, EOFError])

    def read_line() -> str:
        line = next(remaining)
        if not isinstance(line, str):
            raise line
        return line

    conversation = Conversation(llm, GenerationParams(), **settings)
    conversation.talk(read_line)
    return conversation


def test_the_model_remembers(capsys: pytest.CaptureFixture[str]) -> None:
    llm = ScriptedChat([thinking_answer(["hm"], "Hello"), text_answer("Again")])
    talk(llm, ["hi", "", "  ", "once more"])
    assert llm.calls[1].messages == [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "Hello", "reasoning_content": "hm"},
        {"role": "user", "content": "once more"},
    ]
    assert capsys.readouterr().out == "Hello\nAgain\n\n"


def test_ctrl_c_stops_the_answer_and_keeps_what_came() -> None:
    llm = ScriptedChat([[Start("a", "m"), ResponseToken("Hel"), KeyboardInterrupt()], text_answer("ok")])
    talk(llm, ["hi", "go on"])
    assert llm.calls[1].messages[1] == {"role": "assistant", "content": "Hel"}


def test_ctrl_c_at_the_prompt_gives_up_the_line() -> None:
    llm = ScriptedChat([text_answer("ok")])
    talk(llm, [KeyboardInterrupt, "hi"])
    assert len(llm.calls) == 1


@pytest.mark.parametrize(
    "failure", [ContextOverflowError("too long", "messages"), Error("step failed", "EngineOverloaded")]
)
def test_a_failed_question_is_forgotten(failure: Any, capsys: pytest.CaptureFixture[str]) -> None:
    llm = ScriptedChat([[Start("a", "m"), failure], text_answer("ok")])
    talk(llm, ["long", "short"])
    assert llm.calls[1].messages == [{"role": "user", "content": "short"}]
    assert "too long" in (told := capsys.readouterr().err) or "step failed" in told


def test_a_closed_engine_ends_the_talk() -> None:
    with pytest.raises(EngineClosed):
        talk(ScriptedChat([[EngineClosed("closed")]]), ["hi"])


def test_modes_and_system_messages() -> None:
    llm = ScriptedChat([text_answer("ok") for _ in range(4)])
    talk(llm, ["/think", "a", "/no_think", "/system Be brief.", "b", "/clear", "c", "/system", "d"])
    assert [call.thinking for call in llm.calls] == ["think", "no_think", "no_think", "no_think"]
    system = {"role": "system", "content": "Be brief."}
    assert llm.calls[1].messages[0] == system
    assert llm.calls[2].messages == [system, {"role": "user", "content": "c"}]
    assert [message["role"] for message in llm.calls[3].messages] == ["user", "assistant", "user"]


def test_a_conversation_can_be_saved_and_loaded(tmp_path: Path) -> None:
    file = tmp_path / "talk.json"
    first = talk(ScriptedChat([thinking_answer(["hm"], "Hello")]), ["hi", f"/save {file}"])
    second = talk(ScriptedChat([]), [f"/load {file}"])
    assert second.messages == first.messages
    assert [message["role"] for message in second.messages] == ["user", "assistant"]


@pytest.mark.parametrize(
    "content", [None, "{", "[]", '{"messages": 1}', '{"messages": [{"role": "x"}]}', "\udcff"]
)
def test_a_broken_file_leaves_the_conversation(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "talk.json"
    if content is not None:
        file.write_bytes(content.encode("utf-8", "surrogateescape"))
    conversation = talk(
        ScriptedChat([text_answer("ok")]), ["hi", f"/load {file}", f"/save {tmp_path}", "/save"]
    )
    assert len(conversation.messages) == 2


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    talk(ScriptedChat([]), ["/help", "/nonsense"])
    told = capsys.readouterr().err
    assert all(name in told for name in (*COMMANDS, "/exit"))
    assert "there is no command /nonsense" in told


def test_stats_can_be_switched(capsys: pytest.CaptureFixture[str]) -> None:
    talk(ScriptedChat([text_answer("a"), text_answer("b")]), ["hi", "/stats", "hi"])
    assert capsys.readouterr().err.count("answer 1 tokens") == 2


def test_the_command_reads_lines(play: Any) -> None:
    llm = play(text_answer("Hello"), text_answer("never"))
    result = CliRunner().invoke(app, ["chat", "--system", "S", "--think"], input="hi\n/exit\nnot read\n")
    assert (result.exit_code, result.stdout) == (0, "Hello\n")
    assert llm.calls[0].messages[0] == {"role": "system", "content": "S"}
    assert llm.calls[0].thinking == "think"
    assert llm.closed
    assert json.dumps(llm.calls[0].messages)
