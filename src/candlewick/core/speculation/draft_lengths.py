"""How many guesses each sequence may have computed, so that a step yields the most tokens for its time."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from operator import itemgetter

WORTHWHILE = 1.08
"""A gain below this is left alone: estimates are no better, and to guess wrong costs more than to guess nothing."""


def choose_lengths(
    chances: Sequence[Sequence[float]],
    num_rows: int,
    growth: Callable[[int, int], float],
    most: int,
    *,
    drafted: Set[int] = frozenset(),
) -> list[int]:
    """The number of guesses to compute of each sequence, 0 where they don't pay.

    Args:
        chances: for each sequence and each of its guesses, the probability that all up to there are right; falling.
        num_rows: rows of the step without guesses.
        growth: how many times as long guessing and the step take, with so many more rows and so many tokens in the
            longest guess of a draft model: all its guesses grow by a token at a time.
        most: the most guesses of all sequences together.
        drafted: the indices of the sequences whose guesses come from a draft model.
    """
    candidates = [(chance, index) for index, falling in enumerate(chances) for chance in falling]
    # Of one sequence, an earlier guess is never behind a later one.
    candidates.sort(key=itemgetter(0), reverse=True)
    best_gain, best_count = WORTHWHILE, 0
    num_expected = float(num_rows)
    depth = 0
    depths = [0] * len(chances)
    for count, (chance, index) in enumerate(candidates[:most], start=1):
        num_expected += chance
        if index in drafted:
            depths[index] += 1
            depth = max(depth, depths[index])
        gain = num_expected / num_rows / growth(count, depth)
        if gain > best_gain:
            best_gain, best_count = gain, count
    lengths = [0] * len(chances)
    for _, index in candidates[:best_count]:
        lengths[index] += 1
    return lengths
