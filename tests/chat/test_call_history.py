"""Past calls for templates that show a call's id only, or a message's first call only."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from candlewick.chat.messages import Message, Tool, ToolCall
from candlewick.chat.template import ChatTemplate

IDS_ONLY = """\
{%- for message in messages -%}
[{{ message.role }}]{{ message.content or '' }}
{%- if message.tool_call_id %} of {{ message.tool_call_id }}{% endif -%}
{%- for call in message.tool_calls or [] %} call {{ call.id }} {{ call.function.arguments | tojson }}{% endfor -%}
{%- endfor -%}
{%- if tools %}{{ tools | tojson }}{% endif -%}
"""
TWO_CALLS = [
    Message(role="user", content="Where and when?"),
    Message(
        role="assistant",
        reasoning="Both at once.",
        tool_calls=(
            ToolCall(id="a", name="where", arguments='{"x": 1}'),
            ToolCall(id="b", name="when", arguments="{}"),
        ),
    ),
    Message(role="tool", content="noon", tool_call_id="b"),
    Message(role="tool", content="Rome", tool_call_id="a"),
]
TOOLS = [Tool(name="where"), Tool(name="when")]


def rendered(source: str, messages: list[Message], tools: list[Tool] | None = None) -> str:
    return "".join(text for text, _ in ChatTemplate(source, control_tokens=[]).render(messages, tools=tools))


def test_ids_name_the_function_where_nothing_else_does():
    text = rendered(IDS_ONLY, TWO_CALLS)
    assert 'call functions.where:0 {"x": 1} call functions.when:1 {}' in text
    assert "noon of functions.when:1[tool]Rome of functions.where:0" in text


def test_a_result_without_its_call_keeps_its_id():
    stray = [Message(role="user", content="?"), Message(role="tool", content="x", tool_call_id="stray")]
    assert "x of stray" in rendered(IDS_ONLY, stray)


@pytest.mark.skipif(
    "CANDLEWICK_TEST_DATA" not in os.environ, reason="CANDLEWICK_TEST_DATA names no folder with templates"
)
def test_gpt_oss_is_told_of_every_call_and_its_result():
    source = Path(os.environ["CANDLEWICK_TEST_DATA"], "templates", "openai-gpt-oss-120b.jinja").read_text()
    text = rendered(source, TWO_CALLS, TOOLS)
    order = [
        "analysis<|message|>Both at once.",
        'to=functions.where<|channel|>commentary json<|message|>{"x": 1}',
        'functions.where to=assistant<|channel|>commentary<|message|>"Rome"',
        "to=functions.when<|channel|>commentary json<|message|>{}",
        'functions.when to=assistant<|channel|>commentary<|message|>"noon"',
    ]
    places = [text.index(part) for part in order]
    assert places == sorted(places)
