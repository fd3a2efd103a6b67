"""Decides, before each step, which guesses of which sequences are computed along with it.

A guess is never trusted: its row gives the logits that would have been computed one step later, the sampler draws
from them as it would have, and only a guess that equals what was drawn saves that step. So speculation changes no
token and no log-probability, only the time. Owns the guessing and its accounts; the scheduler finds room for the
guesses, the engine's thread draws.
"""

from __future__ import annotations

from collections.abc import Iterable

from candlewick.core.sequence import Sequence
from candlewick.core.speculation.draft_lengths import choose_lengths
from candlewick.core.speculation.prompt_lookup import PromptLookup
from candlewick.core.speculation.step_costs import StepCosts

MAX_DRAFT_TOKENS = 8
"""Most guesses of one sequence in a step."""
MAX_STEP_DRAFT_TOKENS = 32
"""Most guesses of all sequences in a step."""


class Speculator:
    """Prompt lookup for the sequences of one engine."""

    def __init__(self) -> None:
        self._lookups: dict[Sequence, PromptLookup] = {}
        self._costs = StepCosts()

    def propose(self, decoding: Iterable[tuple[Sequence, int]]) -> dict[Sequence, list[int]]:
        """Guesses for those of the decoding sequences for which they pay.

        Each comes with the number of tokens that it may still receive.
        """
        lookups, chances = [], []
        num_rows = 0
        for sequence, num_remaining in decoding:
            num_rows += 1
            lookup = self._lookup(sequence)
            lookup.catch_up()
            falling = lookup.chances(min(MAX_DRAFT_TOKENS, num_remaining - 1))
            if falling:
                lookups.append((sequence, lookup))
                chances.append(falling)
        if not lookups:
            return {}
        lengths = choose_lengths(
            chances, num_rows, lambda num_more: self._costs.growth(num_rows, num_more), MAX_STEP_DRAFT_TOKENS
        )
        return {
            sequence: lookup.guess(length)
            for (sequence, lookup), length in zip(lookups, lengths, strict=True)
            if length
        }

    def observe(self, num_rows: int, seconds: float) -> None:
        """Learn what a step of ``num_rows`` rows cost that did nothing but decode."""
        self._costs.observe(num_rows, seconds)

    def forget(self, sequence: Sequence) -> None:
        """Let go of a sequence that ended."""
        self._lookups.pop(sequence, None)

    def _lookup(self, sequence: Sequence) -> PromptLookup:
        lookup = self._lookups.get(sequence)
        if lookup is None:
            lookup = self._lookups[sequence] = PromptLookup(sequence.token_ids)
        return lookup
