"""Guesses by a smaller model with the same vocabulary (Leviathan 2023, https://arxiv.org/abs/2211.17192).

The small model draws the next tokens as the large one will: with the request's own sampler and so with the same random
numbers, which makes both draw the same token wherever their distributions are close. (The paper accepts guesses by a
ratio of probabilities; here one counts only if it is the very token that is drawn, so no answer depends on it.) Owns
the small model, the blocks of its keys and values, how far it has read each sequence, and how often it was right. Knows
neither the large model nor whether guessing pays.
"""

from __future__ import annotations

import time
from collections.abc import Sequence as ReadableSequence

from candlewick.core.batch import BLOCK_SIZE
from candlewick.core.block_manager import BlockManager
from candlewick.core.runner_protocol import ModelRunner
from candlewick.core.sampling import Sample
from candlewick.core.scheduler import ScheduledChunk, ScheduledStep
from candlewick.core.sequence import Sequence
from candlewick.core.speculation.decoding import Decoding
from candlewick.core.speculation.prompt_lookup import LEAST_CHANCE
from candlewick.core.speculation.step_costs import StepCosts

FIRST_RATE = 0.6
"""How often a guess is right, before anything is known of the two models."""
LEAST_READ = 16
"""Fewest tokens that are read in a step where something is left to read: whatever it costs, it comes to its end."""

_PRIOR_WEIGHT = 4.0
_MEMORY = 0.97
_FIRST_READ = 64
_LATEST_WEIGHT = 0.25
_LEAST_SECONDS = 1e-9
"""What a coarse clock sees as no time at all."""


class _Record:
    """How often guesses were right; old ones are forgotten slowly."""

    __slots__ = ("num_hits", "num_tried")

    def __init__(self) -> None:
        self.num_tried = self.num_hits = 0.0

    def add(self, is_hit: bool) -> None:
        self.num_tried = self.num_tried * _MEMORY + 1.0
        self.num_hits = self.num_hits * _MEMORY + is_hit

    def rate(self, prior: float) -> float:
        return (self.num_hits + _PRIOR_WEIGHT * prior) / (self.num_tried + _PRIOR_WEIGHT)


class _Reading:
    """How far the small model has read a sequence; ``own`` are its tokens with the latest guesses behind them."""

    __slots__ = ("num_certain", "num_published", "own", "record", "sequence")

    def __init__(self, sequence: Sequence) -> None:
        self.sequence = sequence
        self.own = Sequence(sequence.token_ids, arrival=0)
        self.num_certain = sequence.num_tokens
        """The tokens of ``own`` that stand in the sequence; guesses follow."""
        self.num_published = 0
        self.record = _Record()

    def settle(self) -> list[bool]:
        """Take in the tokens that came since; for each guess that they decided, whether it was right."""
        own, token_ids = self.own, self.sequence.token_ids
        verdicts: list[bool] = []
        for guess, token_id in zip(
            own.token_ids[self.num_certain :], token_ids[self.num_certain :], strict=False
        ):
            verdicts.append(guess == token_id)
            if guess != token_id:
                break
        num_agreeing = self.num_certain + sum(verdicts)
        own.token_ids[num_agreeing:] = token_ids[num_agreeing:]
        # The last token is computed again if it was guessed: somebody wants its logits.
        own.num_computed = min(own.num_computed, num_agreeing, len(token_ids) - 1)
        self.num_certain = len(token_ids)
        return verdicts


