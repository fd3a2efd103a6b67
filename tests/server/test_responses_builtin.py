"""``/v1/responses`` with the built-in model and the official client: forms that are held to, calls, background, turns.

The model is small: what is asserted is the form of what it says, which its grammar settles, never the words.
"""

from __future__ import annotations

from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field
from test_server_builtin import address  # noqa: F401 - a fixture

openai = pytest.importorskip("openai")
pytest.importorskip("llguidance", reason="the extra 'structured' is not installed")
pytest.importorskip("sqlalchemy", reason="needs the store extra")


class Weather(BaseModel):
    """The weather of a place."""

    sky: Literal["clear", "cloudy"]
    degrees: int = Field(ge=-50, le=60)


class Book(BaseModel):
    """Book a room."""

    nights: int = Field(ge=1, le=9)


FIELDS: Any = {
    "model": "builtin",
    "input": "Hello!",
    "max_output_tokens": 300,
    "reasoning": {"effort": "none"},
}


@pytest.fixture
def responses(address: str) -> Any:  # noqa: F811
    return openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0, timeout=120).responses


def test_answers_are_parsed_into_models(responses: Any) -> None:
    response = responses.parse(**FIELDS, text_format=Weather)
    assert isinstance(response.output_parsed, Weather)
    assert response.text.format.type == "json_schema"


def test_streamed_answers_are_parsed_too(responses: Any) -> None:
    with responses.stream(**FIELDS, text_format=Weather) as stream:
        kinds = [event.type for event in stream]
        response = stream.get_final_response()
    assert isinstance(response.output_parsed, Weather)
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"


@pytest.mark.parametrize("streams", [False, True])
def test_forced_calls_are_parsed_and_answered(responses: Any, streams: bool) -> None:
    tool = openai.pydantic_function_tool(Book)
    asked: Any = {**FIELDS, "tools": [tool], "tool_choice": "required", "parallel_tool_calls": False}
    if streams:
        with responses.stream(**asked) as stream:
            first = stream.until_done().get_final_response()
    else:
        first = responses.parse(**asked)
    (call,) = [item for item in first.output if item.type == "function_call"]
    assert isinstance(call.parsed_arguments, Book)
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "booked"}
    second = responses.create(
        **FIELDS | {"input": [output], "max_output_tokens": 30},
        tools=[{"type": "function", **tool["function"]}],
        previous_response_id=first.id,
    )
    assert second.status in ("completed", "incomplete")
    assert second.usage.input_tokens_details.cached_tokens > 0


def test_in_the_background_polled_and_cancelled(responses: Any) -> None:
    asked = FIELDS | {"background": True, "max_output_tokens": 20}
    response = responses.create(**asked)
    while response.status in ("queued", "in_progress"):
        response = responses.retrieve(response.id)
    assert response.status in ("completed", "incomplete")
    long = responses.create(**FIELDS | {"background": True, "max_output_tokens": 400})
    cancelled = responses.cancel(long.id)
    assert cancelled.status in ("cancelled", "completed", "incomplete")
    assert responses.retrieve(long.id).status == cancelled.status
