"""What the loop asks of a tool, wherever it comes from, and what a tool gives back.

Owns these values. Refuses to know how a tool runs: Python functions are ``functions.py``, servers are ``mcp/``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from candlewick.chat.messages import Tool
from candlewick.core.errors import CandlewickError


class ToolError(CandlewickError):
    """Raised in a tool to tell the model, in its own words, what went wrong."""


@dataclass(frozen=True)
class Image:
    """A picture that a tool gave back. Models here read text: they are told that there is one."""

    mime_type: str
    data: bytes

    def to_json(self) -> dict[str, Any]:
        """Without the picture itself."""
        return {"mime_type": self.mime_type, "bytes": len(self.data)}


@dataclass(frozen=True, kw_only=True)
class ToolResult:
    """What a tool gave back: ``text`` is for the model, the rest for the program."""

    text: str
    is_error: bool = False
    structured: Any = None
    """The result as plain JSON values, from tools that have it."""
    images: tuple[Image, ...] = ()
    is_cut: bool = False
    """Whether ``text`` is only the beginning of what there was."""

    @property
    def for_model(self) -> str:
        """The content of the message that tells the model."""
        return f"error: {self.text}" if self.is_error else self.text

    def cut_to(self, max_chars: int) -> ToolResult:
        """The same with at most ``max_chars`` characters of text, and a line that says what is missing.

        ``structured`` goes when the text was cut: it would be as long.
        """
        if len(self.text) <= max_chars:
            return self
        cut = f"{self.text[:max_chars]}\n[cut: {max_chars} of {len(self.text)} characters are shown]"
        return replace(self, text=cut, structured=None, is_cut=True)

    def to_json(self) -> dict[str, Any]:
        return {
            "text": self.text,
            "is_error": self.is_error,
            "structured": self.structured,
            "images": [image.to_json() for image in self.images],
            "is_cut": self.is_cut,
        }


ReportProgress = Callable[[float, float | None, str | None], None]


@dataclass(frozen=True)
class ToolContext:
    """What a running tool knows of the call; a Python function gets one for a parameter of this type."""

    call_id: str
    report: ReportProgress

    def report_progress(
        self, progress: float, total: float | None = None, message: str | None = None
    ) -> None:
        """Tell how far it is: a ``ToolProgress`` event of the conversation. From any thread."""
        self.report(progress, total, message)


Execute = Callable[[Mapping[str, Any], ToolContext], Awaitable[ToolResult]]


@dataclass(frozen=True, kw_only=True)
class ExecutableTool:
    """A tool that the loop runs itself.

    Args:
        definition: what the model is told; its name is the one that the model uses.
        execute: runs it with the arguments' object. What it raises is told to the model, ``ToolError`` in
            its own words. Cancelling the task must end it.
        needs_approval: whether somebody must agree before each call.
        timeout: seconds for one call, where it is less than the conversation's limit.
        server: the label of the MCP server that it comes from; ``None`` for Python.
        own_name: its name where it comes from; the model's may have a prefix.
    """

    definition: Tool
    execute: Execute
    needs_approval: bool = False
    timeout: float | None = None
    server: str | None = None
    own_name: str = ""

    def __post_init__(self) -> None:
        if not self.own_name:
            object.__setattr__(self, "own_name", self.definition.name)

    @property
    def name(self) -> str:
        return self.definition.name

    def renamed(self, name: str) -> ExecutableTool:
        """The same under another name for the model."""
        return replace(self, definition=replace(self.definition, name=name))
