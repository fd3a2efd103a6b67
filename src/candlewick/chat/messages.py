"""The values of a conversation: messages, tool calls, tools; and reading them from OpenAI's plain dictionaries.

Owns what a valid message is. Refuses to know templates, tokens and HTTP.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn, get_args

from candlewick.core.errors import InvalidRequestError

Role = Literal["system", "developer", "user", "assistant", "tool"]
ROLES: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True, kw_only=True)
class ToolCall:
    """A call that the model made. ``arguments`` is JSON text of an object."""

    id: str
    name: str
    arguments: str

    def to_json(self) -> dict[str, Any]:
        """OpenAI's form: the arguments stay text."""
        return {
            "id": self.id,
            "type": "function",
            "function": {"name": self.name, "arguments": self.arguments},
        }


@dataclass(frozen=True, kw_only=True)
class Message:
    """One message of a conversation.

    ``content`` is ``None`` only for an assistant that did nothing but call tools. ``reasoning`` is what an
    assistant thought before it answered; ``tool_call_id`` names the call that a tool's message answers.
    """

    role: Role
    content: str | None = None
    name: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    reasoning: str | None = None

    def to_json(self) -> dict[str, Any]:
        """OpenAI's form; fields that say nothing are left out, but ``content`` is always there."""
        fields: dict[str, Any] = {"role": self.role, "content": self.content}
        if self.name is not None:
            fields["name"] = self.name
        if self.reasoning is not None:
            fields["reasoning_content"] = self.reasoning
        if self.tool_calls:
            fields["tool_calls"] = [call.to_json() for call in self.tool_calls]
        if self.tool_call_id is not None:
            fields["tool_call_id"] = self.tool_call_id
        return fields


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A function that the model may call; ``parameters`` is a JSON schema of an object."""

    name: str
    description: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=lambda: {"type": "object", "properties": {}})
    strict: bool | None = None
    """Whether arguments follow the schema: guaranteed, or the request is refused (``True``); where that can be had
    (``None``); not at all, as the model writes them (``False``)."""

    @property
    def properties(self) -> Mapping[str, Any]:
        """The schemas of the arguments by name, in order."""
        properties = self.parameters.get("properties")
        return properties if isinstance(properties, Mapping) else {}

    def to_json(self) -> dict[str, Any]:
        """OpenAI's form, as templates want it."""
        # Templates join the description to other text, so there is always one.
        function = {
            "name": self.name,
            "description": self.description or "",
            "parameters": dict(self.parameters),
        }
        return {"type": "function", "function": function}


def parse_messages(messages: Sequence[Message | Mapping[str, Any]]) -> list[Message]:
    """Check a conversation and read it into values.

    Args:
        messages: :class:`Message` values, or dictionaries in the form of OpenAI's Chat Completions. Content is text or
            a list of text parts, which are joined by newlines. Reasoning is read from ``reasoning_content`` or
            ``reasoning``. A refusal is what the assistant said. Fields without a meaning for the prompt are ignored.

    Raises:
        InvalidRequestError: the place at fault is named as in ``messages[3].content``.
    """
    if isinstance(messages, str | bytes | Mapping) or not isinstance(messages, Sequence):
        _refuse("messages", messages, "a list of messages")
    if not messages:
        raise InvalidRequestError("messages must hold at least one message, got an empty list", "messages")
    return [
        message if isinstance(message, Message) else _parse_message(message, f"messages[{index}]")
        for index, message in enumerate(messages)
    ]


def parse_tools(tools: Sequence[Tool | Mapping[str, Any]] | None) -> list[Tool]:
    """Check the tools of a request and read them into values.

    Raises:
        InvalidRequestError: a tool is malformed, is not a function, or two share a name.
    """
    if tools is None:
        return []
    if isinstance(tools, str | bytes | Mapping) or not isinstance(tools, Sequence):
        _refuse("tools", tools, "a list of tools")
    parsed: list[Tool] = []
    for index, value in enumerate(tools):
        tool = value if isinstance(value, Tool) else _parse_tool(value, f"tools[{index}]")
        if any(other.name == tool.name for other in parsed):
            _refuse(f"tools[{index}].function.name", tool.name, "a name that no other tool has")
        parsed.append(tool)
    return parsed


def parse_arguments(arguments: str, where: str) -> dict[str, Any]:
    """The object that a call's ``arguments`` text stands for; an empty text is the empty object.

    Raises:
        InvalidRequestError: the text is not JSON of an object; ``where`` names the place.
    """
    if not arguments.strip():
        return {}
    try:
        value = json.loads(arguments)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        _refuse(where, arguments, "JSON text of an object")
    return value