class DraftModel:
    """The guesses of ``runner`` for the sequences of one engine; steps have at most ``max_step_tokens`` tokens."""

    def __init__(self, runner: ModelRunner, *, max_step_tokens: int) -> None:
        self.blocks = BlockManager(runner.num_blocks)
        self._runner = runner
        self._max_step_tokens = max_step_tokens
        self._longest = min(runner.max_context, runner.num_blocks * BLOCK_SIZE)
        self._readings: dict[Sequence, _Reading] = {}
        self._record = _Record()
        self._costs = StepCosts()
        self._seconds_per_read: float | None = None

    def settle(self, sequence: Sequence) -> bool:
        """Take in the tokens that came since the last time; whether the first of the guesses at them was right."""
        reading = self._readings.get(sequence)
        if reading is None:
            return False
        verdicts = reading.settle()
        for is_hit in verdicts:
            self._note(reading, is_hit)
        self._publish(reading)
        return bool(verdicts) and verdicts[0]

    def chances(self, sequence: Sequence, most: int) -> list[float]:
        """For each token of a guess, as long as it is of use, the probability that it and all before it are right.

        There is none for a sequence that is too long for the small model.
        """
        if sequence.num_tokens + most > self._longest:
            return []
        reading = self._readings.get(sequence)
        rate = self._record.rate(FIRST_RATE)
        if reading is not None:
            rate = reading.record.rate(rate)
        falling = [rate**length for length in range(1, most + 1)]
        return falling[:1] + [chance for chance in falling[1:] if chance >= LEAST_CHANCE]

    def num_unread(self, sequence: Sequence) -> int:
        """Tokens that the small model must read before it can guess; settle first."""
        reading = self._readings.get(sequence)
        return sequence.num_tokens if reading is None else reading.own.num_pending

    def round_seconds(self, num_sequences: int) -> float | None:
        """How long one guess for each of so many sequences takes; ``None`` before anything was measured."""
        return self._costs.seconds(num_sequences)

    def read_seconds(self, num_tokens: int) -> float:
        """About how long it takes to read so many tokens; 0 before anything was measured."""
        return num_tokens * (self._seconds_per_read or 0.0)

    def readable(self, seconds: float | None) -> int:
        """Tokens of unread text that can be read in about so many seconds."""
        if seconds is None or self._seconds_per_read is None:
            return _FIRST_READ
        return max(LEAST_READ, int(seconds / self._seconds_per_read))

    def guess(
        self, wanted: ReadableSequence[tuple[Decoding, int]], most_read: int
    ) -> dict[Sequence, list[int]]:
        """Up to so many guesses as are wanted for each of some settled sequences.

        What the small model has not read yet of them it reads first, ``most_read`` tokens in all; who has more
        unread gets guesses another time.
        """
        guesses: dict[Sequence, list[int]] = {}
        chunks, drawing = self._chunks_to_read(wanted, most_read)
        try:
            while chunks:
                samples = self._compute(chunks, [decoding for decoding, _, _ in drawing])
                chunks, going_on = [], []
                for (decoding, length, reading), sample in zip(drawing, samples, strict=True):
                    if isinstance(sample, ValueError):
                        self._note(reading, False)  # nothing can be drawn here, and so there is no guess
                        continue
                    guessed = guesses.setdefault(decoding.sequence, [])
                    guessed.append(sample.token_id)
                    decoding.sampler.accept(sample.token_id)
                    reading.own.append(sample.token_id)
                    if len(guessed) < length:
                        chunks.append(ScheduledChunk(reading.own, 1))
                        going_on.append((decoding, length, reading))
                drawing = going_on
        finally:
            for decoding, _ in wanted:
                for token_id in reversed(guesses.get(decoding.sequence, [])):
                    decoding.sampler.retract(token_id)
        return guesses

    def forget(self, sequence: Sequence) -> None:
        """Let go of a sequence that ended."""
        reading = self._readings.pop(sequence, None)
        if reading is not None:
            self.blocks.release(reading.own.block_table)

    def check_integrity(self) -> None:
        """Raise ``AssertionError`` unless the blocks are in order. For tests, between steps."""
        self.blocks.check_integrity(reading.own.block_table for reading in self._readings.values())
        for sequence, reading in self._readings.items():
            assert reading.own.token_ids[: reading.num_certain] == sequence.token_ids[: reading.num_certain]
            assert reading.own.num_computed <= len(reading.own.block_table) * BLOCK_SIZE

    def _chunks_to_read(
        self, wanted: ReadableSequence[tuple[Decoding, int]], most_read: int
    ) -> tuple[list[ScheduledChunk], list[tuple[Decoding, int, _Reading]]]:
        """What to compute first, and who can draw after that; who has least to read comes first."""
        room = min(most_read, self._max_step_tokens - len(wanted))
        busy = {decoding.sequence for decoding, _ in wanted}
        chunks, drawing = [], []
        for decoding, length in sorted(wanted, key=lambda each: self.num_unread(each[0].sequence)):
            reading = self._reading(decoding.sequence)
            own = reading.own
            num_tokens = min(own.num_pending, 1 + room)
            is_read = num_tokens == own.num_pending
            if not self._make_room(own, own.num_computed + num_tokens + (length - 1 if is_read else 0), busy):
                continue
            room -= num_tokens - 1
            chunks.append(ScheduledChunk(own, num_tokens))
            if is_read:
                drawing.append((decoding, length, reading))
        return chunks, drawing

    def _compute(
        self, chunks: list[ScheduledChunk], drawing: list[Decoding]
    ) -> ReadableSequence[Sample | ValueError]:
        num_tokens = sum(chunk.num_tokens for chunk in chunks)
        started_at = time.thread_time()
        self._runner.execute(ScheduledStep(tuple(chunks), 0).to_batch())
        samplers = [decoding.sampler for decoding in drawing]
        samples = self._runner.sample(samplers, range(len(samplers))) if samplers else []
        seconds = time.thread_time() - started_at
        for chunk in chunks:
            chunk.sequence.num_computed += chunk.num_tokens
        if num_tokens == len(chunks):
            self._costs.observe(num_tokens, seconds)
        elif num_tokens >= LEAST_READ:
            per_token = max(seconds / num_tokens, _LEAST_SECONDS)
            before = self._seconds_per_read or per_token
            self._seconds_per_read = before + _LATEST_WEIGHT * (per_token - before)
        return samples

    def _note(self, reading: _Reading, is_hit: bool) -> None:
        reading.record.add(is_hit)
        self._record.add(is_hit)

    def _reading(self, sequence: Sequence) -> _Reading:
        reading = self._readings.get(sequence)
        if reading is None:
            reading = self._readings[sequence] = _Reading(sequence)
            own = reading.own
            found = self.blocks.find_prefix(sequence.digests()[: (own.num_tokens - 1) // BLOCK_SIZE])
            self.blocks.share(found)
            own.block_table.extend(found)
            own.num_computed = len(found) * BLOCK_SIZE
            reading.num_published = len(found)
        return reading

    def _make_room(self, own: Sequence, num_tokens: int, busy: set[Sequence]) -> bool:
        """Give a sequence blocks for so many tokens; whether there are any. Those that pause give theirs up."""
        while len(own.block_table) * BLOCK_SIZE < num_tokens:
            if not self.blocks.num_available:
                idle = next((sequence for sequence in self._readings if sequence not in busy), None)
                if idle is None:
                    return False
                self.forget(idle)
                continue
            own.block_table.append(self.blocks.allocate())
        return True

    def _publish(self, reading: _Reading) -> None:
        """Let others find the blocks that are full of what stands in the sequence; no guess is ever in them."""
        num_full = min(reading.own.num_computed, reading.num_certain) // BLOCK_SIZE
        if num_full > reading.num_published:
            digests = reading.sequence.digests()
            for i in range(reading.num_published, num_full):
                self.blocks.publish(reading.own.block_table[i], digests[i])
            reading.num_published = num_full
