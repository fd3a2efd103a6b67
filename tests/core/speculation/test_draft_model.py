"""A small model that can't be fooled guesses for a large one that is only written down."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from candlewick.core.batch import BLOCK_SIZE, Batch
from candlewick.core.params import GenerationParams
from candlewick.core.sequence import Sequence
from candlewick.core.speculation import draft_model
from candlewick.core.speculation.decoding import Decoding
from candlewick.core.speculation.draft_model import DraftModel
from candlewick.core.speculation.speculator import Speculator
from core.scripted_runner import NextToken, ScriptedRunner, ScriptedSampler, direct, hashed

PARAMS = GenerationParams(max_tokens=1, temperature=1, seed=3)


def mostly(every: int) -> NextToken:
    """The large model's token, but for one in so many."""

    def next_token(context: tuple[int, ...], sampler: ScriptedSampler) -> int:
        token_id = hashed(context, sampler)
        return token_id if len(context) % every else (token_id + 1) % 256

    return next_token


class Text:
    """A sequence that the large model goes on with."""

    def __init__(self, prompt_ids: list[int], arrival: int = 0) -> None:
        self.sequence = Sequence(prompt_ids, arrival)
        self.sampler = ScriptedSampler(PARAMS, 3, 0, prompt_ids)

    def grow(self, count: int) -> None:
        for _ in range(count):
            token_id = hashed(tuple(self.sequence.token_ids), self.sampler)
            self.sequence.append(token_id)
            self.sampler.accept(token_id)

    def decoding(self, num_remaining: int = 1000) -> Decoding:
        return Decoding(self.sequence, num_remaining, self.sampler)

    def continued_by(self, next_token: NextToken, count: int) -> list[int]:
        own = ScriptedSampler(PARAMS, 3, 0, self.sampler.prompt_ids)
        own.accepted = list(self.sampler.accepted)
        token_ids = []
        for _ in range(count):
            token_ids.append(next_token((*self.sequence.token_ids, *token_ids), own))
            own.accept(token_ids[-1])
        return token_ids


def guess(model: DraftModel, text: Text, length: int, most_read: int = 1000) -> list[int]:
    model.settle(text.sequence)
    guesses = model.guess([(text.decoding(), length)], most_read).get(text.sequence, [])
    model.check_integrity()
    return guesses


def test_it_guesses_what_it_would_draw_itself_and_takes_its_draws_back() -> None:
    model = DraftModel(ScriptedRunner(next_token=mostly(7)), max_step_tokens=64)
    text = Text([1, 2, 3])
    for length in (4, 1, 8, 3):
        before = list(text.sampler.accepted)
        assert guess(model, text, length) == text.continued_by(mostly(7), length)
        assert text.sampler.accepted == before
        text.grow(2)


def test_a_long_prompt_is_read_piece_by_piece() -> None:
    runner = ScriptedRunner()
    sizes: list[int] = []
    runner.before_execute = lambda batch: sizes.append(batch.num_tokens)
    model = DraftModel(runner, max_step_tokens=64)
    text = Text(list(range(100)))
    assert guess(model, text, 2, most_read=40) == []
    assert guess(model, text, 2, most_read=40) == []
    assert len(guess(model, text, 2, most_read=40)) == 2
    assert sizes == [41, 41, 18, 1]
    model.settle(text.sequence)
    assert guess(model, Text(list(range(100))), 1) != [], "a prompt that is known is not read again"
    assert sizes[-1] == 100 % BLOCK_SIZE


def test_the_record_follows_what_came() -> None:
    model = DraftModel(ScriptedRunner(), max_step_tokens=64)
    text = Text([5])
    (first,) = model.chances(text.sequence, 1)
    for _ in range(30):
        guess(model, text, 2)
        text.grow(2)
    model.settle(text.sequence)
    (right,) = model.chances(text.sequence, 1)
    wrong_model = DraftModel(ScriptedRunner(next_token=mostly(1)), max_step_tokens=64)
    for _ in range(30):
        guess(wrong_model, text, 2)
        text.grow(2)
    (wrong,) = wrong_model.chances(text.sequence, 1)
    assert wrong < 0.2 < first < 0.9 < right
    assert len(model.chances(text.sequence, 8)) == 8
    assert len(wrong_model.chances(text.sequence, 8)) < 3


def test_a_sequence_too_long_for_it_is_left_alone() -> None:
    model = DraftModel(ScriptedRunner(max_context=32), max_step_tokens=64)
    assert model.chances(Sequence(range(24), 0), 8) != []
    assert model.chances(Sequence(range(25), 0), 8) == []


