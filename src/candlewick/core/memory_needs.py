"""How much memory a model will take, told from its file before it is loaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from candlewick.core.config import EngineConfig
from candlewick.core.gguf import GGUFFile
from candlewick.core.model_config import ModelConfig
from candlewick.core.model_source import resolve_model
from candlewick.core.native_runner import kv_pool_bytes


def memory_needs(
    reference: str | Path, config: EngineConfig, progress: Callable[[str, int, int], None] | None = None
) -> int:
    """Bytes of weights, which are packed without growing, and of the pool of keys and values.

    The file is fetched first if it has to be, which ``progress`` is told of.

    Raises:
        ModelNotFoundError, ModelLoadError: as for loading it.
    """
    with GGUFFile.open(resolve_model(reference, progress=progress)) as file:
        weights = sum(tensor.num_bytes for tensor in file.tensors.values())
        return weights + kv_pool_bytes(ModelConfig.from_file(file), config)
