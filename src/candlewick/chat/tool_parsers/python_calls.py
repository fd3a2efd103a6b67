"""Calls written as Python: ``<code>get_weather(place="Paris")</code>`` (SmolLM3), ``[f(x=1), g()]`` (Llama
3.2 and 4).

The code is parsed, never run: calls of offered tools with literal arguments count, anything else is text. A
call is passed on when its code is whole. Tools whose names are none in Python (``search-web``) may be called too.
"""

from __future__ import annotations

import ast
import json
import keyword
import re
import warnings
from collections.abc import Sequence
from typing import ClassVar

from candlewick.chat.messages import Tool
from candlewick.chat.tool_parsers.call_syntax import CallSyntax
from candlewick.chat.tool_parsers.tool_format import (
    CallReader,
    CallSink,
    MalformedCallError,
    ToolFormat,
)

_MAX_LENGTH = 100_000
_QUOTES = ("'", '"')
_STRING = r"""(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')"""


def _read_code_block(sink: CallSink, tools: Sequence[Tool]) -> CallReader:
    text = ""
    while not text.endswith("</code>"):
        if not (char := (yield)):
            raise MalformedCallError("'</code>' is missing")
        text += char
    code = _parse(text.removesuffix("</code>").strip(), tools)
    _report([_expression(statement) for statement in code.body], sink, tools)


def _read_list(sink: CallSink, tools: Sequence[Tool]) -> CallReader:
    char = yield
    if char != "[":
        raise MalformedCallError("expected '['")
    code: list[str] = []
    yield from read_balanced(char, code)
    statements = _parse(code[0], tools).body
    expression = _expression(statements[0]) if len(statements) == 1 else None
    if not isinstance(expression, ast.List):
        raise MalformedCallError("expected a list of calls")
    _report(expression.elts, sink, tools)


def read_balanced(char: str, into: list[str]) -> CallReader:
    """Collect code up to the bracket that closes its first one, without asking for what comes after."""
    text = ""
    depth, quote, is_escaped = 0, "", False
    while True:
        if not char:
            raise MalformedCallError("a bracket is not closed")
        text += char
        if is_escaped:
            is_escaped = False
        elif quote:
            is_escaped = char == "\\"
            quote = "" if char == quote else quote
        elif char in _QUOTES:
            quote = char
        else:
            depth += (char in "[({") - (char in "])}")
            if char in "])}" and depth <= 0:
                break
        char = yield
    into.append(text)


def report_method_call(code: str, sink: CallSink, tools: Sequence[Tool]) -> None:
    """Report ``name.call(key=value)``, as Llama 3 calls the tools that it was trained with."""
    statements = _parse(code, tools).body
    expression = _expression(statements[0]) if len(statements) == 1 else None
    if not (
        isinstance(expression, ast.Call)
        and isinstance(expression.func, ast.Attribute)
        and expression.func.attr == "call"
    ):
        raise MalformedCallError("expected name.call(…)")
    expression.func = expression.func.value
    _report([expression], sink, tools)


def _parse(code: str, tools: Sequence[Tool]) -> ast.Module:
    if len(code) > _MAX_LENGTH:
        raise MalformedCallError("the code is too long")
    code = _with_identifiers(code, tools)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a model's odd escapes are no news for our user
            return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise MalformedCallError(f"no Python: {error}") from None


def _with_identifiers(code: str, tools: Sequence[Tool]) -> str:
    """``code`` with the tools called by names that Python has, but not inside of strings."""
    names = {tool.name: _identifier(tool.name) for tool in tools}
    odd = sorted((name for name, known in names.items() if name != known), key=len, reverse=True)
    if not odd:
        return code
    called = re.compile(
        rf"{_STRING}|(?<![\w.-])(?P<name>{'|'.join(map(re.escape, odd))})(?=\s*\(|\.call\()", re.DOTALL
    )
    return called.sub(lambda found: names[found["name"]] if found["name"] else found[0], code)


def _identifier(name: str) -> str:
    """A tool's name in Python: its own if it can be one."""
    return name if name.isidentifier() and not keyword.iskeyword(name) else f"tool_{name.encode().hex()}"


def _expression(statement: ast.stmt) -> ast.expr:
    if not isinstance(statement, ast.Expr | ast.Assign):
        raise MalformedCallError("only calls may stand here")
    return statement.value


def _report(expressions: Sequence[ast.expr], sink: CallSink, tools: Sequence[Tool]) -> None:
    calls = [_call(expression, tools) for expression in expressions]
    if not calls:
        raise MalformedCallError("there is no call")
    for name, arguments in calls:
        sink.start(name)
        sink.arguments(arguments)
        sink.end()


def _call(expression: ast.expr, tools: Sequence[Tool]) -> tuple[str, str]:
    if isinstance(expression, ast.Call) and isinstance(expression.func, ast.Name):
        if expression.func.id == "print" and len(expression.args) == 1 and not expression.keywords:
            return _call(expression.args[0], tools)  # models print what a tool returns
        for tool in tools:
            if _identifier(tool.name) == expression.func.id:
                return tool.name, _arguments(expression, tool)
    raise MalformedCallError(f"no call of a tool: {ast.unparse(expression)[:80]}")


def _arguments(call: ast.Call, tool: Tool) -> str:
    names = list(tool.properties)
    if len(call.args) > len(names):
        raise MalformedCallError(f"{tool.name} takes {len(names)} arguments")
    try:
        arguments = {name: _value(value) for name, value in zip(names, call.args, strict=False)}
        for keyword in call.keywords:
            if keyword.arg is None or keyword.arg in arguments:
                raise MalformedCallError("an argument has no name, or is given twice")
            arguments[keyword.arg] = _value(keyword.value)
        return json.dumps(arguments, ensure_ascii=False, allow_nan=False)
    except (ValueError, TypeError, RecursionError, MemoryError, SyntaxError) as error:
        raise MalformedCallError(f"an argument is no plain value: {error}") from None


def _value(expression: ast.expr) -> object:
    return ast.literal_eval(_JSONWords().visit(expression))


class _JSONWords(ast.NodeTransformer):
    """Models that think of JSON write its words for Python's."""

    _WORDS: ClassVar = {"true": True, "false": False, "null": None}

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.Constant(self._WORDS[node.id]) if node.id in self._WORDS else node


CODE_FORMAT = ToolFormat(
    name="python_code",
    markers=("<code>",),
    read=_read_code_block,
    signs=("<code>", "python_tools"),
    syntaxes=(
        CallSyntax("$name($arguments)", begin="<code>", between="\n", end="</code>", arguments="python"),
    ),
)
LIST_FORMAT = ToolFormat(
    name="pythonic",
    markers=("<|python_start|>",),
    read=_read_list,
    signs=("[func_name1(params_name1=",),
    tokens=("<|python_start|>",),
    openers="[",
    syntaxes=(CallSyntax("$name($arguments)", begin="[", between=", ", end="]", arguments="python"),),
)
