"""Reading messages and tools: what is accepted, and that errors name the place."""

from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from candlewick.chat.messages import Message, Tool, ToolCall, parse_messages, parse_tools
from candlewick.core.errors import InvalidRequestError

CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
TOOL = {"type": "function", "function": {"name": "f"}}


def test_openai_messages_are_read():
    assert parse_messages(
        [
            {"role": "developer", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            {"role": "user", "content": "Hello", "name": "Ann"},
            {"role": "assistant", "content": None, "tool_calls": [CALL], "refusal": None, "reasoning": "Hm"},
            {"role": "tool", "content": "3", "tool_call_id": "1"},
            Message(role="user", content="Thanks"),
        ]
    ) == [
        Message(role="developer", content="a\nb"),
        Message(role="user", content="Hello", name="Ann"),
        Message(
            role="assistant", tool_calls=(ToolCall(id="1", name="f", arguments='{"a": 1}'),), reasoning="Hm"
        ),
        Message(role="tool", content="3", tool_call_id="1"),
        Message(role="user", content="Thanks"),
    ]


def test_arguments_may_be_an_object():
    call = {"id": "1", "function": {"name": "f", "arguments": {"a": "é"}}}
    (message,) = parse_messages([{"role": "assistant", "tool_calls": [call]}])
    assert message.tool_calls[0].arguments == '{"a": "é"}'


USER = {"role": "user", "content": "x"}


@pytest.mark.parametrize(
    ("messages", "parameter"),
    [
        ([], "messages"),
        ("hello", "messages"),
        ({"role": "user"}, "messages"),
        ([USER, "x"], "messages[1]"),
        ([USER, {"role": "bird", "content": "x"}], "messages[1].role"),
        ([{"content": "x"}], "messages[0].role"),
        ([{"role": ["user"], "content": "x"}], "messages[0].role"),
        ([{"role": "user"}], "messages[0].content"),
        ([{"role": "user", "content": 3}], "messages[0].content"),
        ([{"role": "user", "content": [3]}], "messages[0].content[0]"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], "messages[0].content[0].type"),
        ([{"role": "user", "content": [{"type": "text"}]}], "messages[0].content[0].text"),
        ([{"role": "user", "content": "x", "name": 3}], "messages[0].name"),
        ([{"role": "user", "content": "x", "tool_calls": [CALL]}], "messages[0].tool_calls"),
        ([{"role": "user", "content": "x", "reasoning": "y"}], "messages[0].reasoning_content"),
        ([{"role": "assistant", "tool_calls": "x"}], "messages[0].tool_calls"),
        ([{"role": "assistant", "tool_calls": [3]}], "messages[0].tool_calls[0]"),
        ([{"role": "assistant", "tool_calls": [CALL, {}]}], "messages[0].tool_calls[1].function"),
        ([{"role": "assistant", "tool_calls": [CALL | {"type": "x"}]}], "messages[0].tool_calls[0].type"),
        ([{"role": "assistant", "tool_calls": [CALL | {"id": 3}]}], "messages[0].tool_calls[0].id"),
        (
            [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]}],
            "messages[0].tool_calls[0].function.arguments",
        ),
        ([{"role": "assistant", "content": "x", "function_call": {}}], "messages[0].function_call"),
    ],
)
def test_a_wrong_message_is_named(messages, parameter):
    with pytest.raises(InvalidRequestError, match="^" + re.escape(parameter)) as error:
        parse_messages(messages)
    assert error.value.parameter == parameter


@pytest.mark.parametrize(
    ("tools", "parameter"),
    [
        ("f", "tools"),
        ([3], "tools[0]"),
        ([TOOL, {"type": "web_search"}], "tools[1].type"),
        ([{"type": "function"}], "tools[0].function"),
        ([{"type": "function", "function": {}}], "tools[0].function.name"),
        ([{"type": "function", "function": {"name": "f", "parameters": []}}], "tools[0].function.parameters"),
        ([{"type": "function", "function": {"name": "f", "strict": 1}}], "tools[0].function.strict"),
        (
            [{"type": "function", "function": {"name": "f", "description": 1}}],
            "tools[0].function.description",
        ),
        ([TOOL, TOOL], "tools[1].function.name"),
    ],
)
def test_a_wrong_tool_is_named(tools, parameter):
    with pytest.raises(InvalidRequestError, match="^" + re.escape(parameter)) as error:
        parse_tools(tools)
    assert error.value.parameter == parameter


def test_tools_are_read():
    assert parse_tools(None) == []
    (tool,) = parse_tools([TOOL])
    assert tool == Tool(name="f")
    assert tool.to_json()["function"]["parameters"] == {"type": "object", "properties": {}}


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["role", "content", "tool_calls", "function", "name", "arguments", "type", "text", "id"]
            ),
            inner | st.sampled_from(["user", "assistant", "function", "text"]),
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(_JSON, st.sampled_from([parse_messages, parse_tools]))
def test_any_json_is_read_or_refused(value, parse):
    with contextlib.suppress(InvalidRequestError):
        assert isinstance(parse(value), list)
