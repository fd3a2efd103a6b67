"""The sizes of a decoder-only model, read from a GGUF file's metadata and held against its tensors.

Owns the metadata keys and what values they may sensibly have. Refuses to know how an architecture uses them:
that is ``core.models``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from candlewick.core.errors import ModelLoadError, UnsupportedModelError
from candlewick.core.metadata import Metadata, MetadataValue
from candlewick.core.rope_config import ROPE_FACTORS_TENSOR, RopeConfig

_MOST_LAYERS = 1024
_MOST_COLUMNS = 2**20
_MOST_TOKENS = 2**31 - 1

Pooling = Literal["mean", "cls", "last"]
_POOLINGS: dict[int, Pooling | None] = {0: "mean", 1: "mean", 2: "cls", 3: "last", 4: None}
"""By the number that a file gives (llama.cpp's ``llama_pooling_type``); 0 is "none", which files say of models that
were not made for embeddings."""

_SMOLLM3_NOPE_INTERVAL = 4
"""Every fourth layer of SmolLM3 has no RoPE (transformers' ``SmolLM3Config.no_rope_layer_interval``)."""

_MEANING_CHANGING_KEYS = {
    "expert_count": "a mixture of experts",
    "attention.clamp_kqv": "clamped attention inputs",
    "attention.max_alibi_bias": "ALiBi",
    "attn_logit_softcapping": "soft-capped attention",
    "final_logit_softcapping": "soft-capped logits",
    "logit_scale": "scaled logits",
    "embedding_scale": "scaled embeddings",
    "residual_scale": "scaled residuals",
    "attention.sliding_window_pattern": "layers that alternate in their window",
}
"""Keys that ask, with any other value than 0 (or 1, for a scale), for arithmetic that no model here does."""


class ModelFile(Protocol):
    """What is read of a model's file; ``core.gguf.GGUFFile`` is one."""

    @property
    def path(self) -> Path: ...
    @property
    def metadata(self) -> Mapping[str, MetadataValue]: ...
    @property
    def tensors(self) -> Mapping[str, _Tensor]: ...
    def data(self, name: str) -> npt.NDArray[np.uint8]: ...


class _Tensor(Protocol):
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def type(self) -> int: ...


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The sizes of one model; names follow transformers' configurations where those have one."""

    architecture: str
    vocab_size: int
    hidden_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    ffn_size: int
    """Columns between the two halves of the feed-forward network."""
    rms_epsilon: float
    context_length: int
    """Most tokens that the model was made for."""
    attention_scale: float
    """Factor of the dot products before the softmax; ``1 / sqrt(head_dim)`` unless the file tells."""
    rope: RopeConfig
    rope_layers: tuple[bool, ...]
    """For each layer, whether it rotates queries and keys (``False``: NoPE)."""
    sliding_window: int | None
    """Positions that a token looks at, its own included; ``None``: all before it."""
    tied_embeddings: bool
    """Whether the output matrix is the embedding."""
    pooling: Pooling | None
    """How a text's hidden states become one vector: their mean, unless the file tells; ``None``: by a classifier that
    ranks texts, which is no vector."""

    @classmethod
    def from_file(cls, file: ModelFile) -> ModelConfig:
        """The configuration of an open file; see :meth:`from_metadata`."""
        shapes = {name: tuple(info.shape) for name, info in file.tensors.items()}
        return cls.from_metadata(file.metadata, shapes, file.path, rope_factors=_read_rope_factors(file))

    @classmethod
    def from_metadata(
        cls,
        metadata: Mapping[str, MetadataValue],
        tensor_shapes: Mapping[str, tuple[int, ...]],
        path: str | Path,
        *,
        rope_factors: npt.ArrayLike | None = None,
    ) -> ModelConfig:
        """Read the keys of ``general.architecture`` and hold them against the tensors' shapes.

        Args:
            metadata: the file's entries (specification: ggml's ``docs/gguf.md``).
            tensor_shapes: outermost dimension first, by tensor name.
            path: named in errors.
            rope_factors: values of the tensor ``rope_freqs.weight``, which must be given if the file has it.

        Raises:
            ModelLoadError: a key is missing, its value absurd, or it contradicts another or a tensor.
            UnsupportedModelError: the file asks for arithmetic that no model here does.
        """
        reader = _Reader(Metadata(metadata, path), tensor_shapes)
        reader.refuse_unsupported()
        hidden_size = reader.size("embedding_length", 1, _MOST_COLUMNS)
        num_layers = reader.size("block_count", 1, _MOST_LAYERS)
        num_heads = reader.size("attention.head_count", 1, _MOST_COLUMNS)
        num_kv_heads = reader.size("attention.head_count_kv", 1, num_heads, default=num_heads)
        if num_heads % num_kv_heads:
            raise reader.error(
                "attention.head_count_kv", f"is {num_kv_heads}, does not divide head_count {num_heads}"
            )
        head_dim = reader.head_dim(hidden_size, num_heads)
        context_length = reader.size("context_length", 1, _MOST_TOKENS)
        if ROPE_FACTORS_TENSOR in tensor_shapes and rope_factors is None:
            raise ValueError(f"{path} has {ROPE_FACTORS_TENSOR}: pass its values as rope_factors")
        rope = RopeConfig.from_metadata(
            reader.metadata,
            reader.architecture,
            head_dim=head_dim,
            context_length=context_length,
            factors=rope_factors,
        )
        return cls(
            architecture=reader.architecture,
            vocab_size=reader.vocab_size(hidden_size),
            hidden_size=hidden_size,
            num_layers=num_layers,
            num_heads=num_heads,
            num_kv_heads=num_kv_heads,
            head_dim=head_dim,
            ffn_size=reader.size("feed_forward_length", 1, _MOST_COLUMNS),
            rms_epsilon=reader.number("attention.layer_norm_rms_epsilon", 1e-12, 1.0),
            context_length=reader.usable_context(context_length, rope.original_context_length),
            attention_scale=reader.number("attention.scale", 0.0, 1e3, default=0.0) or head_dim**-0.5,
            rope=rope,
            rope_layers=reader.rope_layers(num_layers),
            sliding_window=reader.size("attention.sliding_window", 0, _MOST_TOKENS, default=0) or None,
            tied_embeddings="output.weight" not in tensor_shapes,
            pooling=_POOLINGS[reader.size("pooling_type", 0, len(_POOLINGS) - 1, default=0)],
        )


class _Reader:
    """One architecture's keys, with their sensible ranges."""

    def __init__(self, metadata: Metadata, tensor_shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.metadata = metadata
        self.architecture = metadata.text("general.architecture")
        self._shapes = tensor_shapes

    def error(self, key: str, reason: str) -> ModelLoadError:
        return ModelLoadError(self.metadata.path, f"metadata key '{self.architecture}.{key}'", reason)

    def size(self, key: str, low: int, high: int, default: int | None = None) -> int:
        full_key = f"{self.architecture}.{key}"
        if isinstance(self.metadata.get(full_key), list | np.ndarray):
            value = self._same_in_all_layers(key)
        else:
            value = (
                self.metadata.integer(full_key)
                if default is None
                else self.metadata.integer(full_key, default)
            )
        if not low <= value <= high:
            raise self.error(key, f"is {value}, must be from {low} to {high}")
        return value

    def number(self, key: str, low: float, high: float, default: float | None = None) -> float:
        full_key = f"{self.architecture}.{key}"
        value = self.metadata.number(full_key) if default is None else self.metadata.number(full_key, default)
        if not low <= value <= high:
            raise self.error(key, f"is {value:g}, must be from {low:g} to {high:g}")
        return value

    def refuse_unsupported(self) -> None:
        for key, meaning in _MEANING_CHANGING_KEYS.items():
            value = self.metadata.get(f"{self.architecture}.{key}", 0)
            harmless = (0, 1) if key.endswith("_scale") else (0,)
            if not np.isin(np.asarray(value, dtype=object), harmless).all():
                raise self._unsupported(key, f"is {np.asarray(value)}: {meaning} can't be run")
        if not self.metadata.boolean(f"{self.architecture}.attention.causal", True):
            raise self._unsupported("attention.causal", "is False: only causal models can generate text")

    def head_dim(self, hidden_size: int, num_heads: int) -> int:
        key_given = f"{self.architecture}.attention.key_length" in self.metadata
        if not key_given and hidden_size % num_heads:
            raise self.error(
                "attention.head_count", f"is {num_heads}, does not divide embedding_length {hidden_size}"
            )
        head_dim = self.size("attention.key_length", 1, _MOST_COLUMNS, default=hidden_size // num_heads)
        value_dim = self.size("attention.value_length", 1, _MOST_COLUMNS, default=head_dim)
        if value_dim != head_dim:
            raise self._unsupported(
                "attention.value_length", f"is {value_dim} and key_length is {head_dim}: they must be equal"
            )
        return head_dim

    def vocab_size(self, hidden_size: int) -> int:
        """Rows of the embedding; what the metadata says of the vocabulary must agree."""
        shape = self._shapes.get("token_embd.weight")
        if shape is None:
            raise ModelLoadError(
                self.metadata.path, "token_embd.weight", "this tensor is missing from the file"
            )
        if len(shape) != 2 or shape[1] != hidden_size:
            raise self.error(
                "embedding_length", f"is {hidden_size}, but token_embd.weight has the shape {list(shape)}"
            )
        if self.size("vocab_size", 1, _MOST_TOKENS, default=shape[0]) != shape[0]:
            raise self.error(
                "vocab_size",
                f"is {self.metadata.integer(f'{self.architecture}.vocab_size')}, "
                f"but token_embd.weight has {shape[0]} rows",
            )
        tokens = self.metadata.texts("tokenizer.ggml.tokens", None)
        if tokens is not None and len(tokens) != shape[0]:
            raise ModelLoadError(
                self.metadata.path,
                "metadata key 'tokenizer.ggml.tokens'",
                f"has {len(tokens)} tokens, but token_embd.weight has {shape[0]} rows",
            )
        return shape[0]

    def usable_context(self, context_length: int, original_context_length: int) -> int:
        """The context up to which attention needs no temperature.

        Ministral 3 scales its queries by ``1 + scale * ln(1 + floor(position / length))``, which is exactly 1
        before ``length``; positions from there on are not offered.
        """
        if not self.number("attention.temperature_scale", 0.0, 1e3, default=0.0):
            return context_length
        length = self.size("attention.temperature_length", 1, _MOST_TOKENS, default=original_context_length)
        return min(context_length, length)

    def rope_layers(self, num_layers: int) -> tuple[bool, ...]:
        """Which layers have RoPE.

        Converters agree on no key, so the names of transformers' fields are looked for at the end of any key:
        ``no_rope_layers`` (a number for each layer, 1 for RoPE), ``no_rope_layer_interval``.
        """
        layers_key = self._key_ending_in("no_rope_layers")
        if layers_key is not None:
            flags = self.metadata.numbers(layers_key)
            if len(flags) != num_layers or not np.isin(flags, (0, 1)).all():
                raise ModelLoadError(
                    self.metadata.path,
                    f"metadata key {layers_key!r}",
                    f"must hold {num_layers} zeros and ones, got {flags[:_MOST_LAYERS].tolist()}",
                )
            return tuple(bool(flag) for flag in flags)
        interval = _SMOLLM3_NOPE_INTERVAL if self.architecture == "smollm3" else 0
        interval_key = self._key_ending_in("no_rope_layer_interval")
        if interval_key is not None:
            interval = self.metadata.integer(interval_key)
            if not 0 <= interval <= _MOST_TOKENS:
                raise ModelLoadError(
                    self.metadata.path,
                    f"metadata key {interval_key!r}",
                    f"is {interval}, must be at least 0 (0: all layers have RoPE)",
                )
        return tuple(interval == 0 or (layer + 1) % interval != 0 for layer in range(num_layers))

    def _key_ending_in(self, name: str) -> str | None:
        keys = sorted(key for key in self.metadata if key == name or key.endswith("." + name))
        return keys[0] if keys else None

    def _same_in_all_layers(self, key: str) -> int:
        values = np.unique(self.metadata.numbers(f"{self.architecture}.{key}"))
        if values.size != 1 or values.dtype.kind not in "iu":
            raise self._unsupported(key, f"is {values.tolist()[:16]}: layers that differ are not supported")
        return int(values[0])

    def _unsupported(self, key: str, reason: str) -> UnsupportedModelError:
        return UnsupportedModelError(self.metadata.path, f"metadata key '{self.architecture}.{key}'", reason)


def _read_rope_factors(file: ModelFile) -> npt.NDArray[np.float32] | None:
    info = file.tensors.get(ROPE_FACTORS_TENSOR)
    if info is None:
        return None
    if info.type != 0:
        raise ModelLoadError(file.path, ROPE_FACTORS_TENSOR, f"has type {info.type!r}, must be F32")
    return np.frombuffer(file.data(ROPE_FACTORS_TENSOR), dtype="<f4").reshape(info.shape)
