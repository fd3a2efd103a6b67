"""The architectures that can be run: one short function each, registered here by its name in GGUF files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from candlewick.core.errors import UnsupportedModelError
from candlewick.core.metadata import Metadata
from candlewick.core.model_config import ModelConfig, ModelFile
from candlewick.core.models.llama import llama
from candlewick.core.models.qwen2 import qwen2
from candlewick.core.models.qwen3 import qwen3
from candlewick.core.models.smollm3 import smollm3
from candlewick.core.program import Program, Value
from candlewick.core.program_builder import ProgramBuilder, TensorShape

Architecture = Callable[[ProgramBuilder, ModelConfig], Value]
"""Traces a model and returns its logits."""

ARCHITECTURES: Mapping[str, Architecture] = {
    "llama": llama,
    "mistral": llama,
    "mistral3": llama,
    "qwen2": qwen2,
    "qwen3": qwen3,
    "smollm3": smollm3,
}
"""By ``general.architecture`` of the file."""


def trace_file(file: ModelFile) -> tuple[ModelConfig, Program]:
    """The sizes and the program of the model in an open file.

    Raises:
        UnsupportedModelError: the architecture is not in :data:`ARCHITECTURES`, or a feature is missing.
        ModelLoadError: metadata or tensors are missing, wrong or left over.
    """
    # Before anything else is read: of an unknown family, complaints about single keys would only mislead.
    _architecture(Metadata(file.metadata, file.path).text("general.architecture"), file.path)
    config = ModelConfig.from_file(file)
    return config, build_program(config, file.tensors, file.path)


def build_program(config: ModelConfig, tensors: Mapping[str, TensorShape], path: str | Path) -> Program:
    """Trace the model that ``config`` describes over the tensors of its file.

    Raises:
        UnsupportedModelError: the architecture is not in :data:`ARCHITECTURES`.
        ModelLoadError: tensors are missing, misshapen or left over; the one error lists all of them.
    """
    architecture = _architecture(config.architecture, path)
    builder = ProgramBuilder(tensors, path)
    return builder.build(architecture(builder, config))


def _architecture(name: str, path: str | Path) -> Architecture:
    if name not in ARCHITECTURES:
        raise UnsupportedModelError(
            path,
            "metadata key 'general.architecture'",
            f"is {name!r}; supported are {', '.join(ARCHITECTURES)}",
        )
    return ARCHITECTURES[name]
