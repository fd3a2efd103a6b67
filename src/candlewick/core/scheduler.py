"""Decides what each step computes: which sequences, how many tokens of each, in which blocks.

Plain Python without a model, a thread or a clock, so that its promises can be tested by themselves:

- Whoever decodes is served in every step; prompts share what is left of the step's tokens, and no more than a
  :class:`~candlewick.core.step_pacer.StepPacer` allows beside them.
- Priorities are strict: a sequence gives way to any of a higher priority, and never waits for one of a lower.
- Nobody starves among equals. They are admitted by age, the youngest gives way when blocks run out, so the
  oldest always runs on and finishes, and then the next one is the oldest.
- A preempted sequence loses its blocks and is computed again later; the prefix cache makes that cheap. Its
  tokens stay, so whoever reads its answer notices nothing but the pause.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Mapping
from collections.abc import Sequence as ReadableSequence
from dataclasses import dataclass
from itertools import groupby
from math import inf
from operator import attrgetter

import numpy as np

from candlewick.core.batch import BLOCK_SIZE, Batch
from candlewick.core.block_manager import BlockManager
from candlewick.core.sequence import Sequence, SequenceState
from candlewick.core.step_pacer import StepPacer

_by_rank = attrgetter("rank")

_LEAST_BESIDE_OTHERS = 64
"""Tokens of the oldest prompt in a step that it shares; with fewer the processor would be used badly."""
_NO_DRAFTS: Mapping[Sequence, ReadableSequence[int]] = {}


@dataclass(frozen=True, slots=True)
class ScheduledChunk:
    """The next ``num_tokens`` pending tokens of a sequence, and guesses at those that come after them."""

    sequence: Sequence
    num_tokens: int
    draft_ids: tuple[int, ...] = ()
    """Computed along with the others in the hope that they will be drawn; see :meth:`Scheduler.accept_draft`."""

    @property
    def num_rows(self) -> int:
        """Tokens that are computed, guesses among them."""
        return self.num_tokens + len(self.draft_ids)

    @property
    def is_sampled(self) -> bool:
        """Whether the chunk computes the last present token and its logits give the next one."""
        return self.num_tokens == self.sequence.num_pending and not self.sequence.wants_hidden


@dataclass(frozen=True, slots=True)
class _Cached:
    """The longest computed beginning of a waiting sequence."""

    full: list[int]
    tail: tuple[int, int] | None
    """A block behind them that is filled in part, and with how many tokens."""

    @property
    def blocks(self) -> list[int]:
        return self.full if self.tail is None else [*self.full, self.tail[0]]

    @property
    def num_tokens(self) -> int:
        return len(self.full) * BLOCK_SIZE + (self.tail[1] if self.tail else 0)


@dataclass(frozen=True, slots=True)
class ScheduledStep:
    """One step: decodes first, then pieces of prompts."""

    chunks: tuple[ScheduledChunk, ...]
    num_decodes: int
    """How many of the chunks, the first ones, belong to sequences that decode."""

    @property
    def num_prompt_tokens(self) -> int:
        """Tokens of the chunks that compute prompts, or again what was lost to a preemption."""
        return sum(chunk.num_tokens for chunk in self.chunks[self.num_decodes :])

    def sampled_chunks(self) -> list[tuple[ScheduledChunk, int]]:
        """The chunks whose sequences receive tokens, each with the number of its first row of logits.

        That row gives the token after the last present one; the row behind it, if there is a draft, the token
        after the first guess, and so on. Ask before ``complete``.
        """
        sampled = []
        row = 0
        for chunk in self.chunks:
            if chunk.is_sampled:
                sampled.append((chunk, row))
                row += 1 + len(chunk.draft_ids)
        return sampled

    def to_batch(self) -> Batch:
        """The arrays that the model's program wants. Ask before ``complete``."""
        token_ids: list[int] = []
        positions: list[int] = []
        query_starts = [0]
        logit_rows: list[int] = []
        hidden_rows: list[int] = []
        tables = [chunk.sequence.block_table for chunk in self.chunks]
        block_tables = np.zeros((len(tables), max(map(len, tables))), dtype=np.int32)
        for row, chunk in enumerate(self.chunks):
            start, end = chunk.sequence.num_computed, chunk.sequence.num_computed + chunk.num_tokens
            token_ids += chunk.sequence.token_ids[start:end]
            token_ids += chunk.draft_ids
            positions += range(start, end + len(chunk.draft_ids))
            query_starts.append(len(token_ids))
            block_tables[row, : len(tables[row])] = tables[row]
            if chunk.is_sampled:
                logit_rows += range(len(token_ids) - 1 - len(chunk.draft_ids), len(token_ids))
            elif chunk.sequence.wants_hidden:
                hidden_rows += range(query_starts[-2], len(token_ids))
        return Batch(
            token_ids=np.array(token_ids, dtype=np.int32),
            positions=np.array(positions, dtype=np.int32),
            query_starts=np.array(query_starts, dtype=np.int32),
            block_tables=block_tables,
            logit_rows=np.array(logit_rows, dtype=np.int32),
            hidden_rows=np.array(hidden_rows, dtype=np.int32),
        )


