"""Guesses what a sequence says next from what it says again (prompt lookup, Saxena 2023).

Texts that edit, quote or answer from their input repeat it: where the last few tokens stood before, what followed
then is a good guess now (https://github.com/apoorvumang/prompt-lookup-decoding). Owns the search, and how often such
guesses were right: every token that comes tells, whether or not somebody asked for a guess. Knows no model, no cost
and no scheduler.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

SHORT, LONG = 2, 5
"""Tokens that must agree: places where the last five stood are preferred to those where only two did."""

_TABLE_SIZE = 1 << 14
_MOST_AGREEING = 32

LEAST_CHANCE = 0.05
"""A guess less likely than this is not worth a thought."""

_PRIOR_WEIGHT = 4.0
_MEMORY = 0.97
"""How much of a class's record is kept with each new entry: some thirty guesses count."""


class PromptLookup:
    """The guesses for one sequence, whose ``token_ids`` only ever grow."""

    __slots__ = (
        "_agreeing",
        "_long",
        "_next",
        "_num_hits",
        "_num_seen",
        "_num_tried",
        "_short",
        "_token_ids",
    )

    def __init__(self, token_ids: Sequence[int]) -> None:
        self._token_ids = token_ids
        self._num_seen = 0
        # Hash tables without chains, as compressors use them: the latest place wins, and a place that got there by
        # a collision is noticed because its tokens differ. Entries are the index after the tokens, 0 for none.
        self._short = array("i", bytes(4 * _TABLE_SIZE))
        self._long = array("i", bytes(4 * _TABLE_SIZE))
        self._next: int | None = None
        self._agreeing = 0
        self._num_tried = [0.0] * len(_CLASS_PRIORS)
        self._num_hits = [0.0] * len(_CLASS_PRIORS)

    def catch_up(self) -> None:
        """Take in the tokens that came since the last time."""
        token_ids = self._token_ids
        for end in range(self._num_seen + 1, len(token_ids) + 1):
            self._take(end)
        self._num_seen = len(token_ids)

    def guess(self, most: int) -> list[int]:
        """Up to ``most`` tokens that may come next, none if nothing is repeated. Call after :meth:`catch_up`."""
        start = self._next
        if start is None:
            return []
        token_ids = self._token_ids
        room = len(token_ids) - start
        guess = list(token_ids[start : start + most])
        while len(guess) < most:  # a text that repeats itself goes on repeating itself
            guess.append(guess[len(guess) - room])
        return guess

    def chances(self, most: int) -> list[float]:
        """For each token of a guess, as long as it is of use, the probability that it and all before it are
        right."""
        chances = []
        chance = 1.0
        for i in range(most if self._next is not None else 0):
            chance *= self._rate(_class_of(self._agreeing + i))
            if chance < LEAST_CHANCE:
                break
            chances.append(chance)
        return chances

    def _take(self, end: int) -> None:
        """See token number ``end - 1``: was it foreseen, and what does it lead to?"""
        token_ids = self._token_ids
        token_id = token_ids[end - 1]
        if self._next is not None:
            is_hit = token_ids[self._next] == token_id
            self._record(_class_of(self._agreeing), is_hit)
            if is_hit:
                self._next += 1
                self._agreeing += 1
            else:
                self._next = None
        short = hash(tuple(token_ids[end - SHORT : end])) % _TABLE_SIZE if end >= SHORT else 0
        long = hash(tuple(token_ids[end - LONG : end])) % _TABLE_SIZE if end >= LONG else 0
        if self._next is None:
            self._look_up(end, self._long[long])
        if self._next is None:
            self._look_up(end, self._short[short])
        self._short[short] = self._long[long] = end

    def _look_up(self, end: int, place: int) -> None:
        if place:
            agreeing = self._count_agreeing(place, end)
            if agreeing >= SHORT:
                self._next = place
                self._agreeing = agreeing

    def _count_agreeing(self, place: int, end: int) -> int:
        """How many tokens before ``place`` and before ``end`` are the same."""
        token_ids = self._token_ids
        most = min(place, _MOST_AGREEING)
        count = 0
        while count < most and token_ids[place - 1 - count] == token_ids[end - 1 - count]:
            count += 1
        return count

    def _record(self, of_class: int, is_hit: bool) -> None:
        self._num_tried[of_class] = self._num_tried[of_class] * _MEMORY + 1.0
        self._num_hits[of_class] = self._num_hits[of_class] * _MEMORY + is_hit

    def _rate(self, of_class: int) -> float:
        return (self._num_hits[of_class] + _PRIOR_WEIGHT * _CLASS_PRIORS[of_class]) / (
            self._num_tried[of_class] + _PRIOR_WEIGHT
        )


# Guesses are judged in classes: the more tokens agree, the more likely is the next one to.
_CLASS_ENDS = (3, 5, 8, 16)
_CLASS_PRIORS = (0.15, 0.35, 0.55, 0.75, 0.9)
_CLASS_OF = tuple(sum(agreeing >= end for end in _CLASS_ENDS) for agreeing in range(_CLASS_ENDS[-1] + 1))


def _class_of(agreeing: int) -> int:
    return _CLASS_OF[agreeing] if agreeing < _CLASS_ENDS[-1] else len(_CLASS_ENDS)
