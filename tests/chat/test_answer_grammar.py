"""Grammars of answers: what they allow is what the parsers read, for every format, with schema-valid calls."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import jsonschema
import numpy as np
import pytest
from random_answers import ByteVocabulary, random_answer

from candlewick.chat.addressed_parser import AddressedParser
from candlewick.chat.answer_grammar import ToolChoice, answer_constraint
from candlewick.chat.events import Event, ResponseToken, ThinkingToken, ToolCallEnd
from candlewick.chat.messages import Tool
from candlewick.chat.parser import OutputParser, merge_events
from candlewick.chat.reasoning import ReasoningFormat
from candlewick.chat.tool_parsers import TOOL_FORMATS, ToolFormat
from candlewick.core.constraint import Constraint
from candlewick.core.errors import InvalidRequestError

pytest.importorskip("llguidance", reason="the extra 'structured' is not installed")

THINK = ReasoningFormat("<think>", "</think>")
OPEN_THINK = ReasoningFormat("<think>", "</think>", starts_open=True)
HERMES = TOOL_FORMATS["hermes"]


def tool(
    name: str, properties: dict[str, Any], *required: str, strict: bool | None = None, **more: Any
) -> Tool:
    parameters = {"type": "object", "properties": properties, "required": list(required), **more}
    return Tool(name=name, parameters=parameters, strict=strict)


BOOK = tool(
    "book",
    {
        "place": {"type": "string"},
        "nights": {"type": "integer", "minimum": 1, "maximum": 30},
        "breakfast": {"type": "boolean"},
        "room": {"type": "string", "enum": ["single", "double bed"]},
        "code": {"type": "string", "minLength": 2, "maxLength": 3},
        "guest": {"$ref": "#/$defs/guest"},
        "extras": {"type": "array", "items": {"enum": ["tv", None]}, "maxItems": 2},
    },
    "nights",
    "room",
    **{
        "$defs": {
            "guest": {
                "type": "object",
                "properties": {"age": {"type": "integer", "maximum": 99, "minimum": 0}},
            }
        }
    },
)
NOW = Tool(name="now")
TOOLS = [BOOK, NOW]


def markers_of(tool_format: ToolFormat) -> list[str]:
    """What a vocabulary of the family may hold as tokens."""
    texts = " ".join(
        f"{syntax.begin} {syntax.call} {syntax.argument} {syntax.end}" for syntax in tool_format.syntaxes
    )
    if tool_format.addressing is not None:
        rules = tool_format.addressing
        texts += f" {rules.text_header} {rules.thinking_header} {rules.next_message}"
    found = re.findall(r"</?[｜|\w:▁]+>|\[[A-Z_]+\]", texts)
    return sorted({"<think>", "</think>", *found, *tool_format.markers})


def parse(tokens: list[tuple[int, str]], tool_format: ToolFormat, vocabulary: ByteVocabulary) -> list[Event]:
    parser: Any
    if tool_format.addressing is not None:
        parser = AddressedParser(tool_format, tools=TOOLS, id_of=vocabulary.id_of)
    else:
        parser = OutputParser(
            reasoning=THINK, tool_formats=[tool_format], tools=TOOLS, id_of=vocabulary.id_of
        )
    events = [event for token_id, text in tokens for event in parser.push(token_id, text)]
    return merge_events([*events, *parser.finish()])


def calls_in(events: list[Event]) -> list[ToolCallEnd]:
    return [event for event in events if isinstance(event, ToolCallEnd)]


def text_of(events: list[Event], kind: type = ResponseToken) -> str:
    return "".join(event.text for event in events if isinstance(event, kind))


def check_call(call: ToolCallEnd) -> None:
    schemas = {tool.name: tool.parameters for tool in TOOLS}
    jsonschema.validate(json.loads(call.arguments), schemas[call.name])


def constraint_for(
    tool_format: ToolFormat,
    vocabulary: ByteVocabulary,
    choice: str,
    *,
    tools: list[Tool] | None = None,
    **given: Any,
) -> Constraint:
    settings: dict[str, Any] = {"reasoning": None, "constraint": None, "max_thinking_tokens": None, **given}
    parallel = settings.pop("parallel", True)
    found = answer_constraint(
        vocabulary,  # type: ignore[arg-type]
        tool_format=tool_format,
        tools=TOOLS if tools is None else tools,
        tool_choice=ToolChoice(choice, parallel),
        **settings,
    )
    assert found is not None
    return found


def found_for(
    tool_format: ToolFormat, vocabulary: ByteVocabulary, tools: list[Tool] | None = None, **given: Any
) -> Constraint | None:
    """What an answer is bound to by itself, where nothing was asked for."""
    return answer_constraint(
        vocabulary,  # type: ignore[arg-type]
        tool_format=tool_format,
        tools=TOOLS if tools is None else tools,
        tool_choice=ToolChoice(),
        **{"reasoning": None, "constraint": None, "max_thinking_tokens": None, **given},
    )


def allowed_first(constraint: Constraint, vocabulary: ByteVocabulary) -> set[int]:
    """The tokens that an answer may begin with by the grammar, which is looked at from the first one on."""
    mask = np.zeros(-(-vocabulary.vocab_size // 32), dtype=np.uint32)
    awake = replace(constraint, wakes_at=frozenset())
    vocabulary.compiler.compile(awake).new_matcher().write_mask(mask)
    bits = np.unpackbits(mask.view(np.uint8), bitorder="little")[: vocabulary.vocab_size]
    return set(np.flatnonzero(bits).tolist())


@pytest.mark.parametrize("with_tokens", [True, False], ids=["tokens", "spelled"])
@pytest.mark.parametrize("name", TOOL_FORMATS)
class TestEveryFormat:
    def test_required_calls_are_read_and_valid(self, name: str, with_tokens: bool):
        tool_format = TOOL_FORMATS[name]
        vocabulary = ByteVocabulary(markers_of(tool_format) if with_tokens else ())
        constraint = constraint_for(tool_format, vocabulary, "required")
        num_calls = []
        for seed in range(6):
            answer = random_answer(constraint, vocabulary, seed)
            if answer is not None:
                events = parse(answer, tool_format, vocabulary)
                text = "".join(text for _, text in answer)
                assert text_of(events) == "", text
                assert calls_in(events), text
                for call in calls_in(events):
                    check_call(call)
                num_calls.append(len(calls_in(events)))
        assert num_calls

    def test_a_named_function_is_called_once(self, name: str, with_tokens: bool):
        tool_format = TOOL_FORMATS[name]
        vocabulary = ByteVocabulary(markers_of(tool_format) if with_tokens else ())
        constraint = constraint_for(tool_format, vocabulary, "now")
        answers = [random_answer(constraint, vocabulary, seed, most=300) for seed in range(4)]
        assert any(answers)
        for answer in filter(None, answers):
            (call,) = calls_in(parse(answer, tool_format, vocabulary))
            assert (call.name, json.loads(call.arguments)) == ("now", {})

    def test_strict_tools_are_called_with_valid_arguments_only(self, name: str, with_tokens: bool):
        tool_format = TOOL_FORMATS[name]
        vocabulary = ByteVocabulary(markers_of(tool_format) if with_tokens else ())
        strict = Tool(name=BOOK.name, parameters=BOOK.parameters, strict=True)
        constraint = constraint_for(tool_format, vocabulary, "auto", tools=[strict])
        for seed in range(4):
            answer = random_answer(constraint, vocabulary, seed, most=200)
            if answer is not None:
                for call in calls_in(parse(answer, tool_format, vocabulary)):
                    check_call(call)

    def test_calls_that_nobody_forces_keep_to_the_tools(self, name: str, with_tokens: bool):
        tool_format = TOOL_FORMATS[name]
        vocabulary = ByteVocabulary(markers_of(tool_format) if with_tokens else ())
        constraint = found_for(tool_format, vocabulary)
        begins = [vocabulary.id_of(marker) for marker in tool_format.markers]
        if tool_format.addressing or tool_format.openers or not begins or None in begins:
            assert constraint is None
            return
        assert constraint is not None
        # Of several beginnings, those that a family's models write when they forget the proper one may be barred.
        assert set(range(vocabulary.vocab_size)) - allowed_first(constraint, vocabulary) < set(begins)
        num_calls = 0
        for seed in range(12):
            answer = random_answer(constraint, vocabulary, seed, most=300)
            if answer is not None:
                for call in calls_in(parse(answer, tool_format, vocabulary)):
                    check_call(call)
                    num_calls += 1
        assert num_calls

    def test_an_answer_may_be_calls_or_the_form(self, name: str, with_tokens: bool):
        tool_format = TOOL_FORMATS[name]
        vocabulary = ByteVocabulary(markers_of(tool_format) if with_tokens else ())
        form = Constraint.choice(["yes", "no"])
        constraint = constraint_for(tool_format, vocabulary, "auto", tools=[NOW], constraint=form)
        kinds = set()
        for seed in range(12):
            answer = random_answer(constraint, vocabulary, seed, most=200)
            if answer is not None:
                events = parse(answer, tool_format, vocabulary)
                kinds.add("calls" if calls_in(events) else "text")
                assert calls_in(events) or text_of(events) in ("yes", "no")
        assert kinds == {"calls", "text"}


class TestCallsByThemselves:
    """Calls that nobody forces are kept to the tools where that takes nothing from the rest of an answer."""

    MARKERS = ("<think>", "</think>", "<tool_call>", "</tool_call>")

    @pytest.mark.parametrize("reasoning", [None, THINK, OPEN_THINK], ids=["none", "closed", "open"])
    def test_all_else_is_free_and_the_answer_may_end_at_any_time(self, reasoning: ReasoningFormat | None):
        vocabulary = ByteVocabulary(self.MARKERS)
        constraint = found_for(HERMES, vocabulary, reasoning=reasoning)
        assert constraint is not None
        assert allowed_first(constraint, vocabulary) == set(range(vocabulary.vocab_size))

    def test_each_tool_says_whether_it_is_kept_to(self):
        vocabulary = ByteVocabulary(self.MARKERS)
        free = Tool(name="free", parameters={"type": "object", "properties": {"a": {}}}, strict=False)
        assert found_for(HERMES, vocabulary, [free]) is None
        constraint = found_for(HERMES, vocabulary, [free, NOW])
        keys: set[str] = set()
        for seed in range(60):
            for call in calls_in(
                parse(random_answer(constraint, vocabulary, seed) or [], HERMES, vocabulary)
            ):  # type: ignore[arg-type]
                assert call.name in ("free", "now")
                keys |= set(json.loads(call.arguments)) if call.name == "free" else set()
        assert keys - {"a"}

    def test_a_schema_that_cant_be_followed_is_any_object(self):
        vocabulary = ByteVocabulary(self.MARKERS)
        odd = tool("odd", {"a": {"type": "array", "uniqueItems": True}}, "a")
        constraint = found_for(HERMES, vocabulary, [odd])
        assert constraint is not None
        answers = [random_answer(constraint, vocabulary, seed) for seed in range(40)]
        found = [call for a in answers if a for call in calls_in(parse(a, HERMES, vocabulary))]
        assert found
        assert {call.name for call in found} == {"odd"}

    def test_a_tool_that_declares_nothing_takes_anything(self):
        vocabulary = ByteVocabulary(self.MARKERS)
        constraint = found_for(HERMES, vocabulary, [Tool(name="any", parameters={"type": "object"})])
        assert constraint is not None
        matcher = vocabulary.compiler.compile(constraint).new_matcher()
        matcher.accept(vocabulary.markers["<tool_call>"])
        for byte in b'\n{"name": "any", "arguments": {"x": 1}}\n':
            matcher.accept(byte)

    @pytest.mark.parametrize(
        ("format_name", "odd"),
        [
            ("qwen3_coder", [tool("odd", {"a": {"type": "string", "pattern": "a+"}})]),
            ("hermes", [tool(f"odd_{i}", {"a": {"description": "x" * 30_000}}) for i in range(10)]),
        ],
        ids=["a text with a pattern", "a grammar that is too long"],
    )
    def test_what_has_no_grammar_is_not_refused(self, format_name: str, odd: list[Tool]):
        tool_format = TOOL_FORMATS[format_name]
        vocabulary = ByteVocabulary(markers_of(tool_format))
        assert found_for(tool_format, vocabulary, [NOW]) is not None
        assert found_for(tool_format, vocabulary, [NOW, *odd]) is None

    def test_without_llguidance_calls_come_as_the_model_writes_them(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr("candlewick.chat.answer_grammar.is_installed", lambda: False)
        assert found_for(HERMES, ByteVocabulary(self.MARKERS)) is None

    def test_the_limit_of_thinking_holds_as_well(self):
        vocabulary = ByteVocabulary(self.MARKERS)
        constraint = found_for(HERMES, vocabulary, reasoning=OPEN_THINK, max_thinking_tokens=0)
        assert constraint is not None
        assert not constraint.wakes_at
        assert allowed_first(constraint, vocabulary) == {vocabulary.markers["</think>"]}


class TestThinking:
    @pytest.mark.parametrize("markers", [("<think>", "</think>"), ()], ids=["tokens", "spelled"])
    @pytest.mark.parametrize("reasoning", [THINK, OPEN_THINK], ids=["closed", "open"])
    def test_thinking_is_free_and_the_answer_is_not(
        self, reasoning: ReasoningFormat, markers: tuple[str, ...]
    ):
        vocabulary = ByteVocabulary(markers)
        form = Constraint.regex("[a-c]{3}")
        constraint = constraint_for(
            HERMES, vocabulary, "auto", tools=[], reasoning=reasoning, constraint=form
        )
        thoughts = set()
        for seed in range(12):
            answer = random_answer(constraint, vocabulary, seed, most=300)
            if answer is not None:
                parser = OutputParser(reasoning=reasoning, id_of=vocabulary.id_of)
                events = [event for token_id, text in answer for event in parser.push(token_id, text)]
                events += parser.finish()
                assert re.fullmatch("[a-c]{3}", text_of(events))
                thoughts.add(text_of(events, ThinkingToken) != "")
        assert True in thoughts or not markers

    @pytest.mark.parametrize("most", [0, 1, 7])
    @pytest.mark.parametrize("form", [None, Constraint.choice(["yes"])], ids=["free", "bound"])
    def test_the_limit_of_thinking_is_kept(self, form: Constraint | None, most: int):
        vocabulary = ByteVocabulary(("<think>", "</think>"))
        constraint = constraint_for(
            HERMES,
            vocabulary,
            "auto",
            tools=[],
            reasoning=OPEN_THINK,
            constraint=form,
            max_thinking_tokens=most,
        )
        for seed in range(10):
            answer = random_answer(constraint, vocabulary, seed, most=60)
            if answer is not None:
                ids = [token_id for token_id, _ in answer]
                end = vocabulary.markers["</think>"]
                thought = ids.index(end) if end in ids or form else len(ids)
                assert thought <= most

    def test_a_limit_needs_an_end_that_is_a_token(self):
        with pytest.raises(InvalidRequestError, match="token of its own") as caught:
            constraint_for(
                HERMES, ByteVocabulary(), "auto", tools=[], reasoning=OPEN_THINK, max_thinking_tokens=3
            )
        assert caught.value.parameter == "max_thinking_tokens"


class TestRefusals:
    @pytest.mark.parametrize(
        ("format_name", "wrong", "named"),
        [
            ("hermes", tool("x", {"a": {"type": "array", "uniqueItems": True}}), "uniqueItems"),
            ("hermes", Tool(name="x", parameters={"type": "strin"}), "strin"),
            ("qwen3_coder", tool("x", {"a": {"type": "string", "pattern": "a+"}}), "pattern"),
            ("qwen3_coder", tool("x", {"a>": {"type": "string"}}), "a>"),
            ("qwen3_coder", tool("x", {"a": {"type": "string", "enum": ["<b>"]}}), "no value"),
            ("qwen3_coder", tool("x", {}, "a"), "unsatisfiable"),
            ("glm", Tool(name="x", parameters={"anyOf": [{"properties": {"a": {}}}]}), "anyOf"),
            ("pythonic", tool("not a name", {}), "not a name"),
            ("python_code", tool("x", {"class": {"type": "string"}}), "class"),
        ],
    )
    def test_what_cant_be_guaranteed_is_named(self, format_name: str, wrong: Tool, named: str):
        with pytest.raises(InvalidRequestError, match="can't be guaranteed") as caught:
            constraint_for(TOOL_FORMATS[format_name], ByteVocabulary(), "required", tools=[wrong])
        assert named in str(caught.value)
        assert repr(wrong.name) in str(caught.value)

    def test_a_call_needs_tools(self):
        with pytest.raises(InvalidRequestError, match="there are no tools"):
            constraint_for(HERMES, ByteVocabulary(), "required", tools=[])

    def test_a_named_function_must_be_offered(self):
        with pytest.raises(InvalidRequestError, match="book, now"):
            constraint_for(HERMES, ByteVocabulary(), "missing")

    def test_nothing_asked_for_is_nothing_bound(self):
        for choice in ("auto", "none"):
            assert (
                answer_constraint(
                    ByteVocabulary(),  # type: ignore[arg-type]
                    reasoning=THINK,
                    tool_format=HERMES,
                    tools=TOOLS,
                    tool_choice=ToolChoice(choice),
                    constraint=None,
                    max_thinking_tokens=None,
                )
                is None
            )

    def test_a_function_named_like_a_marker_is_text(self):
        vocabulary = ByteVocabulary(("<tool_call>", "</tool_call>"))
        odd = Tool(name='</tool_call>"')
        answer = random_answer(constraint_for(HERMES, vocabulary, "required", tools=[odd]), vocabulary, 1)
        assert answer is not None
        assert [token_id > 256 for token_id, _ in answer].count(True) % 2 == 0
        (call, *_) = calls_in(parse(answer, HERMES, vocabulary))
        assert call.name == odd.name
