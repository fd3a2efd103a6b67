"""Packed matrices against gguf's own dequantisation and double precision, for every type and instruction set."""

from __future__ import annotations

import gguf
import numpy as np
import pytest
from gguf.constants import GGMLQuantizationType as GgmlType

_kernels = pytest.importorskip("candlewick._kernels")

FLOATS = [GgmlType.F32, GgmlType.F16, GgmlType.BF16]
BLOCKS_OF_32 = [
    GgmlType.Q4_0,
    GgmlType.Q4_1,
    GgmlType.Q5_0,
    GgmlType.Q5_1,
    GgmlType.Q8_0,
    GgmlType.IQ4_NL,
    GgmlType.MXFP4,
]
BLOCKS_OF_256 = [
    GgmlType.Q2_K,
    GgmlType.Q3_K,
    GgmlType.Q4_K,
    GgmlType.Q5_K,
    GgmlType.Q6_K,
    GgmlType.IQ4_XS,
]
QUANTISED = BLOCKS_OF_32 + BLOCKS_OF_256
ALL_TYPES = FLOATS + QUANTISED
ISAS = _kernels.instruction_sets()


def random_tensor(ggml_type: GgmlType, rows: int, columns: int, seed: int) -> np.ndarray:
    """Random bytes in the type's format: every bit pattern of weights and scales, with float scales of sane size."""
    rng = np.random.default_rng(seed)
    block_size, block_bytes = gguf.GGML_QUANT_SIZES[ggml_type]
    if ggml_type == GgmlType.F32:
        return rng.standard_normal((rows, columns), dtype=np.float32).view(np.uint8)
    if ggml_type == GgmlType.F16:
        return rng.standard_normal((rows, columns), dtype=np.float32).astype(np.float16).view(np.uint8)
    if ggml_type == GgmlType.BF16:
        bits = rng.standard_normal((rows, columns), dtype=np.float32).view(np.uint32) >> 16
        return bits.astype(np.uint16).view(np.uint8)
    blocks = rng.integers(0, 256, (rows, columns // block_size, block_bytes), dtype=np.uint8)
    half_scale_offsets = {
        GgmlType.Q4_1: (0, 2),
        GgmlType.Q5_1: (0, 2),
        GgmlType.Q4_K: (0, 2),
        GgmlType.Q5_K: (0, 2),
        GgmlType.Q2_K: (80, 82),
        GgmlType.Q3_K: (108,),
        GgmlType.Q6_K: (208,),
    }
    if ggml_type == GgmlType.MXFP4:
        blocks[..., 0] = (
            rng.integers(0, 250, blocks.shape[:2])
            if columns == 32
            else rng.integers(110, 130, blocks.shape[:2])
        )
    else:
        for offset in half_scale_offsets.get(ggml_type, (0,)):
            scales = rng.uniform(-0.1, 0.1, blocks.shape[:2]).astype(np.float16)
            blocks[..., offset : offset + 2] = scales[..., None].view(np.uint8)
    return blocks.reshape(rows, -1)


def pack(ggml_type: GgmlType, data: np.ndarray, columns: int, threads=None):
    return _kernels.PackedMatrix.pack(
        int(ggml_type),
        np.ascontiguousarray(data).reshape(-1),
        len(data),
        columns,
        threads or _kernels.ThreadPool(2),
    )


@pytest.mark.parametrize("ggml_type", ALL_TYPES, ids=lambda t: t.name)
@pytest.mark.parametrize(("rows", "columns"), [(1, 256), (16, 512), (37, 768)])
def test_packing_loses_nothing(ggml_type, rows, columns):
    data = random_tensor(ggml_type, rows, columns, seed=rows)
    matrix = pack(ggml_type, data, columns)
    expected = gguf.quants.dequantize(data, ggml_type).reshape(rows, columns)
    np.testing.assert_array_equal(matrix.dequantize(), expected)


@pytest.mark.parametrize("ggml_type", BLOCKS_OF_32, ids=lambda t: t.name)
def test_packing_takes_rows_of_whole_blocks(ggml_type):
    data = random_tensor(ggml_type, 5, 32, seed=1)
    expected = gguf.quants.dequantize(data, ggml_type).reshape(5, 32)
    np.testing.assert_array_equal(pack(ggml_type, data, 32).dequantize(), expected)


@pytest.mark.parametrize("ggml_type", ALL_TYPES, ids=lambda t: t.name)
@pytest.mark.parametrize(("rows", "columns", "tokens"), [(16, 256, 1), (50, 768, 7), (33, 1280, 20)])
def test_product_against_double_precision(ggml_type, rows, columns, tokens):
    data = random_tensor(ggml_type, rows, columns, seed=columns)
    matrix = pack(ggml_type, data, columns)
    x = np.random.default_rng(3).standard_normal((tokens, columns), dtype=np.float32)
    weights = gguf.quants.dequantize(data, ggml_type).reshape(rows, columns).astype(np.float64)
    expected = x.astype(np.float64) @ weights.T
    result = matrix.multiply(x, _kernels.ThreadPool(1))
    # Rounding an activation to 8 bits moves it by at most 1/254 of the largest in its block.
    step = 0 if ggml_type in FLOATS else np.abs(x).max() / 254
    bound = np.abs(weights).sum(axis=1) * step * 0.25 + 1e-5 * np.abs(weights).sum(axis=1)
    assert (np.abs(result - expected) <= bound).all()


@pytest.mark.parametrize("ggml_type", QUANTISED, ids=lambda t: t.name)
def test_product_of_exactly_representable_activations_is_exact(ggml_type):
    """Activations that survive 8 bits unchanged leave only the float steps to round."""
    columns = 512
    data = random_tensor(ggml_type, 48, columns, seed=9)
    matrix = pack(ggml_type, data, columns)
    x = np.random.default_rng(4).integers(-127, 128, (9, columns)).astype(np.float32)
    x[:, ::16] = 127  # the largest of every block, so that every scale is 1
    weights = gguf.quants.dequantize(data, ggml_type).reshape(48, columns).astype(np.float64)
    expected = x.astype(np.float64) @ weights.T
    result = matrix.multiply(x, _kernels.ThreadPool(1))
    np.testing.assert_allclose(result, expected, rtol=0, atol=2e-6 * np.abs(x @ np.abs(weights).T).max())


@pytest.mark.parametrize("ggml_type", ALL_TYPES, ids=lambda t: t.name)
def test_same_bits_for_any_batch_threads_and_instruction_set(ggml_type):
    rows, columns = 70, 1536
    data = random_tensor(ggml_type, rows, columns, seed=5)
    matrix = pack(ggml_type, data, columns)
    x = np.random.default_rng(6).standard_normal((70, columns), dtype=np.float32)
    one, two = _kernels.ThreadPool(1), _kernels.ThreadPool(2)
    reference = matrix.multiply(x, one, "scalar")
    for isa in ISAS:
        np.testing.assert_array_equal(matrix.multiply(x, two, isa), reference, err_msg=isa)
        for tokens in (1, 2, 3, 5, 6, 8, 13, 16, 17, 33, 49, 70):
            np.testing.assert_array_equal(
                matrix.multiply(x[:tokens], one, isa), reference[:tokens], err_msg=isa
            )


@pytest.mark.parametrize(("ggml_type", "columns"), [(GgmlType.F32, 4096), (GgmlType.Q4_K, 28672)])
def test_same_bits_where_tokens_meet_the_weights_in_groups(ggml_type, columns):
    """So many activations of so many columns do not stay in a cache together."""
    matrix = pack(ggml_type, random_tensor(ggml_type, 20, columns, seed=3), columns)
    x = np.random.default_rng(9).standard_normal((100, columns), dtype=np.float32)
    two = _kernels.ThreadPool(2)
    for isa in ISAS:
        alone = np.concatenate([matrix.multiply(x[i : i + 1], two, isa) for i in range(100)])
        np.testing.assert_array_equal(matrix.multiply(x, two, isa), alone, err_msg=isa)


@pytest.mark.parametrize("ggml_type", BLOCKS_OF_32, ids=lambda t: t.name)
def test_same_bits_where_the_last_super_block_is_short(ggml_type):
    columns = 256 + 96
    data = random_tensor(ggml_type, 20, columns, seed=7)
    matrix = pack(ggml_type, data, columns)
    x = np.random.default_rng(8).standard_normal((8, columns), dtype=np.float32)
    one = _kernels.ThreadPool(1)
    reference = matrix.multiply(x, one, "scalar")
    for isa in ISAS:
        np.testing.assert_array_equal(matrix.multiply(x, one, isa), reference, err_msg=isa)


@pytest.mark.parametrize("ggml_type", QUANTISED, ids=lambda t: t.name)
def test_memory_stays_near_the_file(ggml_type):
    data = random_tensor(ggml_type, 64, 4096, seed=1)
    assert pack(ggml_type, data, 4096).num_bytes <= 1.04 * data.size


def test_wrong_shapes_are_named():
    threads = _kernels.ThreadPool(1)
    with pytest.raises(ValueError, match="blocks of 256"):
        _kernels.PackedMatrix.pack(int(GgmlType.Q4_K), np.zeros(144, np.uint8), 1, 128, threads)
    with pytest.raises(ValueError, match="expected 144 bytes, got 143"):
        _kernels.PackedMatrix.pack(int(GgmlType.Q4_K), np.zeros(143, np.uint8), 1, 256, threads)
    with pytest.raises(ValueError, match="no kernels"):
        _kernels.PackedMatrix.pack(int(GgmlType.IQ1_S), np.zeros(50, np.uint8), 1, 256, threads)
    matrix = _kernels.PackedMatrix.pack(int(GgmlType.F32), np.zeros(1024, np.uint8), 1, 256, threads)
    with pytest.raises(ValueError, match="x has 255 columns, the matrix 256"):
        matrix.multiply(np.zeros((1, 255), np.float32), threads)
    with pytest.raises(ValueError, match="can't run the instruction set 'z80'"):
        matrix.multiply(np.zeros((1, 256), np.float32), threads, "z80")
