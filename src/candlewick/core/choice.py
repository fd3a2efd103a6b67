"""One choice of one request while it is generated: turns drawn tokens into outputs and knows when to end.

Owns the sampler's state, the decoding of text, stop conditions and timings of the choice. The scheduler sees
only its :class:`~candlewick.core.sequence.Sequence`.
"""

from __future__ import annotations

from collections.abc import Set as ReadableSet
from typing import Protocol

from candlewick.core.output_stream import FinishReason, Output
from candlewick.core.params import GenerationParams
from candlewick.core.sampling import Sample, TokenSampler
from candlewick.core.sequence import Sequence
from candlewick.core.stop_strings import StopStringFilter
from candlewick.core.usage import Timings, Usage


class TextDecoder(Protocol):
    """Turns token ids into text, whole characters only."""

    def push(self, token_id: int) -> str: ...

    def flush(self) -> str: ...


class EngineTokenizer(Protocol):
    """What the engine needs of a tokenizer."""

    @property
    def eos_ids(self) -> ReadableSet[int]: ...

    def decoder(self, *, after: int | None = None) -> TextDecoder: ...


class Choice:
    """Choice number ``index``; ``max_tokens`` is what the request allows or the context has room for,
    ``num_truncated`` how much of the prompt was left out.

    Times are seconds of one monotonic clock.
    """

    def __init__(
        self,
        index: int,
        sequence: Sequence,
        sampler: TokenSampler,
        params: GenerationParams,
        tokenizer: EngineTokenizer,
        *,
        max_tokens: int,
        submitted_at: float,
        num_truncated: int = 0,
    ) -> None:
        self.index = index
        self.sequence = sequence
        self.sampler = sampler
        self._max_tokens = max_tokens
        self._wants_logprobs = params.logprobs is not None
        self._end_ids = set(params.stop_token_ids) | (set() if params.ignore_eos else tokenizer.eos_ids)
        self._silent_ids = self._end_ids | tokenizer.eos_ids
        self._decoder = tokenizer.decoder(after=sequence.token_ids[-1])
        self._stop_filter = StopStringFilter(params.stop)
        self._num_truncated = num_truncated
        self._submitted_at = submitted_at
        self._started_at: float | None = None
        self._first_token_at: float | None = None
        self._latest_token_at = 0.0
        self._longest_gap = 0.0

    @property
    def num_remaining(self) -> int:
        """Tokens that may still come."""
        return self._max_tokens - self.sequence.num_generated

    def start(self, now: float) -> None:
        """Note when the choice first became part of a step; later calls change nothing."""
        if self._started_at is None:
            self._started_at = now

    def accept(self, sample: Sample, now: float) -> Output:
        """Append a drawn token; the output says whether it was the last one."""
        token_id = sample.token_id
        self.sequence.append(token_id)
        self.sampler.accept(token_id)
        if self._first_token_at is None:
            self._first_token_at = now
        else:
            self._longest_gap = max(self._longest_gap, now - self._latest_token_at)
        self._latest_token_at = now

        piece = "" if token_id in self._silent_ids else self._decoder.push(token_id)
        text, stopped = self._stop_filter.push(piece)
        finish_reason: FinishReason | None = None
        if stopped or token_id in self._end_ids:
            finish_reason = "stop"
        elif self.sequence.num_generated >= self._max_tokens:
            finish_reason = "length"
        if finish_reason is not None and not stopped:
            tail, stopped = self._tail()
            text += tail
            finish_reason = "stop" if stopped else finish_reason
        return Output(
            index=self.index,
            token_id=token_id,
            text=text,
            logprob=sample.logprob if self._wants_logprobs else None,
            top_logprobs=sample.top_logprobs if self._wants_logprobs else (),
            finish_reason=finish_reason,
            usage=self._usage() if finish_reason else None,
            timings=self._timings(now) if finish_reason else None,
        )

    def cancel(self, now: float) -> Output:
        """The last output of a choice that is given up."""
        text, _ = self._tail()
        return Output(
            index=self.index,
            token_id=None,
            text=text,
            finish_reason="cancelled",
            usage=self._usage(),
            timings=self._timings(now),
        )

    def _tail(self) -> tuple[str, bool]:
        """The text still held back, now that nothing follows; and whether a stop string was met in it."""
        text, stopped = self._stop_filter.push(self._decoder.flush())
        return (text, True) if stopped else (text + self._stop_filter.flush(), False)

    def _usage(self) -> Usage:
        return Usage(
            prompt_tokens=self.sequence.num_prompt_tokens,
            completion_tokens=self.sequence.num_generated,
            cached_tokens=self.sequence.num_cached or 0,
            truncated_tokens=self._num_truncated,
        )

    def _timings(self, now: float) -> Timings:
        # A phase that was never entered took no time; one that was cut short took until now.
        started_at = now if self._started_at is None else self._started_at
        has_token = self._first_token_at is not None
        first_token_at = now if self._first_token_at is None else self._first_token_at
        return Timings(
            queued_seconds=started_at - self._submitted_at,
            prefill_seconds=first_token_at - started_at,
            decode_seconds=now - first_token_at,
            time_to_first_token_seconds=first_token_at - self._submitted_at if has_token else 0.0,
            longest_gap_seconds=self._longest_gap,
        )
