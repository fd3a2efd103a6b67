"""Models in the formats of published files: the native runner against the numpy interpreter."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from toy_file import VOCABULARY, toy_metadata, toy_shapes

from candlewick.core.config import EngineConfig
from candlewick.core.gguf import GGUFFile
from candlewick.core.models import trace_file
from candlewick.core.native_runner import NativeRunner
from reference.export_transformers import read_dequantized
from reference.numpy_interpreter import NumpyInterpreter, make_batch, round_to_int8
from reference.random_blocks import write_random_model

kernels = pytest.importorskip("candlewick._kernels", reason="the native module is not built")

WIDTH = 16  # heads of 128 columns, rows of 512 and 768: whole blocks of 256
ROUNDED_TOGETHER = {"IQ4_NL": 32}
"""Columns that share a scale when activations are rounded; 256 where not told."""


@pytest.mark.parametrize("kind", ["Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_XS", "IQ4_NL"])
def test_logits_agree(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    write_random_model(str(path), toy_metadata("smollm3", 2, WIDTH), toy_shapes("smollm3", 2, WIDTH), kind)
    token_ids = np.random.default_rng(7).integers(0, VOCABULARY, 32).tolist()
    batch = make_batch([([token_id], 0) for token_id in token_ids], [[index] for index in range(32)])
    config = EngineConfig(kv_cache_bytes=2**24, kv_cache_type="f32", max_step_tokens=32, num_threads=1)
    with GGUFFile.open(path) as file:
        _, program = trace_file(file)
        runner = NativeRunner.load(file, config)
    runner.execute(batch)
    got = runner.logits().copy()
    runner.close()

    rounding = partial(round_to_int8, group=ROUNDED_TOGETHER.get(kind, 256))
    expected = NumpyInterpreter(program, read_dequantized(path), round_activations=rounding).execute(batch)
    row_errors = np.abs(got - expected).max(axis=1) / np.abs(expected).max()
    assert np.median(row_errors) < 1e-4
    assert row_errors.max() < 0.02
