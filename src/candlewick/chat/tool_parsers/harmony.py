"""gpt-oss's Harmony: an answer is a sequence of messages, each with a channel and perhaps a recipient.

::

    <|channel|>analysis<|message|>thinking<|end|>
    <|start|>assistant<|channel|>commentary to=functions.name <|constrain|>json<|message|>{…}<|call|>
    <|start|>assistant<|channel|>final<|message|>text<|return|>

The prompt has written the first ``<|start|>assistant`` already. The recipient may also stand before the
channel. Source: the format's description in OpenAI's cookbook.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from candlewick.chat.tool_parsers.call_syntax import CallSyntax
from candlewick.chat.tool_parsers.json_text import read_object_message
from candlewick.chat.tool_parsers.tool_format import Address, Addressing, ToolFormat

_RECIPIENT = re.compile(r"\bto=([^\s<]+)")
_CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)")
_FUNCTIONS = "functions."


def _address(header: str, names: Collection[str]) -> Address | None:
    channel = _CHANNEL.search(header)
    if recipient := _RECIPIENT.search(header):
        name = recipient[1].removeprefix(_FUNCTIONS)
        # Other recipients are tools that the model was trained with; they count when they are on offer.
        return Address("call", name) if name != recipient[1] or name in names else None
    if channel is None:
        return None
    return Address("thinking" if channel[1] == "analysis" else "text")


FORMAT = ToolFormat(
    name="harmony",
    markers=(),
    read=read_object_message,
    signs=("<|channel|>", "<|message|>"),
    tokens=("<|channel|>",),
    syntaxes=(CallSyntax("<|channel|>commentary to=functions.$name <|constrain|>json<|message|>$arguments"),),
    addressing=Addressing(
        begins=("<|start|>", "<|channel|>"),
        header_ends=("<|message|>",),
        message_ends=("<|end|>", "<|call|>", "<|return|>"),
        address=_address,
        text_header="<|channel|>final<|message|>",
        thinking_header="<|channel|>analysis<|message|>",
        next_message="<|end|><|start|>assistant",
    ),
)
