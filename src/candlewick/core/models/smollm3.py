"""SmolLM3 (Bakouch et al. 2025): Llama in which every fourth layer knows no positions."""

from __future__ import annotations

from candlewick.core.model_config import ModelConfig
from candlewick.core.models.layers import feed_forward, output_head, self_attention, token_embedding
from candlewick.core.program import Value
from candlewick.core.program_builder import ProgramBuilder


def smollm3(model: ProgramBuilder, config: ModelConfig) -> Value:
    """``config.rope_layers`` says which layers rotate (Yang et al. 2025, "RoPE to NoPE and back again")."""
    x = token_embedding(model, config)
    for layer in range(config.num_layers):
        with model.scope(f"blk.{layer}"):
            normed = model.rms_norm(x, "attn_norm", config.rms_epsilon)
            x = model.add(x, self_attention(model, normed, config, layer, interleaved_rope=True))
            x = model.add(x, feed_forward(model, model.rms_norm(x, "ffn_norm", config.rms_epsilon), config))
    return output_head(model, x, config)
