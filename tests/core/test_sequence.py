from candlewick.core.batch import BLOCK_SIZE
from candlewick.core.sequence import Sequence


def test_counts_follow_the_tokens() -> None:
    sequence = Sequence(range(BLOCK_SIZE), arrival=0)
    assert (sequence.num_tokens, sequence.num_generated, sequence.num_blocks_needed) == (BLOCK_SIZE, 0, 1)
    sequence.append(7)
    assert (sequence.num_tokens, sequence.num_generated, sequence.num_blocks_needed) == (BLOCK_SIZE + 1, 1, 2)
    sequence.num_computed = BLOCK_SIZE
    assert sequence.num_pending == 1


def test_only_full_blocks_have_digests() -> None:
    sequence = Sequence(range(2 * BLOCK_SIZE - 1), arrival=0)
    assert len(sequence.digests()) == 1
    first = sequence.digests()[0]
    sequence.append(5)
    assert len(sequence.digests()) == 2
    assert sequence.digests()[0] == first


def test_a_digest_names_its_tokens_and_all_before_them() -> None:
    block = list(range(BLOCK_SIZE))
    digests = Sequence(block + block, arrival=0).digests()
    assert digests[0] != digests[1]
    assert Sequence(block, arrival=1).digests() == digests[:1]
    other_start = Sequence([99, *block[1:], *block], arrival=2).digests()
    assert not set(other_start) & set(digests)


def test_the_prompt_is_copied() -> None:
    prompt = [1, 2]
    sequence = Sequence(prompt, arrival=0)
    sequence.append(3)
    assert prompt == [1, 2]
