"""One choice of one request while it is generated: turns drawn tokens into outputs and knows when to end.

Owns the sampler's state, the decoding of text, stop conditions and timings of the choice. The scheduler sees
only its :class:`~candlewick.core.sequence.Sequence`.
"""

from __future__ import annotations

from collections.abc import Set as ReadableSet
from typing import Protocol

from candlewick.core.guide import Guide
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

    Where a constraint leaves only one way to go on, ``guide`` knows the tokens and they follow without a draw;
    those that the answer begins with are computed along with the prompt. If their log-probabilities are asked for,
    they are drawn like others, from a mask that allows nothing else.

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
        guide: Guide | None = None,
    ) -> None:
        self.index = index
        self.sequence = sequence
        self.sampler = sampler
        self.guide = guide
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
        self._num_told = 0
        self._opening = self._skip_ahead(max_tokens - 1, may_complete=False)
        """What the answer begins with whatever is drawn; told together with the first token drawn."""

    @property
    def num_remaining(self) -> int:
        """Tokens that may still come."""
        return self._max_tokens - self.sequence.num_generated

    def start(self, now: float) -> None:
        """Note when the choice first became part of a step; later calls change nothing."""
        if self._started_at is None:
            self._started_at = now

    def accept(self, sample: Sample, now: float) -> list[Output]:
        """Append a drawn token and those that must follow it; the last output says whether it was the last one.

        Raises:
            GrammarError: the constraint can't go on.
        """
        if self._first_token_at is None:
            self._first_token_at = now
        else:
            self._longest_gap = max(self._longest_gap, now - self._latest_token_at)
        self._latest_token_at = now
        outputs = [self._tell(token_id, now) for token_id in self._opening]
        self._opening = []
        if self.guide is not None and sample.token_id not in self._end_ids:
            self.guide.accept(sample.token_id)
        self._append(sample.token_id)
        outputs.append(self._tell(sample.token_id, now, sample))
        if outputs[-1].finish_reason is None:
            ahead = self._skip_ahead(self.num_remaining)
            outputs += [self._tell(token_id, now) for token_id in ahead]
        last = next((i for i, output in enumerate(outputs) if output.finish_reason), len(outputs) - 1)
        return outputs[: last + 1]

    def _append(self, token_id: int) -> None:
        self.sequence.append(token_id)
        self.sampler.accept(token_id)

    def _skip_ahead(self, most: int, *, may_complete: bool = True) -> list[int]:
        """Append the tokens that must come next."""
        if self.guide is None or self._wants_logprobs:
            return []
        token_ids = self.guide.skip_ahead(most, may_complete=may_complete)
        for token_id in token_ids:
            self._append(token_id)
        return token_ids

    def _tell(self, token_id: int, now: float, sample: Sample | None = None) -> Output:
        """The output of the next token that was appended."""
        self._num_told += 1
        piece = "" if token_id in self._silent_ids else self._decoder.push(token_id)
        text, stopped = self._stop_filter.push(piece)
        finish_reason: FinishReason | None = None
        if stopped or token_id in self._end_ids or self._is_complete:
            finish_reason = "stop"
        elif self._num_told >= self._max_tokens:
            finish_reason = "length"
        if finish_reason is not None and not stopped:
            tail, stopped = self._tail()
            text += tail
            finish_reason = "stop" if stopped else finish_reason
        if not self._wants_logprobs:
            sample = None
        return Output(
            index=self.index,
            token_id=token_id,
            text=text,
            logprob=None if sample is None else sample.logprob,
            top_logprobs=() if sample is None else sample.top_logprobs,
            finish_reason=finish_reason,
            stop_string=self._stop_filter.matched,
            usage=self._usage() if finish_reason else None,
            timings=self._timings(now) if finish_reason else None,
        )

    @property
    def _is_complete(self) -> bool:
        """Whether the constraint allows nothing more and all is told."""
        return (
            self.guide is not None
            and self._num_told == self.sequence.num_generated
            and self.guide.is_complete
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
            completion_tokens=self._num_told,
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
