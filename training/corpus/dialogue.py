"""What a dialogue is. Knows nothing of templates, tokens or how dialogues are made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True)
class ToolCall:
    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Message:
    role: Role
    content: str = ""
    thinking: str | None = None
    calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True)
class Tool:
    """A function the model may call.

    ``parameters`` maps a name to what its schema's ``type`` says, "any" where it says none.
    """

    name: str
    description: str
    parameters: Mapping[str, str | list[str]]

    def to_openai(self) -> dict[str, Any]:
        """The tool as a Chat Completions client sends it."""
        schema = {
            "type": "object",
            "properties": {
                name: {} if kind == "any" else {"type": kind} for name, kind in self.parameters.items()
            },
        }
        function = {"name": self.name, "description": self.description, "parameters": schema}
        return {"type": "function", "function": function}


@dataclass(frozen=True)
class Dialogue:
    """Messages that end with the assistant's answer, which is what the model learns.

    ``think`` is the mode of that answer; ``accepted`` are further contents that evaluation takes as right.
    ``branches`` are earlier answers that are learned as well: the place of the message, and its mode.
    ``weight`` is how much each token of the answer counts; of one that is ``cut`` only the thinking or the first
    words are learned.
    """

    ability: str
    messages: tuple[Message, ...]
    think: bool = True
    tools: tuple[Tool, ...] = ()
    accepted: tuple[str, ...] = ()
    branches: tuple[tuple[int, bool], ...] = ()
    weight: float = 1.0
    cut: bool = False

    @property
    def answer(self) -> Message:
        return self.messages[-1]
