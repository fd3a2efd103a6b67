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

    def reading_seconds(self, steps: int, bandwidth: float) -> float:
        """Of ``steps`` steps, each of which reads all weights once, at ``bandwidth`` bytes a second."""
        return steps * self.num_bytes / bandwidth

    def multiplying_seconds(self, tokens: int, drawn: int, peak: float) -> float:
        """Of ``tokens`` tokens, ``drawn`` of which are multiplied with the head as well, at ``peak`` products a
        second."""
        return (tokens * self.products + drawn * self.head_products) / peak

    def shortest_seconds(self, steps: int, tokens: int, drawn: int, bandwidth: float, peak: float) -> float:
        """Reading and multiplying go on at once: the longer of the two."""
        return max(self.reading_seconds(steps, bandwidth), self.multiplying_seconds(tokens, drawn, peak))
