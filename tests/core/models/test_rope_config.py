"""Frequencies: by hand where a few numbers tell all, against transformers otherwise."""

import math
from typing import Any

import numpy as np
import pytest

from candlewick.core.errors import UnsupportedModelError
from candlewick.core.metadata import Metadata
from candlewick.core.rope_config import RopeConfig


def read(head_dim: int = 8, context_length: int = 4096, factors: Any = None, **keys: Any) -> RopeConfig:
    metadata = Metadata({f"llama.rope.{key}": value for key, value in keys.items()}, "toy.gguf")
    return RopeConfig.from_metadata(
        metadata, "llama", head_dim=head_dim, context_length=context_length, factors=factors
    )


def test_plain_frequencies() -> None:
    rope = read(freq_base=10000.0)
    np.testing.assert_allclose(rope.inverse_frequencies(), [1.0, 0.1, 0.01, 0.001], rtol=1e-15)
    assert rope.attention_scale == 1.0


def test_part_of_a_head() -> None:
    rope = read(head_dim=8, dimension_count=4, freq_base=100.0)
    np.testing.assert_allclose(rope.inverse_frequencies(), [1.0, 0.1], rtol=1e-15)


def test_linear_scaling_slows_all() -> None:
    for keys in (
        {"scaling.type": "linear", "scaling.factor": 4.0},
        {"scaling.factor": 4.0},  # without a type it is linear
        {"scale_linear": 4.0},  # the key's older name
    ):
        np.testing.assert_allclose(
            read(**keys).inverse_frequencies(), [0.25, 0.025, 0.0025, 0.00025], rtol=1e-15
        )
    np.testing.assert_allclose(
        read(**{"scaling.type": "none", "scaling.factor": 4.0}).inverse_frequencies(),
        read().inverse_frequencies(),
    )


def test_factors_divide() -> None:
    rope = read(factors=np.array([1.0, 2.0, 4.0, 8.0], np.float32))
    np.testing.assert_allclose(rope.inverse_frequencies(), [1.0, 0.05, 0.0025, 0.000125], rtol=1e-15)


def test_yarn_by_hand() -> None:
    """Base e² and 8 columns: pair i turns e^(-i/2) radians a position, so bounds are easy logarithms.

    With a context of 2π e² the pair that turns r times is 2 (2 - ln r): r = 1 is pair 4, r = e is pair 2.
    """
    context = round(2 * math.pi * math.exp(2))  # 46, near enough: the bounds are rounded outward
    keys = {
        "freq_base": math.exp(2),
        "scaling.type": "yarn",
        "scaling.factor": 8.0,
        "scaling.original_context_length": context,
        "scaling.yarn_beta_fast": math.exp(1.001),
        "scaling.yarn_beta_slow": math.exp(0.01),
    }
    plain = np.exp(-np.arange(4) / 2)
    # Bounds 1 (floor of just under 2) and 4 (ceiling of just under 4): pairs 2, 3 are 1/3, 2/3 interpolated.
    expected = plain * np.array([1.0, 1.0, 2 / 3 + 1 / 3 / 8, 1 / 3 + 2 / 3 / 8])
    rope = read(**keys)
    np.testing.assert_allclose(rope.inverse_frequencies(), expected, rtol=1e-12)
    assert rope.attention_scale == pytest.approx(0.1 * math.log(8) + 1)


def test_yarn_attention_scale() -> None:
    yarn = {"scaling.type": "yarn", "scaling.factor": 8.0}
    assert read(**yarn, **{"scaling.yarn_log_multiplier": 1.0}).attention_scale == pytest.approx(1.0)
    assert read(**yarn, **{"scaling.yarn_attn_factor": 1.25}).attention_scale == pytest.approx(1.25)
    assert read(**yarn, **{"scaling.attn_factor": 2.0}).attention_scale == pytest.approx(
        0.2 * math.log(8) + 2
    )
    assert read(**{"scaling.type": "yarn"}).attention_scale == 1.0


def test_partial_yarn_is_refused() -> None:
    with pytest.raises(UnsupportedModelError, match="yarn_ext_factor"):
        read(**{"scaling.type": "yarn", "scaling.yarn_ext_factor": 0.5})


YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 2048}


@pytest.mark.reference
@pytest.mark.parametrize("head_dim", [8, 64, 128])
@pytest.mark.parametrize("base", [500.0, 10000.0, 5e6])
@pytest.mark.parametrize(
    "parameters",
    [
        {"rope_type": "linear", "factor": 2.5},
        YARN,
        {**YARN, "factor": 32.0, "original_max_position_embeddings": 32768},
        {**YARN, "beta_fast": 16.0, "beta_slow": 3.0},
        {**YARN, "attention_factor": 1.7},
        {**YARN, "mscale": 1.0, "mscale_all_dim": 0.4},
    ],
)
def test_transformers_agrees(head_dim: int, base: float, parameters: dict[str, Any]) -> None:
    pytest.importorskip("torch", reason="torch and transformers are the reference here")
    transformers = pytest.importorskip("transformers", reason="torch and transformers are the reference here")
    rope_utils = pytest.importorskip("transformers.modeling_rope_utils")
    config = transformers.LlamaConfig(
        hidden_size=head_dim * 2,
        num_attention_heads=2,
        head_dim=head_dim,
        max_position_embeddings=131072,
        rope_parameters={"rope_theta": base, **parameters},
    )
    expected, scale = rope_utils.ROPE_INIT_FUNCTIONS[parameters["rope_type"]](config)
    names = {
        "rope_type": "scaling.type",
        "factor": "scaling.factor",
        "original_max_position_embeddings": "scaling.original_context_length",
        "beta_fast": "scaling.yarn_beta_fast",
        "beta_slow": "scaling.yarn_beta_slow",
        "attention_factor": "scaling.yarn_attn_factor",
        "mscale_all_dim": "scaling.yarn_log_multiplier",
    }
    keys = {names[key]: value for key, value in parameters.items() if key in names}
    rope = read(head_dim, 131072, freq_base=base, **keys)
    np.testing.assert_allclose(rope.inverse_frequencies(), expected.numpy(), rtol=2e-6)
    assert rope.attention_scale == pytest.approx(scale, rel=1e-12)
