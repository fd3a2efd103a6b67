"""Texts to vectors: pools the hidden states that steps compute for the sequences that want them.

Owns embedding requests from the engine's inbox to their result. The scheduler treats their texts as prompts that are
answered with no token; the engine's thread runs the steps.
"""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from candlewick.core.model_config import Pooling
from candlewick.core.scheduler import ScheduledChunk, ScheduledStep, Scheduler
from candlewick.core.sequence import Sequence

Vectors = npt.NDArray[np.float32]


@dataclass(eq=False)
class EmbeddingRequest:
    """Valid prompts that wait for their vectors. Everything but ``future`` belongs to the engine's thread."""

    prompts: list[list[int]]
    pooling: Pooling
    normalize: bool
    submitted_at: float
    future: Future[Vectors] = field(default_factory=Future)
    queued: bool = True
    """Whether it still counts among those that wait to be begun."""
    texts: dict[Sequence, _Text] = field(default_factory=dict)
    """The unfinished ones."""
    vectors: list[npt.NDArray[np.float64] | None] = field(default_factory=list)


@dataclass
class _Text:
    index: int
    total: npt.NDArray[np.float64]


class EmbeddingWork:
    """The embedding requests of one engine."""

    def __init__(self, scheduler: Scheduler, hidden_size: int) -> None:
        self._scheduler = scheduler
        self._hidden_size = hidden_size
        self._request_of: dict[Sequence, EmbeddingRequest] = {}
        self._finished: list[EmbeddingRequest] = []

    def request_of(self, sequence: Sequence) -> EmbeddingRequest:
        return self._request_of[sequence]

    def begin(self, request: EmbeddingRequest, first_arrival: int) -> None:
        """Queue the request's texts; they are as old as arrivals from ``first_arrival`` on."""
        request.vectors = [None] * len(request.prompts)
        for index, prompt_ids in enumerate(request.prompts):
            sequence = Sequence(prompt_ids, first_arrival + index, wants_hidden=True)
            request.texts[sequence] = _Text(index, np.zeros(self._hidden_size))
            self._request_of[sequence] = request
            self._scheduler.add(sequence)

    def take(self, step: ScheduledStep, hidden_states: Vectors) -> None:
        """Pool what a completed step computed, and finish the texts that are whole."""
        start = 0
        for chunk in step.chunks:
            if chunk.sequence.wants_hidden:
                self._take_chunk(chunk, hidden_states[start : start + chunk.num_tokens])
                start += chunk.num_tokens

    def give_up(self, request: EmbeddingRequest) -> None:
        """Let go of a request that nobody waits for; one that has ended is left alone."""
        for sequence in list(request.texts):
            self._forget(request, sequence)

    def deliver(self) -> None:
        """Hand over the results since the last time."""
        finished, self._finished = self._finished, []
        for request in finished:
            if request.future.set_running_or_notify_cancel():
                vectors = np.array(request.vectors).reshape(-1, self._hidden_size)
                request.future.set_result(vectors.astype(np.float32))

    def fail_all(self, error: Exception) -> None:
        """End all requests with ``error``."""
        for request in set(self._request_of.values()):
            self.give_up(request)
            fail(request, error)

    def _take_chunk(self, chunk: ScheduledChunk, hidden_states: Vectors) -> None:
        sequence = chunk.sequence
        request = self._request_of[sequence]
        text = request.texts[sequence]
        if sequence.num_computed == chunk.num_tokens:
            text.total[:] = 0  # the beginning; perhaps once more, after a preemption
        is_whole = sequence.num_pending == 0
        match request.pooling:
            case "mean":
                # Row after row, so that it makes no difference how the text was cut into chunks.
                for row in hidden_states:
                    text.total += row
            case "cls":
                if sequence.num_computed == chunk.num_tokens:
                    text.total += hidden_states[0]
            case "last":
                if is_whole:
                    text.total += hidden_states[-1]
        if is_whole:
            request.vectors[text.index] = self._vector(request, text, sequence.num_tokens)
            self._forget(request, sequence)
            if not request.texts:
                self._finished.append(request)

    def _vector(self, request: EmbeddingRequest, text: _Text, num_tokens: int) -> npt.NDArray[np.float64]:
        vector = text.total / num_tokens if request.pooling == "mean" else text.total
        length = float(np.sqrt(np.sum(vector * vector)))
        return vector / length if request.normalize and length > 0 else vector

    def _forget(self, request: EmbeddingRequest, sequence: Sequence) -> None:
        del request.texts[sequence], self._request_of[sequence]
        self._scheduler.finish(sequence)


def fail(request: EmbeddingRequest, error: Exception) -> None:
    """Let whoever waits for the request's vectors have the error."""
    if request.future.set_running_or_notify_cancel():
        request.future.set_exception(error)
