"""Finds given words in a text, leftmost first and the longest of those that start at one place.

Owns nothing but the search; what the words mean is the caller's business.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import groupby
from operator import itemgetter


class WordMatcher:
    """Splits texts at the words of a table (word -> id)."""

    def __init__(self, ids: Mapping[str, int]) -> None:
        """Raises ``RecursionError`` when words nest too deeply (each a prefix of the next, hundreds deep)."""
        self._ids = dict(ids)
        self._pattern = re.compile(_any_of(sorted(ids))) if ids else None

    def split(self, text: str) -> list[str | int]:
        """The text as its non-empty stretches and, between them, the ids of the words found."""
        if self._pattern is None:
            return [text] if text else []
        parts: list[str | int] = []
        position = 0
        for match in self._pattern.finditer(text):
            if match.start() > position:
                parts.append(text[position : match.start()])
            parts.append(self._ids[match.group()])
            position = match.end()
        if position < len(text):
            parts.append(text[position:])
        return parts


def _any_of(words: list[str]) -> str:
    """A pattern for any of the sorted, distinct words, the longest first.

    It is a prefix tree, so that a thousand words which all begin with ``<|`` cost a text full of ``<`` no
    more than ten; a plain alternation would try each.
    """
    branches: list[str] = []
    for _, group in groupby((word for word in words if word), key=itemgetter(0)):
        alike = list(group)
        prefix = _common_prefix(alike[0], alike[-1])
        branches.append(re.escape(prefix) + _any_of([word[len(prefix) :] for word in alike]))
    if not branches:
        return ""
    pattern = "(?:" + "|".join(branches) + ")"
    return pattern + "?" if not words[0] else pattern


def _common_prefix(first: str, last: str) -> str:
    """Of sorted words the first and last differ earliest, so theirs is the prefix of all."""
    length = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return first[:length]
