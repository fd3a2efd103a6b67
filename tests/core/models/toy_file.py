"""A model file in memory: metadata, shapes and random weights of a toy model of any architecture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

HIDDEN, HEADS, KV_HEADS, HEAD_DIM, FFN, VOCABULARY = 32, 4, 2, 8, 48, 40


@dataclass(frozen=True)
class ToyTensor:
    shape: tuple[int, ...]
    type: int = 0


@dataclass(frozen=True)
class ToyFile:
    """What models read of a file."""

    metadata: Mapping[str, Any]
    tensors: Mapping[str, ToyTensor] = field(default_factory=dict)
    values: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    path: Path = Path("toy.gguf")

    def data(self, name: str) -> npt.NDArray[np.uint8]:
        return self.values[name].view(np.uint8)


def toy_metadata(
    architecture: str = "llama", num_layers: int = 2, width: int = 1, **changes: Any
) -> dict[str, Any]:
    """Complete metadata; ``changes`` replace keys after the architecture, ``None`` removes one.

    ``width`` multiplies the columns of heads and everything that depends on them.
    """
    sizes = {
        "context_length": 64,
        "embedding_length": HIDDEN * width,
        "block_count": num_layers,
        "feed_forward_length": FFN * width,
        "attention.head_count": HEADS,
        "attention.head_count_kv": KV_HEADS,
        "attention.layer_norm_rms_epsilon": 1e-5,
        "rope.freq_base": 10000.0,
    }
    sizes.update(changes)
    entries = {f"{architecture}.{key}": value for key, value in sizes.items() if value is not None}
    return {"general.architecture": architecture, **entries}


def toy_shapes(
    architecture: str = "llama", num_layers: int = 2, width: int = 1
) -> dict[str, tuple[int, ...]]:
    """The shapes of the tensors that a tied model of these sizes has."""
    hidden, head_dim, ffn = HIDDEN * width, HEAD_DIM * width, FFN * width
    layer = {
        "attn_norm.weight": (hidden,),
        "attn_q.weight": (HEADS * head_dim, hidden),
        "attn_k.weight": (KV_HEADS * head_dim, hidden),
        "attn_v.weight": (KV_HEADS * head_dim, hidden),
        "attn_output.weight": (hidden, HEADS * head_dim),
        "ffn_norm.weight": (hidden,),
        "ffn_gate.weight": (ffn, hidden),
        "ffn_up.weight": (ffn, hidden),
        "ffn_down.weight": (hidden, ffn),
    }
    if architecture == "qwen2":
        layer |= {f"attn_{part}.bias": layer[f"attn_{part}.weight"][:1] for part in "qkv"}
    if architecture == "qwen3":
        layer |= {"attn_q_norm.weight": (head_dim,), "attn_k_norm.weight": (head_dim,)}
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (VOCABULARY, hidden),
        "output_norm.weight": (hidden,),
    }
    for index in range(num_layers):
        shapes |= {f"blk.{index}.{name}": shape for name, shape in layer.items()}
    return shapes


def toy_tensors(architecture: str = "llama", num_layers: int = 2) -> dict[str, ToyTensor]:
    return {name: ToyTensor(shape) for name, shape in toy_shapes(architecture, num_layers).items()}


def toy_weights(shapes: dict[str, tuple[int, ...]], seed: int = 0) -> dict[str, npt.NDArray[np.float64]]:
    generator = np.random.default_rng(seed)
    return {name: generator.normal(size=shape) / shape[-1] ** 0.5 for name, shape in shapes.items()}
