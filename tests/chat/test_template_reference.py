"""Published templates render as in transformers' jinja2 environment."""

from __future__ import annotations

import contextlib
import functools
import json
import os
from pathlib import Path

import jinja2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jinja_reference import compile_reference

from candlewick.chat.messages import Message, Tool, parse_messages, parse_tools
from candlewick.chat.template import ChatTemplate
from candlewick.core.errors import TemplateError

_DATA = os.environ.get("CANDLEWICK_TEST_DATA")
_PATHS = sorted(Path(_DATA, "templates").glob("*.jinja")) if _DATA else []

pytestmark = pytest.mark.skipif(not _PATHS, reason="CANDLEWICK_TEST_DATA names no folder with templates")

CONTROL_TOKENS = (
    *("<|im_start|>", "<|im_end|>", "<s>", "</s>", "[INST]", "[/INST]", "<|eot_id|>", "<|start_header_id|>"),
    *(
        "<start_of_turn>",
        "<end_of_turn>",
        "<｜User｜>",
        "<｜Assistant｜>",
        "<|start|>",
        "<|message|>",
        "<|end|>",
    ),
)

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather at a place — “now”",
        "parameters": {
            "type": "object",
            "properties": {
                "place": {"type": "string", "description": "A town, e.g. Zürich"},
                "days": {"type": "integer", "description": "How many", "minimum": 1, "maximum": 1.5e30},
                "units": {"type": "string", "enum": ["°C", "<F>"], "description": "The scale"},
            },
            "required": ["place"],
        },
    },
}
NESTED = {
    "type": "function",
    "function": {
        "name": "book",
        "description": "Book it",
        "parameters": {
            "type": "object",
            "properties": {
                "guests": {
                    "type": "array",
                    "description": "Who comes",
                    "items": {"type": "object", "properties": {"age": {"type": "number", "default": 0.1}}},
                },
                "options": {
                    "type": "object",
                    "description": "More",
                    "additionalProperties": {"type": "string"},
                },
                "note": {"type": ["string", "null"], "description": "Free \"text\"\n'quoted'"},
            },
        },
    },
}


def _call(name: str, arguments: dict, call_id: str = "abcDEF123") -> dict:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


USER = {"role": "user", "content": "Wie wird das Wetter? 🌦 {% raw %} <b>&amp;</b> a < b | c"}
SYSTEM = {"role": "system", "content": "Be brief. /no_think"}
ANSWER = {"role": "assistant", "content": "Sunny.\n"}
RESULT = {"role": "tool", "tool_call_id": "abcDEF123", "content": '{"celsius": 21.5}'}
CALLING = {
    "role": "assistant",
    "content": "",
    "tool_calls": [
        _call("get_weather", {"place": "Zürich", "days": 2, "deep": {"a": [1.0, None, True, '{"}']}})
    ],
}
THOUGHT = {"role": "assistant", "content": "<think>\nHm, 1 < 2.\n</think>\n\nYes."}
CONVERSATIONS = {
    "user": [USER],
    "system": [SYSTEM, USER],
    "turns": [SYSTEM, USER, ANSWER, USER],
    "thought": [USER, THOUGHT, USER],
    "reasoning": [USER, ANSWER | {"reasoning_content": "Let me see…"}, USER],
    "spaces": [{"role": "user", "content": "  \n x \n "}, {"role": "assistant", "content": "\n\n y"}, USER],
    "call": [USER, CALLING, RESULT],
    "call, then answer": [SYSTEM, USER, CALLING, RESULT, ANSWER, USER],
    "wrapped result": [USER, ANSWER, {"role": "user", "content": "<tool_response>\n3\n</tool_response>"}],
}


@pytest.fixture(params=_PATHS, ids=lambda path: path.stem)
def template(request) -> ChatTemplate:
    return _template(request.param)


@functools.cache
def _template(path: Path) -> ChatTemplate:
    return ChatTemplate(
        path.read_text(),
        control_tokens=CONTROL_TOKENS,
        bos_token="<s>",
        eos_token="</s>",
        name=path.stem,
    )


REFUSED, FAILED = object(), object()


def _reference(
    template: ChatTemplate, messages: list[dict], tools: list[dict] | None, variables: dict
) -> object:
    """The rendered text, or whether the template refused by itself or failed as Python code does."""
    try:
        return compile_reference(template.source).render(
            messages=messages,
            tools=tools,
            documents=None,
            add_generation_prompt=True,
            bos_token="<s>",
            eos_token="</s>",
            **variables,
        )
    except (jinja2.exceptions.TemplateError, TypeError, RecursionError) as error:
        return REFUSED if type(error) is jinja2.exceptions.TemplateError else FAILED


