"""Accounts for the blocks of the key-value pool: who holds which, which are free, which can be found again.

Stores no keys and values (the runner does) and takes no decisions (the scheduler does). A block is in one of
three places: *held* by one or more sequences; *cached*, held by nobody but findable by its digest; or *free*.
Full blocks are published as soon as they are computed, and shared. The last block of a sequence, filled in part, is
published when the sequence lets go of it, as a *tail*: who goes on from there takes it over alone and is the only one
that writes into it.
"""

from __future__ import annotations

from array import array
from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence
from hashlib import blake2b


def block_digest(parent: bytes, token_ids: Sequence[int]) -> bytes:
    """Name of a full block: what it holds and, through ``parent``, everything before it.

    Keys and values depend on all earlier tokens, so equal digests mean interchangeable blocks. 128 bits of
    BLAKE2b, because a collision would silently answer from somebody else's prompt.
    """
    return blake2b(parent + array("i", token_ids).tobytes(), digest_size=16).digest()


def tail_digest(parent: bytes, token_ids: Sequence[int]) -> bytes:
    """Name of a block that fewer than its number of tokens fill, which no full block has.

    ``parent`` is empty for the first block of a text; its place in the name is kept.
    """
    return blake2b(
        parent.ljust(16, b"\0") + array("i", token_ids).tobytes(), digest_size=16, person=b"tail"
    ).digest()


class BlockManager:
    """Reference counts, free list and prefix cache of ``num_blocks`` blocks, numbered from 0."""

    def __init__(self, num_blocks: int) -> None:
        self.num_blocks = num_blocks
        self._num_holders = [0] * num_blocks
        self._digest_of: list[bytes | None] = [None] * num_blocks
        self._block_of: dict[bytes, int] = {}
        # A stack: the block used last is the one most likely still in the processor's cache.
        self._free = list(reversed(range(num_blocks)))
        # Published blocks that nobody holds, the longest unused first.
        self._cached: OrderedDict[int, None] = OrderedDict()

    @property
    def num_free(self) -> int:
        """Blocks that hold nothing of use."""
        return len(self._free)

    @property
    def num_cached(self) -> int:
        """Blocks that nobody holds but that may be found again."""
        return len(self._cached)

    @property
    def num_available(self) -> int:
        """Blocks that :meth:`allocate` can give out: the free and the cached ones."""
        return len(self._free) + len(self._cached)

    @property
    def num_held(self) -> int:
        return self.num_blocks - self.num_available

    def find_prefix(self, digests: Iterable[bytes]) -> list[int]:
        """The blocks of the longest published run from the start of ``digests``; nothing is taken yet."""
        found: list[int] = []
        for digest in digests:
            block = self._block_of.get(digest)
            if block is None:
                break
            found.append(block)
        return found

    def find_tail(self, parent: bytes, token_ids: Sequence[int]) -> tuple[int, int] | None:
        """The tail behind the block ``parent`` that holds the longest beginning of ``token_ids``, and how many of them;
        nothing is taken yet."""
        for num_tokens in range(len(token_ids), 0, -1):
            block = self._block_of.get(tail_digest(parent, token_ids[:num_tokens]))
            if block is not None:
                return block, num_tokens
        return None

    def published(self) -> list[tuple[bytes, int]]:
        """All blocks that can be found, by digest: first those that somebody holds, then the others, those used
        last first."""
        published = list(self._block_of.items())
        last_use = {block: age for age, block in enumerate(reversed(self._cached), start=1)}
        return sorted(published, key=lambda entry: last_use.get(entry[1], 0))

    def num_available_beside(self, blocks: Iterable[int]) -> int:
        """What :attr:`num_available` would be if published ``blocks`` were shared as well."""
        return self.num_available - sum(1 for block in blocks if self._num_holders[block] == 0)

    def share(self, blocks: Iterable[int]) -> None:
        """Add a holder to published blocks."""
        for block in blocks:
            if self._num_holders[block] == 0:
                del self._cached[block]
            self._num_holders[block] += 1

    def take_over(self, tail: int) -> None:
        """Become the only holder of a tail, which nobody finds from now on."""
        del self._cached[tail]
        self._forget(tail)
        self._num_holders[tail] = 1

    def allocate(self) -> int:
        """A block with one holder and no content; the longest unused cached block is forgotten when none is
        free.

        The caller makes sure that :attr:`num_available` is not 0.
        """
        if self._free:
            block = self._free.pop()
        else:
            assert self._cached, "allocate() with no block available"
            block, _ = self._cached.popitem(last=False)
            self._forget(block)
        self._num_holders[block] = 1
        return block

    def publish(self, block: int, digest: bytes) -> None:
        """Make a held, computed block findable: a full one, or a tail that is released next. The first one published
        under a digest stays it."""
        if self._digest_of[block] is None and digest not in self._block_of:
            self._digest_of[block] = digest
            self._block_of[digest] = block

    def release(self, blocks: Sequence[int]) -> None:
        """Take one holder away from the blocks of a sequence, given in the order of its tokens."""
        # Last block first, so that the cache loses the tail of a prompt before its beginning: a beginning
        # without its tail can still be found, a tail without its beginning can not.
        for block in reversed(blocks):
            self._num_holders[block] -= 1
            if self._num_holders[block] == 0:
                if self._digest_of[block] is None:
                    self._free.append(block)
                else:
                    self._cached[block] = None

    def check_integrity(self, block_tables: Iterable[Sequence[int]]) -> None:
        """Raise ``AssertionError`` unless the accounts agree with each other and with all block tables."""
        holders = Counter(block for table in block_tables for block in table)
        for block, count in enumerate(self._num_holders):
            assert count == holders[block], (
                f"block {block}: {count} holders on record, {holders[block]} found"
            )
        free, cached = set(self._free), set(self._cached)
        assert len(free) == len(self._free), "a block is in the free list twice"
        unheld = {block for block, count in enumerate(self._num_holders) if count == 0}
        assert free | cached == unheld, f"lost or doubly owned blocks: {sorted((free | cached) ^ unheld)}"
        assert not free & cached, f"blocks both free and cached: {sorted(free & cached)}"
        for block in free:
            assert self._digest_of[block] is None, f"free block {block} is still published"
        for block in cached:
            assert self._digest_of[block] is not None, f"cached block {block} is not published"
        published = {digest: block for block, digest in enumerate(self._digest_of) if digest is not None}
        assert published == self._block_of, "the two directions of the digest table disagree"

    def _forget(self, block: int) -> None:
        digest = self._digest_of[block]
        assert digest is not None, f"cached block {block} is not published"
        del self._block_of[digest]
        self._digest_of[block] = None
