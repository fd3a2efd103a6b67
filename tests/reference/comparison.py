"""How a model that we run is compared with transformers' own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from candlewick.core.batch import Batch
from reference.numpy_interpreter import make_batch
from reference.random_models import reference_logits

Execute = Callable[[Batch], npt.NDArray[np.floating]]
"""Runs one step and gives the rows of logits that the batch asks for."""


def relative_error(got: npt.NDArray[np.floating], expected: npt.NDArray[np.floating]) -> float:
    """The largest difference, relative to the largest logit."""
    return float(np.abs(got - expected).max() / np.abs(expected).max())


def random_token_ids(count: int, seed: int) -> list[int]:
    return np.random.default_rng(seed).integers(0, 288, count).tolist()


def check_logits(execute: Execute, model: Any, tolerance: float) -> None:
    """Prompts at once, in chunks, token by token and in company have the logits of transformers' ``model``."""
    prompts = {length: random_token_ids(length, seed=length) for length in (1, 16, 43)}
    expected = {length: reference_logits(model, prompt) for length, prompt in prompts.items()}

    for length, prompt in prompts.items():
        whole = execute(make_batch([(prompt, 0)], [[7, 2, 5]], logits="all"))
        assert relative_error(whole, expected[length]) < tolerance, f"{length} tokens at once"

    chunks = [
        execute(make_batch([(prompts[43][start:end], start)], [[3, 9, 4]], logits="all"))
        for start, end in ((0, 7), (7, 8), (8, 31), (31, 43))
    ]
    assert relative_error(np.concatenate(chunks), expected[43]) < tolerance, "in chunks"

    one_by_one = [
        execute(make_batch([([token_id], position)], [[6, 1, 8]]))
        for position, token_id in enumerate(prompts[43])
    ]
    assert relative_error(np.concatenate(one_by_one), expected[43]) < tolerance, "token by token"

    tables = [[10, 11], [12, 13, 14]]
    execute(make_batch([(prompts[16][:5], 0), (prompts[43][:20], 0)], tables))
    crowd = execute(make_batch([(prompts[16][5:], 5), (prompts[43][20:], 20)], tables))
    last = np.stack([expected[16][-1], expected[43][-1]])
    assert relative_error(crowd, last) < tolerance, "two sequences"
