"""Every format: what it reads, what it leaves alone, and that it reads what its family's template writes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from output_streams import NOW, WEATHER, as_text, as_tokens, new_parser, parse, plain

from candlewick.chat.events import ToolCallArguments, ToolCallEnd, ToolCallStart
from candlewick.chat.messages import Message, ToolCall
from candlewick.chat.template import ChatTemplate
from candlewick.chat.tool_parsers import TOOL_FORMATS, find_tool_format, tool_format_named
from candlewick.core.errors import InvalidRequestError

PLACE = '{"place": "A {\\"B\\"} ]} é", "more": {"a": [1, {}]}}'
BEGIN, END = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"
CALL, SEP, CALL_END = "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>"

CALLS = [
    (
        "hermes",
        f'<tool_call>\n{{"name": "get_weather", "arguments": {PLACE}}}\n</tool_call>',
        [("get_weather", PLACE)],
    ),
    (
        "hermes",
        'Let me see.\n\n<tool_call>{"name":"now","arguments":{}}</tool_call>\n'
        '<tool_call>{"name":"now"}</tool_call>\n',
        ["Let me see.", ("now", "{}"), ("now", "{}")],
    ),
    (
        "hermes",
        '<tool_call>{"arguments": {"days": 1}, "name": "x"}</tool_call> Done.',
        [("x", '{"days": 1}'), " Done."],
    ),
    ("hermes", '<tool_call>{"name": "x", "arguments": "{\\"a\\": 1}"}</tool_call>', [("x", '{"a": 1}')]),
    ("hermes", '<tool_call>{"name": "x", "arguments": null, "id": [1, "a"]}', [("x", "{}")]),
    ("hermes", '<tool_call>{"name": "x"}{"name": "y"}</tool_call>', [("x", "{}"), ("y", "{}")]),
    (
        "hermes",
        '<tool_call>{"name": "x", "arguments": {"a": "two\nlines"}}</tool_call>',
        [("x", '{"a": "two\\nlines"}')],
    ),
    (
        "hermes",
        '<think>a</think>\n\n<tool_call>{"name": "now"}</tool_call>',
        ["[", ("thinks", "a"), "]", ("now", "{}")],
    ),
    (
        "qwen3_coder",
        'I look.\n<tool_call>\n<function=get_weather>\n<parameter=place>\nA <b>\n"c"\n</parameter>\n'
        "<parameter=days>\n2\n</parameter>\n<parameter=metric>\nTrue\n</parameter>\n"
        '<parameter=more>\n{"a": [1.5, null]}\n</parameter>\n</function>\n</tool_call>',
        [
            "I look.",
            (
                "get_weather",
                '{"place": "A <b>\\n\\"c\\"", "days": 2, "metric": true, "more": {"a": [1.5, null]}}',
            ),
        ],
    ),
    ("qwen3_coder", "<tool_call>\n<function=now>\n</function>\n</tool_call>", [("now", "{}")]),
    ("llama3_json", f'{{"name": "get_weather", "parameters": {PLACE}}}', [("get_weather", PLACE)]),
    (
        "llama3_json",
        '<|python_tag|>{"name": "now", "parameters": {}}; {"name": "now"}',
        [("now", "{}"), ("now", "{}")],
    ),
    (
        "mistral",
        f'[TOOL_CALLS][{{"name": "get_weather", "arguments": {PLACE}}}, {{"name": "now"}}]',
        [("get_weather", PLACE), ("now", "{}")],
    ),
    (
        "mistral",
        f"Hm.[TOOL_CALLS]get_weather[ARGS]{PLACE}[TOOL_CALLS]now[CALL_ID]abcDEF123[ARGS]{{}}",
        ["Hm.", ("get_weather", PLACE), ("now", "{}")],
    ),
    ("mistral", "[TOOL_CALLS]now{}", [("now", "{}")]),
    (
        "deepseek",
        f"{BEGIN}{CALL}get_weather{SEP}{PLACE}{CALL_END}{CALL}now{SEP}{{}}{CALL_END}{END}",
        [("get_weather", PLACE), ("now", "{}")],
    ),
    (
        "deepseek",
        f"Ok.{BEGIN}{CALL}function{SEP}now\n```json\n{{}}\n```{CALL_END}\n"
        f"{CALL}function{SEP}get_weather\n```json\n{PLACE}\n```{CALL_END}{END}",
        ["Ok.", ("now", "{}"), ("get_weather", PLACE)],
    ),
    ("granite", f'<|tool_call|>[{{"name": "get_weather", "arguments": {PLACE}}}]', [("get_weather", PLACE)]),
    (
        "python_code",
        "<code>\nw = get_weather('Rome', days=2)\nprint(now())\n</code>",
        [("get_weather", '{"place": "Rome", "days": 2}'), ("now", "{}")],
    ),
    (
        "pythonic",
        '[get_weather(place="a\\"]\'", more={"x": [1, (2, 3)]}), now()]',
        [("get_weather", '{"place": "a\\"]\'", "more": {"x": [1, [2, 3]]}}'), ("now", "{}")],
    ),
    ("llama3_json", '<|python_tag|>get_weather.call(place="a)b")', [("get_weather", '{"place": "a)b"}')]),
    (
        "glm",
        "I look.\n<tool_call>get_weather\n<arg_key>place</arg_key>\n<arg_value>A <b>\n{x}</arg_value>\n"
        "<arg_key>days</arg_key>\n<arg_value>2</arg_value>\n</tool_call>\n<tool_call>now</tool_call>",
        ["I look.", ("get_weather", '{"place": "A <b>\\n{x}", "days": 2}'), ("now", "{}")],
    ),
    (
        "glm",
        '<tool_call>get_weather<arg_key>more</arg_key><arg_value>{"a": [1, {}]}</arg_value></tool_call>Done',
        [("get_weather", '{"more": {"a": [1, {}]}}'), "Done"],
    ),
    (
        "minimax_m2",
        'Look:\n<minimax:tool_call>\n<invoke name="get_weather">\n<parameter name="place">a</b>\n"c"</parameter>'
        '\n<parameter name="days">3</parameter>\n</invoke>\n<invoke name="now">\n</invoke>\n</minimax:tool_call>',
        ["Look:", ("get_weather", '{"place": "a</b>\\n\\"c\\"", "days": 3}'), ("now", "{}")],
    ),
    (
        "deepseek_v32",
        '<｜DSML｜function_calls>\n<｜DSML｜invoke name="f">\n<｜DSML｜parameter name="a" string="true">1'
        '</｜DSML｜parameter>\n<｜DSML｜parameter name="b" string="false">[1]</｜DSML｜parameter>\n'
        "</｜DSML｜invoke>\n</｜DSML｜function_calls>",
        [("f", '{"a": "1", "b": [1]}')],
    ),
    (
        "minimax_m1",
        f'<tool_calls>\n{{"name": "get_weather", "arguments": {PLACE}}}\n'
        '{"name": "now", "arguments": {}}\n</tool_calls>',
        [("get_weather", PLACE), ("now", "{}")],
    ),
    (
        "kimi",
        "Hm.<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0"
        f"<|tool_call_argument_begin|>{PLACE}<|tool_call_end|><|tool_call_begin|>now:12"
        "<|tool_call_argument_begin|> {} <|tool_call_end|><|tool_calls_section_end|>",
        ["Hm.", ("get_weather", PLACE), ("now", "{}")],
    ),
    (
        "phi4_mini",
        f'<|tool_call|>[{{"name": "get_weather", "arguments": {PLACE}}}]<|/tool_call|>',
        [("get_weather", PLACE)],
    ),
    ("phi4_mini", '<|tool_call|>{"name": "now"}<|/tool_call|>', [("now", "{}")]),
    (
        "phi4_mini",
        'functools[{"name": "now", "arguments": {}}, {"name": "now"}]',
        [("now", "{}"), ("now", "{}")],
    ),
    (
        "functionary_v31",
        f"Yes: <function=get_weather>{PLACE}</function><function=now>{{}}</function>",
        ["Yes:", ("get_weather", PLACE), ("now", "{}")],
    ),
    (
        "functionary_v32",
        f"all\nI look.\n>>>print(1)\n>>>get_weather\n{PLACE}>>>now\n{{}}\n>>>all\nDone",
        ["I look.\n>>>print(1)\n", ("get_weather", PLACE), ("now", "{}"), "\n\nDone"],
    ),
    (
        "functionary_v32",
        'get_weather\n{"place": "\\n>>>now\\n{}"}',
        [("get_weather", '{"place": "\\n>>>now\\n{}"}')],
    ),
    (
        "gemma",
        'Ok.<|tool_call>call:get_weather{days:2,metric:true,more:{a:[1,null,{b:<|"|>x<|"|>}]},'
        'place:<|"|>A {"B"} é,]<|"|>}<tool_call|><|tool_call>call:now{}<tool_call|>',
        [
            "Ok.",
            (
                "get_weather",
                '{"days": 2, "metric": true, "more": {"a": [1, null, {"b": "x"}]}, "place": "A {\\"B\\"} é,]"}',
            ),
            ("now", "{}"),
        ],
    ),
    (
        "gemma",
        '<|tool_call>call:f{<|"|>a<|"|>: None, "b": "c\\n", d: -1.5e3}<tool_call|>',
        [("f", '{"a": null, "b": "c\\n", "d": -1.5e3}')],
    ),
    (
        "functiongemma",
        '<start_function_call>call:get_weather{place:<escape>Paris, "x"<escape>}<end_function_call>'
        "<start_function_call>call:now{}<end_function_call>",
        [("get_weather", '{"place": "Paris, \\"x\\""}'), ("now", "{}")],
    ),
    (
        "harmony",
        "<|channel|>analysis<|message|>Hm <|end|><|start|>assistant<|channel|>commentary<|message|>I look.<|end|>"
        "<|start|>assistant<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>"
        f"{PLACE}<|call|>",
        ["[", ("thinks", "Hm "), "]", "I look.", ("get_weather", PLACE)],
    ),
    (
        "harmony",
        " to=functions.now<|channel|>commentary json<|message|>{}<|end|><|start|>assistant to=now"
        '<|channel|>analysis code<|message|>{"a": 1}<|end|><|start|>assistant<|channel|>final<|message|>Ok<|return|>',
        [("now", "{}"), ("now", '{"a": 1}'), "Ok"],
    ),
    (
        "harmony",
        "<|channel|>final<|message|>A<|end|><|start|>assistant<|channel|>final <|constrain|>json<|message|>B",
        ["A\n\nB"],
    ),
]

TEXTS = [
    ("hermes", '<tool_call>{"name": "x", "arguments": {"a": }}</tool_call>'),
    ("hermes", "<tool_call>{'name': 'x'}</tool_call>"),
    ("hermes", '<tool_call>{"name": "x", "arguments": [1]}</tool_call>'),
    ("hermes", '<tool_call>{"name": "x", "arguments": {"a": "cut'),
    ("hermes", '<tool_call>{"name": "", "arguments": {}}</tool_call>'),
    ("hermes", '<tool_call>{"arguments": {}}</tool_call>'),
    ("hermes", '<tool_call>{"name": "x",}</tool_call>'),
    ("hermes", '<tool_call>{"name": "x", "arguments": {"a": 01}}</tool_call>'),
    ("hermes", '<tool_call>{"name": "x", "arguments": {"a": "\\x"}}</tool_call>'),
    ("hermes", "Write <tool_call> so"),
    ("hermes", "<tool_call>" + "[" * 5000),
    ("hermes", '<tool_call>{"name": "x", "arguments": ' + '{"a":' * 5000),
    ("qwen3_coder", "<tool_call>\n<function=>\n</function>\n</tool_call>"),
    ("qwen3_coder", "<tool_call>\n<function=now>\n<parameter=a>\n1"),
    ("llama3_json", '{"name": "Alice", "parameters": {}}'),
    ("llama3_json", '{"name": "get_weather'),
    ("llama3_json", 'As JSON: {"name": "now", "parameters": {}}'),
    ("llama3_json", '<|python_tag|>brave_search.call(query="x")'),
    ("mistral", "[TOOL_CALLS]"),
    ("mistral", "[TOOL_CALLS][]"),
    ("mistral", "[TOOL_CALLS]now[ARGS]{"),
    ("deepseek", f"{BEGIN}{CALL}now{SEP}[]{CALL_END}{END}"),
    ("granite", "<|tool_call|>[1]"),
    ("python_code", "<code>\nimport os\n</code>"),
    ("python_code", "<code>now(</code>"),
    ("python_code", "<code></code>"),
    ("python_code", "<code>get_weather(place=now())</code>"),
    ("python_code", "<code>now(1, 2)</code>"),
    ("pythonic", "[1, 2, 3]"),
    ("pythonic", "[link](https://example.org)"),
    ("pythonic", "[unknown()]"),
    ("llama3_json", '<|python_tag|>get_weather.run(place="x")'),
    ("glm", '<tool_call>{"name": "x"}</tool_call>'),
    ("glm", "<tool_call>x<arg_key>a</arg_key><arg_key>b</arg_key></tool_call>"),
    ("glm", "<tool_call>x<arg_key>a</arg_key><arg_value>1"),
    ("minimax_m2", "<minimax:tool_call><invoke>x</invoke></minimax:tool_call>"),
    ("minimax_m2", '<minimax:tool_call><invoke name="x"><parameter name="a">1'),
    ("minimax_m2", "<minimax:tool_call></minimax:tool_call>"),
    ("deepseek_v32", "<｜DSML｜function_calls><invoke>"),
    ("minimax_m1", '<tool_calls>{"name": 1}</tool_calls>'),
    (
        "kimi",
        "<|tool_calls_section_begin|><|tool_call_begin|>x<|tool_call_argument_begin|>[]<|tool_call_end|>",
    ),
    ("kimi", "<|tool_calls_section_begin|><|tool_call_begin|>x"),
    ("phi4_mini", "import functools\nfunctools.cache"),
    ("phi4_mini", "<|tool_call|>[1]<|/tool_call|>"),
    ("functionary_v31", "<function=x>[]</function>"),
    ("functionary_v31", '<function=>{"a": 1}</function>'),
    ("functionary_v32", "unknown\n{}"),
    ("functionary_v32", 'now\n{"a": '),
    ("functionary_v32", ">>>now\n[1]"),
    ("gemma", "<|tool_call>call:f{a:}<tool_call|>"),
    ("gemma", '<|tool_call>call:f{a:<|"|>x}<tool_call|>'),
    ("gemma", "<|tool_call>call:f{a:1,a:2}<tool_call|>"),
    ("gemma", "<|tool_call>call:f{a:" + "[" * 5000),
    ("gemma", "<|tool_call>f{}<tool_call|>"),
    ("functiongemma", "<start_function_call>call:f{a:01}<end_function_call>"),
    ("harmony", "Hello <|world|>"),
    ("harmony", "Hello" * 100),
    ("harmony", "<|channel|>commentary to=functions.now <|message|>[1]"),
    ("harmony", '<|channel|>commentary to=functions.now <|message|>{"a": "cut'),
    ("harmony", "<|channel|>commentary to=browser.open <|message|>{}"),
]


@pytest.mark.parametrize(
    ("name", "text", "expected"), CALLS, ids=[f"{name} {i}" for i, (name, *_) in enumerate(CALLS)]
)
def test_calls(name, text, expected):
    events = parse(new_parser([name]), as_text(text, range(len(text))))
    assert plain(events) == expected
    ends = [event for event in events if isinstance(event, ToolCallEnd)]
    assert [end.index for end in ends] == list(range(len(ends)))
    assert len({end.id for end in ends}) == len(ends)
    assert all(isinstance(json.loads(end.arguments), dict) for end in ends)


@pytest.mark.parametrize("name", TOOL_FORMATS)
def test_every_format_has_calls_and_malformed_ones_among_the_cases(name):
    assert sum(case[0] == name for case in CALLS) >= 1
    assert sum(case[0] == name for case in TEXTS) >= 1


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(CALLS), st.randoms(use_true_random=False))
def test_tokens_give_the_same_calls_however_the_text_is_split(case, chance):
    name, text, expected = case
    assert plain(parse(new_parser([name], ids=True), as_tokens(text, chance))) == expected


@pytest.mark.parametrize(("name", "text"), TEXTS, ids=[f"{name} {i}" for i, (name, _) in enumerate(TEXTS)])
def test_what_is_no_call_comes_back_as_text(name, text):
    parser = new_parser([name])
    assert plain(parse(parser, as_text(text, range(len(text))))) == [text]
    assert parser.num_calls == 0


def test_a_malformed_call_does_not_hide_the_next():
    text = '<tool_call>{"name": oops}</tool_call> <tool_call>{"name": "now"}</tool_call>'
    assert plain(parse(new_parser(["hermes"]), as_text(text))) == [
        '<tool_call>{"name": oops}</tool_call>',
        ("now", "{}"),
    ]
    unclosed = '<tool_call>{"name": "now"}\n<tool_call>{"name": "now"}</tool_call>'
    assert plain(parse(new_parser(["hermes"]), as_text(unclosed))) == [("now", "{}"), ("now", "{}")]


def test_a_void_call_takes_an_index_of_its_own():
    text = '<tool_call>{"name": "a", "arguments": x<tool_call>{"name": "b"}</tool_call>'
    events = parse(new_parser(["hermes"]), as_text(text))
    assert [(event.index, event.name) for event in events if isinstance(event, ToolCallStart)] == [
        (0, "a"),
        (1, "b"),
    ]
    assert [event.index for event in events if isinstance(event, ToolCallEnd)] == [1]


def test_arguments_stream_as_they_are_written():
    parser = new_parser(["hermes"])
    events = parser.push(None, '<tool_call>{"name": "get_weather", "arguments": {"pla')
    assert [type(event) for event in events] == [ToolCallStart, ToolCallArguments]
    assert events[1].text == '{"pla'
    assert parser.push(None, 'ce": "R')[0].text == 'ce": "R'


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(CALLS), st.integers(0, 300), st.integers(0, 4), st.text(max_size=2), st.integers(0, 300)
)
def test_damaged_calls_are_read_alike_however_they_are_split(case, start, length, inserted, cut):
    name, text, _ = case
    start %= len(text)
    damaged = text[:start] + inserted + text[start + length :]
    events = parse(new_parser([name]), as_text(damaged, [cut]))
    assert events == parse(new_parser([name]), as_text(damaged, range(len(damaged))))
    for event in events:
        if isinstance(event, ToolCallEnd):
            assert isinstance(json.loads(event.arguments), dict)


def test_tools_that_were_not_offered_are_not_looked_for():
    text = '<tool_call>{"name": "now"}</tool_call>'
    assert plain(parse(new_parser([]), as_text(text))) == [text]


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(max_size=5), _JSON, max_size=4), st.booleans(), st.sampled_from([None, 1]))
def test_any_arguments_are_read_as_python_writes_them(arguments, ascii_only, indent):
    written = json.dumps(arguments, ensure_ascii=ascii_only, indent=indent)
    text = f'<tool_call>{{"name": "x", "arguments": {written}}}</tool_call>'
    assert plain(parse(new_parser(["hermes"]), as_text(text, range(len(text))))) == [("x", written)]


@settings(max_examples=200, deadline=None)
@given(st.text('{}[]",:\\ \n0123456789.eE+-truefalsn', max_size=25))
def test_json_is_accepted_exactly_where_python_accepts_it(text):
    events = plain(parse(new_parser(["mistral"]), as_text("[TOOL_CALLS]x[ARGS]{" + text)))
    try:
        value, end = json.JSONDecoder(strict=False).raw_decode("{" + text)
    except ValueError:
        value, end = None, 0
    calls = [event for event in events if isinstance(event, tuple)]
    assert bool(calls) == isinstance(value, dict)
    if calls:
        assert json.loads(calls[0][1]) == value
        assert "".join(events[1:]).strip() == ("{" + text)[end:].strip()


DATA = os.environ.get("CANDLEWICK_TEST_DATA")
FAMILIES = {
    "hermes": ["Qwen-Qwen2.5-7B-Instruct", "Qwen-Qwen3-0.6B", "NousResearch-Hermes-3-Llama-3.1-8B-tool_use"],
    "qwen3_coder": ["Qwen3-Coder"],
    "mistral": ["mistralai-Mistral-Nemo-Instruct-2407"],
    "deepseek": ["deepseek-ai-DeepSeek-R1-Distill-Qwen-32B", "deepseek-ai-DeepSeek-V3.1"],
    "llama3_json": ["meta-llama-Llama-3.1-8B-Instruct", "meta-llama-Llama-3.2-3B-Instruct"],
    "granite": ["ibm-granite-granite-3.3-2B-Instruct"],
    "harmony": ["openai-gpt-oss-120b"],
}


@pytest.mark.skipif(not DATA, reason="CANDLEWICK_TEST_DATA names no folder with templates")
@pytest.mark.parametrize(
    ("expected", "family"), [(name, family) for name, families in FAMILIES.items() for family in families]
)
def test_the_format_is_found_and_reads_what_the_template_writes(expected, family):
    source = Path(DATA, "templates", f"{family}.jinja").read_text()
    assert find_tool_format(source, lambda text: False).name == expected
    template = ChatTemplate(source, control_tokens=["<|im_end|>"], eos_token="</s>")
    if not (template.capabilities.tools and template.capabilities.tool_calls):
        return
    arguments = {"place": 'Rome {"x"}', "days": 3}
    calls = [ToolCall(id="abcDEF123", name="get_weather", arguments=json.dumps(arguments))]
    user = Message(role="user", content="Hello")
    asked = "".join(
        text for text, _ in template.render([user], tools=[WEATHER, NOW], add_generation_prompt=False)
    )
    called = "".join(
        text
        for text, _ in template.render(
            [user, Message(role="assistant", tool_calls=tuple(calls))],
            tools=[WEATHER, NOW],
            add_generation_prompt=False,
        )
    )
    written = called.removeprefix(asked)
    for ending in ("<|im_end|>", "<|eot_id|>", "</s>"):
        written = written.split(ending)[0]
    for header in ("<|im_start|>assistant\n", "<|start_header_id|>assistant<|end_header_id|>\n\n"):
        written = written.removeprefix(header)
    (call,) = [
        value for value in plain(parse(new_parser([expected]), as_text(written))) if isinstance(value, tuple)
    ]
    assert call[0] == "get_weather"
    assert json.loads(call[1]) == arguments


def test_formats_are_found_by_their_marker_in_the_vocabulary():
    assert find_tool_format("", {"[TOOL_CALLS]"}.__contains__).name == "mistral"
    assert find_tool_format("", {"<tool_call>"}.__contains__).name == "hermes"
    assert find_tool_format("", {"<tool_call>", "<arg_key>"}.__contains__).name == "glm"
    assert find_tool_format("", {"<|tool_call|>", "<|/tool_call|>"}.__contains__).name == "phi4_mini"
    assert find_tool_format("", {"<|channel|>"}.__contains__).name == "harmony"
    assert find_tool_format("", lambda text: False).name == "hermes"


def test_a_format_that_is_not_known_is_named():
    with pytest.raises(InvalidRequestError, match=r"tool_format must be one of .*hermes.*, got 'morse'"):
        tool_format_named("morse")
    assert all(tool_format_named(name).name == name for name in TOOL_FORMATS)
