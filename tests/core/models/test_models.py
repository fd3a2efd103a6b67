"""The registered architectures over toy files, without any reference implementation."""

import numpy as np
import pytest
from toy_file import VOCABULARY, ToyFile, ToyTensor, toy_metadata, toy_shapes, toy_tensors, toy_weights

from candlewick.core.errors import ModelLoadError, UnsupportedModelError
from candlewick.core.model_config import ModelConfig
from candlewick.core.models import ARCHITECTURES, build_program, trace_file
from candlewick.core.program import Attention, Linear, Program, RmsNorm, Rope, SelectRows
from reference.numpy_interpreter import NumpyInterpreter, make_batch


def build(architecture: str, num_layers: int = 2, **changes: object) -> Program:
    shapes = toy_shapes(architecture, num_layers)
    config = ModelConfig.from_metadata(toy_metadata(architecture, num_layers, **changes), shapes, "toy.gguf")
    return build_program(config, toy_tensors(architecture, num_layers), "toy.gguf")


def test_the_supported_architectures() -> None:
    assert list(ARCHITECTURES) == ["llama", "mistral", "mistral3", "qwen2", "qwen3", "smollm3"]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_tensor_is_read_exactly_by_its_name(architecture: str) -> None:
    assert set(build(architecture).weight_names) == set(toy_shapes(architecture))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_any_missing_tensor_is_named(architecture: str) -> None:
    tensors = toy_tensors(architecture)
    config = ModelConfig.from_metadata(toy_metadata(architecture), toy_shapes(architecture), "toy.gguf")
    for name in tensors:
        remaining = {other: tensor for other, tensor in tensors.items() if other != name}
        with pytest.raises(ModelLoadError, match=f"1 missing: {name} "):
            build_program(config, remaining, "toy.gguf")


def test_left_over_layers_are_named() -> None:
    config = ModelConfig.from_metadata(toy_metadata(), toy_shapes(), "toy.gguf")
    with pytest.raises(ModelLoadError, match=r"9 left over: blk\.2\.attn_norm\.weight \[32\], "):
        build_program(config, toy_tensors(num_layers=3), "toy.gguf")


def test_tensors_of_rope_frequencies_may_be_left_over() -> None:
    derived = {"rope_freqs.weight": ToyTensor((4,)), "blk.0.attn_rot_embd": ToyTensor((4,))}
    config = ModelConfig.from_metadata(toy_metadata(), toy_shapes(), "toy.gguf")
    build_program(config, {**toy_tensors(), **derived}, "toy.gguf")


def test_unknown_architectures_are_refused() -> None:
    config = ModelConfig.from_metadata(toy_metadata("mamba"), toy_shapes(), "toy.gguf")
    with pytest.raises(UnsupportedModelError, match="'mamba'; supported are llama, mistral"):
        build_program(config, toy_tensors(), "toy.gguf")


def test_unknown_architectures_are_refused_before_their_keys_are_read() -> None:
    file = ToyFile({"general.architecture": "mamba"})
    with pytest.raises(UnsupportedModelError, match="'mamba'; supported are llama, mistral"):
        trace_file(file)


def test_trace_file() -> None:
    config, program = trace_file(ToyFile(toy_metadata("qwen3"), toy_tensors("qwen3")))
    assert config.architecture == "qwen3"
    assert str(program) == str(build("qwen3"))


def test_what_tells_the_architectures_apart() -> None:
    def kinds(architecture: str) -> tuple[bool, bool, bool]:
        ops = build(architecture, 1).ops
        return (
            next(op.interleaved for op in ops if isinstance(op, Rope)),
            any(op.bias for op in ops if isinstance(op, Linear)),
            any(op.group == 8 for op in ops if isinstance(op, RmsNorm)),
        )

    assert kinds("llama") == kinds("mistral") == kinds("smollm3") == (True, False, False)
    assert kinds("qwen2") == (False, True, False)
    assert kinds("qwen3") == (False, False, True)


def test_only_layers_with_rope_rotate() -> None:
    ops = build("smollm3", 8).ops
    layers = [op.layer for op in ops if isinstance(op, Attention)]
    rotated_at = [
        next(a.layer for a in ops[i:] if isinstance(a, Attention))
        for i, op in enumerate(ops)
        if isinstance(op, Rope)
    ]
    assert layers == list(range(8))
    assert rotated_at == [0, 0, 1, 1, 2, 2, 4, 4, 5, 5, 6, 6]


def test_rows_are_selected_before_the_logits() -> None:
    program = build("llama")
    index = next(i for i, op in enumerate(program.ops) if isinstance(op, SelectRows))
    assert [type(op) for op in program.ops[index:]] == [SelectRows, RmsNorm, Linear]
    assert program.values[program.output].rows == "logits"
    assert program.values[program.output].columns == VOCABULARY


@pytest.mark.parametrize(
    ("architecture", "window"), [("mistral", 5), ("llama", 5), ("qwen2", None), ("qwen3", None)]
)
def test_window(architecture: str, window: int | None) -> None:
    program = build(architecture, **{"attention.sliding_window": 5})
    assert {op.window for op in program.ops if isinstance(op, Attention)} == {window}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_chunks_and_company_change_nothing(architecture: str) -> None:
    program = build(architecture, 4, **{"attention.sliding_window": 20})
    interpreter = NumpyInterpreter(program, toy_weights(toy_shapes(architecture, 4)), num_blocks=8)
    token_ids = np.random.default_rng(1).integers(0, VOCABULARY, 37).tolist()
    whole = interpreter.execute(make_batch([(token_ids, 0)], [[0, 1, 2]], logits="all"))

    interpreter.execute(make_batch([(token_ids[:9], 0)], [[5, 3, 4]]))
    batch = make_batch([(token_ids[:20], 0), (token_ids[9:], 9)], [[6, 7], [5, 3, 4]], logits="all")
    crowd = interpreter.execute(batch)
    np.testing.assert_allclose(crowd[:20], whole[:20], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(crowd[20:], whole[9:], rtol=1e-9, atol=1e-12)


def test_a_later_token_changes_no_earlier_logits() -> None:
    program = build("llama")
    interpreter = NumpyInterpreter(program, toy_weights(toy_shapes()), num_blocks=1)
    first = interpreter.execute(make_batch([([1, 2, 3, 4], 0)], [[0]], logits="all"))
    second = interpreter.execute(make_batch([([1, 2, 3, 9], 0)], [[0]], logits="all"))
    np.testing.assert_array_equal(first[:3], second[:3])
    assert np.abs(first[3] - second[3]).max() > 1e-3
