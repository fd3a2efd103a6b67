"""The native sampler against plain numpy: which tokens may be drawn, how often, from which random numbers."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

kernels = pytest.importorskip("candlewick._kernels", reason="the native module is not built")

FloatArray = npt.NDArray[np.float32]


def make_sampler(vocab_size: int, **changes: Any) -> Any:
    arguments: dict[str, Any] = {
        "temperature": 1.0,
        "top_k": 0,
        "top_p": 1.0,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "frequency_penalty": 0.0,
        "presence_penalty": 0.0,
        "bias_ids": [],
        "bias_values": [],
        "seed": 1,
        "choice": 0,
        "num_logprobs": -1,
        "prompt_ids": [],
    }
    assert set(changes) <= set(arguments)
    arguments |= changes
    for name, dtype in (("bias_ids", np.int32), ("bias_values", np.float32), ("prompt_ids", np.int32)):
        arguments[name] = np.array(arguments[name], dtype=dtype)
    return kernels.Sampler(vocab_size=vocab_size, **arguments)


def draw(logits: FloatArray, sampler: Any, allowed: npt.NDArray[np.uint32] | None = None) -> int:
    """One token from one row; the caller's logits stay as they are."""
    masks = None if allowed is None else allowed[None]
    ids, _, _, _ = kernels.sample_rows(logits[None].copy(), [sampler], masks, 1)
    return int(ids[0])


def draws(logits: FloatArray, count: int, **changes: Any) -> Counter[int]:
    """``count`` draws with one seed and ascending choices, all in one call."""
    samplers = [make_sampler(len(logits), choice=choice, **changes) for choice in range(count)]
    ids, _, _, _ = kernels.sample_rows(np.tile(logits, (count, 1)), samplers)
    return Counter(ids.tolist())


def softmax(logits: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
    weights = np.exp(logits.astype(np.float64) - logits.max())
    return weights / weights.sum()


def rank(logits: FloatArray) -> npt.NDArray[np.int64]:
    """Ids from the most likely token to the least, equal ones by ascending id."""
    return np.argsort(-logits, kind="stable")


def kept_by_filters(
    logits: FloatArray, temperature: float, top_k: int, top_p: float, min_p: float
) -> npt.NDArray[np.float64]:
    """The distribution that is drawn from."""
    scaled = logits.astype(np.float64) / temperature
    order = rank(logits)
    keep = len(logits) if top_k == 0 else min(top_k, len(logits))
    probabilities = softmax(scaled[order[:keep]])
    if top_p < 1:
        keep = min(keep, int(np.searchsorted(np.cumsum(probabilities), top_p)) + 1)
    keep = min(keep, int((probabilities / probabilities[0] >= min_p).sum()))
    out = np.zeros(len(logits))
    out[order[:keep]] = softmax(scaled[order[:keep]])
    return out


@given(st.integers(1, 300), st.integers(0, 2**32 - 1), st.integers(1, 6))
@settings(max_examples=60, deadline=None)
def test_greedy_takes_the_lowest_id_among_the_highest(vocab_size: int, seed: int, levels: int) -> None:
    logits = np.random.default_rng(seed).integers(0, levels, vocab_size).astype(np.float32)
    assert draw(logits, make_sampler(vocab_size, temperature=0.0)) == int(np.argmax(logits))


@pytest.mark.parametrize("temperature", [0.25, 1.0, 1.7])
@pytest.mark.parametrize(
    "filters",
    [
        {},
        {"top_k": 1},
        {"top_k": 7},
        {"top_p": 0.6},
        {"min_p": 0.1},
        {"top_k": 12, "top_p": 0.8},
        {"top_k": 12, "top_p": 0.9, "min_p": 0.2},
        {"top_p": 0.95, "min_p": 0.05},
    ],
    ids=str,
)
def test_draws_follow_the_filtered_distribution(temperature: float, filters: dict[str, Any]) -> None:
    logits = np.random.default_rng(3).normal(0, 2, 40).astype(np.float32)
    count = 4000
    seen = draws(logits, count, temperature=temperature, seed=11, **filters)
    expected = kept_by_filters(
        logits, temperature, filters.get("top_k", 0), filters.get("top_p", 1.0), filters.get("min_p", 0.0)
    )
    assert {token for token in seen if expected[token] == 0} == set()
    chi_square = sum(
        (seen[i] - count * p) ** 2 / (count * p) for i, p in enumerate(expected) if p * count >= 1
    )
    freedom = max(1, int((expected * count >= 1).sum()) - 1)
    assert chi_square < freedom + 5 * math.sqrt(2 * freedom) + 5
    likely = {i for i, p in enumerate(expected) if p * count > 30}
    assert likely <= set(seen)


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([50, 700, 5000]),
    st.sampled_from([0.3, 1.0, 4.0]),
    st.sampled_from([0, 1, 3, 40, 200]),
    st.sampled_from([0.05, 0.5, 0.9, 0.999, 1.0]),
    st.sampled_from([0.0, 0.02, 0.5, 1.0]),
)
@settings(max_examples=60, deadline=None)
def test_only_kept_tokens_are_drawn(
    seed: int, vocab_size: int, spread: float, top_k: int, top_p: float, min_p: float
) -> None:
    logits = np.random.default_rng(seed).normal(0, spread, vocab_size).astype(np.float32)
    kept = kept_by_filters(logits, 1.0, top_k, top_p, min_p)
    # One more or one less at the edge of a filter is a matter of rounding.
    margin = kept_by_filters(logits, 1.0, top_k, min(1.0, top_p * (1 + 1e-6)), min_p * (1 - 1e-6))
    seen = draws(logits, 30, top_k=top_k, top_p=top_p, min_p=min_p, seed=seed)
    assert all(kept[token] > 0 or margin[token] > 0 for token in seen)


