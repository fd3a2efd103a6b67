"""Decides, before each step, which guesses of which sequences are computed along with it.

A guess is never trusted: its row gives the logits that would have been computed one step later, the sampler draws
from them as it would have, and only a guess that equals what was drawn saves that step. So speculation changes no
token and no log-probability, only the time. Owns the choice of who guesses and how much; the scheduler finds room for
the guesses, the engine's thread draws.
"""

from __future__ import annotations

from collections.abc import Iterable

from candlewick.core.sequence import Sequence
from candlewick.core.speculation.decoding import Decoding
from candlewick.core.speculation.draft_lengths import choose_lengths
from candlewick.core.speculation.draft_model import DraftModel
from candlewick.core.speculation.prompt_lookup import PromptLookup
from candlewick.core.speculation.step_costs import StepCosts

MAX_DRAFT_TOKENS = 8
"""Most guesses of one sequence in a step."""
MAX_STEP_DRAFT_TOKENS = 32
"""Most guesses of all sequences in a step."""

_FIRST_ROUND_COST = 0.2
"""Cost of one guess of the draft model, in steps of the model, before it was measured."""
_READ_SHARE = 0.5
"""Of a step's duration, for the draft model to read what it does not know yet."""
_MOST_UNREAD = 16
"""Tokens to read, for each that may still come, beyond which reading does not come back."""
_TRIAL_SHARE = 0.02
"""Of the time without guesses, for the draft model to read what it needs to be tried again."""
_FIRST_PATIENCE, _MOST_PATIENCE = 32, 4096
"""Tokens after which a draft model that does not pay is tried again; each failure doubles them."""


class Speculator:
    """Prompt lookup for the sequences of one engine, and where the text does not repeat itself a draft model if there
    is one."""

    def __init__(self, draft_model: DraftModel | None = None) -> None:
        self.draft_model = draft_model
        self._lookups: dict[Sequence, PromptLookup] = {}
        self._costs = StepCosts()
        self._num_idle = 0
        self._patience = _FIRST_PATIENCE

    def propose(self, decoding: Iterable[Decoding]) -> dict[Sequence, list[int]]:
        """Guesses for those of the decoding sequences for which they pay."""
        guessing: list[Decoding] = []
        chances: list[list[float]] = []
        drafted: set[int] = set()
        num_rows = 0
        for each in decoding:
            num_rows += 1
            most = min(MAX_DRAFT_TOKENS, each.num_remaining - 1)
            falling = self._lookup(each.sequence).chances(most)
            by_draft = self._draft_chances(each, most)
            if by_draft and (not falling or by_draft[0] > falling[0]):
                falling = by_draft
                drafted.add(len(guessing))
            if falling:
                guessing.append(each)
                chances.append(falling)
        if not guessing:
            return {}
        round_cost = self._round_cost(len(drafted), num_rows)
        lengths = choose_lengths(
            chances,
            num_rows,
            lambda num_more, depth: self._costs.growth(num_rows, num_more) + depth * round_cost,
            MAX_STEP_DRAFT_TOKENS,
            drafted=drafted,
        )
        guesses = {
            each.sequence: self._lookups[each.sequence].guess(length)
            for i, (each, length) in enumerate(zip(guessing, lengths, strict=True))
            if length and i not in drafted
        }
        if drafted:
            guesses |= self._draft([(guessing[i], lengths[i]) for i in sorted(drafted)], num_rows)
        return guesses

    def observe(self, num_rows: int, seconds: float) -> None:
        """Learn what a step of ``num_rows`` rows cost that did nothing but decode."""
        self._costs.observe(num_rows, seconds)

    def forget(self, sequence: Sequence) -> None:
        """Let go of a sequence that ended."""
        self._lookups.pop(sequence, None)
        if self.draft_model is not None:
            self.draft_model.forget(sequence)

    def _lookup(self, sequence: Sequence) -> PromptLookup:
        """The sequence's prompt lookup, which knows all its tokens."""
        lookup = self._lookups.get(sequence)
        if lookup is None:
            lookup = self._lookups[sequence] = PromptLookup(sequence.token_ids)
        lookup.catch_up()
        return lookup

    def _draft_chances(self, each: Decoding, most: int) -> list[float]:
        draft_model = self.draft_model
        if draft_model is None:
            return []
        if draft_model.settle(each.sequence) and self._patience > _FIRST_PATIENCE:
            # It was right where nothing was expected of it: try again at once.
            self._num_idle = self._patience
        if draft_model.num_unread(each.sequence) > _MOST_UNREAD * each.num_remaining:
            return []
        return draft_model.chances(each.sequence, most)

    def _round_cost(self, num_sequences: int, num_rows: int) -> float:
        """Of one guess for each of so many sequences, in steps of ``num_rows`` rows."""
        if self.draft_model is None or not num_sequences:
            return 0.0
        round_seconds = self.draft_model.round_seconds(num_sequences)
        step_seconds = self._costs.seconds(num_rows)
        if round_seconds is None or step_seconds is None:
            return _FIRST_ROUND_COST
        return round_seconds / step_seconds

    def _draft(self, wanted: list[tuple[Decoding, int]], num_rows: int) -> dict[Sequence, list[int]]:
        draft_model = self.draft_model
        assert draft_model is not None, "somebody has chances without a model"
        step_seconds = self._costs.seconds(num_rows)
        most_read = draft_model.readable(None if step_seconds is None else _READ_SHARE * step_seconds)
        paying = [(each, length) for each, length in wanted if length]
        if paying:
            self._num_idle, self._patience = 0, _FIRST_PATIENCE
            return draft_model.guess(paying, most_read)
        self._num_idle += len(wanted)
        if self._num_idle < self._patience:
            return {}
        probe = min((each for each, _ in wanted), key=lambda each: draft_model.num_unread(each.sequence))
        read_seconds = draft_model.read_seconds(draft_model.num_unread(probe.sequence))
        if read_seconds > _TRIAL_SHARE * self._num_idle * (step_seconds or 0.0):
            return {}  # a shorter text will come
        guesses = draft_model.guess([(probe, 1)], most_read)
        if guesses or not draft_model.num_unread(probe.sequence):
            self._num_idle, self._patience = 0, min(2 * self._patience, _MOST_PATIENCE)
        return guesses