class Scheduler:
    """Waiting and running sequences over a pool of ``num_blocks`` blocks.

    No sequence may ever grow beyond the whole pool; whoever adds one sees to that.
    """

    def __init__(
        self, num_blocks: int, *, max_running: int, max_step_tokens: int, pacer: StepPacer | None = None
    ) -> None:
        self.blocks = BlockManager(num_blocks)
        # Each running sequence must be able to advance in every step.
        self.max_running = min(max_running, max_step_tokens)
        self.max_step_tokens = max_step_tokens
        self.pacer = pacer or StepPacer(inf)
        self.waiting: list[Sequence] = []  # by rank, as is the next
        self.running: list[Sequence] = []
        self.num_preemptions = 0
        self.num_prompt_tokens = 0
        self.num_prefix_hit_tokens = 0

    @property
    def has_work(self) -> bool:
        return bool(self.waiting or self.running)

    def add(self, sequence: Sequence) -> None:
        """Queue a new sequence."""
        insort(self.waiting, sequence, key=_by_rank)

    def finish(self, sequence: Sequence) -> None:
        """Take a sequence out, wherever it is, and release its blocks; a finished one is left alone."""
        if sequence.state is SequenceState.FINISHED:
            return
        (self.running if sequence.state is SequenceState.RUNNING else self.waiting).remove(sequence)
        self._release_blocks(sequence)
        sequence.state = SequenceState.FINISHED

    def schedule(self, drafts: Mapping[Sequence, ReadableSequence[int]] = _NO_DRAFTS) -> ScheduledStep:
        """Choose the next step and give its tokens their blocks. There must be work.

        ``drafts`` are guesses at the coming tokens of sequences that decode. As many are computed as there are
        blocks and tokens to spare; nobody gives way for a guess.
        """
        if not self._grow_running():
            # After a preemption nobody is admitted: the blocks just freed belong to those who run.
            self._admit_waiting()
        decodes = [sequence for sequence in self.running if sequence.decodes]
        room = self.max_step_tokens - len(decodes)
        if len(decodes) < len(self.running):
            room //= 2
        chunks = []
        for sequence in decodes:
            draft_ids = tuple(drafts.get(sequence, ())[:room])
            if draft_ids:
                draft_ids = draft_ids[: self._make_room(sequence, len(draft_ids))]
            chunks.append(ScheduledChunk(sequence, 1, draft_ids))
            room -= len(draft_ids)
        chunks += self._prefill_chunks(chunks)
        assert chunks, "there was work but nothing could run"
        return ScheduledStep(tuple(chunks), len(decodes))

    def complete(self, step: ScheduledStep) -> None:
        """Record that the step was computed; blocks that are now full can be found by others."""
        for chunk in step.chunks:
            self._advance(chunk.sequence, chunk.num_tokens)

    def accept_draft(self, sequence: Sequence) -> None:
        """Record that the token appended last is the draft that was computed in its place.

        What was computed for the other drafts is overwritten by the tokens that come instead.
        """
        self._advance(sequence, 1)

    def _advance(self, sequence: Sequence, num_tokens: int) -> None:
        first_block = sequence.num_computed // BLOCK_SIZE
        sequence.num_computed += num_tokens
        digests = sequence.digests()
        for i in range(first_block, sequence.num_computed // BLOCK_SIZE):
            self.blocks.publish(sequence.block_table[i], digests[i])

    def check_integrity(self) -> None:
        """Raise ``AssertionError`` unless blocks and queues are in order. For tests, between steps."""
        self.blocks.check_integrity(sequence.block_table for sequence in self.running)
        for queue, state in ((self.waiting, SequenceState.WAITING), (self.running, SequenceState.RUNNING)):
            assert queue == sorted(queue, key=_by_rank), f"{state.value} sequences are out of order"
            assert all(sequence.state is state for sequence in queue), f"a sequence is not {state}"
        assert all(not sequence.block_table for sequence in self.waiting), "a waiting sequence holds blocks"
        assert len(self.running) <= self.max_running, "too many sequences run"

    def _grow_running(self) -> bool:
        """Give every running sequence the blocks for its present tokens; whether somebody had to give way."""
        preempted = False
        i = 0
        while i < len(self.running):
            sequence = self.running[i]
            if len(sequence.block_table) >= sequence.num_blocks_needed:
                i += 1
            elif self.blocks.num_available:
                sequence.block_table.append(self.blocks.allocate())
            else:
                assert len(self.running) > 1, (
                    f"the pool of {self.blocks.num_blocks} blocks is too small for one sequence"
                )
                self._preempt_last()
                preempted = True
        return preempted

    def _make_room(self, sequence: Sequence, num_drafts: int) -> int:
        """Give a sequence blocks for drafts, but leave one for each that runs; how many drafts they hold."""
        table = sequence.block_table
        while len(table) * BLOCK_SIZE < sequence.num_tokens + num_drafts and self.blocks.num_available > len(
            self.running
        ):
            table.append(self.blocks.allocate())
        return min(num_drafts, len(table) * BLOCK_SIZE - sequence.num_tokens)

    def _preempt_last(self) -> None:
        sequence = self.running.pop()
        self._release_blocks(sequence)
        sequence.state = SequenceState.WAITING
        insort(self.waiting, sequence, key=_by_rank)
        self.num_preemptions += 1

    def _release_blocks(self, sequence: Sequence) -> None:
        num_full, num_rest = divmod(sequence.num_computed, BLOCK_SIZE)
        if num_rest:
            self.blocks.publish(sequence.block_table[num_full], sequence.tail_digest())
        self.blocks.release(sequence.block_table)
        del sequence.block_table[:]
        sequence.num_computed = 0

    def _admit_waiting(self) -> None:
        if not self.waiting or not self._has_place_for(self.waiting[0]):
            return
        being_computed = _blocks_being_computed(self.running)
        for sequence in list(self.waiting):
            if not self._has_place_for(sequence) or self._prefill_is_busy(sequence.priority):
                break
            # At least the last token is computed, for its logits.
            most = 0 if sequence.wants_hidden else sequence.num_tokens - 1
            shareable = sequence.digests()[: most // BLOCK_SIZE]
            full = self.blocks.find_prefix(shareable)
            if len(full) < len(shareable) and shareable[len(full)] in being_computed:
                # Somebody is computing this very block right now (another choice of the same prompt, say):
                # wait for it rather than compute it twice.
                continue
            start = len(full) * BLOCK_SIZE
            rest = sequence.token_ids[start : min(start + BLOCK_SIZE - 1, most)]
            found = _Cached(full, self.blocks.find_tail(shareable[len(full) - 1] if full else b"", rest))
            if not self._give_way_to(sequence, found):
                break
            self._admit(sequence, found)
            being_computed |= _blocks_being_computed([sequence])

    def _has_place_for(self, sequence: Sequence) -> bool:
        return len(self.running) < self.max_running or self.running[-1].priority < sequence.priority

    def _prefill_is_busy(self, priority: int) -> bool:
        """Whether the prompts of at least this priority, behind the first, already fill their half of a step."""
        prefills = [
            sequence.num_pending
            for sequence in self.running
            if not sequence.decodes and sequence.priority >= priority
        ]
        return bool(prefills) and sum(prefills[1:]) >= (self.max_step_tokens + 1) // 2

    def _give_way_to(self, sequence: Sequence, found: _Cached) -> bool:
        """Preempt lower priorities until the sequence has a place and its blocks; whether it has."""
        while len(self.running) >= self.max_running or not self._fits(sequence, found):
            if not self.running or self.running[-1].priority >= sequence.priority:
                return False
            self._preempt_last()
        return True

    def _fits(self, sequence: Sequence, found: _Cached) -> bool:
        # One block in reserve for each that runs: admitting somebody only to preempt them at once helps
        # nobody.
        num_new = sequence.num_blocks_needed - len(found.blocks)
        return num_new + len(self.running) <= self.blocks.num_available_beside(found.blocks)

    def _admit(self, sequence: Sequence, found: _Cached) -> None:
        self.blocks.share(found.full)
        if found.tail is not None:
            self.blocks.take_over(found.tail[0])
        sequence.block_table.extend(found.blocks)
        while len(sequence.block_table) < sequence.num_blocks_needed:
            sequence.block_table.append(self.blocks.allocate())
        sequence.num_computed = found.num_tokens
        if sequence.num_cached is None:
            sequence.num_cached = sequence.num_computed
            self.num_prompt_tokens += sequence.num_prompt_tokens
            self.num_prefix_hit_tokens += sequence.num_cached
        self.waiting.remove(sequence)
        sequence.state = SequenceState.RUNNING
        insort(self.running, sequence, key=_by_rank)

    def _prefill_chunks(self, decodes: ReadableSequence[ScheduledChunk]) -> list[ScheduledChunk]:
        """Divide what the decodes leave of the step among the prompts being computed, by priority.

        The pace is kept for decodes of the prompt's own priority and higher ones, and where there are none at all.
        """
        chunks: list[ScheduledChunk] = []
        num_decode_tokens = sum(chunk.num_rows for chunk in decodes)
        budget = self.max_step_tokens - num_decode_tokens
        # By answers and not by tokens: how many guesses there are changes from step to step.
        allowance = self.pacer.allowance(len(decodes))
        highest = decodes[0].sequence.priority if decodes else inf
        prefills = [sequence for sequence in self.running if not sequence.decodes]
        for priority, equals in groupby(prefills, key=attrgetter("priority")):
            room = min(budget, allowance) if highest >= priority else budget
            shares = _share(room, list(equals))
            num_tokens = sum(chunk.num_tokens for chunk in shares)
            budget -= num_tokens
            allowance -= num_tokens
            chunks += shares
        return chunks


def _share(budget: int, prompts: list[Sequence]) -> list[ScheduledChunk]:
    """Divide ``budget`` tokens among prompts of one priority, given by age.

    Half is kept for the oldest so that it always gets on; the rest goes to the shortest first, so that a
    short question does not wait behind a long document. What the others leave is the oldest's too, but not
    more than they have themselves: the step should be over soon where somebody's first token depends on it.
    """
    if budget <= 0:
        return []
    oldest, *others = prompts
    if others:
        num_others = sum(sequence.num_pending for sequence in others)
        budget = min(budget, num_others + max(num_others, _LEAST_BESIDE_OTHERS))
    kept = min(oldest.num_pending, (budget + 1) // 2)
    chunks = []
    for sequence in sorted(others, key=attrgetter("num_pending")):
        num_tokens = min(sequence.num_pending, budget - kept)
        if num_tokens == 0:
            break
        chunks.append(ScheduledChunk(sequence, num_tokens))
        budget -= num_tokens
    return [ScheduledChunk(oldest, min(oldest.num_pending, budget)), *chunks]


def _blocks_being_computed(sequences: Iterable[Sequence]) -> set[bytes]:
    return {
        digest
        for sequence in sequences
        for digest in sequence.digests()[sequence.num_computed // BLOCK_SIZE :]
    }
