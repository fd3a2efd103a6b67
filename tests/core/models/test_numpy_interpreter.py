"""The specification of the ops, checked by hand: whoever judges the kernels must be right."""

import numpy as np
import pytest
from toy_file import ToyTensor

from candlewick.core.program_builder import ProgramBuilder
from reference.numpy_interpreter import NumpyInterpreter, make_batch

IDENTITY = np.eye(4)


def run(build, weights: dict[str, np.ndarray], *batches) -> list[np.ndarray]:  # type: ignore[no-untyped-def]
    """Trace ``build(model, embedded)`` over an embedding ``e`` and run the batches."""
    tensors = {name: ToyTensor(values.shape) for name, values in weights.items()}
    model = ProgramBuilder(tensors, "toy.gguf")
    num_rows, columns = weights["e.weight"].shape
    program = model.build(build(model, model.embed("e", num_rows, columns)))
    interpreter = NumpyInterpreter(program, weights, num_blocks=4)
    return [interpreter.execute(batch) for batch in batches]


def test_embed_and_select_rows() -> None:
    batch = make_batch([([2, 0], 0), ([1], 0)], [[0], [1]])
    (rows,) = run(lambda model, x: model.select_rows(x), {"e.weight": IDENTITY}, batch)
    np.testing.assert_array_equal(rows, IDENTITY[[0, 1]])


def test_rms_norm_in_groups() -> None:
    weights = {"e.weight": np.array([[3.0, 4.0, 0.0, 2.0]]), "n.weight": np.array([1.0, 10.0])}
    (row,) = run(
        lambda model, x: model.rms_norm(x, "n", 0.5, group=2), weights, make_batch([([0], 0)], [[0]])
    )
    first, second = np.sqrt(12.5 + 0.5), np.sqrt(2.0 + 0.5)
    np.testing.assert_allclose(row, [[3 / first, 40 / first, 0, 20 / second]])


def test_linear_with_bias() -> None:
    weights = {"e.weight": np.array([[1.0, 2.0]]), "w.weight": np.array([[1.0, 1.0], [0.0, 3.0], [2.0, 0.0]])}
    weights["w.bias"] = np.array([0.5, 0.0, -1.0])
    (row,) = run(lambda model, x: model.linear(x, "w", 3), weights, make_batch([([0], 0)], [[0]]))
    np.testing.assert_array_equal(row, [[3.5, 6.0, 1.0]])


@pytest.mark.parametrize(
    ("interleaved", "expected"), [(True, [-2.0, 1.0, 3.0, 4.0, 5.0]), (False, [-3.0, 2.0, 1.0, 4.0, 5.0])]
)
def test_rope_turns_pairs_by_the_position(interleaved: bool, expected: list[float]) -> None:
    """A quarter turn at position 3: the first of a pair becomes minus the second, the second the first."""
    frequencies = (np.pi / 6, 0.0)
    batch = make_batch([([0], 3)], [[0]])
    (row,) = run(
        lambda model, x: model.rope(x, frequencies, interleaved=interleaved, head_dim=5, scale=2.0),
        {"e.weight": np.array([[1.0, 2.0, 3.0, 4.0, 5.0]])},
        batch,
    )
    np.testing.assert_allclose(row, [[2 * value for value in expected[:4]] + [5.0]], atol=1e-12)


def test_silu_multiply_and_add() -> None:
    weights = {"e.weight": np.array([[0.0, 1.0, -2.0]])}
    batch = make_batch([([0], 0)], [[0]])
    (product,) = run(lambda model, x: model.silu_multiply(x, x), weights, batch)
    np.testing.assert_allclose(product, [[0.0, 1 / (1 + np.exp(-1.0)), 4 / (1 + np.exp(2.0))]])
    (total,) = run(lambda model, x: model.add(x, x), weights, batch)
    np.testing.assert_array_equal(total, [[0.0, 2.0, -4.0]])


def attend(window: int | None = None, scale: float = 0.0):  # type: ignore[no-untyped-def]
    """Two query heads over one key-value head; with scale 0 all positions seen count alike."""

    def build(model, x):  # type: ignore[no-untyped-def]
        q = model.linear(x, "q", 4)
        heads = {"layer": 0, "num_heads": 2, "num_kv_heads": 1, "head_dim": 2}
        return model.attention(q, x, x, **heads, scale=scale, window=window)

    return build


def test_attention_sees_what_came_before_in_any_blocks() -> None:
    weights = {"e.weight": np.arange(40.0).reshape(20, 2), "q.weight": np.ones((4, 2))}
    first = make_batch([(list(range(17)), 0)], [[2, 0]])
    second = make_batch([([17, 18], 17), ([5], 0)], [[2, 0], [1]], logits="all")
    rows = run(attend(), weights, first, second)[1]
    means = [weights["e.weight"][: position + 1].mean(axis=0) for position in (17, 18)] + [
        weights["e.weight"][5]
    ]
    np.testing.assert_allclose(rows, np.tile(means, (1, 2)))


def test_attention_window_holds_the_last_positions() -> None:
    weights = {"e.weight": np.arange(40.0).reshape(20, 2), "q.weight": np.ones((4, 2))}
    (rows,) = run(attend(window=3), weights, make_batch([(list(range(20)), 0)], [[0, 1]], logits="all"))
    np.testing.assert_allclose(rows[19, :2], weights["e.weight"][17:20].mean(axis=0))
    np.testing.assert_allclose(rows[1, :2], weights["e.weight"][:2].mean(axis=0))


def test_attention_softmax() -> None:
    weights = {
        "e.weight": np.array([[1.0, 0.0], [0.0, 2.0]]),
        "q.weight": np.array([[1.0, 0], [0, 1], [1, 0], [0, 0]]),
    }
    (rows,) = run(attend(scale=0.5), weights, make_batch([([0, 1], 0)], [[0]]))
    # The second token's first head asks with (0, 2), its second with (0, 0).
    share = np.exp(2.0) / (np.exp(2.0) + 1)
    np.testing.assert_allclose(rows, [[1.0, 0.0, 1.0, 0.0], [1 - share, 2 * share, 0.5, 1.0]])


def test_reading_an_unwritten_position_spoils_the_result() -> None:
    weights = {"e.weight": np.arange(40.0).reshape(20, 2), "q.weight": np.ones((4, 2))}
    (rows,) = run(attend(), weights, make_batch([([3], 5)], [[0]]))
    assert np.isnan(rows).all()
