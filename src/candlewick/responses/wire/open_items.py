"""Items of text while they grow: messages and reasoning, and the events of their parts.

Their events lack what the stream adds: number, index and item id. Refuses to know what stands before and after.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from candlewick.chat.events import TokenLogprob
from candlewick.responses.wire.ids import new_id
from candlewick.responses.wire.items import Item, output_text
from candlewick.responses.wire.output import WireEvent
from candlewick.responses.wire.sealed import seal


class OpenItem:
    """An item of text that grows."""

    kind: str

    def __init__(self) -> None:
        self.id = new_id(self.kind)
        self.index = -1
        self.text: list[str] = []

    def begin(self) -> Iterator[WireEvent]:
        raise NotImplementedError

    def add(self, text: str, logprobs: tuple[TokenLogprob, ...]) -> Iterator[WireEvent]:
        raise NotImplementedError

    def end(self) -> Iterator[WireEvent]:
        raise NotImplementedError

    def to_json(self, status: str) -> Item:
        raise NotImplementedError


class OpenMessage(OpenItem):
    kind = "message"

    def __init__(self) -> None:
        super().__init__()
        self._logprobs: list[dict[str, Any]] = []

    def begin(self) -> Iterator[WireEvent]:
        yield {"type": "response.content_part.added", "content_index": 0, "part": output_text("")}

    def add(self, text: str, logprobs: tuple[TokenLogprob, ...]) -> Iterator[WireEvent]:
        self.text.append(text)
        new = [_logprob(token) for token in logprobs]
        self._logprobs += new
        yield {"type": "response.output_text.delta", "content_index": 0, "delta": text, "logprobs": new}

    def end(self) -> Iterator[WireEvent]:
        text = "".join(self.text)
        yield {
            "type": "response.output_text.done",
            "content_index": 0,
            "text": text,
            "logprobs": self._logprobs,
        }
        yield {"type": "response.content_part.done", "content_index": 0, "part": self._part()}

    def to_json(self, status: str) -> Item:
        return {
            "id": self.id,
            "type": "message",
            "role": "assistant",
            "status": status,
            "content": [] if status == "in_progress" else [self._part()],
        }

    def _part(self) -> dict[str, Any]:
        return output_text("".join(self.text), self._logprobs)


class OpenReasoning(OpenItem):
    kind = "reasoning"

    def __init__(self, comes_in_pieces: bool, has_summary: bool, has_sealed: bool) -> None:
        super().__init__()
        self._comes_in_pieces = comes_in_pieces
        self._has_summary = has_summary
        self._has_sealed = has_sealed

    def begin(self) -> Iterator[WireEvent]:
        yield {"type": "response.content_part.added", "content_index": 0, "part": self._part("")}
        if self._has_summary:
            part = {"type": "summary_text", "text": ""}
            yield {"type": "response.reasoning_summary_part.added", "summary_index": 0, "part": part}

    def add(self, text: str, logprobs: tuple[TokenLogprob, ...]) -> Iterator[WireEvent]:
        self.text.append(text)
        if self._comes_in_pieces:
            yield {"type": "response.reasoning_text.delta", "content_index": 0, "delta": text}
        if self._has_summary:
            yield {"type": "response.reasoning_summary_text.delta", "summary_index": 0, "delta": text}

    def end(self) -> Iterator[WireEvent]:
        text = "".join(self.text)
        if self._comes_in_pieces:
            yield {"type": "response.reasoning_text.done", "content_index": 0, "text": text}
        yield {"type": "response.content_part.done", "content_index": 0, "part": self._part(text)}
        if self._has_summary:
            part = {"type": "summary_text", "text": text}
            yield {"type": "response.reasoning_summary_text.done", "summary_index": 0, "text": text}
            yield {"type": "response.reasoning_summary_part.done", "summary_index": 0, "part": part}

    def to_json(self, status: str) -> Item:
        text = "".join(self.text)
        is_told = status != "in_progress"
        return {
            "id": self.id,
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": text}] if is_told and self._has_summary else [],
            "content": [self._part(text)] if is_told else [],
            "status": status,
            **({"encrypted_content": seal(text)} if is_told and self._has_sealed else {}),
        }

    @staticmethod
    def _part(text: str) -> dict[str, str]:
        return {"type": "reasoning_text", "text": text}


def _logprob(token: TokenLogprob) -> dict[str, Any]:
    told: dict[str, Any] = {"token": token.text, "logprob": token.logprob, "bytes": list(token.bytes)}
    others = [{"token": top.text, "logprob": top.logprob, "bytes": list(top.bytes)} for top in token.top]
    return {**told, "top_logprobs": others}
