"""Grammars of calls: what a format's writing, a vocabulary and the schemas of tools allow together.

Owns the Lark rules of calls and of their arguments. Refuses to know when calls are forced
(:mod:`candlewick.chat.answer_grammar`) and how a grammar is applied.
"""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from candlewick.chat.messages import Tool
from candlewick.chat.tool_parsers.call_syntax import CallSyntax
from candlewick.core.constraint import Constraint, choice_expression, regex_expression, text_expression
from candlewick.core.errors import InvalidRequestError
from candlewick.core.grammar import require_followable

_PLACE = re.compile(r"(\$(?:name|arguments|key|value))")
# What a schema of a plain text may say: the text has no quotes, so JSON's rules for strings don't apply to it.
_TEXT_KEYWORDS = frozenset({"type", "enum", "const", "minLength", "maxLength"})
_REFERENCE_KEYWORDS = ("$defs", "definitions")
_CALLABLE_NAME = re.compile(r"[\w./:-]+", re.ASCII)
_SHORT_TEXT = "[^<\\r\\n]"
_TAG = re.compile("<[^>]*>")
# Python reads a JSON string as it is meant if it has no other escapes than these.
_PYTHON_JSON = {"json_allowed_escapes": '"\\bfnrt'}


class MarkerVocabulary(Protocol):
    """What grammars need to know of the tokenizer."""

    @property
    def markers(self) -> Mapping[str, int]: ...
    def id_of(self, text: str) -> int | None: ...


class GrammarRules:
    """The rules of one grammar while it is written; ``parts`` are what its ``@…`` stand for."""

    def __init__(self, vocabulary: MarkerVocabulary) -> None:
        self.parts: dict[str, Constraint] = {}
        self._vocabulary = vocabulary
        self._rules: list[str] = []

    def grammar(self, start: str) -> Constraint:
        """The whole grammar, whose answers are ``start``."""
        return Constraint.lark("\n".join([f"start: {start}", *self._rules]), **self.parts)

    def rule(self, expression: str, attributes: str = "") -> str:
        """Add a rule; returns its name."""
        name = f"rule_{len(self._rules)}"
        self._rules.append(f"{name}{attributes}: {expression}")
        return name

    def terminal(self, expression: str) -> str:
        """Add a terminal, which may be an intersection (``&``) or a complement (``~``); returns its name."""
        name = f"TERMINAL_{len(self._rules)}"
        self._rules.append(f"{name}: {expression}")
        return name

    def part(self, constraint: Constraint) -> str:
        """Add a part; returns what stands for it."""
        name = f"part_{len(self.parts)}"
        self.parts[name] = constraint
        return f"@{name}"

    def marked(self, text: str) -> str:
        """A text of our own, whose markers are tokens where the vocabulary has them."""
        markers = [marker for marker in self._vocabulary.markers if marker in text]
        if not markers:
            return text_expression(text) if text else ""
        pieces = re.split("(" + "|".join(map(re.escape, sorted(markers, key=len, reverse=True))) + ")", text)
        return " ".join(
            f"<[{self._vocabulary.markers[piece]}]>" if piece in markers else text_expression(piece)
            for piece in pieces
            if piece
        )

    def has_token(self, text: str) -> bool:
        return self._vocabulary.id_of(text) is not None


def calls_expression(
    syntaxes: Sequence[CallSyntax],
    tools: Sequence[Tool],
    rules: GrammarRules,
    *,
    several: bool,
    is_strict: bool,
) -> str:
    """Calls of these tools, one or, if ``several``, any number.

    Args:
        is_strict: whether the arguments of every tool must follow its schema; else each tool says so itself
            (:attr:`Tool.strict`), and where they need not, they are any object.

    Raises:
        InvalidRequestError: a tool's name or arguments can't be written so; ``parameter`` names the tool.
    """
    known = [syntax for syntax in syntaxes if not syntax.needs or rules.has_token(syntax.needs)]
    return _either([_calls(syntax, tools, rules, several=several, is_strict=is_strict) for syntax in known])


