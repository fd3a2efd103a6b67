"""The Chat Completions request: every field is honoured, harmless, or refused by name."""

from __future__ import annotations

import typing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("pydantic", reason="needs the server extra")

from candlewick.core.constraint import Constraint
from candlewick.core.errors import InvalidRequestError
from candlewick.openai.request import REFUSED_FIELDS, ChatCompletionRequest

MINIMAL: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


TOOLS = [{"type": "function", "function": {"name": name}} for name in ("f", "g", "h")]


def allowed(mode: str, *names: str) -> dict[str, Any]:
    tools = [{"type": "function", "function": {"name": name}} for name in names]
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}}


def parse(**fields: Any) -> ChatCompletionRequest:
    return ChatCompletionRequest.parse(MINIMAL | fields)


def refusal(**fields: Any) -> InvalidRequestError:
    with pytest.raises(InvalidRequestError) as caught:
        parse(**fields)
    return caught.value


def test_every_field_of_the_official_client_is_known() -> None:
    openai_params = pytest.importorskip("openai.types.chat.completion_create_params")
    official = set(typing.get_type_hints(openai_params.CompletionCreateParamsStreaming))
    assert official - set(ChatCompletionRequest.model_fields) - set(REFUSED_FIELDS) == set()


def test_fields_reach_the_sampler() -> None:
    params = parse(
        max_completion_tokens=9, temperature=0, top_p=0.5, top_k=3, min_p=0.1, repetition_penalty=1.1,
        frequency_penalty=1, presence_penalty=-1, stop=["a", "b"], seed=-1, logit_bias={"7": -100}, n=2,
        logprobs=True, top_logprobs=4, stop_token_ids=[5], ignore_eos=True,
    ).generation_params()  # fmt: skip
    assert (params.max_tokens, params.temperature, params.top_p, params.top_k) == (9, 0, 0.5, 3)
    assert (params.min_p, params.repetition_penalty) == (0.1, 1.1)
    assert (params.frequency_penalty, params.presence_penalty) == (1, -1)
    assert (params.stop, params.stop_token_ids, params.ignore_eos) == (("a", "b"), (5,), True)
    assert (params.seed, params.logit_bias, params.n, params.logprobs) == (2**64 - 1, {7: -100}, 2, 4)


def test_fields_left_out_keep_the_defaults() -> None:
    from candlewick.core.params import GenerationParams

    assert parse().generation_params() == GenerationParams()
    assert parse(stop="x", logprobs=True).generation_params() == GenerationParams(stop=("x",), logprobs=0)
    assert parse(stop=[], stop_token_ids=[]).generation_params() == GenerationParams()


