"""The demonstration tools, and ``candlewick run`` with them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_llm import ScriptedLLM, text_answer, tool_answer
from typer.testing import CliRunner

from candlewick.cli import loading
from candlewick.cli.app import app
from candlewick.cli.demo_tools import calculate, choose_tools
from candlewick.cli.run import MOST_CALLS
from candlewick.responses import ResponsesSession


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Any:
    """``play(script)`` makes every command with tools load a model of this script."""

    def prepare(script: Any) -> ScriptedLLM:
        llm = ScriptedLLM(script)
        monkeypatch.setattr(loading, "load_model_for_tools", lambda reference, **options: llm)
        return llm

    return prepare


def call(name: str, arguments: str) -> str:
    """What the model is told that calls a demonstration tool."""
    (tool,) = choose_tools(name)
    made = iter([tool_answer(("c1", name, [arguments])), text_answer("So.")])
    llm = ScriptedLLM(lambda call: next(made))
    session = ResponsesSession(llm, tools=[tool.to_executable()])
    asyncio.run(session.run_conversation([{"role": "user", "content": "?"}]))
    return str(llm.calls[1].messages[-1].content)


def test_the_model_gets_its_tools_results(play: Any) -> None:
    answers = iter([tool_answer(("c1", "calculator", ['{"expression": "6*7"}'])), text_answer("It is 42.")])
    llm = play(lambda call: next(answers))
    result = CliRunner().invoke(app, ["run", "6*7?", "--tools", "calculator,dice"])
    assert result.stdout == "It is 42.\n"
    assert result.stderr == '→ calculator({"expression": "6*7"})\n← 42\n'
    assert [tool.name for tool in llm.calls[0].tools] == ["calculator", "dice"]
    assert [(message.role, message.content) for message in llm.calls[1].messages] == [
        ("user", "6*7?"),
        ("assistant", None),
        ("tool", "42"),
    ]
    assert llm.health_status == "closed"


def test_the_loop_ends_without_tools(play: Any) -> None:
    ids = itertools.count()
    llm = play(
        lambda call: (
            tool_answer((f"c{next(ids)}", "clock", ["{}"])) if call.tools else text_answer("It is late.")
        )
    )
    result = CliRunner().invoke(app, ["run", "time?", "--tools", "clock"])
    assert (result.exit_code, result.stdout) == (0, "It is late.\n")
    assert [bool(made.tools) for made in llm.calls] == [True] * MOST_CALLS + [False]


def test_an_unknown_tool_is_refused(play: Any) -> None:
    result = CliRunner().invoke(app, ["run", "hi", "--tools", "clock,shell"])
    assert (result.exit_code, result.stderr) == (
        2,
        "candlewick: there is no tool 'shell'; choose from calculator, clock, dice\n",
    )
    assert choose_tools(None) == []
    assert [tool.name for tool in choose_tools("dice, clock,dice")] == ["dice", "clock"]


numbers = st.integers(0, 999) | st.floats(0, 999, allow_nan=False).map(lambda number: round(number, 3))
expressions = st.recursive(
    numbers.map(str),
    lambda inner: st.tuples(inner, st.sampled_from(["+", "-", "*"]), inner).map(
        lambda e: f"({e[0]} {e[1]} {e[2]})"
    ),
    max_leaves=4,
)


@given(expressions)
def test_it_calculates_as_python_does(expression: str) -> None:
    assert calculate(expression) == f"{eval(expression):.12g}"


@pytest.mark.parametrize(
    "expression", ["__import__('os')", "2**9**9", "a", "1 if 1 else 2", "", "True", "'a'*9", "1_0 +"]
)
def test_it_calculates_nothing_else(expression: str) -> None:
    assert call("calculator", json.dumps({"expression": expression})).startswith("error: ")


@given(st.text(max_size=30))
def test_no_expression_breaks_it(expression: str) -> None:
    with contextlib.suppress(ValueError):
        assert calculate(expression)


@pytest.mark.parametrize(
    ("name", "arguments", "answer"),
    [
        ("calculator", '{"expression": "1/0"}', "error: division by zero"),
        ("calculator", '{"expression": "9e14*9e14"}', "error: numbers beyond 1e+15 are not understood"),
        ("dice", '{"count": 1000}', "error: count must be from 1 to 100 and sides from 2 to 1000"),
    ],
)
def test_what_goes_wrong_is_told_to_the_model(name: str, arguments: str, answer: str) -> None:
    assert call(name, arguments) == answer


def test_wrong_arguments_are_told_to_the_model() -> None:
    assert "unexpected keyword argument 'zone'" in call("clock", '{"zone": "UTC"}')
    assert call("dice", '{"count": "many"}').startswith("error: ")


def test_dice_fall_within_their_sides() -> None:
    rolls = [int(roll) for roll in call("dice", '{"count": 100, "sides": 3}').split()]
    assert len(rolls) == 100
    assert set(rolls) <= {1, 2, 3}
