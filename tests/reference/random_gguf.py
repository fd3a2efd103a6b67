"""Small GGUF files of every architecture with random weights, by the official writer and without transformers."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np

_HIDDEN, _HEADS, _KV_HEADS, _HEAD_DIM, _FEED_FORWARD = 64, 4, 2, 16, 96


def write_random_gguf(
    path: Path, architecture: str, *, vocab_size: int, num_layers: int = 2, tensor_type: str = "Q8_0"
) -> Path:
    """A model whose answers tell prompts apart; matrices are quantised to ``tensor_type``."""
    rng = np.random.default_rng(5)
    writer = gguf.GGUFWriter(str(path), architecture)
    writer.add_context_length(256)
    writer.add_embedding_length(_HIDDEN)
    writer.add_block_count(num_layers)
    writer.add_feed_forward_length(_FEED_FORWARD)
    writer.add_head_count(_HEADS)
    writer.add_head_count_kv(_KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(_HEAD_DIM)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(vocab_size)
    kind = gguf.GGMLQuantizationType[tensor_type]
    kv_width = _KV_HEADS * _HEAD_DIM
    matrices = {"token_embd.weight": (vocab_size, _HIDDEN)}
    vectors = {"output_norm.weight": _HIDDEN}
    for layer in (f"blk.{i}" for i in range(num_layers)):
        matrices |= {
            f"{layer}.attn_q.weight": (_HEADS * _HEAD_DIM, _HIDDEN),
            f"{layer}.attn_k.weight": (kv_width, _HIDDEN),
            f"{layer}.attn_v.weight": (kv_width, _HIDDEN),
            f"{layer}.attn_output.weight": (_HIDDEN, _HEADS * _HEAD_DIM),
            f"{layer}.ffn_gate.weight": (_FEED_FORWARD, _HIDDEN),
            f"{layer}.ffn_up.weight": (_FEED_FORWARD, _HIDDEN),
            f"{layer}.ffn_down.weight": (_HIDDEN, _FEED_FORWARD),
        }
        vectors |= {f"{layer}.attn_norm.weight": _HIDDEN, f"{layer}.ffn_norm.weight": _HIDDEN}
        if architecture == "qwen2":
            vectors |= {
                f"{layer}.attn_q.bias": _HEADS * _HEAD_DIM,
                f"{layer}.attn_k.bias": kv_width,
                f"{layer}.attn_v.bias": kv_width,
            }
        if architecture == "qwen3":
            vectors |= {f"{layer}.attn_q_norm.weight": _HEAD_DIM, f"{layer}.attn_k_norm.weight": _HEAD_DIM}
    for name, length in vectors.items():
        writer.add_tensor(name, (1 + 0.3 * rng.normal(size=length)).astype(np.float32))
    for name, shape in matrices.items():
        values = rng.normal(0, 0.3, shape).astype(np.float32)
        writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
