"""A synchronous LLM that plays scripts, one a question."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from scripted_llm import Call

from candlewick.chat.events import Event
from candlewick.core.params import GenerationParams


@dataclass
class ScriptedChat:
    """Each script is events and exceptions, in the order they come."""

    scripts: list[Sequence[Event | BaseException]]
    calls: list[Call] = field(default_factory=list)
    loaded: tuple[str, dict[str, Any]] | None = None
    closed: bool = False
    stopped: int = 0
    """Answers that were closed before their end."""

    def load(self, reference: str, options: dict[str, Any]) -> Self:
        self.loaded = (reference, options)
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.closed = True

    def chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        params: GenerationParams | None = None,
        thinking: str = "adaptive",
        tools: Sequence[Mapping[str, Any]] | None = None,
    ) -> Generator[Event, None, None]:
        self.calls.append(
            Call([dict(message) for message in messages], params or GenerationParams(), thinking, tools, None)
        )
        try:
            for step in self.scripts.pop(0):
                if isinstance(step, BaseException):
                    raise step
                yield step
        except GeneratorExit:
            self.stopped += 1
            raise