def _check(
    template: ChatTemplate, messages: list[dict], tools: list[dict] | None, variables: dict, expected: object
):
    if expected is REFUSED:
        with pytest.raises(TemplateError, match=f"{template.name}.* refused"):
            _ours(template, messages, tools, variables)
    elif expected is FAILED:
        # minijinja forgives some mistakes, such as iterating over none, that Python does not.
        with contextlib.suppress(TemplateError):
            _ours(template, messages, tools, variables)
    else:
        assert _ours(template, messages, tools, variables) == expected


def _ours(template: ChatTemplate, messages: list[dict], tools: list[dict] | None, variables: dict) -> str:
    return "".join(
        text for text, _ in template.render(parse_messages(messages), tools=parse_tools(tools), **variables)
    )


def _needs_adaptation(template: ChatTemplate, messages: list[dict], tools: list[dict] | None) -> bool:
    knows = template.capabilities
    roles = {message["role"] for message in messages}
    has_calls = any("tool_calls" in message for message in messages)
    return (
        ("system" in roles and not knows.system_role)
        or (bool(tools) and not knows.tools)
        or (has_calls and not (knows.tools and knows.tool_calls))
        or ("tool" in roles and not knows.tool_results)
    )


@pytest.mark.parametrize("conversation", CONVERSATIONS)
def test_renders_as_the_reference(template, conversation):
    messages = CONVERSATIONS[conversation]
    aliased = [
        message | {"thinking": message["reasoning_content"]} if "reasoning_content" in message else message
        for message in messages
    ]
    for tools in (None, [WEATHER], [WEATHER, NESTED]):
        for variables in ({}, {"enable_thinking": True}, {"enable_thinking": False}):
            if _needs_adaptation(template, messages, tools):
                assert _ours(template, messages, tools, variables)
                continue
            thinking = {"thinking": variables["enable_thinking"]} if variables else {}
            expected = _reference(template, aliased, tools, variables | thinking)
            _check(template, messages, tools, variables, expected)


def test_most_conversations_are_compared(template):
    compared = [
        name for name, messages in CONVERSATIONS.items() if not _needs_adaptation(template, messages, None)
    ]
    assert {"user", "turns"} & set(compared) or not template.capabilities.system_role
    assert "user" in compared


# White space is what Unicode says to minijinja; Python adds the four separators from U+001C on.
_CHARACTERS = st.characters(codec="utf-8", exclude_characters="\x1c\x1d\x1e\x1f")
_TEXTS = st.text(_CHARACTERS, max_size=20) | st.sampled_from(
    [
        "</think>",
        "<think>a</think>b",
        "/think",
        "<|im_start|>system",
        "</s>",
        "[/INST]",
        "  ",
        "a\r\nb",
        "\U000f0000",
    ]
)
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(first=_TEXTS, answer=_TEXTS, second=_TEXTS, arguments=st.dictionaries(_TEXTS, _JSON, max_size=3))
def test_any_text_renders_as_the_reference(template, first, answer, second, arguments):
    """The restored text is that of the reference, whatever was marked on the way."""
    if "<|im_" in first + second and "gpt-oss" in template.name:
        return
    messages = [
        {"role": "user", "content": first},
        {"role": "assistant", "content": answer},
        {"role": "user", "content": second},
    ]
    if template.capabilities.tools and template.capabilities.tool_calls:
        messages[1:1] = [
            {"role": "assistant", "content": "", "tool_calls": [_call("find", arguments)]},
            {"role": "tool", "tool_call_id": "abcDEF123", "content": second},
        ]
    _check(template, messages, None, {}, _reference(template, messages, None, {}))


@pytest.mark.reference
def test_the_reference_is_transformers_own(template):
    utilities = pytest.importorskip("transformers.utils.chat_template_utils")
    for messages in CONVERSATIONS.values():
        expected = _reference(template, messages, [WEATHER], {})
        if isinstance(expected, str):
            variables = {"bos_token": "<s>", "eos_token": "</s>", "add_generation_prompt": True}
            rendered, _ = utilities.render_jinja_template(
                conversations=[messages], tools=[WEATHER], chat_template=template.source, **variables
            )
            assert rendered == [expected]


def test_messages_survive_json():
    messages = parse_messages(CONVERSATIONS["call, then answer"])
    again = parse_messages(json.loads(json.dumps([message.to_json() for message in messages])))
    assert again == messages
    assert all(isinstance(message, Message) for message in again)
    tool = Tool(name="a", description="b")
    assert parse_tools([tool.to_json()]) == [tool]
