"""The same file in llama.cpp (through llama-cpp-python): the same prompt gives the same tokens and the same logits.

Installed by hand, since it is compiled for ten minutes: ``pip install llama-cpp-python``; then ``pytest -m peer``.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

llama_cpp = pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")
pytest.importorskip("candlewick._kernels")

from candlewick.core.batch import BLOCK_SIZE, Batch  # noqa: E402
from candlewick.core.config import EngineConfig  # noqa: E402
from candlewick.core.gguf import GGUFFile  # noqa: E402
from candlewick.core.model_source import resolve_model  # noqa: E402
from candlewick.core.native_runner import NativeRunner  # noqa: E402
from candlewick.core.tokenizer import Tokenizer  # noqa: E402

pytestmark = pytest.mark.peer

NUM_TOKENS = 24


def our_logits(path: Path, token_ids: list[int]) -> np.ndarray:
    """Logits ``[tokens, vocabulary]`` of every position."""
    with GGUFFile.open(path) as file:
        runner = NativeRunner.load(file, EngineConfig(max_context=512, max_running=128))
    num_blocks = -(-len(token_ids) // BLOCK_SIZE)
    positions = np.arange(len(token_ids), dtype=np.int32)
    runner.execute(
        Batch(
            token_ids=np.array(token_ids, dtype=np.int32),
            positions=positions,
            query_starts=np.array([0, len(token_ids)], dtype=np.int32),
            block_tables=np.arange(num_blocks, dtype=np.int32)[None],
            logit_rows=positions,
        )
    )
    return runner.logits().copy()


@pytest.fixture(autouse=True)
def plain_buffers(monkeypatch):
    """Without llama.cpp's repacked weights: its AMX form crashes in version 0.3.36."""
    api = llama_cpp.llama_cpp
    defaults = api.llama_model_default_params

    def without_repacking():
        settings = defaults()
        settings.use_extra_bufts = False
        return settings

    monkeypatch.setattr(api, "llama_model_default_params", without_repacking)


def their_model(path: Path):
    return llama_cpp.Llama(str(path), n_ctx=512, n_threads=2, logits_all=True, verbose=False, seed=0)


def greedy(path: Path, prompt_ids: list[int]) -> list[int]:
    ids = list(prompt_ids)
    with GGUFFile.open(path) as file:
        runner = NativeRunner.load(file, EngineConfig(max_context=512))
    table = np.arange(32, dtype=np.int32)[None]
    new = ids
    for _ in range(NUM_TOKENS):
        first = len(ids) - len(new)
        runner.execute(
            Batch(
                token_ids=np.array(new, dtype=np.int32),
                positions=np.arange(first, len(ids), dtype=np.int32),
                query_starts=np.array([0, len(new)], dtype=np.int32),
                block_tables=table,
                logit_rows=np.array([len(new) - 1], dtype=np.int32),
            )
        )
        new = [int(runner.logits()[0].argmax())]
        ids += new
    return ids[len(prompt_ids) :]


def their_greedy(model, prompt_ids: list[int]) -> list[int]:
    return list(itertools.islice(model.generate(prompt_ids, temp=0.0, repeat_penalty=1.0), NUM_TOKENS))


@pytest.fixture(scope="module")
def builtin() -> Path:
    return resolve_model("builtin")


def test_the_built_in_model_is_tokenised_and_continued_alike(builtin):
    theirs = their_model(builtin)
    with GGUFFile.open(builtin) as file:
        tokenizer = Tokenizer.from_metadata(file.metadata, file.path)
    prompt = "<|im_start|>user\nWhat is 17 + 25?<|im_end|>\n<|im_start|>assistant\n"
    ids = tokenizer.encode(prompt, parse_special=True)
    assert ids == theirs.tokenize(prompt.encode(), add_bos=False, special=True)
    assert greedy(builtin, ids) == their_greedy(theirs, ids)


@pytest.mark.reference
@pytest.mark.parametrize("architecture", ["smollm3", "llama", "qwen2", "qwen3"])
def test_small_models_are_continued_alike(architecture, tmp_path):
    pytest.importorskip("transformers")
    from reference.export_transformers import export_gguf
    from reference.random_models import random_model

    path = export_gguf(random_model(architecture), tmp_path / "model.gguf", "F32")
    ids = [int(i) for i in np.random.default_rng(1).integers(0, 256, 30)]
    assert greedy(path, ids) == their_greedy(their_model(path), ids)


@pytest.mark.reference
@pytest.mark.parametrize("tensor_type", ["F32", "Q8_0"])
@pytest.mark.parametrize("architecture", ["smollm3", "llama", "qwen2", "qwen3"])
def test_logits_of_small_models_are_as_near_to_the_truth_as_theirs(architecture, tensor_type, tmp_path):
    pytest.importorskip("transformers")
    from reference.export_transformers import export_gguf
    from reference.random_models import random_model, reference_logits, round_matrices

    model = random_model(architecture)
    path = export_gguf(model, tmp_path / "model.gguf", tensor_type)
    ids = [int(i) for i in np.random.default_rng(0).integers(0, 256, 40)]
    ours = our_logits(path, ids)
    theirs = their_model(path)
    theirs.eval(ids)
    if tensor_type != "F32":
        round_matrices(model, tensor_type)
    truth = reference_logits(model, ids)
    scale = np.abs(truth).max()
    our_error = np.abs(ours - truth).max(axis=1) / scale
    their_error = np.abs(np.array(theirs.scores[: len(ids)]) - truth).max(axis=1) / scale
    # Both round the activations of quantised products to 8 bits; keys and values to 16 bits in any case.
    assert np.median(our_error) <= 1.25 * np.median(their_error)
    assert np.median(our_error) < (1e-3 if tensor_type == "F32" else 5e-2)