def _calls(
    syntax: CallSyntax, tools: Sequence[Tool], rules: GrammarRules, *, several: bool, is_strict: bool
) -> str:
    call = rules.rule(_either([_call(syntax, tool, rules, is_strict) for tool in tools]))
    more = f"({rules.marked(syntax.between)} {call})*" if several and syntax.between is not None else ""
    return rules.rule(" ".join([rules.marked(syntax.begin), call, more, rules.marked(syntax.end)]))


def _call(syntax: CallSyntax, tool: Tool, rules: GrammarRules, is_strict: bool) -> str:
    schema = _arguments_schema(tool, must_follow=is_strict or bool(tool.strict) or syntax.arguments != "json")
    if syntax.arguments == "json":
        arguments = rules.part(Constraint.json_schema(schema))
    elif syntax.arguments == "text":
        arguments = rules.rule(_each_argument(syntax, tool, schema, rules))
    else:
        if not _CALLABLE_NAME.fullmatch(tool.name):
            raise _refusal(
                tool, "its name can't stand before a parenthesis, as calls are written by this model"
            )
        arguments = _keyword_arguments(tool, schema, rules)
    return _filled(syntax.call, rules, {"$name": _name_in(syntax.call, tool.name), "$arguments": arguments})


def _arguments_schema(tool: Tool, *, must_follow: bool) -> dict[str, Any]:
    """What the arguments follow: the tool's schema, or any object where it need not or can't be followed."""
    # An argument that no schema speaks of means nothing to the function; where a schema names none at all, any may do.
    is_closed = must_follow or "properties" in tool.parameters
    closed = {"additionalProperties": False} if is_closed else {}
    schema = {"type": "object", **closed, **tool.parameters}
    if must_follow:
        _require_followable(schema, tool)
        return schema
    if tool.strict is None:
        try:
            _require_followable(schema, tool)
            return schema
        except InvalidRequestError:
            pass
    return {"type": "object"}


def _filled(template: str, rules: GrammarRules, values: Mapping[str, str]) -> str:
    pieces = _PLACE.split(template)
    return " ".join(values[piece] if piece in values else rules.marked(piece) for piece in pieces if piece)


def _name_in(template: str, name: str) -> str:
    """What the user calls the function: never a marker, and as JSON writes it where it stands in JSON."""
    return text_expression(
        json.dumps(name, ensure_ascii=False)[1:-1] if '{"name": "$name"' in template else name
    )


def _each_argument(syntax: CallSyntax, tool: Tool, schema: Mapping[str, Any], rules: GrammarRules) -> str:
    """Arguments that stand by themselves, in the schema's order."""
    before, after = syntax.argument.split("$value")
    expressions = []
    for key, value_schema, is_required in _properties(schema, tool):
        if any(char in key for char in '<>"\n'):
            raise _refusal(tool, f"the argument {key!r} can't be written between tags")
        value = _text_value(value_schema, schema, after, rules, tool, key)
        argument = f"{_filled(before, rules, {'$key': text_expression(key)})} {value}"
        expressions.append(argument if is_required else f"({argument})?")
    return " ".join(expressions) or '""'


def _text_value(
    schema: Any, root: Mapping[str, Any], after: str, rules: GrammarRules, tool: Tool, key: str
) -> str:
    """A value and what stands after it; a text has no quotes, anything else is JSON."""
    ending = rules.marked(after)
    kinds = schema.get("type") if isinstance(schema, Mapping) else None
    if kinds != "string" and not (isinstance(kinds, list) and "string" in kinds):
        return f"{rules.part(_json_of(schema, root))} {ending}"
    if unknown := sorted(_constraining(schema) - _TEXT_KEYWORDS):
        raise _refusal(tool, f"{key!r} is written as plain text, for which {unknown[0]!r} can't be followed")
    texts = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if texts is not None:
        fitting = [text for text in texts if isinstance(text, str) and text and "<" not in text]
        if not fitting:
            raise _refusal(tool, f"{key!r} has no value that can be written as plain text")
        return f"{choice_expression(fitting)} {ending}"
    if "minLength" in schema or "maxLength" in schema:
        lengths = f"{{{schema.get('minLength', 0)},{schema.get('maxLength', '')}}}"
        expression = regex_expression(_SHORT_TEXT + lengths)
        return f"{expression} {ending}"
    return _any_text(after, rules)


