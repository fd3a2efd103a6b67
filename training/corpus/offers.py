"""What a tool is to the makers of dialogues: something that can be asked for, again and again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from corpus.chance import Chance
from corpus.dialogue import Message, Tool, ToolCall


@dataclass(frozen=True)
class Offer:
    """A tool with one way to ask for it, the call that this request wants, and what the call returns."""

    tool: Tool
    request: str
    arguments: Mapping[str, Any]
    result: str

    @property
    def wanted(self) -> ToolCall:
        return ToolCall(self.tool.name, self.arguments)

    @property
    def thought(self) -> str:
        values = ", ".join(
            f"{name} = {value if isinstance(value, str) else json.dumps(value)}"
            for name, value in self.arguments.items()
        )
        return f"The tool {self.tool.name} fits: {values}." if values else f"The tool {self.tool.name} fits."

    def call(self) -> Message:
        return Message("assistant", "", self.thought, (self.wanted,))


class Device(Protocol):
    """A tool that can be asked for in other words and with other values each time."""

    @property
    def tool(self) -> Tool: ...

    @property
    def tags(self) -> frozenset[str]:
        """What the tool is about."""

    @property
    def avoids(self) -> frozenset[str]:
        """Tags of tools that may be taken for this one, and so are not offered beside it."""

    def concerns(self, question: str) -> bool:
        """Whether the tool may be what ``question`` needs; in doubt it may."""

    def ask(self, chance: Chance) -> Offer: ...
