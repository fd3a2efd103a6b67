"""Attention of packed dialogues as one operator, on processors with AMX: a step takes two thirds of the time.

Owns the operators of ``packed_attention.cpp``: built at first use, with their gradients and shapes made known to torch.
"""

from __future__ import annotations

import warnings
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils import cpp_extension

HEAD_DIM = 64
TOKENS_BY = 32
"""Rows must be a multiple of this."""
FLAGS = (
    "-O3",
    "-std=c++20",
    "-mamx-tile",
    "-mamx-bf16",
    "-mavx512f",
    "-mavx512bw",
    "-mavx512vl",
    "-mavx512bf16",
    "-mfma",
)


@lru_cache(1)
def is_available() -> bool:
    """Whether this processor has the operators; they are built then, with ninja and a C++ compiler."""
    if not torch.cpu._is_amx_tile_supported():
        return False
    source = Path(__file__).with_suffix(".cpp")
    try:
        cpp_extension.load(
            "packed_attention", [str(source)], extra_cflags=list(FLAGS), is_python_module=False
        )
    except (ImportError, OSError, RuntimeError) as error:
        warnings.warn(f"training goes on without packed_attention.cpp, but slower: {error}", stacklevel=2)
        return False
    torch.library.register_fake("candlewick::attend", _attend_shapes)
    torch.library.register_fake("candlewick::attend_backward", _backward_shapes)
    torch.library.register_autograd("candlewick::attend", _backward, setup_context=_remember)
    return True


def attend(query: Tensor, key: Tensor, value: Tensor, spans: Tensor) -> Tensor:
    """[batch, tokens, heads, 64] of the same, by [batch, tokens, kv_heads, 64] and spans [batch, tokens, 3], int32."""
    bfloat16 = (tensor.to(torch.bfloat16).contiguous() for tensor in (query, key, value))
    mixed: Tensor = torch.ops.candlewick.attend(*bfloat16, spans)[0]
    return mixed


def _attend_shapes(query: Tensor, key: Tensor, value: Tensor, spans: Tensor) -> tuple[Tensor, Tensor]:
    batch, tokens, heads, _ = query.shape
    return torch.empty_like(query), query.new_empty((batch, heads, tokens), dtype=torch.float32)


def _backward_shapes(
    gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, spans: Tensor, mixed: Tensor, logs: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(query), torch.empty_like(key), torch.empty_like(value)


def _remember(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs, *output)
    ctx.mark_non_differentiable(output[1])


def _backward(context: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
    gradients = torch.ops.candlewick.attend_backward(gradient.contiguous(), *context.saved_tensors)
    return *gradients, None
