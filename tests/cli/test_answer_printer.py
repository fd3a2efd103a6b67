"""The answer on a terminal: dim thinking, and no control over the terminal for the model."""

from __future__ import annotations

import io
from collections.abc import Iterable

import pytest
from rich.console import Console
from scripted_llm import text_answer, thinking_answer, tool_answer

from candlewick.chat.events import Event
from candlewick.cli import answer_printer
from candlewick.cli.answer_printer import AnswerPrinter, Shown


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """Standard output and error, as a terminal."""
    screen = io.StringIO()
    monkeypatch.setattr(
        answer_printer,
        "Console",
        lambda file, highlight: Console(
            file=screen, highlight=highlight, force_terminal=True, color_system="standard", width=40
        ),
    )
    return screen


def shown_on(screen: io.StringIO, events: Iterable[Event]) -> str:
    AnswerPrinter().show(events)
    return screen.getvalue()


def test_thinking_is_dim_and_stands_on_lines_of_its_own(terminal: io.StringIO) -> None:
    assert shown_on(terminal, thinking_answer(["hm"], "Hel", "lo")) == "\x1b[2mhm\x1b[0m\nHello\n"


def test_nothing_wraps_or_is_taken_for_markup(terminal: io.StringIO) -> None:
    text = "[bold]" + "x" * 100 + "[/] :smile:"
    assert shown_on(terminal, text_answer(*text)) == text + "\n"


def test_the_model_cannot_steer_the_terminal(terminal: io.StringIO) -> None:
    assert shown_on(terminal, text_answer("a\x1b]0;owned\x07b\r\x9b2Jc\n")) == "a]0;ownedb2Jc\n"


def test_tool_calls_are_shown(terminal: io.StringIO) -> None:
    assert "→ f({})" in shown_on(terminal, tool_answer(("c", "f", ["{}"])))


def test_what_was_shown_becomes_a_message() -> None:
    shown = AnswerPrinter().show(thinking_answer(["hm"], "Hel", "lo"))
    assert shown.to_message() == {"role": "assistant", "content": "Hello", "reasoning_content": "hm"}
    called = AnswerPrinter().show(tool_answer(("c", "f", ["{", "}"])), Shown()).to_message()
    assert called["tool_calls"] == [
        {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    ]
