"""Reading JSON character by character: values are checked as they stream by (RFC 8259).

One leniency: a control character inside a string, which models write now and then, is passed on escaped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence

from candlewick.chat.messages import Tool
from candlewick.chat.tool_parsers.tool_format import (
    SPACE,
    CallReader,
    CallSink,
    MalformedCallError,
    Scan,
    scan_space,
)

Write = Callable[[str], object]

_MAX_DEPTH = 100
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?", re.ASCII)
_WORDS = frozenset({"true", "false", "null"})
_HEX = frozenset("0123456789abcdefABCDEF")
_SCALAR = frozenset("abcdefghijklmnopqrstuvwxyzE0123456789+-.")
_NAME_KEYS = frozenset({"name", "function"})
_ARGUMENT_KEYS = frozenset({"arguments", "parameters"})


def scan_value(char: str, write: Write, depth: int = 0) -> Scan:
    """Pass over one JSON value, giving its text to ``write`` piece by piece."""
    if char in ("{", "["):
        return (yield from _scan_items(char, write, _nothing, depth))
    if char == '"':
        return (yield from scan_string(char, write))
    text = ""
    while char and char in _SCALAR:
        text += char
        write(char)
        char = yield
    if not is_scalar(text):
        raise MalformedCallError(f"{text + char!r} is no JSON value")
    return char


def is_scalar(text: str) -> bool:
    """Whether ``text`` is a number, a truth value or null."""
    return text in _WORDS or _NUMBER.fullmatch(text) is not None


def scan_object(char: str, write: Write, ended: Callable[[], object]) -> Scan:
    """Pass over one JSON object; ``ended`` is called while its last character is at hand."""
    if char != "{":
        raise MalformedCallError("expected an object")
    return (yield from _scan_items(char, write, ended, 0))


def scan_string(char: str, write: Write) -> Scan:
    """Pass over one JSON string."""
    if char != '"':
        raise MalformedCallError("expected a string")
    write(char)
    while (char := (yield)) != '"':
        if not char:
            raise MalformedCallError("a string is not closed")
        if char == "\\":
            yield from _scan_escape(write)
        else:
            write(char if char >= " " else json.dumps(char)[1:-1])
    write(char)
    return (yield)


def _scan_escape(write: Write) -> Scan:
    write("\\")
    char = yield
    write(char)
    if not char or char not in '"\\/bfnrtu':
        raise MalformedCallError(f"\\{char} is no escape of JSON")
    if char == "u":
        for _ in range(4):
            char = yield
            write(char)
            if char not in _HEX:
                raise MalformedCallError("\\u wants four hexadecimal digits")
    return ""


def _scan_items(char: str, write: Write, ended: Callable[[], object], depth: int) -> Scan:
    if depth > _MAX_DEPTH:
        raise MalformedCallError(f"nested more than {_MAX_DEPTH} levels deep")
    closing = "}" if char == "{" else "]"
    write(char)
    char = yield from _copy_space((yield), write)
    is_first = True
    while char != closing:
        if not is_first:
            if char != ",":
                raise MalformedCallError(f"expected ',' or {closing!r}")
            write(char)
            char = yield from _copy_space((yield), write)
        is_first = False
        if closing == "}":
            char = yield from _copy_space((yield from scan_string(char, write)), write)
            if char != ":":
                raise MalformedCallError("expected ':' after a key")
            write(char)
            char = yield from _copy_space((yield), write)
        char = yield from _copy_space((yield from scan_value(char, write, depth + 1)), write)
    write(char)
    ended()
    return (yield)


def _nothing(text: str = "") -> None:
    pass


def _copy_space(char: str, write: Write) -> Scan:
    while char in SPACE:
        write(char)
        char = yield
    return char


def read_call(char: str, sink: CallSink, names: frozenset[str] | None = None) -> Scan:
    """Read a call written as an object: ``{"name": …, "arguments": {…}}``, or ``parameters`` in place of the
    latter.

    The arguments stream out as soon as the name is known. They may be missing or ``null`` (no arguments), or
    JSON text inside a string. Other keys are passed over.

    Args:
        names: the only names that make this a call; ``None`` allows any.
    """
    if char != "{":
        raise MalformedCallError("expected '{'")
    name: str | None = None
    waiting: list[str] | None = None  # arguments that came before the name
    has_arguments = False
    char = yield from scan_space((yield))
    while char != "}":
        key_text: list[str] = []
        char = yield from scan_space((yield from scan_string(char, key_text.append)))
        if char != ":":
            raise MalformedCallError("expected ':' after a key")
        char = yield from scan_space((yield))
        key = json.loads("".join(key_text))
        # Llama 3 writes "function" for "name" now and then; where that is an object it is something else.
        if key in _NAME_KEYS and name is None and (key == "name" or char == '"'):
            name_text: list[str] = []
            char = yield from scan_string(char, name_text.append)
            name = json.loads("".join(name_text))
            if not name or (names is not None and name not in names):
                raise MalformedCallError(f"{name!r} is no function")
            sink.start(name)
            for text in waiting or ():
                sink.arguments(text)
        elif key in _ARGUMENT_KEYS and not has_arguments:
            has_arguments = True
            waiting = []
            char = yield from read_arguments(char, waiting.append if name is None else sink.arguments)
        elif key == "name" or key in _ARGUMENT_KEYS:
            raise MalformedCallError(f"{key!r} stands twice")
        else:
            char = yield from scan_value(char, _nothing)
        char = yield from scan_space(char)
        if char == ",":
            char = yield from scan_space((yield))
            if char == "}":
                raise MalformedCallError("expected a key after ','")
        elif char != "}":
            raise MalformedCallError("expected ',' or '}'")
    if name is None:
        raise MalformedCallError("a call has no name")
    if not has_arguments:
        sink.arguments("{}")
    sink.end()
    return (yield)


def read_arguments(char: str, write: Write) -> Scan:
    """Read arguments: an object, an object's text inside a string, or ``null`` for none."""
    if char == "{":
        return (yield from scan_value(char, write))
    texts: list[str] = []
    char = yield from scan_value(char, texts.append)
    value = json.loads("".join(texts))
    if isinstance(value, str):
        write(object_text(value))
    elif value is None:
        write("{}")
    else:
        raise MalformedCallError("arguments are no object")
    return char


def object_text(text: str) -> str:
    """``text`` if it is JSON of an object, else an error."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise MalformedCallError("arguments are no object")
    return json.dumps(value, ensure_ascii=False)


def read_calls(char: str, sink: CallSink) -> Scan:
    """Read an array of calls."""
    if char != "[":
        raise MalformedCallError("expected '['")
    char = yield from scan_space((yield))
    while char != "]":
        char = yield from scan_space((yield from read_call(char, sink)))
        if char == ",":
            char = yield from scan_space((yield))
        elif char != "]":
            raise MalformedCallError("expected ',' or ']'")
    sink.passed()
    return (yield)


def read_object_message(sink: CallSink, tools: Sequence[Tool]) -> CallReader:
    """Read a message that is a call's arguments; an empty one stands for no arguments."""
    if char := (yield from scan_space((yield))):
        yield from scan_object(char, sink.arguments, sink.end)
    else:
        sink.arguments("{}")
        sink.end()
