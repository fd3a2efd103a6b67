"""What a command line asks of a model: the seam between commands and ``LLM``, and options as parameters."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any, Literal, Protocol

from candlewick.core.params import GenerationParams
from candlewick.responses.events import ConversationEvent

Thinking = Literal["think", "no_think", "adaptive"]
Message = dict[str, Any]


class Chatting(Protocol):
    """What commands need of :class:`~candlewick.chat.llm.LLM`."""

    def chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        params: GenerationParams | None = None,
        thinking: Thinking = "adaptive",
        tools: Sequence[Mapping[str, Any]] | None = None,
    ) -> Generator[ConversationEvent, None, None]: ...


def thinking_mode(think: bool | None) -> Thinking:
    """``--think``, ``--no-think`` or neither."""
    return "adaptive" if think is None else "think" if think else "no_think"


def generation_params(
    *, max_tokens: int | None, temperature: float | None, top_p: float | None, seed: int | None
) -> GenerationParams:
    """Options that were given; the others keep the library's defaults.

    Raises:
        InvalidRequestError: a value is out of its range.
    """
    options = {"max_tokens": max_tokens, "temperature": temperature, "top_p": top_p, "seed": seed}
    return GenerationParams(**{name: value for name, value in options.items() if value is not None})  # type: ignore[arg-type]


def opening_messages(system: str | None) -> list[Message]:
    """The messages before the first question."""
    return [] if system is None else [{"role": "system", "content": system}]
