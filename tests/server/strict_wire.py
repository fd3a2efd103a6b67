"""Checks what a server sends against the official package's types, strictly: nothing missing, wrong or unknown."""

from __future__ import annotations

from typing import Any, get_args

import openai.types.responses as wire
from openai.types.conversations import ConversationItem

from openai import BaseModel

NOT_IN_THE_PACKAGE = {"presence_penalty", "frequency_penalty", "store", "headers"}
"""Keys of the published specification that the package's types leave out."""
SPECIFIED = {
    "id", "object", "created_at", "completed_at", "status", "incomplete_details", "model", "previous_response_id",
    "instructions", "output", "error", "tools", "tool_choice", "truncation", "parallel_tool_calls", "text", "top_p",
    "presence_penalty", "frequency_penalty", "top_logprobs", "temperature", "reasoning", "usage",
    "max_output_tokens", "max_tool_calls", "store", "background", "service_tier", "metadata", "safety_identifier",
    "prompt_cache_key",
}  # fmt: skip
"""The keys that the published specification wants in every response."""
NEVER_NULL = {
    "id", "object", "created_at", "status", "model", "output", "tools", "tool_choice", "truncation",
    "parallel_tool_calls", "text", "top_p", "temperature", "presence_penalty", "frequency_penalty", "top_logprobs",
    "store", "background", "service_tier", "metadata",
}  # fmt: skip

_EVENTS = {
    get_args(kind.model_fields["type"].annotation)[0]: kind
    for kind in get_args(get_args(wire.ResponseStreamEvent)[0])
}
_ITEMS = {
    get_args(kind.model_fields["type"].annotation)[0]: kind
    for kind in get_args(get_args(wire.ResponseItem)[0])
} | {"message": None}
_CONVERSATION_ITEMS = {
    get_args(kind.model_fields["type"].annotation)[0]: kind
    for kind in get_args(get_args(ConversationItem)[0])
}


def check_event(event: dict[str, Any]) -> None:
    _check(_EVENTS[event["type"]], event)
    if "response" in event:
        check_response(event["response"])


def check_response(response: dict[str, Any]) -> None:
    assert response.keys() >= SPECIFIED
    assert {name for name in NEVER_NULL if response[name] is None} == set()
    _check(wire.Response, response)


def check_item(item: dict[str, Any]) -> None:
    """An item in a list of a response's input."""
    kind = _ITEMS[item["type"]]
    if kind is None:
        kind = wire.ResponseOutputMessage if item["role"] == "assistant" else wire.ResponseInputMessageItem
    _check(kind, item)


def check_conversation_item(item: dict[str, Any]) -> None:
    _check(_CONVERSATION_ITEMS[item["type"]], item)


def check_order(events: list[dict[str, Any]], first: int = 0) -> None:
    """Numbers without a gap; items that begin once, grow under their index, end once; and the response between."""
    assert [event["sequence_number"] for event in events] == list(range(first, first + len(events)))
    kinds = [event["type"] for event in events]
    assert kinds[0] == "response.created"
    assert kinds[-1] in ("response.completed", "response.incomplete", "response.failed")
    begun: dict[int, str] = {}
    ended: dict[int, dict[str, Any]] = {}
    texts: dict[tuple[Any, ...], str] = {}
    for event in events:
        check_event(event)
        kind, index = event["type"], event.get("output_index")
        if kind == "response.output_item.added":
            assert index == len(begun)
            begun[index] = event["item"]["id"]
        elif kind == "response.output_item.done":
            assert event["item"]["id"] == begun[index]
            assert index not in ended
            ended[index] = event["item"]
        elif index is not None:
            assert event["item_id"] == begun[index]
            assert index not in ended
        place = (index, kind.rpartition(".")[0], event.get("content_index"), event.get("summary_index"))
        if kind.endswith(".delta"):
            texts[place] = texts.get(place, "") + event["delta"]
        elif kind.endswith(("text.done", "arguments.done")):
            assert texts.get(place, "") == event.get("text", event.get("arguments"))
    assert begun.keys() == ended.keys()
    assert events[-1]["response"]["output"] == [ended[index] for index in sorted(ended)]


def _check(kind: type[BaseModel], value: dict[str, Any]) -> None:
    checked = kind.model_validate(value, strict=True)
    _refuse_unknown(checked, kind.__name__)


def _refuse_unknown(value: object, where: str) -> None:
    if isinstance(value, BaseModel):
        unknown = set(value.model_extra or ()) - NOT_IN_THE_PACKAGE
        # A delta's log-probabilities have bytes here as everywhere else.
        assert unknown <= ({"bytes"} if "Logprob" in type(value).__name__ else set()), f"{where}: {unknown}"
        for name in type(value).model_fields:
            _refuse_unknown(getattr(value, name), f"{where}.{name}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _refuse_unknown(item, f"{where}[{index}]")
