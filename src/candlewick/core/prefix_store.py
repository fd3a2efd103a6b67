"""Moves computed blocks between the pool and files: the whole prefix cache, or one conversation's part of it.

Used on the engine's thread, between steps, where the pool stands still. Owns the choice of blocks and where they go;
the bytes are the runner's, the accounts the block manager's, the format ``kv_file``'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from candlewick.core.block_manager import BlockManager
from candlewick.core.kv_file import BlockData, Identity
from candlewick.core.runner_protocol import ModelRunner
from candlewick.core.sequence import Sequence as TokenSequence

Blocks = Iterable[tuple[bytes, BlockData]]


class PrefixStore:
    """The computed blocks of one engine, by their digests."""

    def __init__(self, blocks: BlockManager, runner: ModelRunner) -> None:
        self._blocks = blocks
        self._runner = runner

    @property
    def identity(self) -> Identity:
        """See :attr:`ModelRunner.kv_identity <candlewick.core.runner_protocol.ModelRunner.kv_identity>`; from any
        thread."""
        return self._runner.kv_identity

    @property
    def block_bytes(self) -> int:
        """From any thread."""
        return self._runner.block_bytes

    def all_blocks(self) -> Blocks:
        """Every block that can be found again, the ones used last first; read while they are asked for."""
        for digest, block in self._blocks.published():
            yield digest, self._runner.read_block(block)

    def blocks_of(self, token_ids: Sequence[int]) -> list[tuple[bytes, BlockData]]:
        """Copies of the blocks that hold the beginning of ``token_ids``, as far as they are there."""
        digests = TokenSequence(token_ids, arrival=0).digests()
        found = self._blocks.find_prefix(digests)
        return [
            (digest, self._runner.read_block(block))
            for digest, block in zip(digests[: len(found)], found, strict=True)
        ]

    def insert(self, blocks: Blocks) -> int:
        """Make blocks findable, as though they had been computed and released; returns how many were new.

        Where no room is left, what was used longest ago makes room; if even that does not suffice, the last of
        ``blocks`` are left out.
        """
        held: list[int] = []
        num_new = 0
        try:
            for digest, data in blocks:
                found = self._blocks.find_prefix([digest])
                if found:
                    self._blocks.share(found)
                    held += found
                elif self._blocks.num_available:
                    held.append(self._blocks.allocate())
                    self._runner.write_block(held[-1], data)
                    self._blocks.publish(held[-1], digest)
                    num_new += 1
                else:
                    break
        finally:
            self._blocks.release(held)
        return num_new
