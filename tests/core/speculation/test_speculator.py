"""Answers that are known beforehand, on a machine whose costs are known: what guessing gains, and what it costs."""

from __future__ import annotations

import numpy as np
import pytest

from candlewick.core.params import GenerationParams
from candlewick.core.sequence import Sequence
from candlewick.core.speculation.decoding import Decoding
from candlewick.core.speculation.speculator import (
    MAX_DRAFT_TOKENS,
    MAX_STEP_DRAFT_TOKENS,
    Speculator,
)
from core.scripted_runner import ScriptedSampler

NO_SAMPLER = ScriptedSampler(GenerationParams(), 0, 0, [])


def gain(
    prompt: list[int],
    answer: list[int],
    row_cost: float,
    *,
    noise: float = 0.0,
    speculator: Speculator | None = None,
) -> float:
    """How many times as fast the answer comes, where a step of n rows costs ``1 + row_cost * (n - 1)``."""
    rng = np.random.default_rng(5)
    speculator = speculator or Speculator()
    sequence = Sequence(prompt, 0)
    seconds = 0.0
    position = 0
    while position < len(answer):
        draft = speculator.propose([Decoding(sequence, len(answer) - position, NO_SAMPLER)]).get(sequence, [])
        assert len(draft) <= max(0, min(MAX_DRAFT_TOKENS, len(answer) - position - 1))
        cost = 1.0 + row_cost * len(draft)
        seconds += cost
        speculator.observe(1 + len(draft), cost * rng.lognormal(0.0, noise))
        num_right = 0
        while num_right < len(draft) and draft[num_right] == answer[position + num_right]:
            num_right += 1
        for token_id in answer[position : position + num_right + 1]:
            sequence.append(token_id)
        position += num_right + 1
    return len(answer) / seconds


def text(seed: int, length: int) -> list[int]:
    """Words as often as words are: a few of them make half of the text."""
    rng = np.random.default_rng(seed)
    return np.minimum(rng.zipf(1.2, length), 5000).tolist()


ROW_COSTS = [0.03, 0.08, 0.2, 0.5, 1.0]


@pytest.mark.parametrize("row_cost", ROW_COSTS)
@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_texts_without_repetition_lose_next_to_nothing(row_cost: float, noise: float) -> None:
    gains = [gain(text(seed, 300), text(seed + 100, 500), row_cost, noise=noise) for seed in range(5)]
    assert min(gains) > 0.95
    assert float(np.mean(gains)) > 0.97


@pytest.mark.parametrize(
    ("row_cost", "least"), [(0.03, 2.3), (0.08, 2.1), (0.2, 1.6), (0.5, 1.05), (1.0, 0.97)]
)
@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_edited_texts_gain_as_much_as_rows_are_cheap(row_cost: float, least: float, noise: float) -> None:
    prompt = text(1, 400)
    edited = [9000 + i if i % 15 == 7 else token_id for i, token_id in enumerate(prompt)]
    speculator = Speculator()
    first = gain(prompt, edited, row_cost, noise=noise, speculator=speculator)
    assert first > 0.85, "while costs are being learned"
    assert gain(prompt, edited, row_cost, noise=noise, speculator=speculator) > least


def test_a_text_that_misleads_is_soon_left_alone() -> None:
    # Every pair comes again, and never goes on as before.
    prompt = [token for i in range(0, 200, 2) for token in (i, i + 1, 1000 + i)]
    answer = [token for i in range(0, 200, 2) for token in (i, i + 1, 2000 + i)]
    assert gain(prompt, answer, 0.08) > 0.97


def test_a_crowd_shares_the_rows_of_a_step() -> None:
    speculator = Speculator()
    sequences = [Sequence([*range(50), *range(20)], arrival) for arrival in range(32)]
    drafts = speculator.propose([Decoding(sequence, 100, NO_SAMPLER) for sequence in sequences])
    assert 0 < sum(map(len, drafts.values())) <= MAX_STEP_DRAFT_TOKENS
    for sequence in sequences:
        speculator.forget(sequence)
    assert not speculator._lookups
