"""What an engine says about itself: its numbers and whether it is well."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class EngineStats:
    """A consistent snapshot, taken at least once a step. Totals count from the engine's start."""

    running: int = 0
    """Choices being computed."""
    waiting: int = 0
    """Choices that wait for their turn, among them preempted ones."""
    blocks_used: int = 0
    blocks_cached: int = 0
    """Blocks that nobody uses, kept because their content may be wanted again."""
    blocks_free: int = 0
    steps: int = 0
    preemptions: int = 0
    prompt_tokens: int = 0
    """Tokens of the prompts begun, counted for each choice."""
    prefix_hit_tokens: int = 0
    """Those of the prompt tokens that were found in the prefix cache."""
    generated_tokens: int = 0
    draft_tokens: int = 0
    """Guesses of speculative decoding that were computed."""
    accepted_draft_tokens: int = 0
    """Those that were right, each of which saved a step."""


@dataclass(frozen=True, slots=True)
class EngineHealth:
    """``ready``; ``failed`` by ``error`` in a step, for good; or ``closed``."""

    status: Literal["ready", "failed", "closed"]
    error: BaseException | None = None
