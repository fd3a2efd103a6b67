"""Matrices of random bits in GGUF block formats that no Python package can quantise to."""

from __future__ import annotations

import gguf
import numpy as np
import numpy.typing as npt

_SCALES = {
    "Q2_K": (80, 82),
    "Q3_K": (108,),
    "Q4_K": (0, 2),
    "Q5_K": (0, 2),
    "Q6_K": (208,),
    "IQ4_XS": (0,),
    "IQ4_NL": (0,),
}
"""Where a block's half-precision factors start (ggml's ``ggml-common.h``); all other bits may be random."""


def random_matrix(
    kind: gguf.GGMLQuantizationType, shape: tuple[int, int], generator: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """Blocks ``[rows, bytes]`` whose numbers deviate by about ``1 / sqrt(columns)`` from zero."""
    rows, columns = shape
    block_size, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    blocks = generator.integers(0, 256, (rows * columns // block_size, block_bytes), dtype=np.uint8)
    factor = 1.0
    for _ in range(2):  # first to see how large the numbers come out, then so that they are right
        for start in _SCALES[kind.name]:
            noise = generator.uniform(0.5, 1.0, (len(blocks), 1)) * factor
            blocks[:, start : start + 2] = noise.astype("<f2").view(np.uint8)
        numbers = gguf.quants.dequantize(blocks.reshape(rows, -1), kind)
        factor = columns**-0.5 / float(np.sqrt(np.mean(numbers**2)))
    return blocks.reshape(rows, -1)


def write_random_model(
    path: str, metadata: dict[str, object], shapes: dict[str, tuple[int, ...]], kind_name: str, seed: int = 0
) -> None:
    """A GGUF file with these tensors: matrices of random blocks, vectors of numbers around 1."""
    generator = np.random.default_rng(seed)
    kind = gguf.GGMLQuantizationType[kind_name]
    writer = gguf.GGUFWriter(path, str(metadata["general.architecture"]))
    for key, value in metadata.items():
        if isinstance(value, float):
            writer.add_float32(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
    for name, shape in shapes.items():
        if len(shape) == 1:
            writer.add_tensor(name, generator.normal(1.0, 0.3, shape).astype(np.float32))
        else:
            writer.add_tensor(name, random_matrix(kind, (shape[0], shape[1]), generator), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
