"""Llama 1 to 3 (Touvron et al. 2023, Grattafiori et al. 2024), Mistral (Jiang et al. 2023) and their kin."""

from __future__ import annotations

from candlewick.core.model_config import ModelConfig
from candlewick.core.models.layers import feed_forward, output_head, self_attention, token_embedding
from candlewick.core.program import Value
from candlewick.core.program_builder import ProgramBuilder


def llama(model: ProgramBuilder, config: ModelConfig) -> Value:
    """Pre-normalised decoder with rotary positions, grouped-query attention and SwiGLU.

    Converters permute the rows of q and k so that pairs are neighbouring columns. The window is that of the
    first Mistral; most Mistral files call their architecture llama.
    """
    x = token_embedding(model, config)
    for layer in range(config.num_layers):
        with model.scope(f"blk.{layer}"):
            normed = model.rms_norm(x, "attn_norm", config.rms_epsilon)
            attended = self_attention(
                model, normed, config, layer, interleaved_rope=True, window=config.sliding_window
            )
            x = model.add(x, attended)
            x = model.add(x, feed_forward(model, model.rms_norm(x, "ffn_norm", config.rms_epsilon), config))
    return output_head(model, x, config)
