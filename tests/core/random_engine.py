"""Engines of small random models over the native kernels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from scripted_runner import VOCAB_SIZE, ByteTokenizer

from candlewick.core.config import EngineConfig
from candlewick.core.engine import ChoiceResult, InferenceEngine
from candlewick.core.gguf import GGUFFile
from candlewick.core.model_config import ModelConfig

Bits = list[tuple[int, float, tuple[tuple[int, float], ...]]]


def write_model(path: Path, tensor_type: str, architecture: str = "llama") -> Path:
    """A model whose tokens are those of the scripted one."""
    from reference.random_gguf import write_random_gguf

    return write_random_gguf(path, architecture, vocab_size=VOCAB_SIZE, tensor_type=tensor_type)


def new_engine(
    path: Path, *, num_blocks: int = 200, draft_path: Path | None = None, **config: Any
) -> InferenceEngine:
    """The engine of a model that :func:`write_model` wrote, by itself or with another one to guess for it."""
    from candlewick.core.native_runner import NativeRunner, kv_block_bytes
    from candlewick.core.speculation.draft_file import load_draft_runner

    settings = EngineConfig(**config)
    with GGUFFile.open(path) as file:
        if settings.kv_cache_bytes is None:  # by itself the pool would be as large as the machine allows
            block_bytes = kv_block_bytes(ModelConfig.from_file(file), settings.kv_cache_type)
            settings = replace(settings, kv_cache_bytes=num_blocks * block_bytes)
        runner = NativeRunner.load(file, settings)
    draft_runner = None
    if draft_path is not None:
        with GGUFFile.open(draft_path) as draft_file:
            draft_runner = load_draft_runner(draft_file, settings, runner)
    return InferenceEngine(runner, ByteTokenizer(), settings, draft_runner)  # type: ignore[arg-type]


def bits(choice: ChoiceResult) -> Bits:
    return [(output.token_id, output.logprob, output.top_logprobs) for output in choice.outputs]  # type: ignore[misc]
