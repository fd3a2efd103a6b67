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
    layers: int = 8
    heads: int = 4
    kv_heads: int = 2
    feed_forward: int = 768
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


def causal_spans(tokens: int) -> Tensor:
    """[1, tokens, 3]: every token sees itself and what is before it."""
    return torch.zeros((1, tokens, 3), dtype=torch.int32)


def mask(spans: Tensor) -> Tensor:
    """[batch, 1, tokens, tokens]: 0 where a token sees, else :data:`FORBIDDEN`."""
    first, end, own = (spans[..., number, None] for number in range(3))
    place = torch.arange(spans.shape[1])
    seen = ((place >= first) & (place < end)) | ((place >= own) & (place <= place[:, None]))
    return torch.where(seen, 0.0, FORBIDDEN)[:, None]


def rotate(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Rotate neighbouring pairs of ``x`` [batch, tokens, heads, head_dim] by angles that broadcast to [batch,
    tokens, heads, head_dim / 2]."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cosines - odd * sines, even * sines + odd * cosines), dim=-1).flatten(-2)


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """[batch, tokens, heads, head_dim] of the same, of keys and values [batch, tokens, kv_heads, head_dim], and of what
    :func:`mask` gives.

    Written out, since torch's fused attention on a CPU takes 20 times as long backwards in bfloat16. The heads that
    share a key stand side by side, so one product serves them all.
    """
    batch, tokens, heads, head_dim = query.shape
    kv_heads = key.shape[2]
    query = query.view(batch, tokens, kv_heads, -1, head_dim).permute(0, 2, 3, 1, 4)
    key, value = key.permute(0, 2, 3, 1), value.transpose(1, 2)
    allowed = mask.to(query.dtype)  # scores that stay in bfloat16 take a third of the time
    pieces = []
    for start in range(0, tokens, CHUNK):
        end = min(start + CHUNK, tokens)
        scores = query[..., start:end, :].flatten(2, 3) @ key[..., :end]
        scores = scores.view(batch, heads, end - start, end) + allowed[..., start:end, :end]
        weights = scores.softmax(-1).view(batch, kv_heads, -1, end)
        pieces.append(
            (weights.to(value.dtype) @ value[..., :end, :]).view(batch, heads, end - start, head_dim)
        )
    return torch.cat(pieces, dim=-2).transpose(1, 2)


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
        query = self.attn_q(x).view(batch, tokens, shape.heads, shape.head_dim)
        key = self.attn_k(x).view(batch, tokens, shape.kv_heads, shape.head_dim)
        value = self.attn_v(x).view(batch, tokens, shape.kv_heads, shape.head_dim)
        if self.rope:
            query, key = rotate(query, *angles), rotate(key, *angles)
        mixed = attend(query * shape.head_dim**-0.5, key, value, mask)
        result: Tensor = self.attn_output(mixed.reshape(batch, tokens, shape.hidden))
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

    ``spans`` [batch, tokens, 3], int32, say what a token sees: the places of its row from the first of them to before
    the second, and those from the third to itself. :func:`causal_spans` are the usual ones, packed rows bring their
    own, and their ``positions`` [batch, tokens].
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

    def forward(self, ids: Tensor, spans: Tensor, positions: Tensor | None = None) -> Tensor:
        return self.logits(self.states(ids, spans, positions))

    def states(self, ids: Tensor, spans: Tensor, positions: Tensor | None = None) -> Tensor:
        """What the output matrix is applied to: [batch, tokens, hidden], normed."""
        if positions is None:
            positions = torch.arange(ids.shape[1])[None]
        angles = (self.cosines[positions][:, :, None], self.sines[positions][:, :, None])
        x = self.token_embd(ids)
        allowed = mask(spans)
        for block in self.blk:
            x = block(x, angles, allowed)
        normed: Tensor = self.output_norm(x)
        return normed

    def logits(self, states: Tensor) -> Tensor:
        return functional.linear(states, self.token_embd.weight)
