"""What one answer cost: token counts and seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Usage:
    """Token counts of one answer; ``reasoning_tokens`` and ``cached_tokens`` are parts of the other two."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    cached_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True)
class Timings:
    """Seconds spent on one answer."""

    queued_seconds: float = 0.0
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0
    time_to_first_token_seconds: float = 0.0

    def tokens_per_second(self, completion_tokens: int) -> float:
        """Decoding speed; 0 when there is nothing to measure."""
        return (
            (completion_tokens - 1) / self.decode_seconds
            if self.decode_seconds > 0 and completion_tokens > 1
            else 0.0
        )
