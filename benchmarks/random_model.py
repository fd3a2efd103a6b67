"""GGUF files of any shape with random blocks: real weights are not needed to measure speed or memory.

    python benchmarks/random_model.py smollm3-3b Q4_K_M out.gguf

The vocabulary is that of the GGUF file given by ``--vocabulary``, else made-up tokens of the right number.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
from gguf.constants import GGMLQuantizationType as GgmlType


@dataclass(frozen=True)
class Shape:
    architecture: str
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    vocabulary: int
    tied: bool
    rope_base: float
    context: int


SHAPES = {
    "smollm3-3b": Shape("smollm3", 2048, 36, 16, 4, 128, 11008, 128256, True, 5e6, 65536),
    "llama-8b": Shape("llama", 4096, 32, 32, 8, 128, 14336, 128256, False, 5e5, 131072),
    "small": Shape("smollm3", 512, 8, 8, 2, 64, 1536, 2048, True, 1e4, 8192),
}

HALF_SCALES = {
    GgmlType.Q4_0: (0,),
    GgmlType.Q8_0: (0,),
    GgmlType.Q4_K: (0, 2),
    GgmlType.Q5_K: (0, 2),
    GgmlType.Q6_K: (208,),
}


def random_blocks(ggml_type: GgmlType, rows: int, columns: int, rng: np.random.Generator) -> np.ndarray:
    """Random bytes ``[rows, row bytes]`` whose values have a standard deviation of about 1 / sqrt(columns)."""
    block_size, block_bytes = gguf.GGML_QUANT_SIZES[ggml_type]
    shape = (rows, columns // block_size, block_bytes)
    blocks = np.frombuffer(rng.bytes(int(np.prod(shape))), np.uint8).reshape(shape).copy()
    sample = blocks[:1, :1].copy()
    for offset in HALF_SCALES[ggml_type]:
        sample[..., offset : offset + 2] = np.array([1.0], np.float16).view(np.uint8)
    spread = max(float(np.std(gguf.quants.dequantize(sample.reshape(1, -1), ggml_type))), 1.0)
    scale = np.array([columns**-0.5 / spread], np.float16).view(np.uint8)
    for offset in HALF_SCALES[ggml_type]:
        blocks[..., offset : offset + 2] = scale
    return blocks.reshape(rows, -1)


def more_bits(layer: int, layers: int) -> bool:
    """llama.cpp's rule for Q4_K_M: the first and last eighth of the layers and every third between."""
    return layer < layers // 8 or layer >= 7 * layers // 8 or (layer - layers // 8) % 3 == 2


def tensors(shape: Shape, quantisation: str) -> Iterator[tuple[str, GgmlType, int, int]]:
    mixed = quantisation == "Q4_K_M"
    base = GgmlType.Q4_K if mixed else GgmlType[quantisation]
    high = GgmlType.Q6_K if mixed else base
    yield "token_embd.weight", high if shape.tied else base, shape.vocabulary, shape.hidden
    if not shape.tied:
        yield "output.weight", high, shape.vocabulary, shape.hidden
    for i in range(shape.layers):
        better = high if more_bits(i, shape.layers) else base
        q, kv = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
        yield f"blk.{i}.attn_q.weight", base, q, shape.hidden
        yield f"blk.{i}.attn_k.weight", base, kv, shape.hidden
        yield f"blk.{i}.attn_v.weight", better, kv, shape.hidden
        yield f"blk.{i}.attn_output.weight", base, shape.hidden, q
        yield f"blk.{i}.ffn_gate.weight", base, shape.ffn, shape.hidden
        yield f"blk.{i}.ffn_up.weight", base, shape.ffn, shape.hidden
        yield f"blk.{i}.ffn_down.weight", better, shape.hidden, shape.ffn


def copy_vocabulary(writer: gguf.GGUFWriter, source: Path) -> None:
    from candlewick.core.gguf import GGUFFile

    with GGUFFile.open(source) as file:
        metadata = file.metadata
        writer.add_tokenizer_model(metadata.text("tokenizer.ggml.model"))
        writer.add_tokenizer_pre(metadata.text("tokenizer.ggml.pre"))
        writer.add_token_list(metadata.texts("tokenizer.ggml.tokens"))
        writer.add_token_types([int(t) for t in metadata.numbers("tokenizer.ggml.token_type")])
        writer.add_token_merges(metadata.texts("tokenizer.ggml.merges"))
        writer.add_bos_token_id(metadata.integer("tokenizer.ggml.bos_token_id"))
        writer.add_eos_token_id(metadata.integer("tokenizer.ggml.eos_token_id"))


def invent_vocabulary(writer: gguf.GGUFWriter, size: int) -> None:
    """Bytes, then made-up words: enough for a tokenizer, none of them ever seen in a text."""
    byte_characters = [*range(33, 127), *range(161, 173), *range(174, 256)]
    names = [chr(b) for b in byte_characters] + [chr(256 + i) for i in range(256 - len(byte_characters))]
    names += ["ĠĠ", *(f"<unused{i}>" for i in range(size - len(names) - 2)), "<|end|>"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_token_list(names)
    writer.add_token_types([1] * 257 + [5] * (size - 258) + [3])
    writer.add_token_merges(["Ġ Ġ"])
    writer.add_bos_token_id(size - 1)
    writer.add_eos_token_id(size - 1)


def write_model(
    path: Path, shape: Shape, quantisation: str, vocabulary: Path | None = None, seed: int = 0
) -> Path:
    """Write the file, unless it is there already."""
    if path.exists():
        return path
    rng = np.random.default_rng(seed)
    partial = path.with_suffix(".partial")
    writer = gguf.GGUFWriter(str(partial), shape.architecture)
    writer.add_name(f"random {path.stem}")
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.hidden)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.ffn)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_dim)
    writer.add_value_length(shape.head_dim)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_rope_dimension_count(shape.head_dim)
    writer.add_vocab_size(shape.vocabulary)
    if vocabulary:
        copy_vocabulary(writer, vocabulary)
    else:
        invent_vocabulary(writer, shape.vocabulary)
    for name, ggml_type, rows, columns in tensors(shape, quantisation):
        writer.add_tensor(name, random_blocks(ggml_type, rows, columns, rng), raw_dtype=ggml_type)
    norms = [f"blk.{i}.{name}.weight" for i in range(shape.layers) for name in ("attn_norm", "ffn_norm")]
    for name in [*norms, "output_norm.weight"]:
        writer.add_tensor(name, np.ones(shape.hidden, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return partial.rename(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("quantisation", choices=["Q4_K_M", "Q8_0", "Q4_0"])
    parser.add_argument("path", type=Path)
    data = os.environ.get("CANDLEWICK_TEST_DATA")
    default = Path(data) / "vocab/ggml-vocab-llama-bpe.gguf" if data else None
    parser.add_argument("--vocabulary", type=Path, default=default)
    arguments = parser.parse_args()
    shape = SHAPES[arguments.shape]
    vocabulary = arguments.vocabulary if shape.vocabulary == 128256 else None
    print(write_model(arguments.path, shape, arguments.quantisation, vocabulary))


if __name__ == "__main__":
    main()
