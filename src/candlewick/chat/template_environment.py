"""The sandbox in which chat templates run: minijinja, set up to render as transformers' jinja2 environment
does.

Owns filters, tests, globals and limits. Refuses to know messages and tokens. A template comes with a model
file and is not trusted: it sees plain JSON values only, reaches no file and no Python object, and stops when
its fuel is used up. (The fuel bounds the number of steps, not the size of the strings that a template builds
in them.)
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import minijinja

from candlewick.core.errors import InvalidRequestError, TemplateError


class Float:
    """A float as templates see it: it prints as Python prints floats.

    minijinja writes out exponents and hands whole floats to filters as integers, so ``1.0`` would become
    ``1`` in a schema. Templates print numbers and ask what they are; they don't calculate with a caller's
    numbers.
    """

    __slots__ = ("_value",)

    def __init__(self, value: float) -> None:
        self._value = value

    def __repr__(self) -> str:
        return repr(self._value)

    def __bool__(self) -> bool:
        return self._value != 0.0

    def __eq__(self, other: object) -> bool:
        return self._value == (other._value if isinstance(other, Float) else other)

    def __hash__(self) -> int:
        return hash(self._value)


JSONValue = None | bool | int | Float | str | list[Any] | dict[str, Any]
"""What templates are given."""

FUEL = 2_000_000
"""Steps one rendering may take: enough for thousands of messages, used up by an endless loop in about 0.1 s.
"""

MAX_DEPTH = 100
"""Levels of nesting in a value given to a template."""

_GENERATION_TAGS = re.compile(r"\{%([-+]?)\s*(?:end)?generation\s*([-+]?)%\}")
_HTML_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&#34;", "'": "&#39;"})


class CompiledTemplate:
    """A chat template, ready to render.

    Raises:
        TemplateError: the template's syntax is broken; the message holds minijinja's own and the line.
    """

    def __init__(self, source: str, name: str) -> None:
        self.source = source
        self.name = name
        self._environment = _new_environment()
        with _template_errors(name, source):
            self._environment.add_template(name, _without_generation_tags(source))

    def render(self, variables: Mapping[str, JSONValue]) -> str:
        """The text for these variables.

        Raises:
            TemplateError: the template refused (``raise_exception``), failed or used up its fuel.
        """
        with _template_errors(self.name, self.source):
            return str(self._environment.render_template(self.name, **variables))


def plain_json(value: object, where: str, depth: int = 0) -> JSONValue:
    """``value`` rebuilt from plain JSON types, because a template could call the methods of any other object.

    Raises:
        InvalidRequestError: something in it is not JSON, is nested too deeply or is not valid Unicode;
        ``where`` is
            the start of the path that the error names.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return Float(float(value))
    if isinstance(value, str):
        return _valid_text(str(value), where)
    if depth == MAX_DEPTH:
        raise InvalidRequestError(f"{where} is nested more than {MAX_DEPTH} levels deep", where)
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise InvalidRequestError(f"{where} must have text as keys, got {key!r}", where)
        return {
            _valid_text(str(key), where): plain_json(item, f"{where}.{key}", depth + 1)
            for key, item in value.items()
        }
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        return [plain_json(item, f"{where}[{index}]", depth + 1) for index, item in enumerate(value)]
    raise InvalidRequestError(f"{where} must be a JSON value, got a {type(value).__name__}", where)


def _valid_text(text: str, where: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequestError(
            f"{where} is not valid Unicode: half of a surrogate pair at character {error.start}", where
        ) from None
    return text


class _Refusal(Exception):
    """A template called ``raise_exception``."""


@contextmanager
def _template_errors(name: str, source: str) -> Iterator[None]:
    """Turn every failure of a template into a :class:`TemplateError` that names the template and the line."""
    try:
        yield
    except _Refusal as refusal:
        line = _line_of(str(refusal), source)
        raise TemplateError(
            f"the chat template {name!r} refused the messages{line}: {refusal}", "messages"
        ) from None
    except minijinja.TemplateError as error:
        line = f" at line {error.line}" if error.line else ""
        reason = error.detail or error.message
        raise TemplateError(f"the chat template {name!r} failed{line}: {reason}", "messages") from error
    except Exception as error:
        # A filter of ours was called with arguments that it can't take.
        raise TemplateError(
            f"the chat template {name!r} failed: {type(error).__name__}: {error}", "messages"
        ) from error


def _line_of(message: str, source: str) -> str:
    """Where a refusal stands: an exception of ours carries no line, but its text usually stands in the source
    once.
    """
    return (
        f" at line {source[: source.index(message)].count(chr(10)) + 1}" if source.count(message) == 1 else ""
    )


def _without_generation_tags(source: str) -> str:
    """``{% generation %}`` marks answers for training and renders nothing; an empty comment keeps the
    whitespace.
    """
    return _GENERATION_TAGS.sub(r"{#\1 \2#}", source)


def _new_environment() -> minijinja.Environment:
    environment = minijinja.Environment(
        trim_blocks=True,
        lstrip_blocks=True,
        auto_escape_callback=lambda name: False,
        fuel=FUEL,
        debug=True,
    )
    environment.add_filter("tojson", to_json)
    environment.add_filter("e", _escape)
    environment.add_filter("escape", _escape)
    environment.add_test("iterable", lambda value: hasattr(value, "__iter__"))
    environment.add_test("number", lambda value: isinstance(value, int | float | Float))
    environment.add_test("float", lambda value: isinstance(value, float | Float))
    environment.add_global("raise_exception", _raise_exception)
    environment.add_global("strftime_now", _strftime_now)
    return environment


def to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: Sequence[str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON text as transformers' ``tojson`` writes it: Python's, with all of Unicode left as it is."""
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=None if separators is None else (separators[0], separators[1]),
        sort_keys=sort_keys,
        default=_float_value,
    )


def _float_value(value: object) -> float:
    if isinstance(value, Float):
        return value._value
    raise TypeError(f"a {type(value).__name__} can't be written as JSON")


def _escape(value: Any) -> str:
    return str(value).translate(_HTML_ESCAPES)


def _raise_exception(message: Any) -> None:
    raise _Refusal(str(message))


def _strftime_now(format: str) -> str:
    return datetime.now().strftime(format)
