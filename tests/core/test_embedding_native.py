"""Vectors of texts through the native kernels, against transformers' hidden states pooled by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scripted_runner import ByteTokenizer

from candlewick.core.config import EngineConfig
from candlewick.core.engine import InferenceEngine
from candlewick.core.gguf import GGUFFile
from candlewick.core.model_config import Pooling
from candlewick.core.params import GenerationParams
from reference.export_transformers import export_gguf
from reference.random_models import random_model, reference_hidden_states

pytest.importorskip("torch", reason="torch and transformers are the reference here")
pytest.importorskip("transformers", reason="torch and transformers are the reference here")
pytest.importorskip("candlewick._kernels", reason="the native module is not built")
pytestmark = pytest.mark.reference


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_embeddings_agree(pooling: Pooling, tmp_path: Path) -> None:
    from candlewick.core.native_runner import NativeRunner

    model = random_model("qwen3")
    path = export_gguf(model, tmp_path / "model.gguf", pooling=pooling.upper())
    prompts = [np.random.default_rng(length).integers(0, 288, length).tolist() for length in (1, 50, 23)]
    states = [reference_hidden_states(model, prompt) for prompt in prompts]
    pooled = np.stack([{"mean": s.mean(axis=0), "cls": s[0], "last": s[-1]}[pooling] for s in states])
    config = EngineConfig(kv_cache_bytes=2**22, kv_cache_type="f32", max_step_tokens=20, num_threads=2)
    with GGUFFile.open(path) as file:
        runner = NativeRunner.load(file, config)
    with InferenceEngine(runner, ByteTokenizer(), config) as engine:  # type: ignore[arg-type]
        found = engine.embed(prompts, normalize=False)
        assert np.abs(found - pooled).max() < 1e-3 * np.abs(pooled).max()
        vectors = engine.embed(prompts)
        unit = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
        assert np.abs(vectors - unit).max() < 1e-3

        alone = np.concatenate([engine.embed([prompt]) for prompt in prompts])
        np.testing.assert_array_equal(alone, vectors)
        neighbours = [engine.submit([i] * 20, GenerationParams(max_tokens=40, seed=i)) for i in range(5)]
        np.testing.assert_array_equal(engine.embed(prompts), vectors)
        for neighbour in neighbours:
            neighbour.cancel()
