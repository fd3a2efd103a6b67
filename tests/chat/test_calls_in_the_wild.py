"""Answers that other servers were reported to get wrong; each names the report.

Whatever a format's own description says, models write these, and the reports ask for what is expected here.
"""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from output_streams import as_text, as_tokens, new_parser, parse, plain

from candlewick.chat.messages import Tool
from candlewick.chat.parser import OutputParser
from candlewick.chat.tool_parsers import tool_format_named
from candlewick.chat.tool_parsers.typed_text import schemas_of, typed_json

BEGIN, END = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"
CALL, SEP, CALL_END = "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>"
SECTION, SECTION_END = "<|tool_calls_section_begin|>", "<|tool_calls_section_end|>"

REPORTED: list[tuple[str, str, str, list[Any]]] = [
    (
        "vllm#45167: the closing tag inside of a string",
        "hermes",
        '<tool_call>{"name": "get_weather", "arguments": {"place": "a </tool_call> <tool_call> b"}}</tool_call>',
        [("get_weather", '{"place": "a </tool_call> <tool_call> b"}')],
    ),
    (
        "vllm#21544: an open brace inside of a string",
        "hermes",
        '<tool_call>{"name": "get_weather", "arguments": {"place": "mkdir -p test/{a,b"}}</tool_call>',
        [("get_weather", '{"place": "mkdir -p test/{a,b"}')],
    ),
    (
        "vllm#9693: arguments before the name",
        "hermes",
        '<tool_call>\n{"arguments": {"n1": 2, "n2": 2}, "name": "sum"}\n</tool_call>',
        [("sum", '{"n1": 2, "n2": 2}')],
    ),
    (
        "vllm#57707, ollama#17914: the last parameter is not closed",
        "qwen3_coder",
        "<tool_call>\n<function=get_weather>\n<parameter=days>\n2\n</parameter>\n<parameter=place>\nUlm\n"
        "</function>\n</tool_call>",
        [("get_weather", '{"days": 2, "place": "Ulm"}')],
    ),
    (
        "LightLLM#1364: a parameter in the middle is not closed",
        "qwen3_coder",
        "<tool_call>\n<function=get_weather>\n<parameter=place>\nUlm\n<parameter=days>\n2\n</parameter>\n"
        "</function>\n</tool_call>",
        [("get_weather", '{"place": "Ulm", "days": 2}')],
    ),
    (
        "what looks like a tag stays in a value that is closed",
        "qwen3_coder",
        "<tool_call>\n<function=get_weather>\n<parameter=place>\n<parameter=x>\n</function> <b>\n</parameter>\n"
        "</function>\n</tool_call>",
        [("get_weather", '{"place": "<parameter=x>\\n</function> <b>"}')],
    ),
    (
        "vllm, Qwen3-Coder: no <tool_call> before the function",
        "qwen3_coder",
        "I look.\n<function=get_weather>\n<parameter=place>\nUlm\n</parameter>\n</function>\n</tool_call>",
        ["I look.", ("get_weather", '{"place": "Ulm"}')],
    ),
    (
        "two functions between one pair of tags",
        "qwen3_coder",
        "<tool_call>\n<function=now>\n</function>\n<function=now>\n</function>\n</tool_call>Done",
        [("now", "{}"), ("now", "{}"), "Done"],
    ),
    (
        "a function that is only mentioned",
        "qwen3_coder",
        "Write <function=now> and <tool_call>.",
        ["Write <function=now> and <tool_call>."],
    ),
    (
        "vllm#55497: a parameter's name is broken",
        "qwen3_coder",
        "<tool_call>\n<function=now>\n<parameter=\necho $A\n</parameter>\n</function>\n</tool_call>",
        ["<tool_call>\n<function=now>\n<parameter=\necho $A\n</parameter>\n</function>\n</tool_call>"],
    ),
    (
        "mlx-lm#1448: text behind a call",
        "mistral",
        "[TOOL_CALLS]now[ARGS]{}\n\nLet me search for that.",
        [("now", "{}"), "Let me search for that."],
    ),
    (
        "the same behind a list of calls",
        "mistral",
        '[TOOL_CALLS] [{"name": "now", "arguments": {}}] Let me.',
        [("now", "{}"), " Let me."],
    ),
    ("the same in Granite", "granite", '<|tool_call|>[{"name": "now"}]\nDone', [("now", "{}"), "Done"]),
    (
        "sglang#21377: an id without its dot and colon",
        "kimi",
        f"{SECTION}<|tool_call_begin|>functionsnow5<|tool_call_argument_begin|>{{}}<|tool_call_end|>{SECTION_END}",
        [("now", "{}")],
    ),
    (
        "exo#2281: an id with underlines",
        "kimi",
        f"{SECTION}<|tool_call_begin|>functions_get_weather_1<|tool_call_argument_begin|>{{}}<|tool_call_end|>Done",
        [("get_weather", "{}"), "Done"],
    ),
    (
        "the marker before the calls is missing",
        "deepseek",
        f"{CALL}now{SEP}{{}}{CALL_END}",
        [("now", "{}")],
    ),
    (
        "kimi-code#798: a fence inside of a string",
        "deepseek",
        f'{BEGIN}{CALL}function{SEP}get_weather\n```json\n{{"place": "```a```"}}\n```{CALL_END}{END}',
        [("get_weather", '{"place": "```a```"}')],
    ),
    (
        "a malformed call between its markers",
        "deepseek",
        f"{BEGIN}{CALL}now{SEP}[]{CALL_END}{END}",
        [f"{BEGIN}{CALL}now{SEP}[]{CALL_END}{END}"],
    ),
    (
        "llama.cpp: 'function' for 'name'",
        "llama3_json",
        '{"type": "function", "function": "now", "parameters": {}}',
        [("now", "{}")],
    ),
    (
        "unsloth#5620: markup of another format inside of a string",
        "llama3_json",
        '<|python_tag|>{"name": "get_weather", "parameters": {"place": "<function=evil><parameter=x>1"}}',
        [("get_weather", '{"place": "<function=evil><parameter=x>1"}')],
    ),
    (
        "vllm#48678: quotes inside of a value",
        "gemma",
        '<|tool_call>call:get_weather{place:<|"|>f(<|"|><|"|><|"|> A <|"|><|"|><|"|>).b()<|"|> ,days:1}<tool_call|>',
        [("get_weather", '{"place": "f(\\"\\"\\" A \\"\\"\\").b()", "days": 1}')],
    ),
    (
        "vllm#39069: ordinary quotes inside of a value",
        "gemma",
        '<|tool_call>call:get_weather{place:<|"|>What is "it"?<|"|>}<tool_call|>',
        [("get_weather", '{"place": "What is \\"it\\"?"}')],
    ),
    (
        "vmlx-swift#228: a call without arguments",
        "glm",
        "<tool_call>now</tool_call>",
        [("now", "{}")],
    ),
    (
        "mlx-vlm#2207: digits that the schema calls a text",
        "glm",
        "<tool_call>get_weather\n<arg_key>place</arg_key>\n<arg_value>10001</arg_value>\n</tool_call>",
        [("get_weather", '{"place": "10001"}')],
    ),
    (
        "vllm-mlx#562: a call in the channel for thinking",
        "harmony",
        "<|channel|>analysis<|message|>Hm<|end|><|start|>assistant<|channel|>analysis to=functions.now code"
        "<|message|>\n{}<|call|>",
        ["[", ("thinks", "Hm"), "]", ("now", "{}")],
    ),
    (
        "lmstudio#942: a call that is cut off",
        "harmony",
        '<|channel|>commentary to=functions.now<|constrain|>json<|message|>{"a": {"b": {}}',
        ['<|channel|>commentary to=functions.now<|constrain|>json<|message|>{"a": {"b": {}}'],
    ),
    (
        "llama.cpp#26658: quotes inside of Python's strings",
        "pythonic",
        "[get_weather(place='label=\\'x\\'')]",
        [("get_weather", '{"place": "label=\'x\'"}')],
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text", "expected"), [each[1:] for each in REPORTED], ids=[each[0] for each in REPORTED]
)
def test_reported(name: str, text: str, expected: list[Any]) -> None:
    assert plain(parse(new_parser([name]), as_text(text))) == expected
    assert plain(parse(new_parser([name]), as_text(text, range(len(text))))) == expected


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(REPORTED), st.randoms(use_true_random=False))
def test_reported_as_tokens(reported: tuple[str, str, str, list[Any]], chance: random.Random) -> None:
    _, name, text, expected = reported
    assert plain(parse(new_parser([name], ids=True), as_tokens(text, chance))) == expected


