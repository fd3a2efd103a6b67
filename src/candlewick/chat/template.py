"""Chat templates: from messages and tools to the segments of a prompt.

Owns what a template is given and how a conversation is put for a template that lacks a role or tools. Refuses
to know tokens as numbers, engines, and how the answer is read.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from candlewick.chat.call_history import with_ids_that_name, with_one_call_a_message
from candlewick.chat.messages import Message, Tool, parse_arguments
from candlewick.chat.reasoning import REASONING_MARKERS
from candlewick.chat.template_capabilities import TemplateCapabilities
from candlewick.chat.template_environment import CompiledTemplate, JSONValue, plain_json, to_json
from candlewick.chat.user_text import Marking, Segments, UserTextGuard
from candlewick.core.errors import InvalidRequestError

CHATML = """\
{%- for message in messages -%}
{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{ '<|im_start|>assistant\\n' }}
{%- endif -%}
"""
"""For models that bring no template of their own."""

_TOOLS_PREFACE = """\
You may call functions. These are their signatures, one JSON schema a line, within <tools></tools>:
<tools>
"""
_TOOLS_ENDING = """
</tools>

To call a function, write a JSON object with its name and arguments within <tool_call></tool_call>:
<tool_call>
{"name": <function-name>, "arguments": <arguments-object>}
</tool_call>"""

_RESERVED = frozenset({"messages", "tools", "add_generation_prompt", "bos_token", "eos_token"})


class ChatTemplate:
    """A model's chat template.

    Args:
        source: Jinja source as it stands in the model file. control_tokens: every text that the tokenizer
        would turn into a control token; user text can't forge these. bos_token, eos_token: texts of those
        tokens, for templates that write them. name: what errors call this template.

    Raises:
        TemplateError: the source is not a template.
    """

    def __init__(
        self,
        source: str,
        *,
        control_tokens: Collection[str],
        bos_token: str = "",
        eos_token: str = "",
        name: str = "chat_template",
    ) -> None:
        self.source = source
        self.name = name
        self.bos_token = bos_token
        self.eos_token = eos_token
        self._compiled = CompiledTemplate(source, name)
        self._guard = UserTextGuard(control_tokens, source)

    @cached_property
    def capabilities(self) -> TemplateCapabilities:
        """What this template can express; probed on first use, in a few milliseconds."""
        return TemplateCapabilities.probe(
            lambda messages, tools: self._compiled.render(self._variables(messages, tools, True, None, {}))
        )

    def render(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Tool] | None = None,
        enable_thinking: bool | None = None,
        add_generation_prompt: bool = True,
        variables: Mapping[str, object] | None = None,
    ) -> Segments:
        """The prompt for a conversation, in segments: text, and whether control tokens may be recognised in
        it.

        A developer's message goes to a template that knows no developer as a system message; system messages
        go to a template that knows none into the following user message; tools, calls and results go to a
        template that knows none as text in the Hermes style.

        Args:
            tools: functions on offer; an empty list is the same as ``None``.
            enable_thinking: the switch of thinking models; ``None`` leaves it undefined.
            variables: further variables, plain JSON values; they can't replace the conversation's own.

        Raises:
            TemplateError: the template refused the messages or failed.
            InvalidRequestError: a value is not JSON, or a variable's name is taken.
        """
        for name in variables or ():
            if name in _RESERVED:
                raise InvalidRequestError(
                    f"template variable {name!r} is set by the conversation itself", "template_variables"
                )
        tool_values: list[Any] = [
            plain_json(tool.to_json(), f"tools[{index}]") for index, tool in enumerate(tools or ())
        ]
        extra_values = {name: plain_json(value, name) for name, value in (variables or {}).items()}
        message_values = [
            _plain_message(message, f"messages[{index}]") for index, message in enumerate(messages)
        ]
        if not self.capabilities.several_calls:
            message_values = with_one_call_a_message(message_values)
        if not self.capabilities.call_names:
            message_values = with_ids_that_name(message_values)
        marking = self._guard.marking(_texts([tool_values, extra_values, message_values]))
        message_fields = [self._fields(_marked_message(values, marking)) for values in message_values]
        marked_tools = [_marked_tool(tool, marking) for tool in tool_values]
        if marked_tools and not self.capabilities.tools:
            message_fields = _with_tools_as_text(message_fields, marked_tools)
            marked_tools = []
        if not self.capabilities.system_role:
            message_fields = _without_system_role(message_fields)
        all_variables = self._variables(
            message_fields,
            marked_tools or None,
            add_generation_prompt,
            enable_thinking,
            marking.value(extra_values),
        )
        return marking.split(self._compiled.render(all_variables))

    def _variables(
        self,
        messages: list[dict[str, Any]],
        tools: list[dict[str, Any]] | None,
        add_generation_prompt: bool,
        enable_thinking: bool | None,
        extra: Mapping[str, JSONValue],
    ) -> dict[str, JSONValue]:
        thinking = (
            {}
            if enable_thinking is None
            else {"enable_thinking": enable_thinking, "thinking": enable_thinking}
        )
        return {
            "bos_token": self.bos_token,
            "eos_token": self.eos_token,
            "documents": None,
            **thinking,
            **extra,
            "messages": messages,
            "tools": tools,
            "add_generation_prompt": add_generation_prompt,
        }

    def _fields(self, message: dict[str, Any]) -> dict[str, Any]:
        """A marked message as this template reads messages."""
        knows = self.capabilities
        fields = dict(message)
        if fields["role"] == "developer" and "developer" not in self.source:
            fields["role"] = "system"
        calls = [call["function"] for call in fields.get("tool_calls", ())]
        if "reasoning_content" in fields and not (calls and fields["content"]):
            # gpt-oss calls it so, and refuses it beside both others.
            fields["thinking"] = fields["reasoning_content"]
        if calls and not (knows.tools and knows.tool_calls):
            fields["content"] = "\n".join([*filter(None, [fields["content"]]), *map(_call_as_text, calls)])
            del fields["tool_calls"]
        elif knows.arguments_as_text:
            for function in calls:
                function["arguments"] = to_json(function["arguments"])
        if not knows.any_call_id:
            for call in fields.get("tool_calls", ()):
                call["id"] = _short_id(call["id"])
            if "tool_call_id" in fields:
                fields["tool_call_id"] = _short_id(fields["tool_call_id"])
        if fields["content"] is None and not ("tool_calls" in fields and knows.null_content):
            fields["content"] = ""
        if fields["role"] == "tool" and not knows.tool_results:
            return {"role": "user", "content": f"<tool_response>\n{fields['content']}\n</tool_response>"}
        return fields


def _plain_message(message: Message, where: str) -> dict[str, Any]:
    """The message in plain JSON values, the arguments of its calls as objects."""
    fields: Any = plain_json(message.to_json(), where)
    for index, call in enumerate(fields.get("tool_calls", ())):
        place = f"{where}.tool_calls[{index}].function.arguments"
        function = call["function"]
        function["arguments"] = plain_json(parse_arguments(function["arguments"], place), place)
    return dict(fields)


def _marked_message(message: dict[str, Any], marking: Marking) -> dict[str, Any]:
    """The message with its texts marked as a user's.

    An assistant's content may hold reasoning markers: the model itself wrote them, and templates look for
    them.
    """
    kept = REASONING_MARKERS if message["role"] == "assistant" else ()
    marked: dict[str, Any] = {
        name: marking.text(text, kept) for name, text in message.items() if isinstance(text, str)
    }
    marked["role"] = message["role"]
    marked["content"] = marked.get("content")
    if "tool_calls" in message:
        marked["tool_calls"] = [
            {
                "id": marking.text(call["id"]),
                "type": "function",
                "function": {
                    "name": marking.text(call["function"]["name"]),
                    "arguments": marking.value(call["function"]["arguments"]),
                },
            }
            for call in message["tool_calls"]
        ]
    return marked


def _marked_tool(tool: dict[str, Any], marking: Marking) -> dict[str, Any]:
    """The tool with its texts marked as a user's."""
    return {
        "type": "function",
        "function": {name: marking.value(value) for name, value in tool["function"].items()},
    }


