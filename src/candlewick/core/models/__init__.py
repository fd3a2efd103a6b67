"""The architectures that can be run: one short function each, registered here by its name in GGUF files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from candlewick.core.errors import UnsupportedModelError
from candlewick.core.model_config import ModelConfig
from candlewick.core.models.llama import llama
from candlewick.core.models.qwen2 import qwen2
from candlewick.core.models.qwen3 import qwen3
from candlewick.core.models.smollm3 import smollm3
from candlewick.core.program import Program, Value
from candlewick.core.program_builder import ProgramBuilder, TensorShape

ARCHITECTURES: Mapping[str, Callable[[ProgramBuilder, ModelConfig], Value]] = {
    "llama": llama,
    "mistral": llama,
    "mistral3": llama,
    "qwen2": qwen2,
    "qwen3": qwen3,
    "smollm3": smollm3,
}
"""Traces a model and returns its logits, by ``general.architecture``."""


def build_program(config: ModelConfig, tensors: Mapping[str, TensorShape], path: str | Path) -> Program:
    """Trace the model that ``config`` describes over the tensors of its file.

    Raises:
        UnsupportedModelError: the architecture is not in :data:`ARCHITECTURES`.
        ModelLoadError: tensors are missing, misshapen or left over; the one error lists all of them.
    """
    architecture = ARCHITECTURES.get(config.architecture)
    if architecture is None:
        raise UnsupportedModelError(
            path,
            "metadata key 'general.architecture'",
            f"is {config.architecture!r}; supported are {', '.join(ARCHITECTURES)}",
        )
    builder = ProgramBuilder(tensors, path)
    return builder.build(architecture(builder, config))
