"""What an entry of a conversation is made of, in the order in which it was said: thoughts, text, calls of tools.

Parts grow while the model writes. ``version`` is the number of the session's event that changed the part last;
it is what lets a page ask for only what is new, and it is not stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, get_args

from candlewick.core.errors import InvalidRequestError

ToolState = Literal["writing", "asking", "running", "done", "failed", "refused", "cancelled"]
"""``asking``: it waits for a person's approval."""
UNFINISHED: frozenset[ToolState] = frozenset(("writing", "asking", "running"))


@dataclass(kw_only=True)
class _Part:
    kind: ClassVar[str]
    id: int
    """Counts the parts of an entry; never used twice, even when a void call is taken back."""
    version: int = field(default=0, compare=False)


@dataclass(kw_only=True)
class TextPart(_Part):
    kind: ClassVar[str] = "text"
    text: str = ""

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "text": self.text}


@dataclass(kw_only=True)
class ThinkingPart(_Part):
    """``seconds`` is how long it took, ``None`` while it lasts; ``began`` is the writer's clock, not stored."""

    kind: ClassVar[str] = "thinking"
    text: str = ""
    seconds: float | None = None
    began: float = field(default=0.0, compare=False)

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "text": self.text, "seconds": self.seconds}


@dataclass(kw_only=True)
class ToolPart(_Part):
    """One call: ``arguments`` is JSON text as far as it is written; ``result`` what the tool said, or its error."""

    kind: ClassVar[str] = "tool"
    call_id: str
    name: str
    arguments: str = ""
    state: ToolState = "writing"
    server: str | None = None
    result: str | None = None
    progress: str | None = None
    seconds: float | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "call_id": self.call_id,
            "name": self.name,
            "arguments": self.arguments,
            "state": self.state,
            "server": self.server,
            "result": self.result,
            "seconds": self.seconds,
        }


Part = TextPart | ThinkingPart | ToolPart


def read_part(value: Mapping[str, Any], id: int) -> Part:
    """A part as its ``to_json`` wrote it, or as somebody wrote it by hand.

    Raises:
        InvalidRequestError: it is none.
    """
    if not isinstance(value, Mapping):
        raise InvalidRequestError(f"a part must be an object, got {type(value).__name__}", "parts")
    match value.get("kind"):
        case "text":
            return TextPart(id=id, text=_text(value, "text"))
        case "thinking":
            return ThinkingPart(id=id, text=_text(value, "text"), seconds=_seconds(value) or 0.0)
        case "tool":
            state: Any = value.get("state")
            if state not in get_args(ToolState):
                raise InvalidRequestError(f"a tool call's state can't be {state!r}", "parts")
            return ToolPart(
                id=id,
                call_id=_text(value, "call_id"),
                name=_text(value, "name"),
                arguments=_text(value, "arguments"),
                state="cancelled" if state in UNFINISHED else state,
                server=_optional_text(value, "server"),
                result=_optional_text(value, "result"),
                seconds=_seconds(value),
            )
        case kind:
            raise InvalidRequestError(f"a part is text, thinking or tool, got {kind!r}", "parts")


def _text(value: Mapping[str, Any], name: str) -> str:
    text = value.get(name)
    if not isinstance(text, str):
        raise InvalidRequestError(f"a part's {name} must be text, got {type(text).__name__}", "parts")
    return text


def _optional_text(value: Mapping[str, Any], name: str) -> str | None:
    return None if value.get(name) is None else _text(value, name)


def _seconds(value: Mapping[str, Any]) -> float | None:
    seconds = value.get("seconds")
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < 1e9:
        raise InvalidRequestError(f"a part's seconds must be a number from 0, got {seconds!r}", "parts")
    return float(seconds)