def test_equal_logits_are_cut_by_id() -> None:
    logits = np.zeros(1000, dtype=np.float32)
    assert set(draws(logits, 300, top_k=5)) == {0, 1, 2, 3, 4}
    assert set(draws(logits, 300, top_p=0.0039)) == {0, 1, 2, 3}


def test_a_draw_is_the_inverse_of_the_cumulative_distribution() -> None:
    # With all weights equal the random number itself shows: token i is drawn for u in [i / n, (i + 1) / n).
    # Random123's known answer for Philox4x32-10 with counter 0 and key 0 starts 0x6627e8d5 0xe169c58d.
    vocab_size = 4096
    expected = 0x6627E8D5 * vocab_size >> 32
    logits = np.zeros(vocab_size, dtype=np.float32)
    assert draw(logits, make_sampler(vocab_size, seed=0)) == expected
    assert draw(logits, make_sampler(vocab_size, seed=0, top_k=vocab_size - 1)) == expected
    assert draw(logits, make_sampler(vocab_size, seed=0, min_p=0.5)) == expected


def test_seeds_choices_and_indices_name_the_draw() -> None:
    logits = np.random.default_rng(4).normal(0, 1, 3000).astype(np.float32)
    rng = np.random.default_rng(5)
    asked = [
        (int(rng.integers(0, 2**63)) * 2 + 1, choice, index) for choice in range(4) for index in range(4)
    ]

    def sampler_for(seed: int, choice: int, index: int) -> Any:
        sampler = make_sampler(len(logits), seed=seed, choice=choice)
        for token in range(index):
            sampler.accept(token)
        return sampler

    alone = [draw(logits, sampler_for(*one)) for one in asked]
    assert alone == [draw(logits, sampler_for(*one)) for one in asked]
    assert len(set(alone)) > len(asked) // 2
    order = rng.permutation(len(asked)).tolist()
    for num_threads in (1, 3):
        crowd, _, _, _ = kernels.sample_rows(
            np.tile(logits, (len(asked), 1)), [sampler_for(*asked[i]) for i in order], None, num_threads
        )
        assert crowd.tolist() == [alone[i] for i in order]


def test_streams_of_choices_are_independent() -> None:
    logits = np.zeros(2, dtype=np.float32)
    table = np.zeros((2, 2))
    for seed in range(500):
        first, second = (draw(logits, make_sampler(2, seed=seed, choice=choice)) for choice in (0, 1))
        table[first, second] += 1
    assert ((table - 125) ** 2 / 125).sum() < 25


