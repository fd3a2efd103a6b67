"""What may stand inside a request's messages, tools and form of answer: unknown fields there are refused by name.

:mod:`candlewick.chat.messages` reads these values and passes over what it doesn't know. On the wire that would drop a
misspelt field, or one with a meaning elsewhere, silently. Source: ``openai.types.chat`` and
``openai.types.shared_params``; the harmless ones are what clients send along.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from candlewick.core.errors import InvalidRequestError

_NOTES = frozenset(
    {
        "id",
        "metadata",
        "cache_control",
        "prompt_cache_breakpoint",
        "provider_specific_fields",
        "extra_content",
    }
)
"""They name, mark for a cache, or carry what another provider gave along with an answer."""
_EVERY_MESSAGE = _NOTES | {"role", "content", "name"}
_MESSAGE: Mapping[object, frozenset[str]] = {
    "assistant": _EVERY_MESSAGE
    | {"tool_calls", "reasoning_content", "reasoning", "refusal"}
    # Read by chat.messages, which refuses them.
    | {"audio", "function_call"}
    # Parts of answers that clients send back as they got them.
    | {"annotations", "parsed", "reasoning_details", "thinking_blocks"},
    "tool": _EVERY_MESSAGE | {"tool_call_id"},
}
_PART = _NOTES | {"type", "text", "refusal", "annotations"}
_CALL = _NOTES | {"type", "function", "index"}
_CALLED_FUNCTION = _NOTES | {"name", "arguments", "parsed_arguments"}
_TOOL = _NOTES | {"type", "function"}
_FUNCTION = _NOTES | {"name", "description", "parameters", "strict"}
_FORM = frozenset({"type", "json_schema"})
_JSON_SCHEMA = frozenset({"name", "description", "schema", "strict"})


def check_messages(messages: Sequence[Any]) -> None:
    """Refuse unknown fields of messages, their parts and their calls.

    Raises:
        InvalidRequestError: ``parameter`` is the field's path.
    """
    for index, message in enumerate(messages):
        where = f"messages[{index}]"
        role = message.get("role") if isinstance(message, Mapping) else None
        _check(
            message, _MESSAGE.get(role, _EVERY_MESSAGE) if isinstance(role, str) else _EVERY_MESSAGE, where
        )
        for place, part in _items(message, "content", where):
            if isinstance(part, Mapping) and part.get("type") in ("text", "refusal"):
                _check(part, _PART, place)
        for place, call in _items(message, "tool_calls", where):
            _check(call, _CALL, place)
            _check(_value(call, "function"), _CALLED_FUNCTION, f"{place}.function")


def check_tools(tools: Sequence[Any]) -> None:
    """Refuse unknown fields of functions; other kinds of tools are refused elsewhere.

    Raises:
        InvalidRequestError: ``parameter`` is the field's path.
    """
    for index, tool in enumerate(tools):
        if _value(tool, "type") == "function":
            _check(tool, _TOOL, f"tools[{index}]")
            _check(_value(tool, "function"), _FUNCTION, f"tools[{index}].function")


def check_form(form: Mapping[str, Any]) -> None:
    """Refuse unknown fields of a ``response_format``.

    Raises:
        InvalidRequestError: ``parameter`` is the field's path.
    """
    _check(form, _FORM, "response_format")
    _check(form.get("json_schema"), _JSON_SCHEMA, "response_format.json_schema")


def _check(value: object, known: Collection[str], where: str) -> None:
    """``null`` is as good as absent; what is no object at all is refused by whoever reads it."""
    if isinstance(value, Mapping):
        for name, field in value.items():
            if name not in known and field is not None:
                raise InvalidRequestError(
                    f"unknown field '{where}.{name}'; remove it or check its spelling", f"{where}.{name}"
                )


def _value(holder: object, name: str) -> object:
    return holder.get(name) if isinstance(holder, Mapping) else None


def _items(holder: object, name: str, where: str) -> list[tuple[str, object]]:
    items = _value(holder, name)
    if not isinstance(items, list):
        return []
    return [(f"{where}.{name}[{index}]", item) for index, item in enumerate(items)]
