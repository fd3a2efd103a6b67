"""The scheduler alone, over a pool whose content is simulated token by token."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from candlewick.core.batch import BLOCK_SIZE
from candlewick.core.scheduler import ScheduledChunk, ScheduledStep, Scheduler
from candlewick.core.sequence import Sequence, SequenceState
from candlewick.core.step_pacer import NO_LIMIT, StepPacer


class Pool:
    """Runs scheduled steps: writes tokens to slots, and draws each next token from what it reads back."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.targets: dict[Sequence, int] = {}
        self._slots: dict[tuple[int, int], int] = {}
        self._num_added = 0

    def add(self, prompt_ids: list[int], num_tokens: int, priority: int = 0) -> Sequence:
        sequence = Sequence(prompt_ids, self._num_added, priority)
        self._num_added += 1
        self.targets[sequence] = num_tokens
        self.scheduler.add(sequence)
        return sequence

    def cancel(self, sequence: Sequence) -> None:
        del self.targets[sequence]
        self.scheduler.finish(sequence)

    def step(self, draft: Callable[[Sequence], list[int]] = lambda sequence: []) -> ScheduledStep:
        step = self.scheduler.schedule({sequence: draft(sequence) for sequence in self.scheduler.running})
        self.scheduler.check_integrity()
        batch = step.to_batch()
        for row, (start, end) in enumerate(itertools.pairwise(batch.query_starts)):
            for token_id, position in zip(
                batch.token_ids[start:end], batch.positions[start:end], strict=True
            ):
                place = int(batch.block_tables[row, position // BLOCK_SIZE]), int(position) % BLOCK_SIZE
                self._slots[place] = int(token_id)
        sampled = step.sampled_chunks()
        assert [row for _, row in sampled] + [len(batch.logit_rows)] == list(
            itertools.accumulate((1 + len(chunk.draft_ids) for chunk, _ in sampled), initial=0)
        )
        self.scheduler.complete(step)
        for chunk, _ in sampled:
            self._draw(chunk)
        self.scheduler.check_integrity()
        return step

    def _draw(self, chunk: ScheduledChunk) -> None:
        sequence = chunk.sequence
        for draft_id in (*chunk.draft_ids, None):
            context = [
                self._slots[sequence.block_table[position // BLOCK_SIZE], position % BLOCK_SIZE]
                for position in range(sequence.num_computed)
            ]
            assert context == sequence.token_ids
            sequence.append(next_token(context))
            if sequence.num_generated == self.targets[sequence]:
                self.cancel(sequence)
                return
            if sequence.token_ids[-1] != draft_id:
                return
            self.scheduler.accept_draft(sequence)

    def run_to_end(self, max_steps: int = 10_000) -> int:
        for num_steps in range(max_steps):
            if not self.scheduler.has_work:
                return num_steps
            self.step()
        raise AssertionError(f"still at work after {max_steps} steps: {list(self.targets)}")


def next_token(context: list[int]) -> int:
    return zlib.crc32(bytes(context)) % 8


class FixedPacer(StepPacer):
    """Allows what it is told to."""

    def __init__(self, share: int = NO_LIMIT) -> None:
        super().__init__(2.0)
        self.share = share

    def allowance(self, num_decodes: int) -> int:
        return self.share if num_decodes else NO_LIMIT


class ArrivalsAndCancellations(RuleBasedStateMachine):
    @initialize(
        num_blocks=st.integers(3, 12), max_running=st.integers(1, 6), max_step_tokens=st.integers(1, 40)
    )
    def start(self, num_blocks: int, max_running: int, max_step_tokens: int) -> None:
        self.num_blocks = num_blocks
        self.pacer = FixedPacer()
        self.scheduler = Scheduler(
            num_blocks, max_running=max_running, max_step_tokens=max_step_tokens, pacer=self.pacer
        )
        self.pool = Pool(self.scheduler)

    @rule(
        family=st.integers(0, 2),
        num_shared=st.integers(0, 60),
        own=st.lists(st.integers(0, 7), min_size=1, max_size=20),
        num_tokens=st.integers(1, 40),
        num_choices=st.integers(1, 3),
        priority=st.integers(-1, 1),
    )
    def arrive(
        self, family: int, num_shared: int, own: list[int], num_tokens: int, num_choices: int, priority: int
    ) -> None:
        capacity = self.num_blocks * BLOCK_SIZE
        prompt_ids = ([family] * num_shared)[: capacity - len(own) - 1] + own
        for _ in range(num_choices):
            self.pool.add(prompt_ids, min(num_tokens, capacity - len(prompt_ids)), priority)

    @rule(share=st.sampled_from([0, 1, 5, 20, NO_LIMIT]))
    def change_the_pace(self, share: int) -> None:
        self.pacer.share = share

    @precondition(lambda self: self.scheduler.has_work)
    @rule(num_steps=st.integers(1, 10))
    def step(self, num_steps: int) -> None:
        for _ in range(num_steps):
            if self.scheduler.has_work:
                self.check_step(self.pool.step())

    @precondition(lambda self: self.scheduler.has_work)
    @rule(num_right=st.integers(0, 20), num_wrong=st.integers(0, 20))
    def step_with_guesses(self, num_right: int, num_wrong: int) -> None:
        def draft(sequence: Sequence) -> list[int]:
            context = list(sequence.token_ids)
            for _ in range(min(num_right, self.pool.targets[sequence] - sequence.num_generated - 1)):
                context.append(next_token(context))
            return [*context[sequence.num_tokens :], *[9] * num_wrong]

        before = {sequence: sequence.num_generated for sequence in self.pool.targets}
        step = self.pool.step(draft)
        self.check_step(step)
        for chunk in step.chunks:
            if chunk.draft_ids:
                assert before[chunk.sequence] < chunk.sequence.num_generated
                assert chunk.sequence.num_generated <= before[chunk.sequence] + num_right + 1

    @precondition(lambda self: self.pool.targets)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        sequence = data.draw(st.sampled_from(list(self.pool.targets)))
        self.pool.cancel(sequence)
        assert sequence.state is SequenceState.FINISHED
        assert not sequence.block_table

    @invariant()
    def books_are_in_order(self) -> None:
        if hasattr(self, "scheduler"):
            self.scheduler.check_integrity()
            if not self.scheduler.has_work:
                assert self.scheduler.blocks.num_held == 0

    def check_step(self, step: ScheduledStep) -> None:
        assert (
            0
            < sum(chunk.num_tokens + len(chunk.draft_ids) for chunk in step.chunks)
            <= self.scheduler.max_step_tokens
        )
        assert len({chunk.sequence for chunk in step.chunks}) == len(step.chunks)
        decoding, prompts = step.chunks[: step.num_decodes], step.chunks[step.num_decodes :]
        highest = max((chunk.sequence.priority for chunk in decoding), default=-2)
        share = sum(chunk.num_tokens for chunk in prompts if chunk.sequence.priority <= highest)
        assert share <= self.pacer.share, "running answers are slowed down more than allowed"

    def teardown(self) -> None:
        if hasattr(self, "pool"):
            self.pacer.share = NO_LIMIT
            self.pool.run_to_end()
            assert not self.pool.targets
            assert self.scheduler.blocks.num_held == 0


TestArrivalsAndCancellations = ArrivalsAndCancellations.TestCase
TestArrivalsAndCancellations.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_decodes_come_first_and_prompts_share_the_rest() -> None:
    pool = Pool(Scheduler(64, max_running=8, max_step_tokens=20))
    talker = pool.add([1], num_tokens=50)
    pool.step()
    long = pool.add([2] * 100, num_tokens=1)
    step = pool.step()
    assert [(chunk.sequence, chunk.num_tokens) for chunk in step.chunks] == [(talker, 1), (long, 19)]


def test_a_running_answer_advances_in_every_step_beside_a_long_prompt() -> None:
    pool = Pool(Scheduler(64, max_running=8, max_step_tokens=16))
    talker = pool.add([1], num_tokens=100)
    pool.step()
    pool.add([2] * 500, num_tokens=1)
    for _ in range(20):
        before = talker.num_generated
        pool.step()
        assert talker.num_generated == before + 1


def test_a_short_prompt_does_not_wait_behind_a_long_one() -> None:
    pool = Pool(Scheduler(64, max_running=8, max_step_tokens=32))
    long = pool.add([2] * 500, num_tokens=1)
    pool.step()
    short = pool.add([3] * 10, num_tokens=5)
    pool.step()
    assert short.num_generated == 1
    assert long.num_computed == 32 + 22


def test_a_step_that_a_short_prompt_waits_for_is_short() -> None:
    pool = Pool(Scheduler(128, max_running=8, max_step_tokens=512))
    long = pool.add([2] * 1500, num_tokens=1)
    assert shares(pool.step()) == {long: 512}
    short = pool.add([3] * 10, num_tokens=1)
    assert shares(pool.step()) == {long: 64, short: 10}
    assert shares(pool.step()) == {long: 512}
    medium = pool.add([4] * 100, num_tokens=1)
    assert shares(pool.step()) == {long: 100, medium: 100}


def test_short_prompts_do_not_stop_a_long_one() -> None:
    pool = Pool(Scheduler(64, max_running=4, max_step_tokens=32))
    long = pool.add([2] * 500, num_tokens=1)
    num_steps = 0
    while long.state is not SequenceState.FINISHED:
        pool.add([3 + num_steps % 5] * 30, num_tokens=1)
        pool.step()
        num_steps += 1
    assert num_steps <= 500 // 16 + 1, "the oldest prompt has half of every step"


def test_nobody_starves_under_endless_arrivals_in_a_tiny_pool() -> None:
    pool = Pool(Scheduler(4, max_running=3, max_step_tokens=8))
    # Its blocks are the whole pool, while neighbours that fit beside each other keep coming.
    big = pool.add([5] * 40, num_tokens=24)
    for i in range(400):
        if big.state is SequenceState.FINISHED:
            break
        pool.add([i % 8] * (1 + i % 20), num_tokens=1 + i % 10)
        pool.step()
    assert big.state is SequenceState.FINISHED
    latest = pool.add([6] * 60, num_tokens=4)
    ahead = len(pool.targets)
    for i in range(60 * ahead):
        if latest.state is SequenceState.FINISHED:
            break
        pool.add([i % 8], num_tokens=3)
        pool.step()
    assert latest.state is SequenceState.FINISHED


def test_a_higher_priority_takes_place_and_blocks_at_once() -> None:
    pool = Pool(Scheduler(8, max_running=2, max_step_tokens=64))
    low = [pool.add([i] * 40, num_tokens=20) for i in range(4)]
    for _ in range(4):
        pool.step()
    assert [sequence.state for sequence in low[:2]] == [SequenceState.RUNNING] * 2
    high = pool.add([7] * 50, num_tokens=60, priority=1)
    pool.step()
    assert high.num_generated == 1
    pool.step()
    assert high.num_generated == 2
    assert low[0].state is SequenceState.RUNNING
    assert low[1].state is SequenceState.WAITING, "the youngest of the lowest gives way"
    finished = run_in_order(pool)
    assert finished[:2] == [low[0], high] or finished[0] is high
    assert all(sequence.num_generated == 20 for sequence in low), "who gave way comes back"


def test_a_priority_waits_for_no_lower_one_under_endless_arrivals() -> None:
    pool = Pool(Scheduler(8, max_running=3, max_step_tokens=16))
    for i in range(10):
        pool.add([i % 8] * 30, num_tokens=30)
    pool.step()
    high = pool.add([5] * 60, num_tokens=40, priority=3)
    num_steps = 0
    while high.state is not SequenceState.FINISHED:
        pool.add([num_steps % 8] * 20, num_tokens=5, priority=num_steps % 3)
        pool.step()
        num_steps += 1
    assert num_steps <= 60 // 13 + 1 + 40, "as if it were alone, but for the tokens of running answers"


def test_a_lower_priority_waits_as_long_as_higher_ones_come() -> None:
    pool = Pool(Scheduler(32, max_running=1, max_step_tokens=16))
    low = pool.add([1] * 4, num_tokens=1, priority=-1)
    for i in range(30):
        pool.add([i % 8] * 4, num_tokens=2)
        pool.step()
    assert low.num_generated == 0
    pool.run_to_end()
    assert low.num_generated == 1


def test_equals_are_served_by_age_whatever_their_priority() -> None:
    pool = Pool(Scheduler(32, max_running=1, max_step_tokens=64))
    added = [pool.add([i] * 4, num_tokens=2, priority=i % 3) for i in range(9)]
    assert run_in_order(pool) == sorted(added, key=lambda sequence: (-sequence.priority, sequence.arrival))


def test_the_pace_is_kept_for_equals_and_higher_priorities() -> None:
    pacer = FixedPacer(5)
    pool = Pool(Scheduler(64, max_running=8, max_step_tokens=40, pacer=pacer))
    talker = pool.add([1], num_tokens=50)
    pool.step()
    equal = pool.add([2] * 100, num_tokens=1)
    assert shares(pool.step()) == {talker: 1, equal: 5}
    low = pool.add([3] * 100, num_tokens=1, priority=-1)
    assert shares(pool.step()) == {talker: 1, equal: 5}
    high = pool.add([4] * 30, num_tokens=1, priority=1)
    assert shares(pool.step()) == {talker: 1, high: 30}
    del low


def test_the_pace_is_kept_where_only_prompts_are_computed() -> None:
    class ShortSteps(StepPacer):
        def allowance(self, num_decodes: int) -> int:
            return 16 if num_decodes == 0 else NO_LIMIT

    pool = Pool(Scheduler(64, max_running=8, max_step_tokens=40, pacer=ShortSteps(2.0)))
    long = pool.add([2] * 100, num_tokens=1)
    assert shares(pool.step()) == {long: 16}
    urgent = pool.add([3] * 30, num_tokens=1, priority=1)
    assert shares(pool.step()) == {urgent: 16}
    assert shares(pool.step()) == {urgent: 14, long: 2}


def run_in_order(pool: Pool) -> list[Sequence]:
    """Run to the end; the sequences in the order in which they finish."""
    finished: list[Sequence] = []
    while pool.scheduler.has_work:
        before = list(pool.targets)
        pool.step()
        finished += [sequence for sequence in before if sequence not in pool.targets]
    return finished


def shares(step: ScheduledStep) -> dict[Sequence, int]:
    return {chunk.sequence: chunk.num_tokens for chunk in step.chunks}


def test_the_youngest_gives_way_and_comes_back_with_its_tokens() -> None:
    pool = Pool(Scheduler(4, max_running=4, max_step_tokens=64))
    old = pool.add([1] * 14, num_tokens=40)
    young = pool.add([2] * 14, num_tokens=40)
    while young.state is not SequenceState.WAITING or young.num_generated == 0:
        pool.step()
    assert old.state is SequenceState.RUNNING
    tokens_before = list(young.token_ids)
    assert pool.scheduler.num_preemptions == 1
    pool.run_to_end()
    assert young.token_ids[: len(tokens_before)] == tokens_before
    assert (old.num_generated, young.num_generated) == (40, 40)


def test_choices_of_one_prompt_compute_its_full_blocks_once() -> None:
    scheduler = Scheduler(64, max_running=8, max_step_tokens=32)
    pool = Pool(scheduler)
    choices = [pool.add([1] * 100, num_tokens=3) for _ in range(4)]
    num_prompt_tokens = 0
    while any(choice.num_generated == 0 for choice in choices):
        step = scheduler.schedule()
        num_prompt_tokens += sum(
            chunk.num_tokens for chunk in step.chunks if chunk.sequence.num_generated == 0
        )
        scheduler.complete(step)
        for choice in choices:
            if choice.num_computed == choice.num_tokens:
                choice.append(7)
    assert num_prompt_tokens == 100 + 3 * (100 % BLOCK_SIZE)
    assert [choice.num_cached for choice in choices] == [0, 96, 96, 96]
    assert scheduler.num_prefix_hit_tokens == 3 * 96
    assert scheduler.num_prompt_tokens == 400


def test_others_are_not_held_up_by_choices_that_wait_for_the_first() -> None:
    pool = Pool(Scheduler(64, max_running=8, max_step_tokens=32))
    for _ in range(3):
        pool.add([1] * 200, num_tokens=1)
    other = pool.add([2] * 4, num_tokens=1)
    pool.step()
    assert other.num_generated == 1


def test_the_last_prompt_token_is_always_computed() -> None:
    pool = Pool(Scheduler(16, max_running=4, max_step_tokens=64))
    prompt_ids = [3] * (2 * BLOCK_SIZE)
    pool.add(prompt_ids, num_tokens=1)
    pool.run_to_end()
    again = pool.add(prompt_ids, num_tokens=1)
    pool.run_to_end()
    assert again.num_cached == BLOCK_SIZE


def test_the_next_turn_finds_prompt_and_answer() -> None:
    pool = Pool(Scheduler(16, max_running=4, max_step_tokens=64))
    first = pool.add([1] * 20, num_tokens=30)
    pool.run_to_end()
    second = pool.add([*first.token_ids, 5, 6], num_tokens=1)
    pool.run_to_end()
    assert second.num_cached == 49, "all that were computed: the token drawn last was not"
    third = pool.add([*first.token_ids, 7, 6], num_tokens=1)
    pool.run_to_end()
    assert third.num_cached == 48, "the second turn has written on in the last block: whole ones are left"


def test_who_gave_way_computes_only_what_is_lost() -> None:
    pool = Pool(Scheduler(8, max_running=1, max_step_tokens=64))
    low = pool.add([1] * 20, num_tokens=10)
    pool.step()
    high = pool.add([2] * 4, num_tokens=1, priority=1)
    assert shares(pool.step()) == {high: 4}
    assert shares(pool.step()) == {low: 1}


def test_more_running_than_step_tokens_is_not_asked_for() -> None:
    assert Scheduler(8, max_running=32, max_step_tokens=4).max_running == 4


def test_right_guesses_come_out_of_one_step() -> None:
    pool = Pool(Scheduler(64, max_running=8, max_step_tokens=64))
    sequence = pool.add([1] * 14, num_tokens=40)
    pool.step()
    right = list(sequence.token_ids)
    for _ in range(8):
        right.append(next_token(right))
    pool.step(lambda sequence: right[15:])
    assert sequence.token_ids[:-1] == right
    assert (sequence.num_pending, len(sequence.block_table)) == (1, 2)
    pool.run_to_end()
    # The block that guesses filled is found like any other.
    again = pool.add([*sequence.token_ids[:20], 3], num_tokens=1)
    pool.run_to_end()
    assert again.num_cached == BLOCK_SIZE


def test_nobody_gives_way_for_a_guess() -> None:
    pool = Pool(Scheduler(3, max_running=4, max_step_tokens=64))
    old, young = pool.add([1] * 14, num_tokens=30), pool.add([2] * 14, num_tokens=10)
    pool.step()
    step = pool.step(lambda sequence: [9] * 40)
    assert [(chunk.sequence, len(chunk.draft_ids)) for chunk in step.chunks] == [(old, 1), (young, 1)]
    assert pool.scheduler.num_preemptions == 0


def test_guesses_leave_half_of_the_step_to_prompts() -> None:
    pool = Pool(Scheduler(64, max_running=4, max_step_tokens=21))
    pool.add([1], num_tokens=30)
    pool.step()
    pool.add([2] * 100, num_tokens=1)
    step = pool.step(lambda sequence: [9] * 40)
    assert [(chunk.num_tokens, len(chunk.draft_ids)) for chunk in step.chunks] == [(1, 10), (10, 0)]
