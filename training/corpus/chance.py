"""Seeded choice that keeps training and test material apart.

Owns the random numbers and the split. A phrasing or a value belongs to the test split by its own hash, so
adding another one moves none of the others.
"""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Literal, TypeVar

Split = Literal["train", "test"]
T = TypeVar("T")

TEST_SHARE = 8
"""One value in this many is held out."""


@lru_cache(1 << 16)
def is_held_out(value: object) -> bool:
    """Whether ``value`` is kept for the test split: by its text's letters and digits, so "Hi" and "hi!" go
    together."""
    text = re.sub(r"[^a-z0-9]+", " ", str(value).lower()).strip() or str(value)
    return zlib.crc32(text.encode()) % TEST_SHARE == 0


@lru_cache(1 << 12)
def _own(options: tuple[T, ...], test: bool) -> tuple[T, ...]:
    """The options of one split; all of them for a test where none is held out."""
    own = tuple(option for option in options if is_held_out(option) == test)
    return options if test and not own else own


class Chance:
    """A stream of random choices for one split."""

    def __init__(self, seed: int, split: Split = "train") -> None:
        self.random = random.Random(seed)
        self.split: Split = split

    def one(self, options: Sequence[T]) -> T:
        """Any of the options, in both splits."""
        return options[self.random.randrange(len(options))]

    def some(self, options: Sequence[T], count: int) -> list[T]:
        return self.random.sample(list(options), count)

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def number(self, low: int, high: int) -> int:
        return self.random.randint(low, high)

    def mine(self, options: Sequence[T]) -> T:
        """One of the options that belong to this split; a test falls back on all where none is held out."""
        own: tuple[T, ...] = _own(tuple(options), self.split == "test")
        return self.one(own)

    def draw(self, make: Callable[[], T]) -> T:
        """The first value from ``make`` that belongs to this split."""
        while True:
            value = make()
            if is_held_out(value) == (self.split == "test"):
                return value
