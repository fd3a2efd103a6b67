"""A sequence that is about to receive its next token, as whoever guesses that token sees it."""

from __future__ import annotations

from typing import NamedTuple

from candlewick.core.sampling import TokenSampler
from candlewick.core.sequence import Sequence


class Decoding(NamedTuple):
    """A sequence with one pending token, and how its next ones are drawn."""

    sequence: Sequence
    num_remaining: int
    """Tokens that it may still receive."""
    sampler: TokenSampler
    """As it stands after all tokens of the sequence; whoever advances it takes it back again."""
