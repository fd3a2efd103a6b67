"""How positions become angles: the frequencies of rotary position embeddings and their extensions to longer
contexts.

Owns the arithmetic of the scaling kinds (none, linear, YaRN, per-frequency factors as Llama 3 uses them) and
their keys in a GGUF file. Refuses to know which columns of a head form a pair: that is a fact of each
architecture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
import numpy.typing as npt

from candlewick.core.errors import ModelLoadError, UnsupportedModelError
from candlewick.core.metadata import Metadata

RopeScaling = Literal["none", "linear", "yarn"]

ROPE_FACTORS_TENSOR = "rope_freqs.weight"
"""Divisors of the frequencies, one each; converters write Llama 3's scaling this way."""


@dataclass(frozen=True, kw_only=True)
class RopeConfig:
    """Rotary position embeddings (Su et al. 2021) of the first ``dimensions`` columns of each head.

    Column pair ``i`` of a head at position ``p`` turns by ``p * inverse_frequencies()[i]`` radians, and sine
    and cosine are multiplied by ``attention_scale``.
    """

    base: float
    dimensions: int
    scaling: RopeScaling = "none"
    factor: float = 1.0
    """How many times longer the context is than the one trained with."""
    original_context_length: int = 0
    """Tokens of the context before it was extended; used by YaRN."""
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    attention_scale: float = 1.0
    factors: tuple[float, ...] | None = None

    @classmethod
    def from_metadata(
        cls,
        metadata: Metadata,
        architecture: str,
        *,
        head_dim: int,
        context_length: int,
        factors: npt.ArrayLike | None = None,
    ) -> RopeConfig:
        """Read ``{architecture}.rope.*``; ``factors`` are the values of the tensor ``rope_freqs.weight``.

        Raises:
            ModelLoadError: a value is absurd or contradicts another.
            UnsupportedModelError: the scaling is of another kind.
        """
        prefix = f"{architecture}.rope."

        def fail(key: str, reason: str) -> ModelLoadError:
            return ModelLoadError(metadata.path, f"metadata key {prefix + key!r}", reason)

        def number(key: str, default: float, low: float, high: float) -> float:
            value = metadata.number(prefix + key, default)
            if not low <= value <= high:
                raise fail(key, f"is {value:g}, must be from {low:g} to {high:g}")
            return value

        dimensions = metadata.integer(prefix + "dimension_count", head_dim)
        if not 2 <= dimensions <= head_dim or dimensions % 2:
            raise fail("dimension_count", f"is {dimensions}, must be even and from 2 to head_dim {head_dim}")
        factor = number("scaling.factor", metadata.number(prefix + "scale_linear", 1.0), 1e-3, 1e6)
        scaling = metadata.text(prefix + "scaling.type", "linear" if factor != 1.0 else "none")
        if scaling not in ("none", "linear", "yarn"):
            raise UnsupportedModelError(
                metadata.path,
                f"metadata key {prefix + 'scaling.type'!r}",
                f"is {scaling!r}; supported are none, linear, yarn, and factors in {ROPE_FACTORS_TENSOR}",
            )
        attention_scale = number("scaling.attn_factor", 1.0, 1e-3, 1e3)
        original_context_length = metadata.integer(prefix + "scaling.original_context_length", context_length)
        if not 1 <= original_context_length <= 2**31 - 1:
            raise fail("scaling.original_context_length", f"is {original_context_length}, must be at least 1")
        beta_fast = number("scaling.yarn_beta_fast", 32.0, 1e-3, 1e6)
        beta_slow = number("scaling.yarn_beta_slow", 1.0, 1e-3, 1e6)
        if beta_fast <= beta_slow:
            raise fail(
                "scaling.yarn_beta_fast", f"is {beta_fast:g}, must exceed yarn_beta_slow, {beta_slow:g}"
            )
        if scaling == "yarn":
            if number("scaling.yarn_ext_factor", 1.0, -1.0, 1.0) not in (1.0, -1.0):  # -1: the default, 1
                raise UnsupportedModelError(
                    metadata.path, f"metadata key '{prefix}scaling.yarn_ext_factor'", "must be 1 (full YaRN)"
                )
            log_multiplier = number("scaling.yarn_log_multiplier", 0.0, 0.0, 1e3)
            whole_scale = _yarn_scale(factor) / _yarn_scale(factor, log_multiplier)
            # A value in the file is the whole scale, as in transformers' configurations, where it comes from.
            attention_scale *= number("scaling.yarn_attn_factor", whole_scale, 1e-3, 1e3)
        return cls(
            base=number("freq_base", 10000.0, 1.001, 1e15),
            dimensions=dimensions,
            scaling=cast(RopeScaling, scaling),
            factor=1.0 if scaling == "none" else factor,
            original_context_length=original_context_length,
            beta_fast=beta_fast,
            beta_slow=beta_slow,
            attention_scale=attention_scale,
            factors=None if factors is None else _checked_factors(factors, dimensions, metadata),
        )

    def inverse_frequencies(self) -> npt.NDArray[np.float64]:
        """Radians per position of each pair of columns ``[dimensions / 2]``."""
        inverse = self.base ** (-np.arange(0, self.dimensions, 2, dtype=np.float64) / self.dimensions)
        if self.factors is not None:
            inverse /= np.array(self.factors)
        if self.scaling == "linear":
            inverse /= self.factor
        elif self.scaling == "yarn":
            kept = self._kept_by_yarn()
            inverse *= kept + (1.0 - kept) / self.factor
        return inverse

    def _kept_by_yarn(self) -> npt.NDArray[np.float64]:
        """Share of each frequency that YaRN leaves as it is: 1 for fast ones, 0 for slow ones, else between.

        Peng et al. 2023, section 3.2; bounds are rounded outward to whole pairs as all implementations do.
        """
        low = max(math.floor(self._pair_turning(self.beta_fast)), 0)
        high = min(math.ceil(self._pair_turning(self.beta_slow)), self.dimensions - 1)
        pairs = np.arange(self.dimensions // 2, dtype=np.float64)
        kept: npt.NDArray[np.float64] = 1.0 - np.clip((pairs - low) / max(high - low, 1e-3), 0.0, 1.0)
        return kept

    def _pair_turning(self, rotations: float) -> float:
        """The (fractional) pair of columns that turns ``rotations`` times within the original context."""
        wavelengths = self.original_context_length / (rotations * 2.0 * math.pi)
        return self.dimensions * math.log(wavelengths) / (2.0 * math.log(self.base))


def _yarn_scale(factor: float, multiplier: float = 1.0) -> float:
    """YaRN's recommended attention scale, ``0.1 ln(factor) + 1`` (Peng et al. 2023, equation 22)."""
    return 1.0 if factor <= 1.0 else 0.1 * multiplier * math.log(factor) + 1.0


def _checked_factors(factors: npt.ArrayLike, dimensions: int, metadata: Metadata) -> tuple[float, ...]:
    values = np.asarray(factors, dtype=np.float64)
    if values.shape != (dimensions // 2,):
        raise ModelLoadError(
            metadata.path, ROPE_FACTORS_TENSOR, f"has shape {list(values.shape)}, must be [{dimensions // 2}]"
        )
    if not ((values >= 1e-6) & (values <= 1e6)).all():
        raise ModelLoadError(metadata.path, ROPE_FACTORS_TENSOR, "holds values that are not from 1e-6 to 1e6")
    return tuple(values.tolist())