def _short_id(call_id: str) -> str:
    """An id that Mistral's templates accept: itself, or nine characters made from it, the same each time."""
    if re.fullmatch(r"[A-Za-z0-9]{9}", call_id):
        return call_id
    return hashlib.sha256(call_id.encode()).hexdigest()[:9]


def _call_as_text(function: dict[str, Any]) -> str:
    return f"<tool_call>\n{to_json(function)}\n</tool_call>"


def _with_tools_as_text(messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
    schemas = "\n".join(to_json(tool["function"]) for tool in tools)
    text = _TOOLS_PREFACE + schemas + _TOOLS_ENDING
    if messages and messages[0]["role"] == "system":
        first = messages[0]
        return [first | {"content": f"{first['content']}\n\n{text}"}, *messages[1:]]
    return [{"role": "system", "content": text}, *messages]


def _without_system_role(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """System messages moved to the front of the user message that follows them, or standing as one at the
    end.
    """
    moved: list[dict[str, Any]] = []
    waiting: list[str] = []
    for message in messages:
        if message["role"] == "system":
            waiting.append(message["content"])
        elif message["role"] == "user" and waiting:
            moved.append(message | {"content": "\n\n".join([*waiting, message["content"]])})
            waiting = []
        else:
            moved.append(message)
    if waiting:
        moved.append({"role": "user", "content": "\n\n".join(waiting)})
    return moved


def _texts(value: JSONValue) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
