"""``candlewick inspect`` on files written by the ``gguf`` package."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from candlewick.cli.app import app
from candlewick.cli.sizes import count, size

gguf = pytest.importorskip("gguf")

HIDDEN, LAYERS, HEADS, KV_HEADS, FFN, TOKENS, CONTEXT = 64, 2, 4, 2, 128, 32, 512


def write_model(path: Path, architecture: str = "llama") -> Path:
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name("Tiny [x]")
    writer.add_block_count(LAYERS)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(FFN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(TOKENS)
    writer.add_array("tiny.numbers", [1, 2, 3, 4, 5])
    writer.add_token_list([f"t{index}" for index in range(TOKENS)])
    embedding = np.ones((TOKENS, HIDDEN), np.float32)
    quantised = gguf.quants.quantize(embedding, gguf.GGMLQuantizationType.Q8_0)
    writer.add_tensor("token_embd.weight", quantised, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.add_tensor("output_norm.weight", np.ones(HIDDEN, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def inspect(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner(env={"COLUMNS": "150"}).invoke(app, ["inspect", *map(str, arguments)])
    return result.exit_code, " ".join((result.stdout + result.stderr).split())


def test_metadata_types_and_memory(tmp_path: Path) -> None:
    code, told = inspect(write_model(tmp_path / "tiny.gguf"), "--context", "100")
    assert code == 0
    assert "general.name │ Tiny [x]" in told
    assert "tokenizer.ggml.tokens │ 32 × 't0', 't1', 't2', 't3', …" in told
    assert "tiny.numbers │ 5 × 1, 2, 3, 4, …" in told
    # 32 × 64 weights in blocks of 32, each 34 bytes; 64 norms of 4 bytes.
    assert "Q8_0 │ 1 │ 2.05 k │ 2.18 kB │ 8.50" in told
    assert "F32 │ 1 │ 64 │ 256 B │ 32.00" in told
    # 7 blocks of 16 tokens × (key and value) × 2 layers × 2 heads of 16 × 2 bytes.
    expected = 7 * 16 * 2 * LAYERS * KV_HEADS * (HIDDEN // HEADS) * 2
    assert f"keys and values (16 bits) │ {size(expected)}" in told


def test_tensors_are_listed_when_asked(tmp_path: Path) -> None:
    file = write_model(tmp_path / "tiny.gguf")
    assert "token_embd.weight │ 32 × 64 │ Q8_0" in inspect(file, "--tensors")[1]
    assert "32 × 64" not in inspect(file)[1]


def test_a_model_that_cannot_run_is_shown_all_the_same(tmp_path: Path) -> None:
    code, told = inspect(write_model(tmp_path / "odd.gguf", "oddarch"))
    assert code == 0
    assert "general.architecture │ oddarch" in told
    assert "can't run this model: metadata key 'general.architecture': is 'oddarch'" in told


def test_missing_tensors_are_told(tmp_path: Path) -> None:
    assert "blk.0.attn_q.weight" in inspect(write_model(tmp_path / "tiny.gguf"))[1]


def test_a_broken_file_is_one_line(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + b"\xff" * 30)
    code, told = inspect(broken)
    assert code == 1
    assert told.startswith(f"candlewick: {broken}: ")
    assert inspect(tmp_path / "none.gguf")[0] == 1
    assert inspect(broken, "--context", "0")[0] == 2


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (999_600, "1 MB"),
        (1_915_000_000, "1.92 GB"),
        (2e13, "20 TB"),
    ],
)
def test_sizes(number: float, text: str) -> None:
    assert size(number) == text
    assert count(number) == text.removesuffix("B").strip()
