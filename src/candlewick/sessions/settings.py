"""What a person sets for one session: which model, how it thinks, how it draws, and whether it may use tools."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self, get_args

from candlewick.chat.reasoning import ThinkingMode
from candlewick.core.errors import InvalidRequestError
from candlewick.core.params import GenerationParams

THINKING_MODES: tuple[ThinkingMode, ...] = get_args(ThinkingMode)
MAX_SYSTEM_PROMPT = 100_000
"""Characters."""


@dataclass(frozen=True, kw_only=True)
class SessionSettings:
    """Validated like a request; ``None`` leaves a field to the model's or the engine's default.

    Raises:
        InvalidRequestError: a value is out of its range; ``parameter`` names the field.
    """

    model: str | None = None
    system_prompt: str = ""
    thinking: ThinkingMode = "adaptive"
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    tools: bool = True

    def __post_init__(self) -> None:
        _check(self.model is None or isinstance(self.model, str), "model", self.model, "a name or null")
        _check(
            isinstance(self.system_prompt, str) and len(self.system_prompt) <= MAX_SYSTEM_PROMPT,
            "system_prompt",
            str(self.system_prompt)[:80],
            f"text of at most {MAX_SYSTEM_PROMPT} characters",
        )
        _check(self.thinking in THINKING_MODES, "thinking", self.thinking, f"one of {THINKING_MODES}")
        _check(isinstance(self.tools, bool), "tools", self.tools, "true or false")
        self.to_params()

    def to_params(self) -> GenerationParams:
        """What these ask of the sampler."""
        given = {name: getattr(self, name) for name in ("temperature", "top_p", "max_tokens")}
        return GenerationParams(**{name: value for name, value in given.items() if value is not None})

    def changed(self, changes: Mapping[str, Any]) -> Self:
        """These settings with some fields replaced.

        Raises:
            InvalidRequestError: a field is unknown or a value out of its range.
        """
        unknown = sorted(set(changes) - {field.name for field in fields(self)})
        if unknown:
            known = ", ".join(field.name for field in fields(self))
            raise InvalidRequestError(f"unknown setting {unknown[0]!r}; there are {known}", unknown[0])
        return replace(self, **changes)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        return cls().changed(value)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def _check(condition: bool, name: str, value: object, expected: str) -> None:
    if not condition:
        raise InvalidRequestError(f"{name} must be {expected}, got {value!r}", name)
