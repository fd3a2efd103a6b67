"""Structured output and forced calls by the official client, over HTTP, on the built-in model."""

from __future__ import annotations

import json
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field
from test_server_builtin import HI, address, completions  # noqa: F401 - fixtures

openai = pytest.importorskip("openai")
pytest.importorskip("llguidance", reason="the extra 'structured' is not installed")


class Weather(BaseModel):
    """The weather of a place."""

    place: str = Field(max_length=12)
    degrees: int = Field(ge=-50, le=60)
    sky: Literal["clear", "cloudy"]
    warnings: list[Literal["wind", "rain"]] = Field(max_length=2)


class Book(BaseModel):
    """Book a room."""

    nights: int = Field(ge=1, le=9)


FIELDS: Any = {"model": "builtin", "messages": HI, "max_tokens": 300, "seed": 5}


def test_answers_are_parsed_into_models(completions: Any) -> None:  # noqa: F811
    answer = completions.parse(**FIELDS, response_format=Weather)
    assert isinstance(answer.choices[0].message.parsed, Weather)


def test_streamed_answers_are_parsed_too(completions: Any) -> None:  # noqa: F811
    with completions.stream(**FIELDS, response_format=Weather) as stream:
        answer = stream.get_final_completion()
    assert isinstance(answer.choices[0].message.parsed, Weather)


def test_any_json_object_is_one(completions: Any) -> None:  # noqa: F811
    answer = completions.create(**FIELDS, response_format={"type": "json_object"}, reasoning_effort="none")
    if answer.choices[0].finish_reason == "stop":
        assert isinstance(json.loads(answer.choices[0].message.content), dict)


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "Book"}}])
def test_forced_calls_are_valid(completions: Any, choice: Any) -> None:  # noqa: F811
    tool = openai.pydantic_function_tool(Book)
    answer = completions.parse(**FIELDS, tools=[tool], tool_choice=choice, parallel_tool_calls=False)
    (call,) = answer.choices[0].message.tool_calls
    assert isinstance(call.function.parsed_arguments, Book)
    assert answer.choices[0].finish_reason == "tool_calls"


def test_no_call_is_no_call(completions: Any) -> None:  # noqa: F811
    tool = openai.pydantic_function_tool(Book)
    answer = completions.create(**FIELDS, tools=[tool], tool_choice="none")
    assert not answer.choices[0].message.tool_calls


def test_what_cant_be_followed_is_a_bad_request(completions: Any) -> None:  # noqa: F811
    form = {
        "type": "json_schema",
        "json_schema": {"name": "x", "schema": {"type": "array", "uniqueItems": True}},
    }
    with pytest.raises(openai.BadRequestError, match="uniqueItems"):
        completions.create(**FIELDS, response_format=form)