def test_a_malformed_call_is_begun_once() -> None:
    """Its markers inside of each other do not make two calls of it."""
    text = "<tool_call>\n<function=now>\n<parameter=a b>\n1\n</parameter>\n</function>\n</tool_call>"
    events = parse(new_parser(["qwen3_coder"]), as_text(text))
    kinds = [type(event).__name__ for event in events]
    assert kinds == ["ToolCallStart", "ToolCallArguments", "ResponseToken"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("python_code", '<code>\nsearch-web(query="search-web(1)", most=2)\n</code>'),
        ("pythonic", '[search-web(query="search-web(1)", most=2)]'),
        ("llama3_json", '<|python_tag|>search-web.call(query="search-web(1)", most=2)'),
    ],
)
def test_names_that_python_does_not_know_are_called(name: str, text: str) -> None:
    """Servers of tools name theirs as they like: ``resolve-library-id``, ``class``."""
    schema = {"type": "object", "properties": {"query": {"type": "string"}, "most": {"type": "integer"}}}
    tools = [
        Tool(name="search", parameters=schema),
        Tool(name="search-web", parameters=schema),
        Tool(name="class"),
    ]
    parser = OutputParser(tool_formats=[tool_format_named(name)], tools=tools)
    assert plain(parse(parser, as_text(text))) == [("search-web", '{"query": "search-web(1)", "most": 2}')]