def _parse_message(value: object, where: str) -> Message:
    if not isinstance(value, Mapping):
        _refuse(where, value, "a message object with role and content")
    role = value.get("role")
    if role not in ROLES:
        _refuse(f"{where}.role", role, f"one of {', '.join(ROLES)}")
    for unsupported in ("audio", "function_call"):
        if value.get(unsupported) is not None:
            raise InvalidRequestError(
                f"{where}.{unsupported} is not supported; remove it (tool calls go into tool_calls)",
                f"{where}.{unsupported}",
            )
    tool_calls = _parse_tool_calls(value.get("tool_calls"), role, f"{where}.tool_calls")
    content = _parse_content(value.get("content"), f"{where}.content")
    if content is None and role == "assistant":
        content = _optional_text(value.get("refusal"), f"{where}.refusal")
    if content is None and role != "assistant":
        _refuse(f"{where}.content", None, "text or a list of text parts")
    reasoning = _optional_text(value.get("reasoning_content"), f"{where}.reasoning_content")
    if reasoning is None:
        reasoning = _optional_text(value.get("reasoning"), f"{where}.reasoning")
    if reasoning is not None and role != "assistant":
        _refuse(f"{where}.reasoning_content", reasoning, f"absent from a message of role {role}")
    return Message(
        role=role,
        content=content,
        name=_optional_text(value.get("name"), f"{where}.name"),
        tool_calls=tool_calls,
        tool_call_id=_optional_text(value.get("tool_call_id"), f"{where}.tool_call_id"),
        reasoning=reasoning,
    )


def _parse_content(value: object, where: str) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if not isinstance(value, Sequence) or isinstance(value, bytes):
        _refuse(where, value, "text or a list of text parts")
    texts: list[str] = []
    for index, part in enumerate(value):
        part_where = f"{where}[{index}]"
        if not isinstance(part, Mapping):
            _refuse(part_where, part, "a part such as {'type': 'text', 'text': …}")
        kind = part.get("type")
        if kind not in ("text", "refusal"):
            _refuse(f"{part_where}.type", kind, "'text': other kinds of content are not supported")
        if not isinstance(part.get(kind), str):
            _refuse(f"{part_where}.{kind}", part.get(kind), "text")
        texts.append(part[kind])
    return "\n".join(texts)


def _parse_tool_calls(value: object, role: str, where: str) -> tuple[ToolCall, ...]:
    if value is None:
        return ()
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        _refuse(where, value, "a list of tool calls")
    if value and role != "assistant":
        _refuse(where, value, f"absent from a message of role {role}: only an assistant calls tools")
    return tuple(_parse_tool_call(call, f"{where}[{index}]") for index, call in enumerate(value))


def _parse_tool_call(value: object, where: str) -> ToolCall:
    if not isinstance(value, Mapping):
        _refuse(where, value, "a tool call object")
    if value.get("type", "function") != "function":
        _refuse(f"{where}.type", value.get("type"), "'function'")
    function = value.get("function")
    if not isinstance(function, Mapping):
        _refuse(f"{where}.function", function, "an object with name and arguments")
    name = function.get("name")
    if not isinstance(name, str) or not name:
        _refuse(f"{where}.function.name", name, "a non-empty text")
    arguments = function.get("arguments", "")
    if isinstance(arguments, Mapping):
        arguments = json.dumps(arguments, ensure_ascii=False)
    if not isinstance(arguments, str):
        _refuse(f"{where}.function.arguments", arguments, "JSON text of an object")
    parse_arguments(arguments, f"{where}.function.arguments")
    call_id = value.get("id", "")
    if not isinstance(call_id, str):
        _refuse(f"{where}.id", call_id, "text")
    return ToolCall(id=call_id, name=name, arguments=arguments)


def _parse_tool(value: object, where: str) -> Tool:
    if not isinstance(value, Mapping):
        _refuse(where, value, "a tool object such as {'type': 'function', 'function': …}")
    if value.get("type") != "function":
        _refuse(f"{where}.type", value.get("type"), "'function': other kinds of tools are not supported")
    function = value.get("function")
    if not isinstance(function, Mapping):
        _refuse(f"{where}.function", function, "an object with name, description and parameters")
    name = function.get("name")
    if not isinstance(name, str) or not name:
        _refuse(f"{where}.function.name", name, "a non-empty text")
    parameters = function.get("parameters")
    if parameters is None:
        parameters = {"type": "object", "properties": {}}
    if not isinstance(parameters, Mapping):
        _refuse(f"{where}.function.parameters", parameters, "a JSON schema object")
    strict = function.get("strict")
    if strict is not None and not isinstance(strict, bool):
        _refuse(f"{where}.function.strict", strict, "true or false")
    return Tool(
        name=name,
        description=_optional_text(function.get("description"), f"{where}.function.description"),
        parameters=parameters,
        strict=strict,
    )


def _optional_text(value: object, where: str) -> str | None:
    if value is not None and not isinstance(value, str):
        _refuse(where, value, "text")
    return value


def _refuse(where: str, value: object, expected: str) -> NoReturn:
    shown = repr(value)
    if len(shown) > 200:
        shown = shown[:200] + "…"
    raise InvalidRequestError(f"{where} must be {expected}, got {shown}", where)
