"""One step after the other: what the scheduler chose is computed, and every sequence that may draws its token.

Belongs to the engine's thread and owns nothing that outlives a step but its accounts. Knows no inbox and no reader.
"""

from __future__ import annotations

import time
from collections.abc import Sequence as ReadableSequence
from concurrent.futures import Future
from dataclasses import dataclass

from candlewick.core.admission import Admission
from candlewick.core.choice import Choice
from candlewick.core.embedding import EmbeddingRequest, EmbeddingWork
from candlewick.core.engine_stats import StepLog
from candlewick.core.guide import Allowed, MaskWriter
from candlewick.core.pending_requests import PendingRequests
from candlewick.core.request import Request
from candlewick.core.runner_protocol import ModelRunner
from candlewick.core.sampling import Sample
from candlewick.core.scheduler import ScheduledChunk, ScheduledStep, Scheduler
from candlewick.core.sequence import Sequence, SequenceState
from candlewick.core.speculation.decoding import Decoding
from candlewick.core.speculation.speculator import Speculator


@dataclass(slots=True)
class _Drawing:
    """A choice that draws from a row of logits in a step, and from the next ones as its guesses turn out right."""

    chunk: ScheduledChunk
    first_row: int
    choice: Choice
    num_right: int = 0


class StepRunner:
    """Runs the steps of one engine; each is a :meth:`begin` and a :meth:`run`."""

    def __init__(
        self,
        runner: ModelRunner,
        scheduler: Scheduler,
        pending: PendingRequests,
        embedding: EmbeddingWork,
        admission: Admission[Request | EmbeddingRequest],
        speculator: Speculator | None,
    ) -> None:
        self._runner = runner
        self._scheduler = scheduler
        self._pending = pending
        self._embedding = embedding
        self._admission = admission
        self._speculator = speculator
        self._mask_writer = MaskWriter(runner.vocab_size)
        self._began_at = 0.0
        self.log = StepLog()
        self.num_drafts = 0
        self.num_accepted_drafts = 0

    def begin(self) -> ScheduledStep:
        """Choose what the next step computes. There must be work."""
        self._began_at = time.perf_counter()
        step = self._scheduler.schedule(self._drafts())
        now = time.perf_counter()
        for chunk in step.chunks:
            request: Request | EmbeddingRequest
            if chunk.sequence.wants_hidden:
                request = self._embedding.request_of(chunk.sequence)
            else:
                request, choice = self._pending[chunk.sequence]
                choice.start(now)
            if request.queued:
                self._admission.begin(request, now)
        return step

    def run(self, step: ScheduledStep) -> None:
        """Compute it, and give every choice that it brings to its next token that token, and those guessed right."""
        batch = step.to_batch()
        drawing = [
            _Drawing(chunk, row, self._pending[chunk.sequence][1]) for chunk, row in step.sampled_chunks()
        ]
        masks = self._begin_masks(drawing)
        # The thread's own time: how long others had the processor says nothing about the step.
        started_at = time.thread_time()
        self._runner.execute(batch)
        seconds = time.thread_time() - started_at
        num_prompt_tokens = step.num_prompt_tokens
        self._scheduler.pacer.record(step.num_decodes, num_prompt_tokens, seconds)
        if self._speculator is not None:
            if batch.num_tokens == len(batch.logit_rows):
                self._speculator.observe(batch.num_tokens, seconds)
            self.num_drafts += sum(len(each.chunk.draft_ids) for each in drawing)
        self._scheduler.complete(step)
        if len(batch.hidden_rows):
            self._embedding.take(step, self._runner.hidden_states())
        num_generated_before = self._pending.num_generated_tokens
        while drawing:
            drawing = self._draw(drawing, masks)
            masks = self._begin_masks(drawing)
        ended_at = time.perf_counter()
        num_generated = self._pending.num_generated_tokens - num_generated_before
        self.log.record(ended_at, ended_at - self._began_at, num_generated, num_prompt_tokens)

    def close(self) -> None:
        """Let the helping thread end."""
        self._mask_writer.close()

    def _drafts(self) -> dict[Sequence, list[int]]:
        if self._speculator is None:
            return {}
        decoding = []
        for sequence in self._scheduler.running:
            if sequence.decodes:
                _, choice = self._pending[sequence]
                decoding.append(Decoding(sequence, choice.num_remaining, choice.sampler))
        return self._speculator.propose(decoding)

    def _begin_masks(self, drawing: list[_Drawing]) -> Future[Allowed] | None:
        return self._mask_writer.begin([each.choice.guide for each in drawing])

    def _draw(self, drawing: list[_Drawing], masks: Future[Allowed] | None) -> list[_Drawing]:
        """Draw a token for each; those whose guesses turn out right can draw again from a row behind them."""
        samples = self._sample(drawing, masks)
        now = time.perf_counter()
        again = []
        for each, sample in zip(drawing, samples, strict=True):
            sequence = each.chunk.sequence
            num_tokens = sequence.num_tokens
            self._pending.accept(sequence, sample, now)
            if not each.chunk.draft_ids or sequence.state is not SequenceState.RUNNING:
                continue
            token_ids = sequence.token_ids[num_tokens:]
            num_right = _num_equal(token_ids, each.chunk.draft_ids[each.num_right :])
            for _ in range(num_right):
                self._scheduler.accept_draft(sequence)
            self.num_accepted_drafts += num_right
            if num_right == len(token_ids):
                each.num_right += num_right
                again.append(each)
        # A choice that fails takes its request's others along.
        return [each for each in again if each.chunk.sequence in self._pending]

    def _sample(self, drawing: list[_Drawing], masks: Future[Allowed] | None) -> list[Sample | Exception]:
        samplers = [each.choice.sampler for each in drawing]
        rows = [each.first_row + each.num_right for each in drawing]
        if masks is None:
            return list(self._runner.sample(samplers, rows))
        allowed = masks.result()
        drawn = self._runner.sample(samplers, rows, allowed.masks)
        return [allowed.errors.get(i, sample) for i, sample in enumerate(drawn)]


def _num_equal(token_ids: ReadableSequence[int], others: ReadableSequence[int]) -> int:
    """Length of the common beginning."""
    return next(
        (i for i, (a, b) in enumerate(zip(token_ids, others, strict=False)) if a != b),
        min(len(token_ids), len(others)),
    )
