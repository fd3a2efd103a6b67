"""What one answer cost: token counts and seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Usage:
    """Token counts of one answer; ``reasoning_tokens`` and ``cached_tokens`` are parts of the other two."""

    prompt_tokens: int = 0
    """Those that the answer follows on; what was cut off is not among them."""
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    cached_tokens: int = 0
    truncated_tokens: int = 0
    """Dropped from the start of the prompt because ``GenerationParams.context_overflow`` allows it."""

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True)
class Timings:
    """Seconds spent on one answer: queued, then on the prompt, then on the tokens after the first."""

    queued_seconds: float = 0.0
    prefill_seconds: float = 0.0
    """From the first step with a part of the prompt to the first token."""
    decode_seconds: float = 0.0
    """From the first token to the last."""
    time_to_first_token_seconds: float = 0.0
    """From the submission on; 0 if there was none."""
    longest_gap_seconds: float = 0.0
    """Between two tokens, the longest."""

    @property
    def total_seconds(self) -> float:
        return self.queued_seconds + self.prefill_seconds + self.decode_seconds

    def seconds_per_token(self, completion_tokens: int) -> float:
        """Mean time between two tokens; 0 when there are none to measure between."""
        return self.decode_seconds / (completion_tokens - 1) if completion_tokens > 1 else 0.0

    def tokens_per_second(self, completion_tokens: int) -> float:
        """Decoding speed; 0 when there is nothing to measure."""
        return (
            (completion_tokens - 1) / self.decode_seconds
            if self.decode_seconds > 0 and completion_tokens > 1
            else 0.0
        )
