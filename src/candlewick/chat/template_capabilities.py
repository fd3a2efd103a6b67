"""What a chat template can express, found by rendering small conversations and looking for their words.

Owns the probes. Refuses to know how a conversation is rewritten for a template that lacks something (that is
:mod:`candlewick.chat.template`) and reads no template source: what a template does says more than what it
mentions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from candlewick.core.errors import TemplateError

Render = Callable[[list[dict[str, Any]], list[dict[str, Any]] | None], str]
"""Renders messages and tools, both as the dictionaries that templates read."""

_NEEDLE = "kestrel"
_USER = {"role": "user", "content": "Hello"}
_CALL_ID = "abc123DEF"  # Mistral's templates insist on nine letters and digits
_TOOL = {
    "type": "function",
    "function": {
        "name": _NEEDLE,
        "description": "A tool",
        "parameters": {
            "type": "object",
            "properties": {"place": {"type": "string", "description": "A place"}},
        },
    },
}


@dataclass(frozen=True)
class TemplateCapabilities:
    """What survives a rendering."""

    system_role: bool
    tools: bool
    tool_calls: bool
    tool_results: bool
    arguments_as_text: bool
    """Calls must carry their arguments as JSON text; otherwise as an object."""
    null_content: bool
    """The content of a message with calls may be ``None``, and the template treats it as absent."""
    any_call_id: bool
    """Ids of calls may be any text; otherwise nine letters and digits."""
    call_names: bool
    """Calls show the function's name; otherwise only their id can hold it."""
    several_calls: bool
    """A message may hold several calls; otherwise only the first of them is shown."""

    @classmethod
    def probe(cls, render: Render) -> TemplateCapabilities:
        """Try a template.

        Args:
            render: renders with the template or raises :class:`~candlewick.core.errors.TemplateError`.
        """

        def shows(
            messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None = None, needle: str = _NEEDLE
        ) -> bool:
            return needle in (_attempt(render, messages, tools) or "")

        as_object = _call_turn({"place": _NEEDLE})
        as_text = _call_turn('{"place": "' + _NEEDLE + '"}')
        arguments_as_text = not shows([_USER, as_object]) and shows([_USER, as_text])
        call = as_text if arguments_as_text else as_object
        shows_calls = shows([_USER, call])
        without_content = _attempt(render, [_USER, call | {"content": None}], None)
        result = {"role": "tool", "tool_call_id": _CALL_ID, "name": "find", "content": _NEEDLE}
        foreign_call = call | {"tool_calls": [call["tool_calls"][0] | {"id": "call_" + _CALL_ID}]}
        plain_call = _call_turn("{}" if arguments_as_text else {})
        named_call = _call_turn("{}" if arguments_as_text else {}, name=_NEEDLE)
        id_as_name = plain_call | {"tool_calls": [plain_call["tool_calls"][0] | {"id": _NEEDLE}]}
        two_calls = call | {"tool_calls": [*plain_call["tool_calls"], *call["tool_calls"]]}
        return cls(
            system_role=shows([{"role": "system", "content": _NEEDLE}, _USER]),
            tools=shows([_USER], [_TOOL]),
            tool_calls=shows_calls,
            tool_results=shows([_USER, plain_call, result]),
            arguments_as_text=arguments_as_text,
            any_call_id=not shows_calls or shows([_USER, foreign_call]),
            call_names=not shows_calls or shows([_USER, named_call]) or not shows([_USER, id_as_name]),
            several_calls=not shows_calls or shows([_USER, two_calls]),
            null_content=without_content is not None and "None" not in without_content,
        )


def _call_turn(arguments: str | dict[str, Any], name: str = "find") -> dict[str, Any]:
    call = {"id": _CALL_ID, "type": "function", "function": {"name": name, "arguments": arguments}}
    return {"role": "assistant", "content": "", "tool_calls": [call]}


def _attempt(
    render: Render, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None
) -> str | None:
    try:
        return render(messages, tools)
    except TemplateError:
        return None
