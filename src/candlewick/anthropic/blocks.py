"""The messages of a request: blocks of content, and what they are in a conversation of ours.

Source: Anthropic's Messages reference (``anthropic.types.message_param``).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from candlewick.chat.messages import Message, ToolCall
from candlewick.openai.types import JSONObject


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Block(_Part):
    cache_control: JSONObject | None = None
    """Accepted, without effect: prefixes are found in the cache by themselves."""


class TextBlock(_Block):
    type: Literal["text"]
    text: str
    citations: list[Any] | None = None
    """Accepted, without effect: what an earlier answer cited is part of its text."""


class ThinkingBlock(_Part):
    type: Literal["thinking"]
    thinking: str
    signature: str = ""
    """Not checked: thinking is shown to the model that wrote it, as far as its template does so."""


class ToolUseBlock(_Block):
    type: Literal["tool_use"]
    id: str
    name: Annotated[str, Field(min_length=1)]
    input: JSONObject
    caller: JSONObject | None = None


class ToolResultBlock(_Block):
    type: Literal["tool_result"]
    tool_use_id: str
    content: str | list[TextBlock] | None = None
    is_error: bool | None = None


Content = list[
    Annotated[TextBlock | ThinkingBlock | ToolUseBlock | ToolResultBlock, Field(discriminator="type")]
]


class MessageParam(_Part):
    role: Literal["user", "assistant", "system"]
    content: str | Content

    def blocks(self) -> Content:
        """The content as blocks."""
        if isinstance(self.content, str):
            return [TextBlock(type="text", text=self.content)]
        return self.content


def to_messages(params: Sequence[MessageParam], system: str | None) -> list[Message]:
    """The conversation; neighbouring messages of a user are one, as the protocol has it.

    A tool's error has no place of its own in a prompt: its result begins with ``Error:``.
    """
    messages = [Message(role="system", content=system)] if system else []
    for param in params:
        for message in _messages_of(param):
            last = messages[-1] if messages else None
            if last is not None and message.role == last.role == "user":
                message = Message(role="user", content=f"{last.content}\n{message.content}")
                messages.pop()
            messages.append(message)
    return messages


def text_of(content: str | Sequence[TextBlock] | None) -> str:
    """A text, or the blocks of one joined by newlines."""
    if content is None or isinstance(content, str):
        return content or ""
    return "\n".join(block.text for block in content)


def _messages_of(param: MessageParam) -> list[Message]:
    blocks = param.blocks()
    texts = [block for block in blocks if isinstance(block, TextBlock)]
    results = [
        Message(
            role="tool",
            tool_call_id=block.tool_use_id,
            content=("Error: " if block.is_error else "") + text_of(block.content),
        )
        for block in blocks
        if isinstance(block, ToolResultBlock)
    ]
    calls = tuple(
        ToolCall(id=block.id, name=block.name, arguments=json.dumps(block.input, ensure_ascii=False))
        for block in blocks
        if isinstance(block, ToolUseBlock)
    )
    thinking = "\n".join(block.thinking for block in blocks if isinstance(block, ThinkingBlock))
    if param.role == "assistant":
        content = text_of(texts) if texts or not calls else None
        return [Message(role="assistant", content=content, tool_calls=calls, reasoning=thinking or None)]
    if results and not texts:
        return results
    return [*results, Message(role=param.role, content=text_of(texts))]
