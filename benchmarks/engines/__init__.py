"""The engines that ``compare.py`` measures: one file each, all with the same two questions to answer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

HISTORY = 64
"""Tokens in each stream's context before decode steps are timed."""
STEPS = 6
"""Decode steps in one measurement."""


@dataclass(frozen=True)
class Work:
    """What was done, and how long it took."""

    tokens: int
    seconds: float

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds


class Engine(Protocol):
    name: str

    def prefill(self, num_tokens: int) -> Work:
        """Process a prompt of about so many tokens, none of which is known from before."""

    def decode(self, num_streams: int) -> Work:
        """The next tokens of so many answers at once, each behind a short context."""


@dataclass(frozen=True)
class Setup:
    """What an engine needs to know."""

    path: Path
    most_tokens: int
    """Of a prompt."""
    most_streams: int
    threads: int
    repacks: bool = True
    """Whether llama.cpp may put its weights into another order at load."""
    endpoint_model: str = "default"


def open_engine(name: str, setup: Setup) -> Engine:
    """``candlewick``, ``llama.cpp``, ``mistralrs``, or the address of an OpenAI endpoint."""
    # Each is imported where it is wanted: none of the peers needs to be installed for the others.
    if name == "candlewick":
        from engines.candlewick import Candlewick

        return Candlewick(setup)
    if name == "llama.cpp":
        from engines.llama_cpp import LlamaCpp

        return LlamaCpp(setup)
    if name == "mistralrs":
        from engines.mistralrs import MistralRs

        return MistralRs(setup)
    if name.startswith(("http://", "https://")):
        from engines.openai_endpoint import OpenAIEndpoint

        return OpenAIEndpoint(name, setup)
    raise ValueError(f"unknown engine {name!r}: candlewick, llama.cpp, mistralrs or an http address")
