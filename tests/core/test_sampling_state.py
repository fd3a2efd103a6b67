"""How a request's parameters reach the native sampler."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import candlewick
from candlewick.core.params import GenerationParams
from candlewick.core.sampling import new_native_sampler


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The keyword arguments of the latest sampler, which a fake native module writes down."""
    arguments: dict[str, Any] = {}

    class Sampler:
        def __init__(self, **keywords: Any) -> None:
            arguments.update(keywords)

    fake = ModuleType("candlewick._kernels")
    fake.Sampler = Sampler  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "candlewick._kernels", fake)
    monkeypatch.setattr(candlewick, "_kernels", fake, raising=False)
    return arguments


def test_every_parameter_arrives_under_its_name(recorded: dict[str, Any]) -> None:
    params = GenerationParams(
        temperature=0.5,
        top_k=4,
        top_p=0.9,
        min_p=0.1,
        repetition_penalty=1.1,
        frequency_penalty=0.2,
        presence_penalty=0.3,
        logit_bias={5: 1.5, 2: -100},
        logprobs=3,
    )
    new_native_sampler(params, 1000, seed=2**64 - 1, choice=2, prompt_ids=[7, 8])
    for name in (
        "temperature",
        "top_k",
        "top_p",
        "min_p",
        "repetition_penalty",
        "frequency_penalty",
        "presence_penalty",
    ):
        assert recorded[name] == getattr(params, name)
    assert (recorded["vocab_size"], recorded["seed"], recorded["choice"]) == (1000, 2**64 - 1, 2)
    assert recorded["num_logprobs"] == 3
    for name, values, dtype in (
        ("prompt_ids", [7, 8], np.int32),
        ("bias_ids", [5, 2], np.int32),
        ("bias_values", [1.5, -100], np.float32),
    ):
        assert recorded[name].dtype == dtype
        assert recorded[name].tolist() == values


def test_no_logprobs_and_none_of_the_most_likely_are_told_apart(recorded: dict[str, Any]) -> None:
    new_native_sampler(GenerationParams(), 10, seed=0, choice=0, prompt_ids=[])
    assert recorded["num_logprobs"] == -1
    assert recorded["bias_ids"].shape == recorded["bias_values"].shape == recorded["prompt_ids"].shape == (0,)
    new_native_sampler(GenerationParams(logprobs=0), 10, seed=0, choice=0, prompt_ids=[])
    assert recorded["num_logprobs"] == 0


def test_the_native_sampler_takes_them_all_and_counts() -> None:
    pytest.importorskip("candlewick._kernels", reason="the native module is not built here")
    params = GenerationParams(
        temperature=0.5,
        top_k=4,
        top_p=0.9,
        min_p=0.1,
        repetition_penalty=1.1,
        logit_bias={3: 2.0},
        logprobs=2,
    )
    sampler: Any = new_native_sampler(params, 10, seed=2**64 - 1, choice=1, prompt_ids=[1, 2])
    sampler.accept(4)
    sampler.accept(5)
    sampler.retract(5)
    assert sampler.num_accepted == 1
