"""The built-in model: SmolLM3's architecture in plain torch, small enough to read in one sitting.

Owns the network and its shape. Knows nothing of text, data or files.

Source: "SmolLM3" (Hugging Face, 2025) and transformers' ``SmolLM3ForCausalLM``: a Llama (RMSNorm, rotary
positions, grouped-query attention, SwiGLU) whose every fourth layer rotates nothing (NoPE, Yang et al. 2025,
arXiv:2501.18795), with the output matrix tied to the embedding. Rotation acts on neighbouring pairs of
columns (2i, 2i + 1), the layout that GGUF files of this family hold, so that export is a plain copy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class ModelShape:
    """Sizes of the network; every matrix has a multiple of 256 columns, so that any GGUF type can hold it."""

    vocab_size: int = 2048
    hidden: int = 256
    layers: int = 6
    heads: int = 4
    kv_heads: int = 2
    feed_forward: int = 512
    context: int = 2048
    rope_theta: float = 50_000.0
    norm_epsilon: float = 1e-6
    no_rope_interval: int = 4

    @property
    def head_dim(self) -> int:
        return self.hidden // self.heads

    def uses_rope(self, layer: int) -> bool:
        """Whether ``layer`` (from 0) rotates queries and keys: all but every ``no_rope_interval``-th do."""
        return (layer + 1) % self.no_rope_interval != 0


CHUNK = 256
"""Queries that are held against keys at once: nobody sees what comes later in a row, so early ones need few keys."""
FORBIDDEN = -1e9
"""What a mask adds where a token must not look: finite, so that a padded row stays free of NaN."""


def causal_mask(tokens: int) -> Tensor:
    """[tokens, tokens]: 0 where a token may look, at itself and before, else :data:`FORBIDDEN`."""
    return torch.full((tokens, tokens), FORBIDDEN).triu(1)


def rotate(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Rotate neighbouring pairs of ``x`` [batch, heads, tokens, head_dim] by angles that broadcast to [batch,
    heads, tokens, head_dim / 2]."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cosines - odd * sines, even * sines + odd * cosines), dim=-1).flatten(-2)


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """[batch, kv_heads, groups, queries, head_dim], by keys and values [batch, kv_heads, tokens, head_dim] and a mask
    that broadcasts to [batch, 1, queries, tokens].

    Written out, since torch's fused attention on a CPU takes 20 times as long backwards in bfloat16. The heads that
    share a key stand side by side, so one product serves them all.
    """
    batch, kv_heads, groups, queries, head_dim = query.shape
    scores = query.reshape(batch, kv_heads, groups * queries, head_dim) @ key.transpose(-1, -2)
    scores = scores.view(batch, kv_heads * groups, queries, -1)
    scores = scores + mask.to(scores.dtype)  # scores that stay in bfloat16 take a third of the time
    weights = scores.softmax(-1).view(batch, kv_heads, groups * queries, -1)
    return (weights.to(value.dtype) @ value).view(query.shape)


class Attention(nn.Module):
    def __init__(self, shape: ModelShape, layer: int) -> None:
        super().__init__()
        self.shape, self.rope = shape, shape.uses_rope(layer)
        columns = shape.kv_heads * shape.head_dim
        self.attn_q = nn.Linear(shape.hidden, shape.hidden, bias=False)
        self.attn_k = nn.Linear(shape.hidden, columns, bias=False)
        self.attn_v = nn.Linear(shape.hidden, columns, bias=False)
        self.attn_output = nn.Linear(shape.hidden, shape.hidden, bias=False)

    def forward(self, x: Tensor, angles: tuple[Tensor, Tensor], mask: Tensor) -> Tensor:
        batch, tokens, _ = x.shape
        shape = self.shape
        query = self.attn_q(x).view(batch, tokens, shape.heads, shape.head_dim).transpose(1, 2)
        key = self.attn_k(x).view(batch, tokens, shape.kv_heads, shape.head_dim).transpose(1, 2)
        value = self.attn_v(x).view(batch, tokens, shape.kv_heads, shape.head_dim).transpose(1, 2)
        if self.rope:
            query, key = rotate(query, *angles), rotate(key, *angles)
        query = query.view(batch, shape.kv_heads, -1, tokens, shape.head_dim) * shape.head_dim**-0.5
        pieces = []
        for start in range(0, tokens, CHUNK):
            end = min(start + CHUNK, tokens)
            pieces.append(
                attend(
                    query[..., start:end, :],
                    key[..., :end, :],
                    value[..., :end, :],
                    mask[..., start:end, :end],
                )
            )
        mixed = torch.cat(pieces, dim=-2).flatten(1, 2)
        result: Tensor = self.attn_output(mixed.transpose(1, 2).reshape(batch, tokens, shape.hidden))
        return result


class Block(nn.Module):
    def __init__(self, shape: ModelShape, layer: int) -> None:
        super().__init__()
        self.attn_norm = nn.RMSNorm(shape.hidden, eps=shape.norm_epsilon)
        self.attention = Attention(shape, layer)
        self.ffn_norm = nn.RMSNorm(shape.hidden, eps=shape.norm_epsilon)
        self.ffn_gate = nn.Linear(shape.hidden, shape.feed_forward, bias=False)
        self.ffn_up = nn.Linear(shape.hidden, shape.feed_forward, bias=False)
        self.ffn_down = nn.Linear(shape.feed_forward, shape.hidden, bias=False)

    def forward(self, x: Tensor, angles: tuple[Tensor, Tensor], mask: Tensor) -> Tensor:
        x = x + self.attention(self.attn_norm(x), angles, mask)
        y = self.ffn_norm(x)
        result: Tensor = x + self.ffn_down(functional.silu(self.ffn_gate(y)) * self.ffn_up(y))
        return result


class TinyModel(nn.Module):
    """Token ids [batch, tokens] -> logits [batch, tokens, vocab_size].

    ``mask`` is added to the attention scores and broadcasts to [batch, heads, tokens, tokens]; it must forbid what
    comes later in the row. :func:`causal_mask` is the usual one, packed rows bring their own, and their ``positions``
    [batch, tokens].
    """

    cosines: Tensor
    sines: Tensor

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.shape = shape
        self.token_embd = nn.Embedding(shape.vocab_size, shape.hidden)
        self.blk = nn.ModuleList(Block(shape, layer) for layer in range(shape.layers))
        self.output_norm = nn.RMSNorm(shape.hidden, eps=shape.norm_epsilon)
        pairs = torch.arange(0, shape.head_dim, 2, dtype=torch.float64) / shape.head_dim
        angles = torch.outer(torch.arange(shape.context, dtype=torch.float64), shape.rope_theta**-pairs)
        self.register_buffer("cosines", angles.cos().float(), persistent=False)
        self.register_buffer("sines", angles.sin().float(), persistent=False)
        self._initialise()

    def _initialise(self) -> None:
        """Normal weights, the two that write into the residual stream scaled down by depth (GPT-2)."""
        for name, parameter in self.named_parameters():
            if parameter.ndim < 2:
                continue
            scale = 0.02 if name.startswith("token_embd") else 1 / math.sqrt(parameter.shape[1])
            if name.endswith(("attn_output.weight", "ffn_down.weight")):
                scale /= math.sqrt(2 * self.shape.layers)
            nn.init.normal_(parameter, std=scale)

    def forward(self, ids: Tensor, mask: Tensor, positions: Tensor | None = None) -> Tensor:
        return self.logits(self.states(ids, mask, positions))

    def states(self, ids: Tensor, mask: Tensor, positions: Tensor | None = None) -> Tensor:
        """What the output matrix is applied to: [batch, tokens, hidden], normed."""
        if positions is None:
            positions = torch.arange(ids.shape[1])[None]
        angles = (self.cosines[positions][:, None], self.sines[positions][:, None])
        x = self.token_embd(ids)
        for block in self.blk:
            x = block(x, angles, mask)
        normed: Tensor = self.output_norm(x)
        return normed

    def logits(self, states: Tensor) -> Tensor:
        return functional.linear(states, self.token_embd.weight)
