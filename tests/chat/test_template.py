"""Adapting a conversation to a template, and what happens when a template is bad."""

from __future__ import annotations

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from candlewick.chat.messages import Message, Tool, ToolCall
from candlewick.chat.template import CHATML, ChatTemplate
from candlewick.core.errors import InvalidRequestError, TemplateError

USER = Message(role="user", content="Hello")
SYSTEM = Message(role="system", content="Be brief.")
CALLING = Message(role="assistant", tool_calls=(ToolCall(id="1", name="f", arguments='{"a": 1.0}'),))
RESULT = Message(role="tool", content="3", tool_call_id="1")
EACH = "{% for m in messages %}{{ m.role }}:{{ m.content }};{% endfor %}"


def rendered(source: str, *messages: Message, **options) -> str:
    template = ChatTemplate(source, control_tokens=[], bos_token="<s>", eos_token="</s>", name="mine")
    return "".join(text for text, _ in template.render(messages, **options))


def test_chatml_is_what_models_without_a_template_get():
    assert rendered(CHATML, SYSTEM, USER) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"
    )
    assert rendered(CHATML, USER, add_generation_prompt=False) == "<|im_start|>user\nHello<|im_end|>\n"


def test_a_developer_is_a_system_to_templates_that_know_none():
    developer = Message(role="developer", content="Be brief.")
    assert rendered(EACH, developer) == "system:Be brief.;"
    assert rendered(EACH + "{# developer #}", developer) == "developer:Be brief.;"


def test_system_messages_join_the_user_where_templates_refuse_or_ignore_them():
    refusing = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}" + EACH
    assert rendered(refusing, SYSTEM, USER) == "user:Be brief.\n\nHello;"
    assert rendered(refusing, SYSTEM) == "user:Be brief.;"
    ignoring = "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }};{% endif %}{% endfor %}"
    assert rendered(ignoring, SYSTEM, USER, SYSTEM) == "Be brief.\n\nHello;Be brief.;"


def test_tools_become_text_where_templates_know_none():
    tool = Tool(
        name="f", description="Does it", parameters={"type": "object", "properties": {"a": {"default": 1.0}}}
    )
    text = rendered(EACH, SYSTEM, USER, CALLING, RESULT, tools=[tool])
    assert text.startswith("system:Be brief.\n\nYou may call functions.")
    assert '{"name": "f", "description": "Does it", "parameters": {"type": "object", "properties": ' in text
    assert 'assistant:<tool_call>\n{"name": "f", "arguments": {"a": 1.0}}\n</tool_call>;tool:3;' in text
    only_known_roles = "{% for m in messages if m.role != 'tool' %}{{ m.role }}:{{ m.content }};{% endfor %}"
    assert rendered(only_known_roles, USER, CALLING, RESULT).endswith(
        "user:<tool_response>\n3\n</tool_response>;"
    )
    assert rendered(EACH, USER, tools=[tool]).startswith("system:You may call functions.")


CALLS = (
    "{{ tools or '' }}"
    "{% for m in messages %}{% for c in m.tool_calls %}%s{% endfor %}{{ m.content }};{% endfor %}"
)


def test_arguments_come_as_the_template_wants_them():
    as_object = CALLS.replace("%s", "{% for k, v in c.function.arguments|items %}{{ k }}={{ v }}{% endfor %}")
    as_text = CALLS.replace("%s", "{{ 'call ' + c.function.arguments }}")
    assert rendered(as_object, USER, CALLING) == "Hello;a=1.0;"
    assert rendered(as_text, USER, CALLING) == 'Hello;call {"a": 1.0};'


def test_content_that_is_absent_is_none_only_where_templates_expect_that():
    expecting = CALLS.replace("%s", "{{ c.function.arguments|tojson }}").replace(
        "{{ m.content }}", "{% if m.content is not none %}[{{ m.content }}]{% endif %}"
    )
    assert rendered(expecting, USER, CALLING) == '[Hello];{"a": 1.0};'
    assert rendered(EACH, Message(role="assistant", content=None)) == "assistant:;"


def test_ids_are_made_short_where_templates_insist_on_that():
    source = (
        "{{ tools or '' }}{% for m in messages %}{% for c in m.tool_calls %}"
        "{% if c.id|length != 9 %}{{ raise_exception('too long') }}{% endif %}"
        "{{ c.id }}={{ c.function|tojson }};"
        "{% endfor %}{% if m.role == 'tool' %}{{ m.tool_call_id }}={% endif %}{{ m.content }}{% endfor %}"
    )
    short, long = "abcDEF123", "call_0123456789"
    for call_id in (short, long):
        call = Message(
            role="assistant", tool_calls=(ToolCall(id=call_id, name="f", arguments="{}"),), content=""
        )
        text = rendered(source, USER, call, Message(role="tool", content="3", tool_call_id=call_id))
        first, second = text.removeprefix("Hello").split(";")
        assert first.split("=")[0] == second.split("=")[0]
        assert len(second.split("=")[0]) == 9
        assert (call_id in text) == (call_id == short)
    assert long in rendered(
        CALLS.replace("%s", "{{ c.id }}{{ c.function.name }}{{ c.function.arguments|tojson }}"), call
    )


