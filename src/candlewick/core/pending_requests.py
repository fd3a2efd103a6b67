"""The requests that an engine has begun and not ended: their choices, and what their readers are still to be told.

Belongs to the engine's thread. Turns drawn tokens into outputs of streams and knows how a request can end; what is
computed when is the scheduler's business, who may come in the admission's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Literal

from candlewick.core.admission import Admission
from candlewick.core.choice import Choice, EngineTokenizer
from candlewick.core.embedding import EmbeddingRequest
from candlewick.core.errors import EngineFailed
from candlewick.core.guide import Guide
from candlewick.core.output_stream import Output, Waiter, wake
from candlewick.core.params import GenerationParams
from candlewick.core.request import Request
from candlewick.core.runner_protocol import ModelRunner
from candlewick.core.sampling import Sample
from candlewick.core.scheduler import Scheduler
from candlewick.core.sequence import Sequence
from candlewick.core.speculation.speculator import Speculator

logger = logging.getLogger(__name__)

End = Literal["finished", "cancelled", "failed", "refused"]
AnswerObserver = Callable[[Output, GenerationParams], None]


class PendingRequests:
    """Every choice of every request that is not ended, by the sequence that the scheduler knows it by."""

    def __init__(
        self,
        runner: ModelRunner,
        tokenizer: EngineTokenizer,
        scheduler: Scheduler,
        admission: Admission[Request | EmbeddingRequest],
        speculator: Speculator | None,
    ) -> None:
        self._runner = runner
        self._tokenizer = tokenizer
        self._scheduler = scheduler
        self._admission = admission
        self._speculator = speculator
        self._requests: set[Request] = set()
        self._choice_of: dict[Sequence, tuple[Request, Choice]] = {}
        self._waiters: list[Waiter] = []
        self.num_ended: dict[End, int] = {"finished": 0, "cancelled": 0, "failed": 0, "refused": 0}
        self.num_generated_tokens = 0
        self.observers: list[AnswerObserver] = []
        """Told the last output of every answer, and what was asked for; in the context of whoever asked."""

    def __contains__(self, sequence: Sequence) -> bool:
        return sequence in self._choice_of

    def __getitem__(self, sequence: Sequence) -> tuple[Request, Choice]:
        return self._choice_of[sequence]

    def begin(self, request: Request, first_arrival: int) -> None:
        """Queue the request's choices; they are as old as arrivals from ``first_arrival`` on."""
        if request.stream.ended:
            return  # overdue before it was read
        self._requests.add(request)
        params = request.params
        try:
            samplers = [
                self._runner.new_sampler(params, request.seed, index, request.prompt_ids)
                for index in range(params.n)
            ]
            for index, sampler in enumerate(samplers):
                sequence = Sequence(request.prompt_ids, first_arrival + index, params.priority)
                choice = Choice(
                    index,
                    sequence,
                    sampler,
                    params,
                    self._tokenizer,
                    max_tokens=request.max_tokens,
                    submitted_at=request.submitted_at,
                    num_truncated=request.num_truncated,
                    guide=self._new_guide(request),
                )
                request.choices.append(choice)
                self._choice_of[sequence] = request, choice
                self._scheduler.add(sequence)
        except Exception as error:
            self._fail(request, error)

    def accept(self, sequence: Sequence, sample: Sample | Exception, now: float) -> None:
        """Give a choice the token that was drawn for it, or end its request by the error that came instead."""
        if sequence not in self._choice_of:
            return  # another choice of its request failed in this very step
        request, choice = self._choice_of[sequence]
        if isinstance(sample, Exception):
            self._fail(request, sample)
            return
        try:
            outputs = choice.accept(sample, now)
        except Exception as error:
            self._fail(request, error)
            return
        self.num_generated_tokens += len(outputs)
        self._put(request, outputs)
        if outputs[-1].finish_reason is not None:
            self._forget(choice)
            request.choices.remove(choice)
            if not request.choices:
                self.end(request, "finished")

    def give_up(self, request: Request, now: float) -> None:
        """Cancel what is unfinished of a request; one that has ended is left alone."""
        if request not in self._requests:
            return
        for choice in request.choices:
            self._put(request, [choice.cancel(now)])
        self.end(request, "cancelled")

    def end(self, request: Request, how: End, error: Exception | None = None) -> None:
        """Let go of a request, begun or not; ``error`` is the last thing that its readers get."""
        try:
            for choice in request.choices:
                self._forget(choice)
        finally:  # whatever state a failure has left: readers hear of the end
            request.choices.clear()
            self._admission.leave(request)
            self._requests.discard(request)
            self.num_ended[how] += 1
            self._waiters += request.stream.end(error)

    def fail_all(self, new_error: Callable[[], Exception]) -> None:
        """End all requests, each with an error of its own."""
        for request in list(self._requests):
            try:
                self.end(request, "failed", new_error())
            except Exception:
                logger.exception("letting go of a request after a failure failed as well")

    def deliver(self) -> None:
        """Wake the readers of all that was put since the last time."""
        waiters, self._waiters = self._waiters, []
        wake(waiters)

    def _new_guide(self, request: Request) -> Guide | None:
        if request.grammar is None:
            return None
        params, eos_ids = request.params, self._tokenizer.eos_ids
        return Guide(
            request.grammar.new_matcher(),
            stop_ids=set(params.stop_token_ids),
            banned_ids=set(eos_ids) - set(params.stop_token_ids) if params.ignore_eos else frozenset(),
        )

    def _put(self, request: Request, outputs: list[Output]) -> None:
        self._waiters += request.stream.put(outputs)
        if outputs[-1].finish_reason is None:
            return
        for observer in self.observers:
            try:
                request.context.run(observer, outputs[-1], request.params)
            except Exception:
                logger.exception("whoever counts answers failed")

    def _fail(self, request: Request, cause: Exception) -> None:
        """End one request whose own sampler, decoder or the like failed; the engine goes on."""
        error = EngineFailed(f"this request failed, others go on: {cause!r}")
        error.__cause__ = cause
        self.end(request, "failed", error)

    def _forget(self, choice: Choice) -> None:
        self._choice_of.pop(choice.sequence, None)
        if self._speculator is not None:
            self._speculator.forget(choice.sequence)
        self._scheduler.finish(choice.sequence)
