"""Drills: rows of random tokens in which what came once comes again, so that all that can be learned is to copy.

Calls of tools are copies: a name from the list of tools, values from the request. From dialogues alone a small network
learns this late, and for the words that it has seen; from random tokens it learns it soon, and for any. (Induction
heads: Olsson et al. 2022, arXiv:2209.11895; recall of many pairs: Arora et al. 2023, arXiv:2312.04927.)
"""

from __future__ import annotations

from collections.abc import Sequence

from corpus.chance import Chance

LONGEST_CONTEXT = 4
"""So many tokens back at most decide what comes next."""


def drill(chance: Chance, tokens: Sequence[int], length: int) -> tuple[list[int], list[bool]]:
    """``length`` tokens out of ``tokens``, and for each whether it follows from those before it.

    A few segments come in any order, again and again. From many different tokens one is enough to know the place;
    from few it takes several.
    """
    alphabet = tokens if chance.chance(0.6) else chance.some(tokens, chance.number(8, 64))
    longest = chance.one((3, 6, 12, 40))
    segments = [
        [chance.one(alphabet) for _ in range(chance.number(2, longest))] for _ in range(chance.number(1, 24))
    ]
    row: list[int] = []
    follows: list[bool] = []
    after: dict[tuple[int, ...], set[int]] = {}
    seen: set[int] = set()
    while len(row) < length:
        number = chance.number(0, len(segments) - 1)
        for place, token in enumerate(segments[number]):
            contexts = [tuple(row[-size:]) for size in range(1, min(place, LONGEST_CONTEXT) + 1)]
            follows.append(number in seen and any(after.get(context) == {token} for context in contexts))
            row.append(token)
            for size in range(1, min(len(row) - 1, LONGEST_CONTEXT) + 1):
                after.setdefault(tuple(row[-size - 1 : -1]), set()).add(token)
        seen.add(number)
    return row[:length], follows[:length]
