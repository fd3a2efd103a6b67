"""One sequence of tokens as the scheduler sees it: ids, how many are computed, and the blocks that hold them.

Knows no text, no sampler and no request; :mod:`candlewick.core.choice` adds those.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence as ReadableSequence
from enum import Enum

from candlewick.core.batch import BLOCK_SIZE
from candlewick.core.block_manager import block_digest, tail_digest


class SequenceState(Enum):
    WAITING = "waiting"
    RUNNING = "running"
    FINISHED = "finished"


class Sequence:
    """The prompt and what was generated so far; compared by identity.

    ``arrival`` orders sequences by age: the smaller, the older; a higher ``priority`` comes before any age.
    ``num_computed`` counts the leading tokens
    whose keys and values stand in the blocks of ``block_table``; the rest is *pending*. A sequence that
    decodes has exactly one pending token, the one drawn last.

    A sequence that ``wants_hidden`` is there for the last hidden states of all its tokens: it receives no
    token, and none of its own is taken from the prefix cache.
    """

    __slots__ = (
        "_digests",
        "arrival",
        "block_table",
        "num_cached",
        "num_computed",
        "num_prompt_tokens",
        "priority",
        "state",
        "token_ids",
        "wants_hidden",
    )

    def __init__(
        self,
        prompt_ids: ReadableSequence[int],
        arrival: int,
        priority: int = 0,
        *,
        wants_hidden: bool = False,
    ) -> None:
        self.token_ids: list[int] = list(prompt_ids)
        self.num_prompt_tokens = len(self.token_ids)
        self.arrival = arrival
        self.priority = priority
        self.wants_hidden = wants_hidden
        self.state = SequenceState.WAITING
        self.num_computed = 0
        self.num_cached: int | None = None
        """Prompt tokens found in the prefix cache when the sequence first ran; ``None`` before that."""
        self.block_table: array[int] = array("i")
        self._digests: list[bytes] = []

    @property
    def rank(self) -> tuple[int, int]:
        """Whom to serve first: the smallest."""
        return -self.priority, self.arrival

    @property
    def num_tokens(self) -> int:
        return len(self.token_ids)

    @property
    def num_generated(self) -> int:
        return len(self.token_ids) - self.num_prompt_tokens

    @property
    def num_pending(self) -> int:
        return len(self.token_ids) - self.num_computed

    @property
    def decodes(self) -> bool:
        """Whether one more token is all that it takes for the next one."""
        return self.num_pending == 1 and not self.wants_hidden

    @property
    def num_blocks_needed(self) -> int:
        """Blocks that hold all present tokens."""
        return -(-len(self.token_ids) // BLOCK_SIZE)

    def append(self, token_id: int) -> None:
        self.token_ids.append(token_id)

    def digests(self) -> list[bytes]:
        """The chained digest of every full block of the present tokens."""
        digests = self._digests
        while (len(digests) + 1) * BLOCK_SIZE <= len(self.token_ids):
            start = len(digests) * BLOCK_SIZE
            parent = digests[-1] if digests else b""
            digests.append(block_digest(parent, self.token_ids[start : start + BLOCK_SIZE]))
        return digests

    def tail_digest(self) -> bytes:
        """The name of the block that the last computed tokens fill in part."""
        num_full = self.num_computed // BLOCK_SIZE
        parent = self.digests()[num_full - 1] if num_full else b""
        return tail_digest(parent, self.token_ids[num_full * BLOCK_SIZE : self.num_computed])

    def __repr__(self) -> str:
        return (
            f"<Sequence {self.arrival} {self.state.value}: {self.num_computed} of {self.num_tokens} tokens "
            f"computed, {len(self.block_table)} blocks>"
        )
