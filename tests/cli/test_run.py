"""``candlewick run``: what goes where, in a pipe and on a terminal."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pytest
from scripted_llm import text_answer, thinking_answer
from typer.testing import CliRunner

from candlewick.chat.events import Error, ResponseToken, Start
from candlewick.cli.app import app
from candlewick.cli.run import read_question
from candlewick.core.errors import ContextOverflowError, EngineFailed, InvalidRequestError, ModelNotFoundError


def run(*arguments: str, stdin: str | None = None) -> Any:
    return CliRunner().invoke(app, ["run", *arguments], input=stdin)


def test_the_answer_is_all_that_a_pipe_gets(play: Any) -> None:
    play(thinking_answer(["Let me ", "think."], "Hel", "lo"))
    result = run("hi")
    assert result.exit_code == 0
    assert result.stdout == "Hello\n"
    assert result.stderr == "Let me think.\n"


def test_thinking_can_be_hidden(play: Any) -> None:
    play(thinking_answer(["hm"], "Hello"))
    result = run("hi", "--hide-thinking")
    assert (result.stdout, result.stderr) == ("Hello\n", "")


def test_the_text_is_passed_on_untouched(play: Any) -> None:
    text = "a\tb [bold]c[/bold] \x1b[31m :smile:\n\nü😀\n"
    play(text_answer(*text))
    assert run("hi").stdout == text


def test_options_reach_the_model(play: Any) -> None:
    llm = play(text_answer("ok"))
    run("hi", "-m", "x.gguf", "--system", "Be brief.", "--no-think", "--max-tokens", "7", "--top-p", "0.5",
        "--temperature", "0", "--seed", "3", "--threads", "2", "--context", "64",
        "--draft-model", "small.gguf")  # fmt: skip
    assert llm.loaded == ("x.gguf", {"threads": 2, "context": 64, "draft_model": "small.gguf"})
    call = llm.calls[0]
    assert call.messages == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hi"},
    ]
    assert call.thinking == "no_think"
    params = call.params
    assert (params.max_tokens, params.temperature, params.top_p, params.seed) == (7, 0, 0.5, 3)
    assert llm.closed


@pytest.mark.parametrize("arguments", [("-",), ()])
def test_the_prompt_comes_from_standard_input(play: Any, arguments: tuple[str, ...]) -> None:
    llm = play(text_answer("ok"))
    run(*arguments, stdin="What is\nthis?")
    assert llm.calls[0].messages[-1]["content"] == "What is\nthis?"


def test_stats(play: Any) -> None:
    play(thinking_answer(["hm"], "Hello"))
    assert "prompt 5 tokens (3 cached) · answer 2 tokens (1 thinking)" in run("hi", "--stats").stderr


def test_a_pipe_is_added_to_the_prompt(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"the text\n")
    os.close(writer)
    with open(reader) as pipe:
        assert read_question("Summarise:", pipe) == "Summarise:\n\nthe text"
    (tmp_path / "text").write_text("from a file")
    with (tmp_path / "text").open() as file:
        assert read_question("Summarise:", file) == "Summarise:\n\nfrom a file"


def test_a_device_is_not_read_beside_a_prompt() -> None:
    with open(os.devnull) as nothing:
        assert read_question("hi", nothing) == "hi"
    assert read_question("hi", io.StringIO("not a pipe")) == "hi"


def test_an_empty_prompt_is_refused() -> None:
    with open(os.devnull) as nothing, pytest.raises(InvalidRequestError, match="empty"):
        read_question(None, nothing)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ModelNotFoundError("no model here"), 1),
        (EngineFailed("step failed"), 1),
        (ContextOverflowError("too long", "messages"), 2),
    ],
)
def test_an_error_is_one_line(play: Any, error: Exception, status: int) -> None:
    play([error])
    result = run("hi")
    assert (result.exit_code, result.stderr) == (status, f"candlewick: {error}\n")


def test_an_error_shows_its_origin_when_asked(play: Any) -> None:
    play([EngineFailed("step failed")])
    result = run("hi", "--debug")
    assert isinstance(result.exception, EngineFailed)


def test_an_error_midway_keeps_what_came(play: Any) -> None:
    play([Start("a", "m"), ResponseToken("Hel"), Error("step failed", "EngineFailed")])
    result = run("hi")
    assert (result.exit_code, result.stdout) == (1, "Hel\n")
    assert result.stderr == "candlewick: the answer failed: step failed (EngineFailed)\n"


def test_ctrl_c_ends_with_the_shells_status(play: Any) -> None:
    llm = play([Start("a", "m"), ResponseToken("Hel"), KeyboardInterrupt()])
    result = run("hi")
    assert (result.exit_code, result.stdout) == (130, "Hel\n")
    assert llm.closed


def test_a_wrong_option_is_refused_before_the_model_is_loaded(play: Any) -> None:
    llm = play()
    result = run("hi", "--top-p", "7")
    assert result.exit_code == 2
    assert "top_p must be" in result.stderr
    assert llm.loaded is None
