"""A training step by the operators of ``amx/step.cpp``, on processors with AMX.

Owns their building, at first use, and when they may be used. What they compute is specified by ``model.py``,
``train.py`` and ``muon.py``, which other processors use.
"""

from __future__ import annotations

import warnings
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.utils import cpp_extension

if TYPE_CHECKING:
    from model import TinyModel
    from packing import Batch

SOURCE = Path(__file__).with_name("amx") / "step.cpp"
FLAGS = (
    "-O3",
    "-std=c++20",
    "-mamx-tile",
    "-mamx-bf16",
    "-mavx512f",
    "-mavx512bw",
    "-mavx512dq",
    "-mavx512vl",
    "-mavx512bf16",
    "-mfma",
)
TOKENS_BY = 1024
"""A batch must have a multiple of so many tokens."""
SIZES_BY = 32
"""All sizes of matrices and rows must be multiples of this."""


@lru_cache(1)
def is_available() -> bool:
    """Whether this processor has the operators; they are built then, with ninja and a C++ compiler."""
    if not torch.cpu._is_amx_tile_supported():
        return False
    try:
        cpp_extension.load("candlewick_amx", [str(SOURCE)], extra_cflags=list(FLAGS), is_python_module=False)
    except (ImportError, OSError, RuntimeError) as error:
        warnings.warn(f"training goes on without {SOURCE.name}, but slower: {error}", stacklevel=2)
        return False
    return True


def fits(model: TinyModel, batch: Batch) -> bool:
    """Whether the operator can take this step."""
    shape = model.shape
    sizes = (shape.hidden, shape.feed_forward, shape.vocab_size, batch.ids.shape[1])
    return (
        shape.head_dim == 64
        and all(size % SIZES_BY == 0 for size in sizes)
        and batch.ids.numel() % TOKENS_BY == 0
        and is_available()
    )


def learn(model: TinyModel, batch: Batch) -> float:
    """The loss of ``batch`` as ``train.batch_loss`` has it; its gradients become those of the parameters."""
    parameters = list(model.parameters())
    for parameter in parameters:
        parameter.grad = torch.empty_like(parameter)
    loss: float = torch.ops.candlewick.loss_and_gradients(
        [parameter.detach() for parameter in parameters],
        [parameter.grad for parameter in parameters],
        model.cosines,
        model.sines,
        batch.ids,
        batch.positions.contiguous(),
        batch.spans(),
        batch.weights,
        model.shape.no_rope_interval,
        model.shape.norm_epsilon,
    )
    return loss


def orthogonalises(matrices: Tensor) -> bool:
    """Whether the operator can take these."""
    return all(size % SIZES_BY == 0 for size in matrices.shape[1:]) and is_available()


def orthogonalised(matrices: Tensor, coefficients: tuple[float, ...], iterations: int) -> Tensor:
    """``muon.orthogonalised`` of matrices whose norm is at most one already."""
    result: Tensor = torch.ops.candlewick.orthogonalised(matrices, coefficients, iterations)
    return result