def test_reasoning_goes_where_templates_look_for_it():
    thought = Message(role="assistant", content="Yes", reasoning="Hm")
    assert rendered("{{ messages[0].reasoning_content }} {{ messages[0].thinking }}", thought) == "Hm Hm"


def test_further_variables_reach_the_template_but_do_not_replace_the_conversation():
    assert rendered("{{ effort }}{{ bos_token }}", USER, variables={"effort": 1.0}) == "1.0<s>"
    assert rendered("{{ enable_thinking is defined }}", USER) == "False"
    assert rendered("{{ enable_thinking }} {{ thinking }}", USER, enable_thinking=False) == "False False"
    for name in ("messages", "tools", "bos_token"):
        with pytest.raises(InvalidRequestError, match=f"'{name}' is set by the conversation"):
            rendered(EACH, USER, variables={name: 1})
    with pytest.raises(InvalidRequestError, match=r"a\.b\[1\] must be a JSON value, got a object"):
        rendered(EACH, USER, variables={"a": {"b": [1, object()]}})
    deep: list = []
    for _ in range(500):
        deep = [deep]
    with pytest.raises(InvalidRequestError, match="nested more than"):
        rendered(EACH, USER, variables={"a": deep})
    with pytest.raises(InvalidRequestError, match=r"messages\[0\]\.content is not valid Unicode"):
        rendered(EACH, Message(role="user", content="\ud800"))


def test_errors_name_the_template_and_the_line_and_say_what_it_said():
    with pytest.raises(TemplateError, match=r"'mine' refused the messages at line 2: Only birds"):
        rendered("\n{{ raise_exception('Only birds') }}", USER)
    with pytest.raises(TemplateError, match=r"'mine' failed at line 3: .*unexpected end"):
        rendered("\n\n{% if %}", USER)
    with pytest.raises(TemplateError, match=r"'mine' failed at line 1: filter nonsense is unknown"):
        rendered("{{ 1|nonsense }}", USER)
    with pytest.raises(TemplateError, match=r"failed.*"):
        rendered("{{ [1]|tojson(indent=[]) }}", USER)


@pytest.mark.parametrize(
    "source",
    [
        "{% for i in range(99999) %}{% for j in range(99999) %}x{% endfor %}{% endfor %}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{{ 'x' * 10000000000 }}",
        "{{" + "(" * 100_000,
        "{% include '/etc/passwd' %}",
    ],
)
def test_a_hostile_template_is_stopped(source):
    start = time.thread_time()
    with pytest.raises(TemplateError):
        rendered(source, USER)
    assert time.thread_time() - start < 5


def test_a_template_sees_no_python():
    reached = (
        "{{ messages[0].__class__ }}{{ messages.__init__ }}{{ x.__repr__ }}{{ x._value }}{{ ''.__class__ }}"
    )
    assert rendered(reached, USER, variables={"x": 1.5}) == ""


def test_threads_share_a_template():
    source = "{% for i in range(300) %}{{ messages[0].content|tojson|trim }}{% endfor %}"
    template = ChatTemplate(source, control_tokens=["<a>"])

    def render(number: int) -> bool:
        message = Message(role="user", content=f"<a> {number}")
        return "".join(text for text, _ in template.render([message])) == f'"<a> {number}"' * 300

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(render, range(100)))


def test_training_tags_render_nothing():
    assert rendered("a{% generation %}b{%- endgeneration -%} c", USER) == "abc"


SNIPPETS = st.sampled_from(
    [
        *(
            "{{ ",
            " }}",
            "{% ",
            " %}",
            "{#",
            "#}",
            "for m in messages",
            "endfor",
            "if ",
            "endif",
            "m.content",
            "messages",
        ),
        *(
            "set x = ",
            "|tojson",
            "|trim",
            "namespace()",
            "raise_exception('x')",
            "macro f(x)",
            "endmacro",
            "[0]",
            "-",
        ),
        *(
            "generation",
            "tools",
            "~",
            "'",
            '"',
            "\n",
            "loop.index0",
            "|items",
            "strftime_now('%Y')",
            ".split('<')",
        ),
    ]
)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(SNIPPETS | st.text(max_size=3), max_size=12).map("".join)
    | st.text()
    | st.binary().map(bytes.hex)
)
def test_any_source_renders_or_raises_a_template_error(source):
    with contextlib.suppress(TemplateError):
        assert isinstance(rendered(source, USER, SYSTEM, CALLING, tools=[Tool(name="f")]), str)
