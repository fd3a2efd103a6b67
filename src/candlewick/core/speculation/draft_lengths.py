"""How many guesses each sequence may have computed, so that a step yields the most tokens for its time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

WORTHWHILE = 1.08
"""A gain below this is left alone: estimates are no better, and to guess wrong costs more than to guess nothing."""


def choose_lengths(
    chances: Sequence[Sequence[float]], num_rows: int, growth: Callable[[int], float], most: int
) -> list[int]:
    """The number of guesses to compute of each sequence, 0 where they don't pay.

    Args:
        chances: for each sequence and each of its guesses, the probability that all up to there are right; falling.
        num_rows: rows of the step without guesses.
        growth: how many times as long the step takes with so many more rows.
        most: the most guesses of all sequences together.
    """
    candidates = [(chance, index) for index, falling in enumerate(chances) for chance in falling]
    candidates.sort(reverse=True)  # of one sequence, an earlier guess is never behind a later one
    best_gain, best_count = WORTHWHILE, 0
    num_expected = float(num_rows)
    for count, (chance, _) in enumerate(candidates[:most], start=1):
        num_expected += chance
        gain = num_expected / num_rows / growth(count)
        if gain > best_gain:
            best_gain, best_count = gain, count
    lengths = [0] * len(chances)
    for _, index in candidates[:best_count]:
        lengths[index] += 1
    return lengths
