"""Tracing, its errors, the printed form, and the memory plan."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_file import ToyTensor, toy_weights

from candlewick.core.errors import ModelLoadError
from candlewick.core.program import Program, Value
from candlewick.core.program_builder import ProgramBuilder
from reference.numpy_interpreter import NumpyInterpreter, make_batch


def builder_over(**shapes: tuple[int, ...]) -> ProgramBuilder:
    return ProgramBuilder({name: ToyTensor(shape) for name, shape in shapes.items()}, "toy.gguf")


def test_printed_program() -> None:
    shapes = {"e.weight": (10, 4), "blk.0.n.weight": (2,), "blk.0.w.weight": (6, 4), "blk.0.w.bias": (6,)}
    model = builder_over(**shapes)
    x = model.embed("e", 10, 4)
    with model.scope("blk.0"):
        x = model.rms_norm(x, "n", 1e-5, group=2)
        x = model.rope(x, (1.0,), interleaved=False, head_dim=2, scale=1.5)
        x = model.logits(model.select_rows(x), "w", 6)
    expected = """\
%0 = embed e.weight                                                                     # tokens x 4
%1 = rms_norm %0, blk.0.n.weight, epsilon=1e-05, group=2                                # tokens x 4
%2 = rope %1, inverse_frequencies=1 values, interleaved=False, head_dim=2, scale=1.5    # tokens x 4
%3 = select_rows %2                                                                     # outputs x 4
%4 = linear %3, blk.0.w.weight, blk.0.w.bias                                            # logits x 6
return %4"""
    program = model.build(x)
    assert [line.split() for line in str(program).splitlines()] == [
        line.split() for line in expected.splitlines()
    ]
    assert program.weight_names == tuple(shapes)


def test_all_that_is_wrong_with_the_tensors_is_one_error() -> None:
    model = builder_over(
        **{"e.weight": (10, 5), "extra.weight": (3,), "blk.7.w.scale": (1,), "rope_freqs.weight": (2,)}
    )
    x = model.embed("e", 10, 4)
    with model.scope("blk.0"):
        x = model.linear(x, "w", 6, requires_bias=True)
    with pytest.raises(ModelLoadError) as failure:
        model.build(x)
    assert failure.value.reason.startswith(
        "2 missing: blk.0.w.weight [6, 4], blk.0.w.bias [6]; "
        "1 of the wrong shape: e.weight is [10, 5] but must be [10, 4]; "
        "2 left over: extra.weight [3], blk.7.w.scale [1]."
    )


def test_biases_are_used_where_the_file_has_them() -> None:
    model = builder_over(**{"e.weight": (10, 4), "a.weight": (4, 4), "b.weight": (4, 4), "b.bias": (4,)})
    x = model.linear(model.linear(model.embed("e", 10, 4), "a", 4), "b", 4)
    without, with_bias = model.build(x).ops[1:]
    assert without.weights == ("a.weight",)
    assert with_bias.weights == ("b.weight", "b.bias")


def test_values_that_do_not_fit_are_refused() -> None:
    model = builder_over()
    x, y = model.embed("x", 9, 8), model.embed("y", 9, 6)
    heads = {"layer": 0, "num_heads": 2, "num_kv_heads": 1, "head_dim": 4, "scale": 1.0}
    with pytest.raises(ValueError, match="add: tokens x 8 does not fit tokens x 6"):
        model.add(x, y)
    with pytest.raises(ValueError, match="silu_multiply: outputs x 8 does not fit tokens x 8"):
        model.silu_multiply(model.select_rows(x), x)
    with pytest.raises(ValueError, match="8 columns are not a multiple of the group 3"):
        model.rms_norm(x, "n", 1e-5, group=3)
    with pytest.raises(ValueError, match="3 frequencies over heads of 4"):
        model.rope(x, (1.0, 1.0, 1.0), interleaved=True, head_dim=4)
    with pytest.raises(ValueError, match="q, k, v of 8, 6, 6 columns"):
        model.attention(x, y, y, **heads)
    with pytest.raises(ValueError, match="already selected"):
        model.select_rows(model.select_rows(x))


def test_ops_are_values() -> None:
    model = builder_over(**{"e.weight": (9, 8)})
    program = model.build(model.embed("e", 9, 8))
    with pytest.raises(dataclasses.FrozenInstanceError):
        program.ops[0].output = 3  # type: ignore[misc]


def decoder(num_layers: int) -> Program:
    model = builder_over(**{"e.weight": (50, 8), "w.weight": (24, 8), "v.weight": (8, 24)})
    x = model.embed("e", 50, 8)
    for _ in range(num_layers):
        hidden = model.silu_multiply(model.linear(x, "w", 24), model.linear(x, "w", 24))
        x = model.add(x, model.linear(hidden, "v", 8))
    return model.build(model.logits(model.select_rows(x), "e", 50))


def test_memory_does_not_grow_with_the_layers() -> None:
    one, many = decoder(1).plan_buffers(), decoder(20).plan_buffers()
    assert many.buffers == one.buffers
    # The residual stream, gate, up, the logits, and the rows selected for them. The product of gate and
    # up takes the place of gate, its projection the place of up.
    assert sorted((b.rows, b.columns) for b in one.buffers) == [
        ("logits", 50),
        ("outputs", 8),
        ("tokens", 8),
        ("tokens", 24),
        ("tokens", 24),
    ]


def test_a_value_that_is_still_needed_is_not_overwritten() -> None:
    model = builder_over(**{"e.weight": (9, 8)})
    x = model.embed("e", 9, 8)
    total = model.add(x, x)
    plan = model.build(model.add(total, x)).plan_buffers()
    assert plan.buffer_of[1] != plan.buffer_of[0]
    assert plan.buffer_of[2] == plan.buffer_of[1]


KINDS = ("add", "silu_multiply", "linear", "rope", "rms_norm", "select_rows", "attention")


@st.composite
def random_programs(draw: st.DrawFn) -> tuple[Program, dict[str, tuple[int, ...]]]:
    """Programs of any wiring: every op may read any earlier value that fits, the output is any value."""
    tensors = {"e.weight": ToyTensor((20, 8))}
    model = ProgramBuilder(tensors, "toy.gguf")
    values: list[Value] = [model.embed("e", 20, 8)]
    for _ in range(draw(st.integers(1, 14))):
        x = draw(st.sampled_from(values))
        alike = [v for v in values if (v.columns, v.rows) == (x.columns, x.rows)]
        kind = draw(
            st.sampled_from(
                ("add", "silu_multiply", "linear", "rope", "rms_norm", "select_rows", "attention")
            )
        )
        if kind == "linear":
            columns = draw(st.sampled_from((4, 8, 12)))
            tensors[f"w{columns}x{x.columns}.weight"] = ToyTensor((columns, x.columns))
            values.append(model.linear(x, f"w{columns}x{x.columns}", columns))
        elif kind == "rms_norm":
            tensors["n.weight"] = ToyTensor((4,))
            values.append(model.rms_norm(x, "n", 1e-5, group=4))
        elif kind == "rope" and x.rows == "tokens":
            values.append(model.rope(x, (1.0, 0.1), interleaved=draw(st.booleans()), head_dim=4))
        elif kind == "select_rows" and x.rows == "tokens":
            values.append(model.select_rows(x))
        elif kind == "attention" and x.rows == "tokens":
            heads = x.columns // 4
            k, v = draw(st.sampled_from(alike)), draw(st.sampled_from(alike))
            layer = len(values)
            values.append(
                model.attention(
                    x, k, v, layer=layer, num_heads=heads, num_kv_heads=heads, head_dim=4, scale=0.5
                )
            )
        else:
            y = draw(st.sampled_from(alike))
            values.append(model.add(x, y) if kind == "add" else model.silu_multiply(x, y))
    program = model.build(draw(st.sampled_from(values)))
    return program, {name: tensor.shape for name, tensor in tensors.items()}


@settings(max_examples=80, deadline=None)
@given(random_programs())
def test_any_program_gives_the_same_in_planned_memory(
    case: tuple[Program, dict[str, tuple[int, ...]]],
) -> None:
    program, shapes = case
    weights = toy_weights(shapes)
    batch = make_batch([([3, 7, 1], 0), ([19, 4], 0)], [[0], [1]])
    with np.errstate(all="ignore"):  # a chain of products may grow beyond all bounds
        own = NumpyInterpreter(program, weights, num_blocks=2).execute(batch)
        shared = NumpyInterpreter(program, weights, num_blocks=2, plan=program.plan_buffers()).execute(batch)
    np.testing.assert_array_equal(shared, own)