def test_those_that_pause_give_their_blocks_up() -> None:
    model = DraftModel(ScriptedRunner(num_blocks=4), max_step_tokens=64)
    first, second = Text([1] * 40), Text([2] * 40)
    assert guess(model, first, 4) == first.continued_by(hashed, 4)
    assert guess(model, second, 4) == second.continued_by(hashed, 4)
    assert guess(model, first, 4) == first.continued_by(hashed, 4)
    wanted = [(text.decoding(), 4) for text in (first, second)]
    model.settle(first.sequence)
    assert len(model.guess(wanted, 1000)) == 1, "there is room for one"
    model.forget(first.sequence)
    model.forget(second.sequence)
    assert model.blocks.num_available == 4


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9), st.integers(0, 8)), max_size=25),
    st.integers(4, 20),
    st.integers(0, 50),
    st.integers(2, 6),
)
def test_guesses_are_its_own_whatever_came_before(
    lengths: list[int], visits: list[tuple[int, int, int]], num_blocks: int, most_read: int, every: int
) -> None:
    """The scripted runner compares each context that it is shown with the tokens of the sampler."""
    model = DraftModel(ScriptedRunner(num_blocks=num_blocks, next_token=mostly(every)), max_step_tokens=32)
    texts = [Text([i % 2] * length, i) for i, length in enumerate(lengths)]
    for number, num_new, length in visits:
        text = texts[number % len(texts)]
        text.grow(num_new)
        if length and model.chances(text.sequence, length):
            guesses = guess(model, text, length, most_read)
            assert guesses == text.continued_by(mostly(every), len(guesses))
        elif number == 3:
            model.forget(text.sequence)
    for text in texts:
        model.forget(text.sequence)
    assert model.blocks.num_held == 0


# ---- on a machine whose costs are known


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def thread_time(self) -> float:
        return self.seconds


def gain(
    monkeypatch: pytest.MonkeyPatch,
    every: int,
    draft_cost: float,
    num_tokens: int = 600,
    row_cost: float = 0.05,
) -> float:
    """How many times as fast an answer comes, where a step of the large model takes 1 second and ``row_cost`` for each
    guess, one of the small model ``draft_cost``."""
    clock = Clock()
    monkeypatch.setattr(draft_model, "time", clock)
    runner = ScriptedRunner(next_token=mostly(every))

    def take_time(batch: Batch) -> None:
        clock.seconds += draft_cost * (1 + 0.05 * (batch.num_tokens - 1))

    runner.before_execute = take_time
    speculator = Speculator(DraftModel(runner, max_step_tokens=512))
    text = Text(list(range(50)))
    answer = direct(range(50), GenerationParams(max_tokens=num_tokens, temperature=1, seed=3))
    position = 0
    while position < num_tokens:
        drafts = speculator.propose([text.decoding(num_tokens - position)]).get(text.sequence, [])
        cost = 1 + row_cost * len(drafts)
        clock.seconds += cost
        speculator.observe(1 + len(drafts), cost)
        num_right = 0
        while num_right < len(drafts) and drafts[num_right] == answer[position + num_right]:
            num_right += 1
        text.grow(num_right + 1)
        position += num_right + 1
    return num_tokens / clock.seconds


def test_a_good_draft_model_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    assert gain(monkeypatch, every=10, draft_cost=0.05) > 2.5
    assert gain(monkeypatch, every=4, draft_cost=0.1) > 1.5


@pytest.mark.parametrize("draft_cost", [0.02, 0.1, 0.3, 1.0])
def test_one_that_is_never_right_is_soon_left_alone(
    monkeypatch: pytest.MonkeyPatch, draft_cost: float
) -> None:
    assert gain(monkeypatch, every=1, draft_cost=draft_cost) > 0.97


def test_one_that_can_not_draw_is_soon_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(ScriptedRunner):
        def sample(self, samplers, rows, allowed=None):  # type: ignore[no-untyped-def]
            return [ValueError("no finite logit") for _ in rows]

    num_steps = 0

    def count(batch: Batch) -> None:
        nonlocal num_steps
        num_steps += 1

    monkeypatch.setattr(draft_model, "time", Clock())
    speculator = Speculator(DraftModel(Broken(before_execute=count), max_step_tokens=64))
    text = Text([1, 2, 3])
    for _ in range(500):
        assert speculator.propose([text.decoding()]) == {}
        speculator.observe(1, 1.0)
        text.grow(1)
    assert num_steps < 40


def test_one_as_slow_as_the_model_is_left_alone_however_good(monkeypatch: pytest.MonkeyPatch) -> None:
    assert gain(monkeypatch, every=10_000, draft_cost=1.0) > 0.97


def test_one_that_becomes_right_is_taken_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    is_right = False

    def next_token(context: tuple[int, ...], sampler: ScriptedSampler) -> int:
        return hashed(context, sampler) if is_right else 255

    monkeypatch.setattr(draft_model, "time", Clock())
    speculator = Speculator(
        DraftModel(ScriptedRunner(num_blocks=200, next_token=next_token), max_step_tokens=64)
    )
    text = Text([1, 2, 3])
    num_drafts = []
    for number in range(1200):
        is_right = number >= 600
        drafts = speculator.propose([text.decoding()]).get(text.sequence, [])
        speculator.observe(1 + len(drafts), 1.0)
        num_drafts.append(len(drafts))
        text.grow(1)
    assert sum(num_drafts[50:600]) < 10
    assert sum(num_drafts[-50:]) > 100
