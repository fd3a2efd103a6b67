"""Metadata in, sizes or a clear error out."""

import contextlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from toy_file import HEAD_DIM, HIDDEN, VOCABULARY, ToyFile, ToyTensor, toy_metadata, toy_shapes, toy_tensors

from candlewick.core.errors import ModelLoadError, UnsupportedModelError
from candlewick.core.model_config import ModelConfig
from candlewick.core.models import build_program


def read(metadata: dict[str, Any], shapes: dict[str, tuple[int, ...]] | None = None) -> ModelConfig:
    return ModelConfig.from_metadata(metadata, toy_shapes() if shapes is None else shapes, "toy.gguf")


def test_sizes() -> None:
    config = read(toy_metadata())
    assert (config.architecture, config.vocab_size, config.hidden_size) == ("llama", VOCABULARY, HIDDEN)
    assert (config.num_layers, config.num_heads, config.num_kv_heads, config.head_dim) == (2, 4, 2, 8)
    assert (config.ffn_size, config.rms_epsilon, config.context_length) == (48, 1e-5, 64)
    assert config.attention_scale == HEAD_DIM**-0.5
    assert config.rope_layers == (True, True)
    assert config.sliding_window is None
    assert config.tied_embeddings


def test_defaults_of_optional_keys() -> None:
    config = read(toy_metadata(**{"attention.head_count_kv": None, "rope.freq_base": None}))
    assert config.num_kv_heads == config.num_heads
    assert config.rope.base == 10000.0


@pytest.mark.parametrize(
    ("number", "pooling"), [(None, "mean"), (0, "mean"), (1, "mean"), (2, "cls"), (3, "last"), (4, None)]
)
def test_pooling(number: int | None, pooling: str | None) -> None:
    assert read(toy_metadata(pooling_type=number)).pooling == pooling


def test_given_values_win() -> None:
    shapes = {**toy_shapes(), "output.weight": (VOCABULARY, HIDDEN)}
    given = {
        "attention.key_length": 16,
        "attention.scale": 0.5,
        "attention.sliding_window": 12,
        "vocab_size": 40,
    }
    config = read(toy_metadata(**given), shapes)
    assert (config.head_dim, config.attention_scale, config.sliding_window) == (16, 0.5, 12)
    assert not config.tied_embeddings


def test_equal_values_of_all_layers_are_one_value() -> None:
    config = read(toy_metadata(**{"attention.head_count_kv": np.array([2, 2], np.uint32)}))
    assert config.num_kv_heads == 2
    with pytest.raises(UnsupportedModelError, match=r"head_count_kv.*\[1, 2\].*differ"):
        read(toy_metadata(**{"attention.head_count_kv": np.array([2, 1], np.uint32)}))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, (True, True, True, False, True, True, True, False, True)),
        ({"no_rope_layers": np.array([1, 0, 0, 1, 1, 1, 1, 1, 0])}, (True, False, False, *[True] * 5, False)),
        ({"attention.no_rope_layer_interval": 3}, (True, True, False) * 3),
        ({"no_rope_layer_interval": 0}, (True,) * 9),
    ],
)
def test_layers_without_rope(changes: dict[str, Any], expected: tuple[bool, ...]) -> None:
    config = read(toy_metadata("smollm3", 9, **changes), toy_shapes("smollm3", 9))
    assert config.rope_layers == expected


def test_other_families_rotate_in_every_layer() -> None:
    assert all(read(toy_metadata("qwen3", 9), toy_shapes("qwen3", 9)).rope_layers)


def test_context_ends_where_attention_would_need_a_temperature() -> None:
    scaled = {"attention.temperature_scale": 0.1, "rope.scaling.original_context_length": 16}
    assert read(toy_metadata(**scaled)).context_length == 16
    assert read(toy_metadata(**scaled, **{"attention.temperature_length": 24})).context_length == 24
    assert read(toy_metadata(**{"rope.scaling.original_context_length": 16})).context_length == 64


