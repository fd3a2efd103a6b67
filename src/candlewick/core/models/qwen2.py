"""Qwen2 and Qwen2.5 (Yang et al. 2024)."""

from __future__ import annotations

from candlewick.core.model_config import ModelConfig
from candlewick.core.models.layers import feed_forward, output_head, self_attention, token_embedding
from candlewick.core.program import Value
from candlewick.core.program_builder import ProgramBuilder


def qwen2(model: ProgramBuilder, config: ModelConfig) -> Value:
    """Biases on q, k and v, and rotation of a head's first half with its second.

    A window in the file is not used: the published models switch it off, and a file can't say so.
    """
    x = token_embedding(model, config)
    for layer in range(config.num_layers):
        with model.scope(f"blk.{layer}"):
            normed = model.rms_norm(x, "attn_norm", config.rms_epsilon)
            attended = self_attention(model, normed, config, layer, interleaved_rope=False, qkv_bias=True)
            x = model.add(x, attended)
            x = model.add(x, feed_forward(model, model.rms_norm(x, "ffn_norm", config.rms_epsilon), config))
    return output_head(model, x, config)
