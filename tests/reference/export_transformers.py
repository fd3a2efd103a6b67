"""Writes a small transformers model as a complete GGUF file, to hold other implementations against it.

Follows llama.cpp's converter in names, metadata and the order of q's and k's rows. The vocabulary is
byte-level, one token a byte, with a merge and the usual control tokens, so that the file also loads where a
tokenizer is required.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt

CONTROL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>")
MERGED_TOKEN = "he"
SMALLEST_VOCABULARY = 256 + 1 + len(CONTROL_TOKENS)

_ARCHITECTURES = {
    "llama": "llama",
    "mistral": "llama",
    "smollm3": "smollm3",
    "qwen2": "qwen2",
    "qwen3": "qwen3",
}
_PERMUTED = ("llama", "mistral", "smollm3")
"""Model types whose q and k rows are reordered so that RoPE pairs are neighbours."""

_TENSOR_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def export_gguf(
    model: Any,
    path: str | Path,
    tensor_type: str = "F32",
    *,
    architecture: str | None = None,
    chat_template: str | None = None,
    pooling: str | None = None,
) -> Path:
    """Write ``model`` (a transformers ``...ForCausalLM``) to ``path`` and return that.

    Args:
        model: of type llama, mistral, smollm3, qwen2 or qwen3; at least ``SMALLEST_VOCABULARY`` tokens.
        path: the file to write.
        tensor_type: of all matrices: a type that ``gguf.quants.quantize`` writes (F32, F16, BF16, Q4_0, Q4_1,
            Q5_0, Q5_1, Q8_0, …). Vectors are F32. Rows must be whole blocks.
        architecture: write the file as of this architecture instead of the converter's choice.
        chat_template: the template to store.
        pooling: how hidden states become an embedding: ``MEAN``, ``CLS``, ``LAST``, …
    """
    config = model.config
    if config.vocab_size < SMALLEST_VOCABULARY:
        raise ValueError(f"vocab_size must be at least {SMALLEST_VOCABULARY}, got {config.vocab_size}")
    writer = gguf.GGUFWriter(str(path), architecture or _ARCHITECTURES[config.model_type])
    _add_sizes(writer, config)
    _add_vocabulary(writer, config.vocab_size)
    if chat_template is not None:
        writer.add_chat_template(chat_template)
    if pooling is not None:
        writer.add_pooling_type(gguf.PoolingType[pooling])
    for name, values in _tensors(model):
        kind = gguf.GGMLQuantizationType.F32 if values.ndim == 1 else gguf.GGMLQuantizationType[tensor_type]
        writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return Path(path)


def read_dequantized(path: str | Path) -> dict[str, npt.NDArray[np.float32]]:
    """Every tensor of a GGUF file as float32, read by the ``gguf`` package."""
    return {
        tensor.name: gguf.quants.dequantize(tensor.data, tensor.tensor_type).reshape(tensor.shape[::-1])
        for tensor in gguf.GGUFReader(str(path)).tensors
    }


def _head_dim(config: Any) -> int:
    return getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads


def _add_sizes(writer: gguf.GGUFWriter, config: Any) -> None:
    writer.add_name(f"random {config.model_type}")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(_head_dim(config))
    writer.add_value_length(_head_dim(config))
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    if config.model_type == "mistral" and config.sliding_window is not None:
        writer.add_sliding_window(config.sliding_window)
    if config.model_type == "smollm3":
        usual = [int((layer + 1) % 4 != 0) for layer in range(config.num_hidden_layers)]
        if list(config.no_rope_layers) != usual:
            writer.add_array("smollm3.no_rope_layers", [int(flag) for flag in config.no_rope_layers])
    _add_rope(writer, config)


def _add_rope(writer: gguf.GGUFWriter, config: Any) -> None:
    rope = config.rope_parameters
    writer.add_rope_freq_base(rope["rope_theta"])
    writer.add_rope_dimension_count(_head_dim(config))
    match rope["rope_type"]:
        case "default":
            pass
        case "llama3":
            writer.add_tensor("rope_freqs.weight", _llama3_factors(config))
        case "linear":
            writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
            writer.add_rope_scaling_factor(rope["factor"])
        case "yarn":
            if rope.get("mscale", 1.0) != 1.0:
                raise ValueError(f"a GGUF file can't hold mscale {rope['mscale']}, only 1")
            writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
            writer.add_rope_scaling_factor(rope["factor"])
            writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
            for key, add in (
                ("attention_factor", writer.add_rope_scaling_yarn_attn_factor),
                ("beta_fast", writer.add_rope_scaling_yarn_beta_fast),
                ("beta_slow", writer.add_rope_scaling_yarn_beta_slow),
                ("mscale_all_dim", writer.add_rope_scaling_yarn_log_mul),
            ):
                if rope.get(key) is not None:
                    add(rope[key])
        case other:
            raise ValueError(f"rope_type {other!r} can't be exported")


def _llama3_factors(config: Any) -> npt.NDArray[np.float32]:
    """What each frequency is divided by (Llama 3.1's reference code, ``apply_scaling``)."""
    rope = config.rope_parameters
    dimensions = _head_dim(config)
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    factors = []
    for pair in range(dimensions // 2):
        wavelength = 2 * math.pi * rope["rope_theta"] ** (2 * pair / dimensions)
        turns = rope["original_max_position_embeddings"] / wavelength
        smooth = min(max((turns - low) / (high - low), 0.0), 1.0)
        factors.append(1 / ((1 - smooth) / rope["factor"] + smooth))
    return np.array(factors, dtype=np.float32)


def _tensors(model: Any) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    config = model.config
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        values = tensor.detach().float().numpy()
        if config.model_type in _PERMUTED and (".q_proj." in name or ".k_proj." in name):
            values = _interleave_heads(values, _head_dim(config))
        yield _gguf_name(name), np.ascontiguousarray(values)


def _gguf_name(name: str) -> str:
    stem, ending = name.rsplit(".", 1)
    prefix = ""
    if stem.startswith("model.layers."):
        _, _, layer, stem = stem.split(".", 3)
        prefix = f"blk.{layer}."
    return f"{prefix}{_TENSOR_NAMES[stem]}.{ending}"


def _interleave_heads(values: npt.NDArray[np.float32], head_dim: int) -> npt.NDArray[np.float32]:
    """Reorder each head's rows ``0, 1, … , h, h + 1, …`` to ``0, h, 1, h + 1, …`` with ``h`` half a head."""
    heads = values.reshape(-1, 2, head_dim // 2, *values.shape[1:])
    return heads.swapaxes(1, 2).reshape(values.shape)


def _add_vocabulary(writer: gguf.GGUFWriter, vocab_size: int) -> None:
    tokens = [*_byte_characters(), MERGED_TOKEN, *CONTROL_TOKENS]
    types = [gguf.TokenType.NORMAL] * 257 + [gguf.TokenType.CONTROL] * len(CONTROL_TOKENS)
    tokens += [f"<|unused_{index}|>" for index in range(vocab_size - len(tokens))]
    types += [gguf.TokenType.UNUSED] * (vocab_size - len(types))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges([" ".join(MERGED_TOKEN)])
    writer.add_bos_token_id(tokens.index("<|endoftext|>"))
    writer.add_eos_token_id(tokens.index("<|im_end|>"))
    writer.add_add_bos_token(False)


def _byte_characters() -> list[str]:
    """GPT-2's visible character for each byte: itself if printable, else the next one from U+0100 on."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    unprintable = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) if byte in printable else chr(0x100 + unprintable.index(byte)) for byte in range(256)]
