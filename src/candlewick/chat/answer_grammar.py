"""The grammar of a whole answer: thinking first, then calls that are forced, or the form that was asked for.

Owns what ``tool_choice``, ``constraint`` and ``max_thinking_tokens`` mean together. Refuses to know templates and how
calls are written.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from candlewick.chat.call_grammar import GrammarRules, MarkerVocabulary, calls_expression
from candlewick.chat.messages import Tool
from candlewick.chat.reasoning import ReasoningFormat
from candlewick.chat.tool_parsers.tool_format import ToolFormat
from candlewick.core.constraint import Constraint, regex_expression, text_expression
from candlewick.core.errors import InvalidRequestError
from candlewick.core.grammar import is_installed, require_followable

_ANYTHING = "<[*]>*"


class AnswerVocabulary(MarkerVocabulary, Protocol):
    """What the grammar of an answer needs to know of the tokenizer."""

    @property
    def eos_ids(self) -> frozenset[int]: ...
    @property
    def adds_space_prefix(self) -> bool: ...


@dataclass(frozen=True)
class ToolChoice:
    """Which calls an answer may and must hold; ``name`` is the function that must be called.

    ``parallel`` allows several calls in one answer.
    """

    mode: str = "auto"
    parallel: bool = True

    def forced(self, tools: Sequence[Tool]) -> Sequence[Tool] | None:
        """The tools of which one must be called; ``None`` when no call is forced.

        Raises:
            InvalidRequestError: there is no such tool.
        """
        if self.mode in ("auto", "none"):
            return None
        if not tools:
            raise InvalidRequestError(f"tool_choice is {self.mode!r}, but there are no tools", "tool_choice")
        if self.mode == "required":
            return tools
        named = [tool for tool in tools if tool.name == self.mode]
        if not named:
            names = ", ".join(tool.name for tool in tools)
            raise InvalidRequestError(
                f"tool_choice must be auto, none, required or one of the tools ({names}), got {self.mode!r}",
                "tool_choice",
            )
        return named


ANY_CALLS = ToolChoice()
"""Calls when the model likes."""


def answer_constraint(
    vocabulary: AnswerVocabulary,
    *,
    reasoning: ReasoningFormat | None,
    tool_format: ToolFormat,
    tools: Sequence[Tool],
    tool_choice: ToolChoice,
    constraint: Constraint | None,
    max_thinking_tokens: int | None,
) -> Constraint | None:
    """What an answer must look like; ``None`` if anything may come.

    Calls that nobody forces are kept to the tools on offer where that binds nothing else of the answer.

    Args:
        reasoning: the model's thinking markers, if it may think in this answer.
        tool_format: how it writes calls.
        constraint: the form of the answer's text.

    Raises:
        InvalidRequestError: this can't be guaranteed; ``parameter`` names the field.
    """
    rules = GrammarRules(vocabulary)
    answer = _Answer(vocabulary, rules, tool_format)
    body = answer.body(tools, tool_choice, constraint)
    if body is None and answer.can_guide(tools, tool_choice):
        try:
            return _guided(vocabulary, reasoning, tool_format, tools, tool_choice, max_thinking_tokens)
        except InvalidRequestError:
            pass  # nobody asked for it: calls come as the model writes them
    if body is None and max_thinking_tokens is None:
        return None
    if body is not None and answer.is_bare and reasoning is None:
        return constraint
    thinking = answer.thinking(reasoning, max_thinking_tokens, is_bound=body is not None)
    if body is None and not thinking:
        return None  # the model does not think
    return rules.grammar(f"{thinking} {answer.unbound(reasoning) if body is None else body}")


def _guided(
    vocabulary: AnswerVocabulary,
    reasoning: ReasoningFormat | None,
    tool_format: ToolFormat,
    tools: Sequence[Tool],
    tool_choice: ToolChoice,
    max_thinking_tokens: int | None,
) -> Constraint:
    """Any answer, but what begins as a call becomes one of an offered tool. Its rules are its own: what can't be
    followed leaves nothing behind.

    Raises:
        InvalidRequestError: there is no such grammar, or it is too large.
    """
    rules = GrammarRules(vocabulary)
    answer = _Answer(vocabulary, rules, tool_format)
    body = answer.text_and_calls(tools, several=tool_choice.parallel)
    thinking = answer.thinking(reasoning, max_thinking_tokens, is_bound=False)
    whole = rules.grammar(f"{thinking} {body}")
    require_followable(whole)
    return whole if max_thinking_tokens is not None else replace(whole, wakes_at=answer.call_tokens)


class _Answer:
    def __init__(self, vocabulary: AnswerVocabulary, rules: GrammarRules, tool_format: ToolFormat) -> None:
        self.is_bare = False
        """Whether the body is the given constraint and nothing else."""
        self._vocabulary = vocabulary
        self._rules = rules
        self._format = tool_format
        addressing = tool_format.addressing
        self._text_header = rules.marked(addressing.text_header) if addressing else ""
        # After a marker the decoder drops a space that such a tokenizer puts before words.
        self._space = '" "?' if vocabulary.adds_space_prefix else ""

    def body(
        self, tools: Sequence[Tool], tool_choice: ToolChoice, constraint: Constraint | None
    ) -> str | None:
        forced = tool_choice.forced(tools)
        if forced is not None:
            several = tool_choice.parallel and tool_choice.mode == "required"
            return f"{self._space} {self._calls(forced, several=several, is_strict=True)}"
        callable_tools = tools if tool_choice.mode != "none" else ()
        if constraint is not None:
            text = f"{self._text_header} {self._space} {self._rules.part(constraint)}"
            if callable_tools:
                calls = self._calls(callable_tools, several=tool_choice.parallel, is_strict=False)
                return f"({text} | {self._space} {calls})"
            self.is_bare = not self._text_header
            return text
        if any(tool.strict for tool in callable_tools):
            return self.text_and_calls(callable_tools, several=tool_choice.parallel)
        return None

    def can_guide(self, tools: Sequence[Tool], tool_choice: ToolChoice) -> bool:
        """Whether calls that nobody forces can be kept to the tools: they begin with tokens of their own, so that
        all other text stays as free as it was."""
        return (
            tool_choice.mode == "auto"
            and any(tool.strict is None for tool in tools)
            and self._format.addressing is None
            and bool(self.call_tokens)
            and is_installed()
        )

    def thinking(self, reasoning: ReasoningFormat | None, most: int | None, *, is_bound: bool) -> str:
        """What may stand before the body."""
        addressing = self._format.addressing
        if addressing is not None and addressing.thinking_header:
            begin = self._rules.marked(addressing.thinking_header)
            thought = self._thought(addressing.next_message.split("<|start|>")[0], most, is_bound=True)
            rest = self._rules.marked(addressing.next_message.removeprefix("<|end|>"))
            return f"({begin} {thought} {rest})?"
        if reasoning is None:
            return ""
        thought = self._thought(reasoning.end, most, is_bound=is_bound)
        line_breaks = "/\\n{0,2}/" if is_bound else ""
        if reasoning.starts_open:
            return f"{thought} {line_breaks}"
        return f"({self._rules.marked(reasoning.start)} {thought} {line_breaks})?"

    def unbound(self, reasoning: ReasoningFormat | None) -> str:
        """Any answer, without thinking anew."""
        start = None if reasoning is None else self._vocabulary.id_of(reasoning.start)
        return _ANYTHING if start is None else f"<[^{start}]>*"

    def _thought(self, end: str, most: int | None, *, is_bound: bool) -> str:
        """Thinking and its end marker."""
        end_id = self._vocabulary.id_of(end)
        if end_id is None:
            if most is not None:
                raise InvalidRequestError(
                    f"max_thinking_tokens needs a model whose thinking ends with a token of its own; {end!r} is "
                    "none in this vocabulary",
                    "max_thinking_tokens",
                )
            return self._rules.rule("/(?s:.*)/", f"[suffix={text_expression(end)}]")
        # An answer that must have a form can't end before it has begun.
        others = sorted({end_id, *self._structure(), *(self._vocabulary.eos_ids if is_bound else ())})
        repeat = "*" if most is None else f"{{0,{most}}}"
        thought = f"<[^{','.join(map(str, others))}]>{repeat}" if most != 0 else ""
        return f"{thought} <[{end_id}]>"

    def _structure(self) -> set[int]:
        """Tokens that structure an answer of addressed messages, which no message may hold."""
        rules = self._format.addressing
        markers = (*rules.begins, *rules.header_ends, *rules.message_ends) if rules else ()
        return {token_id for marker in markers if (token_id := self._vocabulary.id_of(marker)) is not None}

    def _calls(self, tools: Sequence[Tool], *, several: bool, is_strict: bool) -> str:
        if not self._format.syntaxes:
            raise InvalidRequestError(
                f"calls can't be forced in the format {self._format.name!r} of this model", "tool_choice"
            )
        return calls_expression(
            self._format.syntaxes, tools, self._rules, several=several, is_strict=is_strict
        )

    def text_and_calls(self, tools: Sequence[Tool], *, several: bool) -> str:
        """Text as it comes, and calls that follow their schemas."""
        calls = self._calls(tools, several=several, is_strict=False)
        if self.call_tokens:
            free = f"<[^{','.join(map(str, sorted(self.call_tokens)))}]>*"
            return f"{free} ({calls} {free})*" if several else f"{free} ({calls})?"
        # Calls have no token of their own to be known by: what begins as one must be one.
        return f"({self._space} {calls} | {self._text_header} {self._rules.terminal(self._no_call())})"

    @property
    def call_tokens(self) -> frozenset[int]:
        """The tokens that calls begin with; none if some begin without one of their own."""
        ids = {self._vocabulary.id_of(marker) for marker in self._format.markers}
        known = frozenset(token_id for token_id in ids if token_id is not None)
        return frozenset() if self._format.openers or len(known) < len(ids) else known

    def _no_call(self) -> str:
        """Text that its reader does not take for a call."""
        spelled = [marker for marker in self._format.markers if self._vocabulary.id_of(marker) is None]
        calls = [f"(?s:.*){re.escape(marker)}(?s:.*)" for marker in spelled]
        if self._format.openers:
            calls.append(f"\\s*[{re.escape(self._format.openers)}](?s:.*)")
        return " & ".join(["/(?s:.*)/", *(f"~{regex_expression(call)}" for call in calls)])
