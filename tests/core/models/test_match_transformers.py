"""The traced models, run by the numpy interpreter, against transformers' own implementation."""

from pathlib import Path

import pytest

from candlewick.core.gguf import GGUFFile
from candlewick.core.models import trace_file
from reference.comparison import check_logits, random_token_ids, relative_error
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


@pytest.mark.parametrize("name", CASES)
def test_logits_agree(name: str, tmp_path: Path) -> None:
    model = random_model(**CASES[name])
    interpreter = interpreter_of(export_gguf(model, tmp_path / "model.gguf"))
    check_logits(interpreter.execute, model, TOLERANCE)


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
