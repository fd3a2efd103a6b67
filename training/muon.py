"""Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon), with the sums of each matrix in its own type.

torch's own always rounds to bfloat16, which a processor without such products emulates many times slower. Matrices of
one shape are orthogonalised together, and processes that learn together do a part of them each.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor, distributed

import amx_step

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5
EPSILON = 1e-7


def orthogonalised(matrices: Tensor) -> Tensor:
    """``matrices`` [count, rows, columns], rows <= columns, with all their singular values moved near one, by Newton
    and Schulz's iteration."""
    x = matrices / matrices.norm(dim=(-2, -1), keepdim=True).clamp(min=EPSILON)
    if torch.is_autocast_enabled("cpu") and amx_step.orthogonalises(x):
        return amx_step.orthogonalised(x, COEFFICIENTS, ITERATIONS)
    if torch.is_autocast_enabled("cpu"):
        x = x.to(torch.get_autocast_dtype("cpu"))  # once, and not before each of the products
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x


class Muon(torch.optim.Optimizer):
    """Momentum (Nesterov's) whose step is orthogonalised, for parameters that are matrices. ``workers`` processes of a
    group, of which this is number ``rank``, have the same gradients and share the work."""

    def __init__(
        self,
        matrices: Iterable[Tensor],
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.01,
        workers: int = 1,
        rank: int = 0,
    ) -> None:
        super().__init__(matrices, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self.workers, self.rank = workers, rank

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        for group in self.param_groups:
            alike: dict[tuple[int, ...], list[Tensor]] = defaultdict(list)
            for matrix in group["params"]:
                if matrix.grad is not None:
                    alike[tuple(sorted(matrix.shape))].append(matrix)
            for matrices in alike.values():
                wanted = torch.stack([_wide(self._sought(matrix, group["momentum"])) for matrix in matrices])
                for matrix, step in zip(matrices, self._orthogonalised(wanted), strict=True):
                    rows, columns = matrix.shape
                    matrix.mul_(1 - group["lr"] * group["weight_decay"])
                    step = step.T if rows > columns else step
                    matrix.add_(step, alpha=-group["lr"] * max(1.0, rows / columns) ** 0.5)

    def _sought(self, matrix: Tensor, momentum: float) -> Tensor:
        """Where the gradients of the last steps point to."""
        assert matrix.grad is not None
        mean = self.state[matrix].setdefault("momentum_buffer", torch.zeros_like(matrix))
        mean.lerp_(matrix.grad, 1 - momentum)
        return matrix.grad.lerp(mean, momentum)

    def _orthogonalised(self, wanted: Tensor) -> Tensor:
        """``wanted`` [count, rows, columns], of which each worker does as many as the others; if they don't come out
        even, some do zeros."""
        if self.workers == 1:
            return orthogonalised(wanted)
        each = -(-len(wanted) // self.workers)
        own = wanted[self.rank * each : (self.rank + 1) * each]
        own = torch.cat((own, own.new_zeros(each - len(own), *own.shape[1:])))
        done = orthogonalised(own)
        parts = [torch.empty_like(done) for _ in range(self.workers)]
        # As bytes, since not every version of Gloo knows bfloat16.
        distributed.all_gather([part.view(torch.uint8) for part in parts], done.view(torch.uint8))
        return torch.cat(parts)[: len(wanted)]


def _wide(matrix: Tensor) -> Tensor:
    return matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