@pytest.mark.parametrize(
    ("fields", "parameter"),
    [
        ({"temprature": 1}, "temprature"),
        ({"temperature": "1"}, "temperature"),
        ({"temperature": -1}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"n": True}, "n"),
        ({"n": 65}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 1, "max_completion_tokens": 2}, "max_tokens"),
        ({"stop": ["a", 1]}, "stop[1]"),
        ({"stop": ""}, "stop"),
        ({"messages": []}, "messages"),
        ({"messages": ["hi"]}, "messages[0]"),
        ({"logit_bias": {"x": 1}}, "logit_bias"),
        ({"logit_bias": {"1": "a"}}, "logit_bias.1"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"stream": True, "stream_options": {"include_usge": True}}, "stream_options.include_usge"),
        ({"response_format": {"type": "yaml"}}, "response_format.type"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {}}},
            "response_format.json_schema.schema",
        ),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": "sometimes"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, "tool_choice"),
        ({"tool_choice": {"type": "function", "name": "f"}}, "tool_choice"),
        ({"functions": []}, "functions"),
        ({"modalities": ["audio"]}, "modalities"),
        ({"reasoning_effort": "huge"}, "reasoning_effort"),
        ({"reasoning_effort": "none", "enable_thinking": True}, "enable_thinking"),
        ({"chat_template_kwargs": {"enable_thinking": "yes"}}, "chat_template_kwargs"),
        ({"max_thinking_tokens": -1}, "max_thinking_tokens"),
        ({"context_overflow": "middle"}, "context_overflow"),
        ({"messages": [{"role": "user", "content": "a", "images": ["x"]}]}, "messages[0].images"),
        ({"messages": [{"role": "user", "content": "a", "tool_calls": [1]}]}, "messages[0].tool_calls"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "txt": "a"}]}]},
            "messages[0].content[0].txt",
        ),
        (
            {
                "messages": [
                    {"role": "assistant", "tool_calls": [{"function": {"name": "f", "argument": "{}"}}]}
                ]
            },
            "messages[0].tool_calls[0].function.argument",
        ),
        (
            {"tools": [{"type": "function", "function": {"name": "f", "input_schema": {}}}]},
            "tools[0].function.input_schema",
        ),
        ({"tools": [{"type": "function", "name": "f", "parameters": {}}]}, "tools[0].name"),
        ({"response_format": {"type": "json_object", "schema": {}}}, "response_format.schema"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {}, "strct": True}}},
            "response_format.json_schema.strct",
        ),
        ({"tools": TOOLS, "tool_choice": {"type": "allowed_tools"}}, "tool_choice.allowed_tools.mode"),
        ({"tools": TOOLS, "tool_choice": allowed("auto")}, "tool_choice.allowed_tools.tools"),
        ({"tools": TOOLS, "tool_choice": allowed("auto", "f", "x")}, "tool_choice.allowed_tools.tools[1]"),
        ({"tool_choice": allowed("auto", "f")}, "tool_choice.allowed_tools.tools[0]"),
        ({"tool_choice": allowed("required", "f")}, "tool_choice"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(fields: dict[str, Any], parameter: str) -> None:
    error = refusal(**fields)
    assert error.parameter == parameter
    assert parameter in str(error) or "enable_thinking" in str(error)


def test_a_missing_field_is_named() -> None:
    with pytest.raises(InvalidRequestError, match="'messages' is missing"):
        ChatCompletionRequest.parse({"model": "m"})


@pytest.mark.parametrize("mode", ["auto", "required"])
def test_only_allowed_tools_are_offered(mode: str) -> None:
    request = parse(tools=TOOLS, tool_choice=allowed(mode, "h", "f"))
    assert request.chosen_tool() == mode
    assert request.offered_tools() == [TOOLS[0], TOOLS[2]]
    assert parse(tools=TOOLS).offered_tools() == TOOLS
    assert parse(tools=[]).offered_tools() is None


def test_extensions_reach_the_sampler() -> None:
    params = parse(max_thinking_tokens=7, context_overflow="truncate_left").generation_params()
    assert (params.max_thinking_tokens, params.context_overflow) == (7, "truncate_left")


def test_what_clients_send_back_of_answers_is_accepted() -> None:
    call = {
        "id": "c", "type": "function", "index": 0, "function": {"name": "f", "arguments": "{}", "parsed_arguments": {}}
    }  # fmt: skip
    parse(
        messages=[
            {"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]},
            {"role": "assistant", "content": None, "refusal": None, "annotations": [], "audio": None, "parsed": None,
             "function_call": None, "tool_calls": [call], "reasoning_content": "hm", "provider_specific_fields": {}},
            {"role": "tool", "tool_call_id": "c", "name": "f", "content": "1", "whatever": None},
        ]
    )  # fmt: skip


def test_harmless_fields_are_accepted() -> None:
    parse(user="u", metadata={"a": "b"}, store=False, service_tier="auto", safety_identifier="s",
          prompt_cache_key="k", prompt_cache_retention="24h", prediction={"type": "content", "content": "x"},
          response_format={"type": "text"}, modalities=["text"], functions=None, audio=None)  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "thinking", "variables"),
    [
        ({}, "adaptive", {}),
        ({"enable_thinking": False}, "no_think", {}),
        ({"enable_thinking": True}, "think", {}),
        ({"reasoning_effort": "none"}, "no_think", {}),
        ({"reasoning_effort": "low"}, "think", {"reasoning_effort": "low"}),
        ({"chat_template_kwargs": {"enable_thinking": False, "style": 1}}, "no_think", {"style": 1}),
        ({"chat_template_kwargs": {"enable_thinking": False}, "enable_thinking": False}, "no_think", {}),
    ],
)
def test_thinking_has_three_spellings(
    fields: dict[str, Any], thinking: str, variables: dict[str, Any]
) -> None:
    request = parse(**fields)
    assert request.thinking() == thinking
    assert request.template_variables() == variables


def test_a_tool_choice_is_a_word_or_a_function() -> None:
    tool = {"type": "function", "function": {"name": "f"}}
    named = {"type": "function", "function": {"name": "f"}}
    assert parse(tools=[tool]).chosen_tool() == "auto"
    assert parse(tools=[tool], tool_choice="none").chosen_tool() == "none"
    assert parse(tools=[tool], tool_choice="required").chosen_tool() == "required"
    assert parse(tools=[tool], tool_choice=named).chosen_tool() == "f"


def test_a_response_format_is_a_constraint() -> None:
    assert parse(response_format={"type": "text"}).constraint() is None
    assert parse(response_format={"type": "json_object"}).constraint() == Constraint.json_schema(
        {"type": "object"}
    )
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "integer"}}}
    assert parse(response_format=form).constraint() == Constraint.json_schema({"type": "integer"})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(sorted(ChatCompletionRequest.model_fields)) | st.text(), json_values))
def test_any_json_is_taken_or_refused_by_our_own_error(fields: dict[str, Any]) -> None:
    try:
        request = parse(**fields)
    except InvalidRequestError as error:
        problem: InvalidRequestError | None = error
    else:
        problem = None
        request.generation_params()
    assert problem is None or (problem.parameter is not None and str(problem))
