"""The traced models, run by the numpy interpreter, against transformers' own implementation."""

from pathlib import Path

import numpy as np
import pytest

from candlewick.core.gguf import GGUFFile
from candlewick.core.models import trace_file
from reference.export_transformers import export_gguf, read_dequantized
from reference.numpy_interpreter import NumpyInterpreter, make_batch
from reference.random_models import CASES, random_model, reference_logits, round_matrices

pytest.importorskip("torch", reason="torch and transformers are the reference here")
pytest.importorskip("transformers", reason="torch and transformers are the reference here")
pytestmark = pytest.mark.reference

TOLERANCE = 1e-5
"""Relative to the largest logit; both compute in float64, but transformers rounds norms and cosines."""


def interpreter_of(path: Path) -> NumpyInterpreter:
    with GGUFFile.open(path) as file:
        _, program = trace_file(file)
    return NumpyInterpreter(program, read_dequantized(path), plan=program.plan_buffers())


def relative_error(got: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(got - expected).max() / np.abs(expected).max())


def random_token_ids(count: int, seed: int) -> list[int]:
    return np.random.default_rng(seed).integers(0, 288, count).tolist()


@pytest.mark.parametrize("name", CASES)
def test_logits_agree(name: str, tmp_path: Path) -> None:
    model = random_model(**CASES[name])
    interpreter = interpreter_of(export_gguf(model, tmp_path / "model.gguf"))
    prompts = {length: random_token_ids(length, seed=length) for length in (1, 16, 43)}
    expected = {length: reference_logits(model, prompt) for length, prompt in prompts.items()}

    for length, prompt in prompts.items():
        whole = interpreter.execute(make_batch([(prompt, 0)], [[7, 2, 5]], logits="all"))
        assert relative_error(whole, expected[length]) < TOLERANCE, f"{length} tokens at once"

    chunks = [
        interpreter.execute(make_batch([(prompts[43][start:end], start)], [[3, 9, 4]], logits="all"))
        for start, end in ((0, 7), (7, 8), (8, 31), (31, 43))
    ]
    assert relative_error(np.concatenate(chunks), expected[43]) < TOLERANCE, "in chunks"

    one_by_one = [
        interpreter.execute(make_batch([([token_id], position)], [[6, 1, 8]]))
        for position, token_id in enumerate(prompts[43])
    ]
    assert relative_error(np.concatenate(one_by_one), expected[43]) < TOLERANCE, "token by token"

    tables = [[10, 11], [12, 13, 14]]
    interpreter.execute(make_batch([(prompts[16][:5], 0), (prompts[43][:20], 0)], tables))
    crowd = interpreter.execute(make_batch([(prompts[16][5:], 5), (prompts[43][20:], 20)], tables))
    assert relative_error(crowd, np.stack([expected[16][-1], expected[43][-1]])) < TOLERANCE, "two sequences"


@pytest.mark.parametrize("tensor_type", ["F16", "BF16", "Q8_0", "Q5_1", "Q4_0"])
def test_quantized_files_mean_their_dequantized_weights(tensor_type: str, tmp_path: Path) -> None:
    model = random_model("qwen3")
    path = export_gguf(model, tmp_path / "model.gguf", tensor_type)
    prompt = random_token_ids(30, seed=1)
    exact = reference_logits(model, prompt)
    model.float()
    round_matrices(model, tensor_type)
    got = interpreter_of(path).execute(make_batch([(prompt, 0)], [[0, 1]], logits="all"))
    assert relative_error(got, reference_logits(model, prompt)) < TOLERANCE
    assert relative_error(got, exact) > TOLERANCE, "the weights were not quantised at all"


def test_a_file_may_call_itself_mistral(tmp_path: Path) -> None:
    model = random_model(**CASES["mistral, window"])
    path = export_gguf(model, tmp_path / "model.gguf", architecture="mistral3")
    prompt = random_token_ids(30, seed=2)
    got = interpreter_of(path).execute(make_batch([(prompt, 0)], [[0, 1]], logits="all"))
    assert relative_error(got, reference_logits(model, prompt)) < TOLERANCE


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rope_theta", 20000.0),
        ("num_key_value_heads", 4),
        ("rms_norm_eps", 1e-3),
        ("no_rope_layers", [1] * 4),
    ],
)
def test_the_comparison_notices(field: str, value: object, tmp_path: Path) -> None:
    """A model that differs in one detail is far out of tolerance, or the tests above prove nothing."""
    model = random_model("smollm3")
    path = export_gguf(model, tmp_path / "model.gguf")
    overrides = (
        {"rope_parameters": {"rope_type": "default", field: value}}
        if field == "rope_theta"
        else {field: value}
    )
    prompt = random_token_ids(30, seed=3)
    got = interpreter_of(path).execute(make_batch([(prompt, 0)], [[0, 1]], logits="all"))
    assert (
        relative_error(got, reference_logits(random_model("smollm3", **overrides), prompt)) > 100 * TOLERANCE
    )