ANY_OF = {"anyOf": [{"type": "string"}, {"type": "null"}]}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("schema", "text", "value"),
    [
        # smg#1743, mlx-lm#1647: what the schema calls a text stays one, also where it may be missing
        ({"type": "string"}, "3", "3"),
        (ANY_OF, "10", "10"),
        (ANY_OF, "true", "true"),
        (ANY_OF, "null", None),
        (ANY_OF, "None", None),
        (ANY_OF, '"quoted"', "quoted"),
        ({"type": ["string", "null"]}, "10", "10"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "10", 10),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, "10", 10),
        ({"enum": ["1", "2"]}, "1", "1"),
        ({"enum": [1, 2]}, "1", 1),
        ({"const": "1"}, "1", "1"),
        ({"allOf": [{"type": "string"}]}, "1", "1"),
        ({"$ref": "#/$defs/Level"}, "1", "1"),
        ({"$ref": "#/$defs/nowhere"}, "1", 1),
        ({"type": "boolean"}, "True", True),
        ({"type": "array"}, "['a', 1, None]", ["a", 1, None]),
        ({"type": "array"}, r"['\d+']", [r"\d+"]),
        ({"type": "object"}, "{'a': True}", {"a": True}),
        ({"type": "array"}, "[x]", "[x]"),
        ({"type": "number"}, "1e3", 1000.0),
        ({"type": "integer"}, "many", "many"),
        ({}, "10", 10),
        ({"allOf": 3}, "10", 10),
        (True, "text", "text"),
    ],
)
def test_plain_text_is_what_its_schema_says(schema: Any, text: str, value: Any) -> None:
    parameters = {"type": "object", "properties": {"x": schema}, "$defs": {"Level": {"enum": ["1", "2"]}}}
    found = schemas_of("f", [Tool(name="f", parameters=parameters)])["x"]
    assert json.loads(typed_json(text, found)) == value
