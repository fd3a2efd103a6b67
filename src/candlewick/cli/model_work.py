"""What a step of a model costs at least: the bytes of its matrices and the products with them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from candlewick.core.gguf import GGUFFile


@dataclass(frozen=True)
class ModelWork:
    """What a model's matrices cost; rows that are looked up, and attention, are not counted."""

    num_bytes: int
    products: int
    """Multiplications for each token, without the head's."""
    head_products: int
    """Those for each token whose next one is wanted."""

    @classmethod
    def of(cls, file: GGUFFile) -> ModelWork:
        """From the traced program and the sizes of the tensors.

        Raises:
            ModelLoadError: the architecture is unknown, or a tensor is missing.
        """
        from candlewick.core.models import trace_file
        from candlewick.core.program import Linear

        _, program = trace_file(file)
        matrices = [op for op in program.ops if isinstance(op, Linear)]
        sizes = [math.prod(file.tensors[op.matrix].shape) for op in matrices]
        is_head = [program.values[op.output].rows == "logits" for op in matrices]
        return cls(
            num_bytes=sum(file.tensors[op.matrix].num_bytes for op in matrices),
            products=sum(size for size, head in zip(sizes, is_head, strict=True) if not head),
            head_products=sum(size for size, head in zip(sizes, is_head, strict=True) if head),
        )

    def shortest_seconds(self, steps: int, tokens: int, drawn: int, bandwidth: float, peak: float) -> float:
        """Of ``steps`` steps with ``tokens`` tokens in all, ``drawn`` of which want the next one.

        A step reads all weights once, at ``bandwidth`` bytes a second; each token is multiplied with them, at
        ``peak`` products a second, with the head only where drawn. Reading and multiplying go on at once.
        """
        products = tokens * self.products + drawn * self.head_products
        return max(steps * self.num_bytes / bandwidth, products / peak)
