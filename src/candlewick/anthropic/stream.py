"""From typed events to the wire: the events of a stream, and those folded into one message.

A plain answer is folded from the same events, so that the two can't differ. Knows no HTTP and no engine.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from candlewick.anthropic.types import Block, MessageObject, MessageUsage, StopReason, StreamEvent
from candlewick.chat.events import (
    Complete,
    Event,
    FinishReason,
    ResponseToken,
    ThinkingEnd,
    ThinkingStart,
    ThinkingToken,
    ToolCallArguments,
    ToolCallEnd,
    ToolCallStart,
)
from candlewick.core.errors import EngineClosed
from candlewick.core.usage import Usage

_STOP_REASONS: Mapping[FinishReason, StopReason] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
}


class StreamWriter:
    """Renders the events of one answer as Anthropic's, each block opened and closed in its turn.

    A call becomes a block when it is whole: clients run what looks like a call, and one that turns out malformed or
    is cut off can't be taken back.
    """

    def __init__(self, model: str) -> None:
        self._model = model
        self._index = -1
        self._open: str | None = None  # the type of the block at hand
        self._pieces: list[str] = []  # the arguments of the call at hand

    def begin(self) -> Iterator[StreamEvent]:
        """What comes before the answer's first event."""
        message: MessageObject = {
            "id": f"msg_{uuid.uuid4().hex}",
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": _usage(Usage()),
        }
        yield {"type": "message_start", "message": message}
        yield {"type": "ping"}

    def write(self, event: Event) -> Iterator[StreamEvent]:
        """The events that say what ``event`` adds.

        Raises:
            EngineClosed: somebody other than the client cancelled the answer.
        """
        match event:
            case ThinkingStart():
                yield from self._start({"type": "thinking", "thinking": "", "signature": ""})
            case ThinkingToken(text=text):
                yield self._delta({"type": "thinking_delta", "thinking": text})
            case ThinkingEnd():
                yield self._delta({"type": "signature_delta", "signature": ""})
                yield from self._stop()
            case ResponseToken(text=text):
                if self._open != "text":
                    yield from self._start({"type": "text", "text": ""})
                yield self._delta({"type": "text_delta", "text": text})
            case ToolCallStart():
                self._pieces.clear()
            case ToolCallArguments(text=text):
                self._pieces.append(text)
            case ToolCallEnd(id=id, name=name):
                yield from self._start({"type": "tool_use", "id": id, "name": name, "input": {}})
                for piece in self._pieces:
                    yield self._delta({"type": "input_json_delta", "partial_json": piece})
                yield from self._stop()
            case Complete(reason=reason, usage=usage, stop_string=stop_string):
                if reason == "cancelled":
                    raise EngineClosed(
                        "the answer was cancelled before it was complete; send the request again"
                    )
                yield from self._stop()
                yield {
                    "type": "message_delta",
                    "delta": {
                        "stop_reason": "stop_sequence"
                        if reason == "stop" and stop_string is not None
                        else _STOP_REASONS[reason],
                        "stop_sequence": stop_string,
                    },
                    "usage": _usage(usage),
                }
                yield {"type": "message_stop"}

    def _start(self, block: Block) -> Iterator[StreamEvent]:
        yield from self._stop()
        self._index += 1
        self._open = block["type"]
        yield {"type": "content_block_start", "index": self._index, "content_block": block}

    def _delta(self, delta: dict[str, Any]) -> StreamEvent:
        return {"type": "content_block_delta", "index": self._index, "delta": delta}

    def _stop(self) -> Iterator[StreamEvent]:
        if self._open is not None:
            self._open = None
            yield {"type": "content_block_stop", "index": self._index}


class MessageBuilder:
    """Folds the events of a stream into the message that they tell."""

    def __init__(self) -> None:
        self._message: MessageObject | None = None
        self._texts: list[list[str]] = []

    def add(self, event: StreamEvent) -> None:
        if event["type"] == "message_start":
            self._message = event["message"]
            return
        assert self._message is not None, "a stream begins with its message"
        content = self._message["content"]
        match event["type"]:
            case "content_block_start":
                content.append(dict(event["content_block"]))  # type: ignore[arg-type]
                self._texts.append([])
            case "content_block_delta":
                delta = event["delta"]
                self._texts[-1].append(
                    delta.get("text") or delta.get("thinking") or delta.get("partial_json") or ""
                )
            case "content_block_stop":
                _fill(content[-1], "".join(self._texts[-1]))
            case "message_delta":
                self._message["stop_reason"] = event["delta"]["stop_reason"]
                self._message["stop_sequence"] = event["delta"]["stop_sequence"]
                self._message["usage"] = event["usage"]

    def result(self) -> MessageObject:
        """The message; all of its events must have been added."""
        assert self._message is not None, "a stream begins with its message"
        return self._message


def _fill(block: Block, text: str) -> None:
    if block["type"] == "text":
        block["text"] = text
    elif block["type"] == "thinking":
        block["thinking"] = text
    else:
        block["input"] = json.loads(text or "{}")


def _usage(usage: Usage) -> MessageUsage:
    return {
        "input_tokens": usage.prompt_tokens - usage.cached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"thinking_tokens": usage.reasoning_tokens},
    }
