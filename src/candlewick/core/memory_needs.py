"""How much memory a model will take, told from its file before it is loaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from candlewick.core.config import EngineConfig
from candlewick.core.gguf import GGUFFile
from candlewick.core.model_config import ModelConfig
from candlewick.core.model_source import resolve_model
from candlewick.core.native_runner import kv_block_bytes, kv_pool_bytes
from candlewick.core.speculation.draft_file import draft_config


def memory_needs(
    reference: str | Path, config: EngineConfig, progress: Callable[[str, int, int], None] | None = None
) -> int:
    """Bytes of weights, which are packed without growing, and of the pool of keys and values; the draft model's, if
    there is one, too.

    The file is fetched first if it has to be, which ``progress`` is told of.

    Raises:
        ModelNotFoundError, ModelLoadError: as for loading it.
    """
    with GGUFFile.open(resolve_model(reference, progress=progress)) as file:
        model = ModelConfig.from_file(file)
        pool_bytes = kv_pool_bytes(model, config)
        needs = _weight_bytes(file) + pool_bytes
    if config.draft_model is not None:
        num_blocks = pool_bytes // kv_block_bytes(model, config.kv_cache_type)
        with GGUFFile.open(resolve_model(config.draft_model, progress=progress)) as draft_file:
            draft = draft_config(draft_file, config, num_blocks=num_blocks)
            needs += _weight_bytes(draft_file) + kv_pool_bytes(ModelConfig.from_file(draft_file), draft)
    return needs


def _weight_bytes(file: GGUFFile) -> int:
    return sum(tensor.num_bytes for tensor in file.tensors.values())
