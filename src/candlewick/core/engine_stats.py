"""What an engine says about itself: its numbers and whether it is well."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import Literal

RECENT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class RecentSteps:
    """The steps that ended within the latest ``RECENT_SECONDS``; all 0 if there were none."""

    generated_tokens_per_second: float = 0.0
    """Of all answers together, over the time in which there was something to do."""
    prompt_tokens_per_second: float = 0.0
    """Tokens of prompts that were computed, likewise."""
    mean_step_seconds: float = 0.0
    longest_step_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class EngineStats:
    """A consistent snapshot, taken at least once a step. Totals count from the engine's start."""

    requests_finished: int = 0
    requests_cancelled: int = 0
    requests_failed: int = 0
    requests_refused: int = 0
    """Because the queue was full, or their wait in it too long."""
    running: int = 0
    """Choices being computed."""
    waiting: int = 0
    """Choices that wait for their turn, among them preempted ones."""
    blocks_used: int = 0
    blocks_cached: int = 0
    """Blocks that nobody uses, kept because their content may be wanted again."""
    blocks_free: int = 0
    steps: int = 0
    step_seconds: float = 0.0
    """Time spent in steps."""
    preemptions: int = 0
    """Times that a choice had to give up its place and blocks and go on later."""
    prompt_tokens: int = 0
    """Tokens of the prompts begun, counted for each choice."""
    prefix_hit_tokens: int = 0
    """Those of the prompt tokens that were found in the prefix cache."""
    computed_prompt_tokens: int = 0
    """Those that were computed, with what was computed again after a preemption."""
    generated_tokens: int = 0
    draft_tokens: int = 0
    """Guesses of speculative decoding that were computed."""
    accepted_draft_tokens: int = 0
    """Those that were right, each of which saved a step."""
    recent: RecentSteps = RecentSteps()

    @property
    def prefix_hit_rate(self) -> float:
        """The part of all prompt tokens that the prefix cache had; 0 before there were any."""
        return self.prefix_hit_tokens / self.prompt_tokens if self.prompt_tokens else 0.0

    @property
    def draft_acceptance_rate(self) -> float:
        """The part of all guesses that were right; 0 before there were any."""
        return self.accepted_draft_tokens / self.draft_tokens if self.draft_tokens else 0.0


@dataclass(frozen=True, slots=True)
class _Step:
    ended_at: float
    seconds: float
    num_generated: int
    num_prompt_tokens: int


class StepLog:
    """What steps did: in total, and lately. One thread writes, any may read."""

    def __init__(self) -> None:
        self.num_steps = 0
        self.seconds = 0.0
        self.num_prompt_tokens = 0
        self._lock = threading.Lock()
        self._steps: deque[_Step] = deque()

    def record(self, ended_at: float, seconds: float, num_generated: int, num_prompt_tokens: int) -> None:
        """Note a step; ``ended_at`` is of the clock that :meth:`recent` is asked by."""
        self.num_steps += 1
        self.seconds += seconds
        self.num_prompt_tokens += num_prompt_tokens
        with self._lock:
            self._steps.append(_Step(ended_at, seconds, num_generated, num_prompt_tokens))
            self._forget_before(ended_at - RECENT_SECONDS)

    def recent(self, now: float) -> RecentSteps:
        """The latest ones, as of ``now``."""
        with self._lock:
            self._forget_before(now - RECENT_SECONDS)
            steps = list(self._steps)
        busy = sum(step.seconds for step in steps)
        if not busy:
            return RecentSteps()
        return RecentSteps(
            generated_tokens_per_second=sum(step.num_generated for step in steps) / busy,
            prompt_tokens_per_second=sum(step.num_prompt_tokens for step in steps) / busy,
            mean_step_seconds=busy / len(steps),
            longest_step_seconds=max(step.seconds for step in steps),
        )

    def _forget_before(self, moment: float) -> None:
        while self._steps and self._steps[0].ended_at < moment:
            self._steps.popleft()


@dataclass(frozen=True, slots=True)
class EngineHealth:
    """``ready``; ``failed`` by ``error`` in a step, for good; or ``closed``."""

    status: Literal["ready", "failed", "closed"]
    error: BaseException | None = None