def _any_text(after: str, rules: GrammarRules) -> str:
    """Text of any length up to the closing tag in ``after``, and ``after``."""
    tag = _TAG.search(after)
    assert tag is not None, f"{after!r} closes nothing"
    marked, rest = rules.marked(tag[0]), rules.marked(after[tag.end() :])
    if marked == text_expression(tag[0]):
        # A line break before the tag is as good as part of the text: readers drop it.
        return f"{rules.rule('/(?s:.*)/', f'[suffix={marked}]')} {rest}"
    return f"/(?s:.*)/ {marked} {rest}" if " " not in marked else f"/[^<]*/ {rules.marked(after)}"


def _keyword_arguments(tool: Tool, schema: Mapping[str, Any], rules: GrammarRules) -> str:
    """``a=1, b="x"``, in the schema's order; JSON's values are read as Python's."""
    after = first = rules.rule('""')
    for key, value_schema, is_required in reversed(_properties(schema, tool)):
        if not key.isidentifier() or not key.isascii() or keyword.iskeyword(key):
            raise _refusal(
                tool, f"the argument {key!r} is no name in Python, in which this model writes its calls"
            )
        value = rules.part(_json_of(value_schema, schema, options=_PYTHON_JSON))
        argument = f"{text_expression(key + '=')} {value}"
        written = [f"{argument} {after}"]
        first_here = rules.rule(_either(written if is_required else [*written, first]))
        after = rules.rule(_either([f'", " {argument} {after}', *([] if is_required else [after])]))
        first = first_here
    return first


def _properties(schema: Mapping[str, Any], tool: Tool) -> list[tuple[str, Any, bool]]:
    """Name, schema and whether it is required, of each argument."""
    if unknown := sorted(_constraining(schema) - {"type", "properties", "required", "additionalProperties"}):
        raise _refusal(
            tool, f"in this model's format {unknown[0]!r} can't be followed for the arguments as a whole"
        )
    properties, required = schema.get("properties", {}), schema.get("required", [])
    if missing := [name for name in required if name not in properties]:
        raise _refusal(tool, f"the required argument {missing[0]!r} has no schema")
    return [(name, value, name in required) for name, value in properties.items()]


def _constraining(schema: Mapping[str, Any]) -> set[str]:
    """Keywords that say what a value must be, and not what it is about."""
    about = {"title", "description", "default", "examples", "deprecated", "$schema", "$comment", "$id"}
    return {name for name in schema if not name.startswith("x-")} - about - set(_REFERENCE_KEYWORDS)


def _json_of(schema: Any, root: Mapping[str, Any], options: Mapping[str, Any] | None = None) -> Constraint:
    """A value by itself, with the definitions that its schema may refer to."""
    if isinstance(schema, Mapping):
        schema = {**{name: root[name] for name in _REFERENCE_KEYWORDS if name in root}, **schema}
    return Constraint.json_schema(schema, options=options)


def _require_followable(schema: Mapping[str, Any], tool: Tool) -> None:
    """Have the compiler's word on a schema itself, so that its error can name the tool."""
    try:
        require_followable(Constraint.json_schema(schema))
    except InvalidRequestError as error:
        raise _refusal(tool, str(error)) from None


def _refusal(tool: Tool, reason: str) -> InvalidRequestError:
    return InvalidRequestError(f"calls of the tool {tool.name!r} can't be guaranteed: {reason}", "tools")


def _either(expressions: Sequence[str]) -> str:
    return "(" + " | ".join(expressions) + ")"