def test_a_retracted_token_leaves_no_trace() -> None:
    logits = np.random.default_rng(6).normal(0, 1, 500).astype(np.float32)
    settings_ = {"frequency_penalty": 1.5, "repetition_penalty": 1.3, "prompt_ids": [1, 2, 2]}
    plain = make_sampler(500, **settings_)
    wavering = make_sampler(500, **settings_)
    for token in (7, 2, 7):
        plain.accept(token)
        wavering.accept(token)
    for token in (7, 9, 400):
        wavering.accept(token)
    for token in (400, 9, 7):
        wavering.retract(token)
    assert wavering.num_accepted == plain.num_accepted == 3
    assert draw(logits, plain) == draw(logits, wavering)
    with pytest.raises(ValueError, match=r"accepted and not yet retracted, got 9"):
        wavering.retract(9)


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([1.0, 0.7, 1.4]),
    st.sampled_from([0.0, -0.8, 1.1]),
    st.sampled_from([0.0, 0.9, -1.3]),
)
@settings(max_examples=60, deadline=None)
def test_bias_and_penalties_change_what_is_most_likely(
    seed: int, repetition: float, frequency: float, presence: float
) -> None:
    rng = np.random.default_rng(seed)
    vocab_size = 50
    logits = rng.normal(0, 1, vocab_size).astype(np.float32)
    prompt = rng.integers(0, vocab_size, 10)
    answer = rng.integers(0, vocab_size, 30)
    bias = {
        int(i): float(v) for i, v in zip(rng.integers(0, vocab_size, 4), rng.normal(0, 2, 4), strict=True)
    }
    sampler = make_sampler(
        vocab_size,
        temperature=0.0,
        repetition_penalty=repetition,
        frequency_penalty=frequency,
        presence_penalty=presence,
        bias_ids=list(bias),
        bias_values=list(bias.values()),
        prompt_ids=prompt,
        num_logprobs=2,
    )
    for token in answer.tolist():
        sampler.accept(token)

    expected = logits.copy()
    for i, value in bias.items():
        expected[i] += np.float32(value)
    for i in set(prompt.tolist()) | set(answer.tolist()):
        expected[i] = (
            expected[i] / np.float32(repetition) if expected[i] > 0 else expected[i] * np.float32(repetition)
        )
    for i, count in Counter(answer.tolist()).items():
        expected[i] -= np.float32(frequency) * np.float32(count) + np.float32(presence)

    rows = logits[None].copy()
    ids, logprobs, top_ids, top_logprobs = kernels.sample_rows(rows, [sampler])
    chosen = expected[int(ids[0])]
    assert chosen >= expected.max() - 1e-6
    # Log-probabilities know of neither bias nor penalties, and the caller's logits are as before.
    exact = np.log(softmax(logits))
    assert logprobs[0] == pytest.approx(exact[ids[0]], abs=1e-5)
    assert top_ids[0].tolist() == rank(logits)[:2].tolist()
    np.testing.assert_allclose(top_logprobs[0], exact[top_ids[0]], atol=1e-5)
    np.testing.assert_array_equal(rows[0], logits)


def test_logprobs_of_rows_that_ask_for_different_numbers() -> None:
    logits = np.random.default_rng(7).normal(0, 3, (4, 9000)).astype(np.float32)
    samplers = [make_sampler(9000, temperature=0.0, num_logprobs=number) for number in (-1, 0, 3, 20)]
    ids, logprobs, top_ids, top_logprobs = kernels.sample_rows(logits.copy(), samplers)
    assert ids.tolist() == logits.argmax(axis=1).tolist()
    assert math.isnan(logprobs[0])
    assert top_ids.shape == top_logprobs.shape == (4, 20)
    for row, number in enumerate((0, 0, 3, 20)):
        assert top_ids[row, :number].tolist() == rank(logits[row])[:number].tolist()
        assert set(top_ids[row, number:].tolist()) <= {-1}
        exact = np.log(softmax(logits[row]))
        np.testing.assert_allclose(top_logprobs[row, :number], exact[top_ids[row, :number]], atol=1e-5)
        assert row == 0 or logprobs[row] == pytest.approx(exact[ids[row]], abs=1e-5)


@pytest.mark.parametrize(
    "changes", [{"temperature": 0.0}, {}, {"top_p": 0.9}, {"top_k": 3}, {"min_p": 0.01}], ids=str
)
def test_forbidden_tokens_are_never_drawn(changes: dict[str, Any]) -> None:
    rng = np.random.default_rng(8)
    vocab_size = 333
    for seed in range(40):
        logits = rng.normal(0, 3, vocab_size).astype(np.float32)
        chosen = rng.random(vocab_size) < rng.choice([0.01, 0.5, 0.98])
        chosen[rng.integers(0, vocab_size)] = True
        words = np.packbits(np.pad(chosen, (0, -vocab_size % 32)), bitorder="little").view("<u4")
        token = draw(logits, make_sampler(vocab_size, seed=seed, **changes), words.astype(np.uint32))
        assert chosen[token]
        if changes.get("temperature") == 0.0:
            assert token == int(np.argmax(np.where(chosen, logits, -np.inf)))


def test_a_vanishing_temperature_is_greedy() -> None:
    logits = np.array([1.0, 3.0, 3.0, 2.0], dtype=np.float32)
    assert set(draws(logits, 50, temperature=1e-300)) == {1}
    assert set(draws(logits, 50, temperature=1e-30)) == {1, 2}
    assert set(draws(logits, 200, temperature=1e6)) == {0, 1, 2, 3}


