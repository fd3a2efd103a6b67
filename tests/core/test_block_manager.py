import pytest

from candlewick.core.block_manager import BlockManager, block_digest, tail_digest


def chain(*names: int) -> list[bytes]:
    """Digests of a text whose blocks are told apart by ``names``."""
    digests: list[bytes] = []
    for name in names:
        digests.append(block_digest(digests[-1] if digests else b"", [name] * 16))
    return digests


def hold(manager: BlockManager, digests: list[bytes]) -> list[int]:
    """Take a block for each digest and publish it, as a sequence does that computes them all."""
    blocks = [manager.allocate() for _ in digests]
    for block, digest in zip(blocks, digests, strict=True):
        manager.publish(block, digest)
    return blocks


def test_blocks_move_between_free_held_and_cached() -> None:
    manager = BlockManager(4)
    blocks = hold(manager, chain(1, 2))
    unpublished = manager.allocate()
    assert (manager.num_held, manager.num_cached, manager.num_free) == (3, 0, 1)
    manager.check_integrity([[*blocks, unpublished]])
    manager.release([*blocks, unpublished])
    assert (manager.num_held, manager.num_cached, manager.num_free) == (0, 2, 2)
    manager.check_integrity([])


def test_a_prefix_is_found_as_far_as_it_is_published() -> None:
    manager = BlockManager(8)
    blocks = hold(manager, chain(1, 2, 3))
    assert manager.find_prefix(chain(1, 2, 3)) == blocks
    assert manager.find_prefix(chain(1, 2, 9)) == blocks[:2]
    assert manager.find_prefix(chain(9, 2, 3)) == []


def test_shared_blocks_stay_until_the_last_holder_leaves() -> None:
    manager = BlockManager(4)
    blocks = hold(manager, chain(1, 2))
    manager.share(blocks)
    manager.release(blocks)
    assert manager.num_held == 2
    manager.check_integrity([blocks])
    manager.release(blocks)
    assert (manager.num_held, manager.num_cached) == (0, 2)


def test_sharing_revives_cached_blocks() -> None:
    manager = BlockManager(2)
    blocks = hold(manager, chain(1, 2))
    manager.release(blocks)
    assert manager.num_available_beside(blocks[:1]) == 1
    manager.share(blocks[:1])
    assert (manager.num_held, manager.num_cached, manager.num_available) == (1, 1, 1)
    manager.check_integrity([blocks[:1]])


def test_free_blocks_are_used_before_cached_ones() -> None:
    manager = BlockManager(3)
    manager.release(hold(manager, chain(1, 2)))
    manager.allocate()
    assert len(manager.find_prefix(chain(1, 2))) == 2


def test_the_longest_unused_is_forgotten_first_and_tails_before_beginnings() -> None:
    manager = BlockManager(4)
    old, new = hold(manager, chain(1, 2)), hold(manager, chain(8, 9))
    manager.release(old)
    manager.release(new)
    assert manager.allocate() == old[1]
    assert manager.find_prefix(chain(1, 2)) == old[:1]
    manager.share(old[:1])  # using it again makes it the youngest
    manager.release(old[:1])
    assert [manager.allocate() for _ in range(3)] == [new[1], new[0], old[0]]
    assert manager.num_available == 0


def test_the_first_block_published_under_a_digest_stays_it() -> None:
    manager = BlockManager(4)
    first, second = hold(manager, chain(1)), hold(manager, chain(1))
    assert manager.find_prefix(chain(1)) == first
    manager.release(second)
    assert manager.num_free == 3, "the copy is of no use to anybody"
    manager.check_integrity([first])


def test_integrity_check_notices_a_leak_and_a_false_holder() -> None:
    manager = BlockManager(2)
    block = manager.allocate()
    with pytest.raises(AssertionError, match="1 holders on record, 0 found"):
        manager.check_integrity([])
    manager.check_integrity([[block]])
    with pytest.raises(AssertionError, match="1 holders on record, 2 found"):
        manager.check_integrity([[block], [block]])


def test_a_tail_is_found_by_those_who_go_on_from_it_and_taken_over_by_one() -> None:
    manager = BlockManager(4)
    [parent] = chain(1)
    full = hold(manager, [parent])
    tail = manager.allocate()
    manager.publish(tail, tail_digest(parent, [7, 8, 9]))
    manager.release([*full, tail])
    assert (manager.num_cached, manager.num_free) == (2, 2)
    assert manager.find_tail(parent, [7, 8, 9, 1, 2]) == (tail, 3)
    assert manager.find_tail(parent, [7, 8]) is None, "what stands behind could not be told apart"
    assert manager.find_tail(b"", [7, 8, 9, 1, 2]) is None
    manager.take_over(tail)
    assert manager.find_tail(parent, [7, 8, 9, 1, 2]) is None
    manager.check_integrity([[tail]])
    manager.publish(tail, block_digest(parent, [7, 8, 9, *[1] * 13]))
    manager.release([tail])
    assert manager.num_cached == 2


def test_tails_at_the_beginning_and_behind_a_block_have_other_names() -> None:
    # Tokens whose bytes are those of a digest.
    parent = bytes([1, 0, 0, 0] * 4)
    assert tail_digest(b"", [1, 1, 1, 1, 5]) != tail_digest(parent, [5])
    assert tail_digest(parent, [5] * 15) != block_digest(parent, [5] * 15)
