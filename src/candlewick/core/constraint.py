"""What an answer must look like: JSON of a schema, a regular expression, a grammar, one of a few texts.

Owns the values that a request carries and their translation into one grammar text. Refuses to know how a grammar
is applied (:mod:`candlewick.core.grammar`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from candlewick.core.errors import InvalidRequestError

ConstraintKind = Literal["json_schema", "regex", "lark", "choice"]
JSONObject = dict[str, Any]

# One way to write each value: nothing to draw between two values, so those tokens are skipped ahead, and no
# model can go on for ever in white space.
_JSON_OPTIONS = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
_OPTIONS_KEY = "x-guidance"
_ANSWER = "constrained_answer"


@dataclass(frozen=True)
class Constraint:
    """A form that an answer must have; make one by the four class methods.

    An answer that ends by itself (finish reason ``stop``) has the form; one that was cut off (``length``) is the
    beginning of such a text.
    """

    kind: ConstraintKind
    text: str
    """JSON text of the schema or of the list of texts, the regular expression, the grammar."""
    parts: tuple[tuple[str, Constraint], ...] = field(default=(), kw_only=True)
    """What the names ``@…`` in a Lark grammar stand for."""
    wakes_at: frozenset[int] = field(default=frozenset(), kw_only=True)
    """Token ids: an answer is free, at no cost, until one of them is drawn; only then is it held against the grammar,
    from its beginning. If the grammar does not allow that token there, the answer stays free. Where there is none, an
    answer is bound from its first token."""

    @classmethod
    def json_schema(
        cls, schema: Mapping[str, Any] | bool, *, options: Mapping[str, Any] | None = None
    ) -> Constraint:
        """JSON that a schema (draft 2020-12) allows, on one line, written as ``json.dumps`` does.

        Keywords that can't be followed are refused by name when the request is submitted. ``options`` are those
        of llguidance's JSON compiler, such as ``{"whitespace_flexible": True}``; the schema's own key
        ``x-guidance`` means the same.

        Raises:
            InvalidRequestError: this is no JSON.
        """
        if not isinstance(schema, Mapping | bool):
            raise InvalidRequestError(
                f"a JSON schema must be an object or a boolean, got {schema!r:.200}", "constraint"
            )
        full: Any = dict(schema) if isinstance(schema, Mapping) else ({} if schema else {"not": {}})
        own = full.get(_OPTIONS_KEY) or {}
        if not isinstance(own, Mapping):
            raise InvalidRequestError(f"{_OPTIONS_KEY} must be an object, got {own!r:.200}", "constraint")
        full[_OPTIONS_KEY] = {**_JSON_OPTIONS, **(options or {}), **own}
        try:
            return cls("json_schema", json.dumps(full, allow_nan=False))
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidRequestError(f"a JSON schema must be plain JSON: {error}", "constraint") from None

    @classmethod
    def regex(cls, pattern: str) -> Constraint:
        """Text that the whole of a regular expression matches (Rust's syntax: no look-around, no back-references).

        Raises:
            InvalidRequestError: ``pattern`` is no text.
        """
        return cls("regex", _checked_text(pattern, "a regular expression"))

    @classmethod
    def lark(cls, grammar: str, **parts: Constraint) -> Constraint:
        """Text of a grammar in llguidance's dialect of Lark, whose first rule is ``start``.

        ``@name`` in it stands for the constraint that ``parts`` has under this name.

        Raises:
            InvalidRequestError: ``grammar`` is no text.
        """
        return cls("lark", _checked_text(grammar, "a Lark grammar"), parts=tuple(parts.items()))

    @classmethod
    def choice(cls, texts: Iterable[str]) -> Constraint:
        """One of these texts.

        Raises:
            InvalidRequestError: there is none, or one is empty or no text.
        """
        if isinstance(texts, str) or not isinstance(texts, Iterable):
            raise InvalidRequestError(f"choices must be a list of texts, got {texts!r:.200}", "constraint")
        texts = [_checked_text(text, "a choice") for text in texts]
        if not texts or "" in texts:
            raise InvalidRequestError(
                f"choices must be at least one text, none empty, got {texts!r:.200}", "constraint"
            )
        return cls("choice", json.dumps(texts))

    def grammar(self, *, leading_space: bool = False) -> str:
        """The grammar as llguidance reads it: JSON text of an object.

        Args:
            leading_space: the answer's first space is no part of its text, because the tokenizer's decoder drops
                it; a grammar in Lark says so itself.

        Raises:
            InvalidRequestError: two parts have one name.
        """
        if leading_space and self.kind != "lark":
            return Constraint.lark(f'start: " " @{_ANSWER}', **{_ANSWER: self}).grammar()
        grammars = _flat("whole_answer", self)
        names = [grammar["name"] for grammar in grammars]
        if len(set(names)) < len(names):
            raise InvalidRequestError(
                f"two parts of a grammar have one name: {', '.join(names)}", "constraint"
            )
        return json.dumps({"grammars": grammars})


def _flat(name: str, constraint: Constraint) -> list[JSONObject]:
    """The grammar of this name and, after it, all that it refers to."""
    grammars: list[JSONObject] = [{"name": name, **_body(constraint)}]
    for part_name, part in constraint.parts:
        grammars += _flat(part_name, part)
    return grammars


def _body(constraint: Constraint) -> JSONObject:
    match constraint.kind:
        case "json_schema":
            return {"json_schema": json.loads(constraint.text)}
        case "regex":
            return {"lark_grammar": f"start: {regex_expression(constraint.text)}"}
        case "choice":
            return {"lark_grammar": f"start: {choice_expression(json.loads(constraint.text))}"}
        case "lark":
            return {"lark_grammar": constraint.text}


def regex_expression(pattern: str) -> str:
    """A regular expression inside a Lark grammar."""
    escaped = "".join("\\n" if char == "\n" else "\\r" if char == "\r" else char for char in pattern)
    text, is_escaped = "", False
    for char in escaped:
        text += "\\/" if char == "/" and not is_escaped else char
        is_escaped = char == "\\" and not is_escaped
    return f"/{text}/" if text else '""'


def text_expression(text: str) -> str:
    """Exactly this text inside a Lark grammar."""
    return json.dumps(text, ensure_ascii=False)


def choice_expression(texts: Sequence[str]) -> str:
    """One of these texts inside a Lark grammar."""
    return "(" + " | ".join(text_expression(text) for text in texts) + ")"


def _checked_text(text: object, what: str) -> str:
    if not isinstance(text, str):
        raise InvalidRequestError(f"{what} must be text, got {text!r:.200}", "constraint")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidRequestError(
            f"{what} holds a lone surrogate; send valid Unicode", "constraint"
        ) from None
    return text