def test_extreme_logits_do_no_harm() -> None:
    logits = np.array([-np.inf, np.nan, 3e38, -3e38, 2.9e38], dtype=np.float32)
    for changes in ({"temperature": 0.0}, {}, {"top_k": 4}, {"top_p": 0.9999}, {"min_p": 1e-9}):
        assert set(draws(logits, 20, num_logprobs=3, **changes)) == {2}
    flat = np.array([np.nan, 1.0, -np.inf, 1.0], dtype=np.float32)
    for changes in ({}, {"top_k": 3}, {"top_p": 0.9999}, {"min_p": 1e-9}):
        assert set(draws(flat, 60, **changes)) == {1, 3}
    tiny = make_sampler(4, temperature=0.0, repetition_penalty=1e-38, prompt_ids=[3])
    assert draw(np.array([5.0, 6.0, 7.0, 7.0], dtype=np.float32), tiny) == 3


@pytest.mark.parametrize("broken", [np.nan, -np.inf, np.inf])
def test_a_row_without_finite_logits_is_an_error_that_names_it(broken: float) -> None:
    logits = np.zeros((3, 70), dtype=np.float32)
    logits[2] = broken
    with pytest.raises(ValueError, match="row 2: the model produced no finite logits"):
        kernels.sample_rows(logits, [make_sampler(70) for _ in range(3)])


def test_a_row_without_allowed_tokens_is_an_error_that_names_it() -> None:
    allowed = np.full((2, 3), 0xFFFFFFFF, dtype=np.uint32)
    allowed[1] = 0
    with pytest.raises(ValueError, match="row 1: every token is forbidden"):
        kernels.sample_rows(
            np.zeros((2, 70), dtype=np.float32), [make_sampler(70) for _ in range(2)], allowed
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"temperature": -1.0}, "temperature"),
        ({"temperature": math.nan}, "temperature"),
        ({"top_k": -1}, "top_k"),
        ({"top_p": 1.5}, "top_p"),
        ({"min_p": -0.1}, "min_p"),
        ({"repetition_penalty": 0.0}, "repetition_penalty"),
        ({"frequency_penalty": math.inf}, "frequency_penalty"),
        ({"presence_penalty": math.nan}, "presence_penalty"),
        ({"bias_ids": [3], "bias_values": []}, "bias_values"),
        ({"bias_ids": [10], "bias_values": [1.0]}, "bias_ids .* below 10, got 10"),
        ({"bias_ids": [1], "bias_values": [math.inf]}, "bias_values"),
        ({"prompt_ids": [-1]}, "prompt_ids .* got -1"),
        ({"num_logprobs": -2}, "num_logprobs"),
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_sampler(10, **changes)


def test_arguments_that_do_not_fit_are_refused() -> None:
    sampler = make_sampler(10)
    logits = np.zeros((1, 10), dtype=np.float32)
    with pytest.raises(ValueError, match="one sampler a row"):
        kernels.sample_rows(logits, [])
    with pytest.raises(ValueError, match=r"samplers\[0\] is for a vocabulary of 10, the logits have 11"):
        kernels.sample_rows(np.zeros((1, 11), dtype=np.float32), [sampler])
    with pytest.raises(ValueError, match=r"allowed must be \[1, 1\], got \[1, 2\]"):
        kernels.sample_rows(logits, [sampler], np.zeros((1, 2), dtype=np.uint32))
    with pytest.raises(ValueError, match="num_threads must be at least 1, got 0"):
        kernels.sample_rows(logits, [sampler], None, 0)
    for refused in (10, -1, 2**40):
        with pytest.raises(ValueError, match=f"below 10, got {refused}"):
            sampler.accept(refused)
    with pytest.raises(TypeError):
        kernels.sample_rows(logits.astype(np.float64), [sampler])


def test_the_cumulative_walk_reaches_every_part_of_a_large_vocabulary() -> None:
    vocab_size = 128_256
    logits = np.random.default_rng(9).normal(0, 1, vocab_size).astype(np.float32)
    exact = softmax(logits)
    count = 1500
    samplers = [make_sampler(vocab_size, choice=choice) for choice in range(count)]
    ids = np.concatenate(
        [
            kernels.sample_rows(np.tile(logits, (50, 1)), samplers[start : start + 50])[0]
            for start in range(0, count, 50)
        ]
    )
    parts = np.add.reduceat(exact, np.arange(0, vocab_size, vocab_size // 12))[:12]
    seen = np.bincount(np.minimum(ids // (vocab_size // 12), 11), minlength=12)
    expected = count * parts / parts.sum()
    assert ((seen - expected) ** 2 / expected).sum() < 40
    # Likely tokens come more often: the mean probability of a drawn token is the sum of squares.
    assert exact[ids].mean() == pytest.approx((exact**2).sum(), rel=0.3)
