"""A model behind an address, for the same conversations with several of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Served:
    """A model behind an address, and what is known of it."""

    address: str
    model: str
    answer: str | None = None
    """What it says in the end, to the letter; ``None``: words of its own."""

    def lead(self, **options: Any) -> dict[str, Any]:
        """Options without which a model that decides for itself might go another way, for one that does."""
        return options if self.answer is None else {}

    def check(self, said: str | None) -> None:
        """Whether the last answer is the one that is known."""
        assert self.answer in (None, said)
