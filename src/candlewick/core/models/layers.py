"""The pieces that decoder-only models share; what differs between models is named by an argument.

Owns the names of these pieces' tensors, which are those of the GGUF specification. Refuses to know any
architecture.
"""

from __future__ import annotations

from candlewick.core.model_config import ModelConfig
from candlewick.core.program import Value
from candlewick.core.program_builder import ProgramBuilder


def token_embedding(model: ProgramBuilder, config: ModelConfig) -> Value:
    """The vectors of the batch's tokens ``[tokens, hidden]``."""
    return model.embed("token_embd", config.vocab_size, config.hidden_size)


def self_attention(
    model: ProgramBuilder,
    x: Value,
    config: ModelConfig,
    layer: int,
    *,
    interleaved_rope: bool,
    qkv_bias: bool = False,
    qk_norm: bool = False,
    window: int | None = None,
) -> Value:
    """Grouped-query attention with its output projection ``[tokens, hidden]`` (Ainslie et al. 2023).

    Args:
        x: the normalised input.
        layer: index of the layer's cache, and of its entry in ``config.rope_layers``.
        interleaved_rope: pairs are neighbouring columns; otherwise a head's first half goes with its second.
        qkv_bias: the file must have biases of q, k and v. Biases that it has are added in any case.
        qk_norm: normalise each head of q and k before it is rotated.
        window: positions that a token looks at.
    """
    q = model.linear(x, "attn_q", config.num_heads * config.head_dim, requires_bias=qkv_bias)
    k = model.linear(x, "attn_k", config.num_kv_heads * config.head_dim, requires_bias=qkv_bias)
    v = model.linear(x, "attn_v", config.num_kv_heads * config.head_dim, requires_bias=qkv_bias)
    if qk_norm:
        q = model.rms_norm(q, "attn_q_norm", config.rms_epsilon, group=config.head_dim)
        k = model.rms_norm(k, "attn_k_norm", config.rms_epsilon, group=config.head_dim)
    if config.rope_layers[layer]:
        q = _rotate(model, q, config, interleaved_rope)
        k = _rotate(model, k, config, interleaved_rope)
    mixed = model.attention(
        q,
        k,
        v,
        layer=layer,
        num_heads=config.num_heads,
        num_kv_heads=config.num_kv_heads,
        head_dim=config.head_dim,
        scale=config.attention_scale,
        window=window,
    )
    return model.linear(mixed, "attn_output", config.hidden_size)


def feed_forward(model: ProgramBuilder, x: Value, config: ModelConfig) -> Value:
    """The SwiGLU network ``[tokens, hidden]`` (Shazeer 2020)."""
    gate = model.linear(x, "ffn_gate", config.ffn_size)
    up = model.linear(x, "ffn_up", config.ffn_size)
    return model.linear(model.silu_multiply(gate, up), "ffn_down", config.hidden_size)


def output_head(model: ProgramBuilder, x: Value, config: ModelConfig) -> Value:
    """The logits of the rows that want them ``[logits, vocabulary]``."""
    x = model.rms_norm(model.select_rows(x), "output_norm", config.rms_epsilon)
    return model.logits(x, "token_embd" if config.tied_embeddings else "output", config.vocab_size)


def _rotate(model: ProgramBuilder, x: Value, config: ModelConfig, interleaved: bool) -> Value:
    return model.rope(
        x,
        tuple(config.rope.inverse_frequencies().tolist()),
        interleaved=interleaved,
        head_dim=config.head_dim,
        scale=config.rope.attention_scale,
    )
