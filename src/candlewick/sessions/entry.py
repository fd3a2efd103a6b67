"""An entry of a conversation: what a person said, or one whole answer with its thoughts, calls and results."""

from __future__ import annotations

import math
import re
import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self, get_args

from candlewick.chat.messages import Message, ToolCall
from candlewick.core.errors import InvalidRequestError
from candlewick.sessions.parts import UNFINISHED, Part, TextPart, ThinkingPart, ToolPart, read_part

EntryRole = Literal["user", "assistant"]
EntryState = Literal["writing", "complete", "cut", "stopped", "failed"]
"""``cut``: it reached the most tokens allowed; ``stopped``: a person stopped it, or the program ended."""

_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What an answer cost, over all of its turns."""

    prompt_tokens: int = 0
    """Of the last turn: together with its answer the context that is used."""
    cached_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    time_to_first_token_seconds: float = 0.0
    tokens_per_second: float = 0.0
    context_tokens: int = 0

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """
        Raises:
            InvalidRequestError: a figure is unknown or no finite number from 0.
        """
        names = cls.__dataclass_fields__
        for name, number in value.items():
            is_number = isinstance(number, int | float) and not isinstance(number, bool)
            if name not in names or not is_number or not math.isfinite(number) or number < 0:
                raise InvalidRequestError(f"figures can't hold {name!r}: {number!r}", "figures")
        return cls(**value)


@dataclass(kw_only=True)
class Entry:
    """``version`` is the number of the event that changed anything but the parts last; it is not stored."""

    id: str = field(default_factory=lambda: f"entry_{uuid.uuid4().hex}")
    parent_id: str | None
    role: EntryRole
    created_at: float = field(default_factory=time.time)
    parts: list[Part] = field(default_factory=list)
    state: EntryState = "complete"
    model: str | None = None
    error: str | None = None
    figures: Figures | None = None
    version: int = field(default=0, compare=False)

    @classmethod
    def from_user(cls, text: str, parent_id: str | None) -> Self:
        """
        Raises:
            InvalidRequestError: the text is empty or can't be written as UTF-8.
        """
        if not text.strip():
            raise InvalidRequestError("a message needs some text, this one is empty", "text")
        _require_utf8(text)
        return cls(parent_id=parent_id, role="user", parts=[TextPart(id=0, text=text)])

    @property
    def text(self) -> str:
        """What was said, without thoughts and calls."""
        return "\n\n".join(part.text for part in self.parts if isinstance(part, TextPart) and part.text)

    def next_part_id(self) -> int:
        return self.parts[-1].id + 1 if self.parts else 0

    def to_messages(self) -> list[Message]:
        """As the model is told about it: after each round of calls come their results, then what followed.

        Thoughts of earlier answers are left out, as templates do themselves; calls that never ran are told as
        such, since a template wants a result for every call.
        """
        if self.role == "user":
            return [Message(role="user", content=self.text)]
        messages: list[Message] = []
        text: list[str] = []
        calls: list[ToolPart] = []

        def end_round() -> None:
            if text or calls:
                messages.append(
                    Message(
                        role="assistant",
                        content="\n\n".join(text) or (None if calls else ""),
                        tool_calls=tuple(_tool_call(call) for call in calls),
                    )
                )
                messages.extend(_tool_result(call) for call in calls)
            text.clear()
            calls.clear()

        for part in self.parts:
            match part:
                case ToolPart():
                    if part.state != "writing":
                        calls.append(part)
                case TextPart(text=piece):
                    if calls:
                        end_round()
                    if piece:
                        text.append(piece)
                case ThinkingPart():
                    if calls:
                        end_round()
        end_round()
        return messages

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "parent_id": self.parent_id,
            "role": self.role,
            "created_at": self.created_at,
            "state": self.state,
            "model": self.model,
            "error": self.error,
            "figures": asdict(self.figures) if self.figures else None,
            "parts": [part.to_json() for part in self.parts],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """An entry as :meth:`to_json` wrote it. One that was being written then has been stopped since.

        Raises:
            InvalidRequestError: it is none.
        """
        id, parent_id = value.get("id"), value.get("parent_id")
        if not isinstance(id, str) or not _ID.fullmatch(id):
            raise InvalidRequestError(f"an entry's id is 1 to 100 letters, digits, _ and -, got {id!r}", "id")
        if parent_id is not None and not isinstance(parent_id, str):
            raise InvalidRequestError(
                f"an entry's parent_id must be an id or null, got {parent_id!r}", "parent_id"
            )
        role: Any = value.get("role")
        state: Any = value.get("state", "complete")
        if role not in get_args(EntryRole):
            raise InvalidRequestError(f"an entry's role must be user or assistant, got {role!r}", "role")
        if state not in get_args(EntryState):
            raise InvalidRequestError(f"an entry's state can't be {state!r}", "state")
        created_at = value.get("created_at", 0.0)
        if (
            isinstance(created_at, bool)
            or not isinstance(created_at, int | float)
            or not 0 <= created_at < 1e12
        ):
            raise InvalidRequestError(
                f"created_at must be seconds since 1970, got {created_at!r}", "created_at"
            )
        parts, figures = value.get("parts"), value.get("figures")
        if not isinstance(parts, list) or not (figures is None or isinstance(figures, Mapping)):
            raise InvalidRequestError(
                "an entry needs a list of parts, and figures that are an object or null", "parts"
            )
        return cls(
            id=id,
            parent_id=parent_id,
            role=role,
            created_at=float(created_at),
            parts=[read_part(part, number) for number, part in enumerate(parts)],
            state="stopped" if state == "writing" else state,
            model=None if value.get("model") is None else str(value["model"]),
            error=None if value.get("error") is None else str(value["error"]),
            figures=None if figures is None else Figures.from_json(figures),
        )


def _tool_call(part: ToolPart) -> ToolCall:
    return ToolCall(id=part.call_id, name=part.name, arguments=part.arguments)


def _tool_result(part: ToolPart) -> Message:
    told = part.result or ""
    if part.state == "refused":
        told = told or "The user refused this call; it was not made."
    elif part.state == "cancelled" or part.state in UNFINISHED:
        told = told or "This call was cancelled; it has no result."
    return Message(role="tool", content=told, name=part.name, tool_call_id=part.call_id)


def _require_utf8(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidRequestError(
            "the text holds half of a surrogate pair and is no Unicode text", "text"
        ) from None
