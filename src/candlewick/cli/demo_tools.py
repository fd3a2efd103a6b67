"""Three harmless tools, so that a newcomer sees a model think, call a tool and use its result.

Refuses to know when they are called: that is the agent loop's.
"""

from __future__ import annotations

import ast
import operator
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from candlewick.chat.messages import Tool
from candlewick.core.errors import InvalidRequestError
from candlewick.responses.tools import ExecutableTool, ToolContext, ToolError, ToolResult

MOST_DICE = 100
LARGEST_NUMBER = 1e15

_OPERATORS: dict[type[ast.AST], Callable[..., float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}


@dataclass(frozen=True)
class DemoTool:
    """A tool: what the model is told of it, and what it does."""

    name: str
    description: str
    properties: dict[str, dict[str, str]]
    required: tuple[str, ...]
    function: Callable[..., str]

    def to_executable(self) -> ExecutableTool:
        """What the agent loop calls; what goes wrong is told to the model in the function's own words."""

        async def execute(arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
            try:
                return ToolResult(text=self.function(**arguments))
            except (TypeError, ValueError, OverflowError) as error:
                raise ToolError(str(error)) from error

        parameters = {"type": "object", "properties": self.properties, "required": list(self.required)}
        definition = Tool(name=self.name, description=self.description, parameters=parameters)
        return ExecutableTool(definition=definition, execute=execute)


def calculate(expression: str) -> str:
    """The value of an expression of numbers, + - * / // % and brackets.

    Raises:
        ValueError: it holds anything else, or a number too large.
    """
    try:
        value = _evaluate(ast.parse(str(expression).strip(), mode="eval").body)
    except (SyntaxError, RecursionError, MemoryError):
        raise ValueError(f"{expression!r} is no expression of numbers") from None
    except ZeroDivisionError:
        raise ValueError("division by zero") from None
    return f"{value:.12g}"


def _evaluate(node: ast.expr) -> float:
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            value: float = number
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            value = _OPERATORS[type(op)](_evaluate(left), _evaluate(right))
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _OPERATORS:
            value = _OPERATORS[type(op)](_evaluate(operand))
        case _:
            raise ValueError("only numbers, + - * / // % and brackets are understood")
    if abs(value) > LARGEST_NUMBER:
        raise ValueError(f"numbers beyond {LARGEST_NUMBER:g} are not understood")
    return value


def read_clock() -> str:
    """Date and time here."""
    return datetime.now().astimezone().strftime("%A, %Y-%m-%d %H:%M:%S %Z")


def roll_dice(count: int = 1, sides: int = 6) -> str:
    """``count`` rolls of a die.

    Raises:
        ValueError: there is no such die.
    """
    count, sides = int(count), int(sides)
    if not (1 <= count <= MOST_DICE and 2 <= sides <= 1000):
        raise ValueError(f"count must be from 1 to {MOST_DICE} and sides from 2 to 1000")
    rolls = [random.randint(1, sides) for _ in range(count)]
    return " ".join(map(str, rolls))


DEMO_TOOLS = {
    tool.name: tool
    for tool in (
        DemoTool(
            "calculator",
            "Calculates the value of an arithmetic expression.",
            {"expression": {"type": "string", "description": "for example 12 * (3 + 4)"}},
            ("expression",),
            calculate,
        ),
        DemoTool("clock", "Tells the current date and time.", {}, (), read_clock),
        DemoTool(
            "dice",
            "Rolls dice.",
            {
                "count": {"type": "integer", "description": "how many dice"},
                "sides": {"type": "integer", "description": "sides of each die"},
            },
            (),
            roll_dice,
        ),
    )
}


def choose_tools(names: str | None) -> list[DemoTool]:
    """The tools of a comma-separated list; ``None`` is an empty one.

    Raises:
        InvalidRequestError: there is no such tool.
    """
    wanted = [name.strip() for name in (names or "").split(",") if name.strip()]
    for name in wanted:
        if name not in DEMO_TOOLS:
            raise InvalidRequestError(
                f"there is no tool {name!r}; choose from {', '.join(DEMO_TOOLS)}", "tools"
            )
    return [DEMO_TOOLS[name] for name in dict.fromkeys(wanted)]
