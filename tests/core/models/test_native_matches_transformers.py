"""The same comparisons as with the numpy interpreter, through the native runner."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from candlewick.core.batch import Batch
from candlewick.core.config import CacheType, EngineConfig
from candlewick.core.gguf import GGUFFile
from candlewick.core.models import trace_file
from candlewick.core.native_runner import NativeRunner
from reference.comparison import check_logits, random_token_ids, relative_error
from reference.export_transformers import export_gguf, read_dequantized
from reference.numpy_interpreter import NumpyInterpreter, make_batch, round_to_int8
from reference.random_models import CASES, random_model, reference_hidden_states, reference_logits

pytest.importorskip("torch", reason="torch and transformers are the reference here")
pytest.importorskip("transformers", reason="torch and transformers are the reference here")
kernels = pytest.importorskip("candlewick._kernels", reason="the native module is not built")
pytestmark = pytest.mark.reference

TOLERANCE = 1e-3
"""Relative to the largest logit, for files of plain numbers."""


@contextmanager
def native_runner(
    path: Path, isa: str | None = None, kv_cache_type: CacheType = "f32"
) -> Iterator[NativeRunner]:
    config = EngineConfig(
        kv_cache_bytes=2**24,
        kv_cache_type=kv_cache_type,
        max_step_tokens=64,
        max_running=64,
        num_threads=2,
        isa=isa,
    )
    with GGUFFile.open(path) as file:
        runner = NativeRunner.load(file, config)
    try:
        yield runner
    finally:
        runner.close()


def run(runner: NativeRunner, batch: Batch) -> npt.NDArray[np.float32]:
    runner.execute(batch)
    return runner.logits().copy()


@pytest.mark.parametrize("name", CASES)
def test_logits_agree(name: str, tmp_path: Path) -> None:
    model = random_model(**CASES[name])
    path = export_gguf(model, tmp_path / "model.gguf")
    with native_runner(path) as runner:
        check_logits(lambda batch: run(runner, batch), model, TOLERANCE)


@pytest.mark.parametrize("name", CASES)
def test_hidden_states_agree(name: str, tmp_path: Path) -> None:
    model = random_model(**CASES[name])
    path = export_gguf(model, tmp_path / "model.gguf")
    prompts = [random_token_ids(length, seed=length) for length in (43, 16)]
    expected = np.concatenate([reference_hidden_states(model, prompt) for prompt in prompts])
    with native_runner(path) as runner:
        batch = make_batch([(prompt, 0) for prompt in prompts], [[7, 2, 5], [4]])
        hidden_rows = np.arange(59, dtype=np.int32)
        runner.execute(replace(batch, hidden_rows=hidden_rows))
        assert relative_error(runner.hidden_states(), expected) < TOLERANCE
        mixed_logits = runner.logits().copy()
        assert np.array_equal(run(runner, batch), mixed_logits), "hidden states beside logits change no bit"


def test_smaller_caches(tmp_path: Path) -> None:
    model = random_model("llama")
    path = export_gguf(model, tmp_path / "model.gguf")
    prompt = random_token_ids(43, seed=8)
    batch = make_batch([(prompt, 0)], [[0, 1, 2]], logits="all")
    expected = reference_logits(model, prompt)
    with native_runner(path) as exact, native_runner(path, kv_cache_type="f16") as half:
        assert relative_error(run(exact, batch), expected) < relative_error(run(half, batch), expected) < 1e-2
        error_of_half = relative_error(run(half, batch), expected)
    with native_runner(path, kv_cache_type="q8") as bytes_:
        assert error_of_half < relative_error(run(bytes_, batch), expected) < 0.1


@pytest.mark.parametrize(
    ("tensor_type", "kv_cache_type"),
    [
        *((kind, "f32") for kind in ("F32", "F16", "BF16", "Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0", "MXFP4")),
        ("F32", "f16"),
        ("F32", "q8"),
    ],
)
def test_company_chunks_and_instruction_set_change_no_bit(
    tensor_type: str, kv_cache_type: CacheType, tmp_path: Path
) -> None:
    path = export_gguf(random_model("smollm3"), tmp_path / "model.gguf", tensor_type)
    prompt, other = random_token_ids(43, seed=4), random_token_ids(13, seed=5)
    tables = [[1, 2, 3], [4]]
    logits = []
    for isa in kernels.instruction_sets():
        with native_runner(path, isa, kv_cache_type) as runner:
            logits.append(run(runner, make_batch([(prompt, 0)], [[7, 8, 9]], logits="all")))
            first = run(runner, make_batch([(prompt[:17], 0)], tables[:1], logits="all"))
            crowd = run(runner, make_batch([(prompt[17:], 17), (other, 0)], tables, logits="all"))
            logits.append(np.concatenate([first, crowd[:26]]))
    for same in logits[1:]:
        np.testing.assert_array_equal(same, logits[0])


@pytest.mark.parametrize("tensor_type", ["Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0", "MXFP4"])
@pytest.mark.parametrize("model_type", ["smollm3", "qwen3"])
def test_quantized_files_choose_the_tokens_of_their_dequantized_weights(
    model_type: str, tensor_type: str, tmp_path: Path
) -> None:
    path = export_gguf(random_model(model_type), tmp_path / "model.gguf", tensor_type)
    with GGUFFile.open(path) as file:
        _, program = trace_file(file)
    weights = read_dequantized(path)
    token_ids = random_token_ids(48, seed=6)
    together = make_batch([(token_ids, 0)], [[0, 1, 2]], logits="all")
    alone = make_batch([([token_id], 0) for token_id in token_ids], [[index] for index in range(48)])
    with native_runner(path) as runner:
        got_together, got_alone = run(runner, together), run(runner, alone)

    # Against the same arithmetic: a row is equal to float32's precision, unless a value of it stood so near
    # to the middle between two integers that it was rounded to the other one.
    expected = NumpyInterpreter(program, weights, round_activations=round_to_int8).execute(alone)
    row_errors = np.abs(got_alone - expected).max(axis=1) / np.abs(expected).max()
    assert np.median(row_errors) < 1e-6
    assert row_errors.max() < 0.05

    # Against exact arithmetic: a token that leads by more than the noise of rounding is chosen. (A random
    # network is the worst case: it magnifies every rounding, and its best tokens are often close.)
    exact = NumpyInterpreter(program, weights).execute(together)
    loss = exact.max(axis=1) - exact[np.arange(48), got_together.argmax(axis=1)]
    assert loss.max() < 0.05 * np.abs(exact).max()
    assert np.count_nonzero(loss) <= 12