@pytest.mark.parametrize(
    "key",
    [
        "context_length",
        "embedding_length",
        "block_count",
        "feed_forward_length",
        "attention.head_count",
        "attention.layer_norm_rms_epsilon",
    ],
)
def test_missing_keys_are_named(key: str) -> None:
    with pytest.raises(ModelLoadError, match=f"toy.gguf.*llama.{key}.*missing"):
        read(toy_metadata(**{key: None}))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("context_length", 0),
        ("embedding_length", 64),
        ("embedding_length", 2**40),
        ("embedding_length", "32"),
        ("block_count", -1),
        ("block_count", 10**9),
        ("feed_forward_length", 0),
        ("feed_forward_length", np.zeros(0)),
        ("attention.head_count", 0),
        ("attention.head_count", 6),
        ("attention.head_count_kv", 3),
        ("attention.head_count_kv", 8),
        ("attention.head_count_kv", True),
        ("attention.key_length", 0),
        ("attention.value_length", 16),
        ("attention.layer_norm_rms_epsilon", 0.0),
        ("attention.layer_norm_rms_epsilon", float("nan")),
        ("attention.layer_norm_rms_epsilon", 2.0),
        ("attention.scale", -1.0),
        ("attention.sliding_window", -1),
        ("vocab_size", 41),
        ("no_rope_layers", np.array([1])),
        ("no_rope_layers", np.array([1, 2])),
        ("no_rope_layer_interval", -1),
        ("rope.freq_base", 0.0),
        ("rope.dimension_count", 7),
        ("rope.dimension_count", 10),
        ("rope.scaling.factor", 0.0),
        ("rope.scaling.type", "longrope"),
        ("rope.scaling.type", 1),
        ("rope.scaling.original_context_length", 0),
        ("rope.scaling.yarn_beta_fast", 0.5),
        ("attention.causal", False),
        ("expert_count", 8),
        ("attn_logit_softcapping", 50.0),
        ("residual_scale", 0.2),
        ("attention.sliding_window_pattern", np.array([True, False])),
    ],
)
def test_wrong_values_are_named(key: str, value: object) -> None:
    with pytest.raises(ModelLoadError) as failure:
        read(toy_metadata(**{key: value}))
    assert failure.value.where == f"metadata key 'llama.{key}'"
    if isinstance(value, np.ndarray):
        shown = (str(value), str(value.tolist()), f"array of {value.size}")
        assert any(text in failure.value.reason for text in shown)
    else:
        assert (f"{value:g}" if isinstance(value, float) else str(value)) in failure.value.reason


def test_harmless_values_of_unsupported_keys() -> None:
    read(toy_metadata(expert_count=0, residual_scale=1.0, logit_scale=0.0))


def test_vocabulary_must_match_the_embedding() -> None:
    metadata = {**toy_metadata(), "tokenizer.ggml.tokens": ["a"] * 39}
    with pytest.raises(ModelLoadError, match=r"tokenizer\.ggml\.tokens.*39 tokens.*40 rows"):
        read(metadata)
    with pytest.raises(ModelLoadError, match=r"token_embd\.weight.*missing"):
        read(toy_metadata(), {})


def file_with_factors(factors: list[float], tensor_type: int = 0) -> ToyFile:
    tensors = {**toy_tensors(), "rope_freqs.weight": ToyTensor((len(factors),), tensor_type)}
    return ToyFile(toy_metadata(), tensors, {"rope_freqs.weight": np.array(factors, "<f4")})


def test_rope_factors_come_from_the_file() -> None:
    config = ModelConfig.from_file(file_with_factors([1.0, 2.0, 4.0, 8.0]))
    assert config.rope.factors == (1.0, 2.0, 4.0, 8.0)


@pytest.mark.parametrize("factors", [[1.0], [1.0, 1.0, 1.0, 0.0], [1.0, 1.0, 1.0, float("nan")]])
def test_bad_rope_factors_are_refused(factors: list[float]) -> None:
    with pytest.raises(ModelLoadError, match=r"rope_freqs\.weight"):
        ModelConfig.from_file(file_with_factors(factors))


def test_rope_factors_of_another_type_are_refused() -> None:
    with pytest.raises(ModelLoadError, match=r"rope_freqs\.weight.*F32"):
        ModelConfig.from_file(file_with_factors([1.0, 1.0, 1.0, 1.0], tensor_type=1))


def test_rope_factors_can_not_be_forgotten() -> None:
    with pytest.raises(ValueError, match="rope_factors"):
        read(toy_metadata(), {**toy_shapes(), "rope_freqs.weight": (4,)})


KNOWN_KEYS = [
    "context_length",
    "embedding_length",
    "block_count",
    "feed_forward_length",
    "vocab_size",
    "no_rope_layers",
    "no_rope_layer_interval",
    "expert_count",
    "residual_scale",
    *(
        f"attention.{name}"
        for name in (
            "head_count",
            "head_count_kv",
            "key_length",
            "value_length",
            "layer_norm_rms_epsilon",
            "scale",
            "causal",
            "sliding_window",
            "sliding_window_pattern",
            "temperature_scale",
            "temperature_length",
        )
    ),
    *(f"rope.{name}" for name in ("dimension_count", "freq_base", "scale_linear")),
    *(
        f"rope.scaling.{name}"
        for name in (
            "type",
            "factor",
            "attn_factor",
            "original_context_length",
            "yarn_beta_fast",
            "yarn_beta_slow",
            "yarn_log_multiplier",
            "yarn_attn_factor",
            "yarn_ext_factor",
        )
    ),
]

ANY_VALUE = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.text(max_size=3), max_size=3),
    arrays(st.sampled_from([np.uint8, np.int32, np.uint64, np.float32, np.bool_]), st.integers(0, 4)),
)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([*KNOWN_KEYS, "general.architecture"]), ANY_VALUE)
def test_no_value_breaks_more_than_the_load(key: str, value: Any) -> None:
    metadata = toy_metadata(**{"rope.scaling.type": "yarn", "rope.scaling.factor": 2.0})
    metadata[key if "general" in key else f"llama.{key}"] = value
    with contextlib.suppress(ModelLoadError):
        build_program(read(metadata), toy_tensors(), "toy.gguf")
