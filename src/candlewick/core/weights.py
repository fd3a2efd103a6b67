"""The tensors of an open GGUF file in the form that the kernels want: packed matrices and float vectors.

Owns the reading of each tensor once, and the report of how far it is. Refuses to know what a tensor means.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from candlewick.core.errors import ModelLoadError, UnsupportedModelError
from candlewick.core.gguf import GGUFFile
from candlewick.core.tensor_types import TensorType

if TYPE_CHECKING:
    from candlewick import _kernels

Progress = Callable[[str, int, int], None]
"""Called with what is being done, and how much of how much of it is done."""


class Weights:
    """Packs tensors on first use; a matrix that two ops read (tied embeddings) is packed once.

    Packing is lossless: the numbers are those of the file, in another order.
    """

    def __init__(
        self, file: GGUFFile, threads: _kernels.ThreadPool, progress: Progress | None = None
    ) -> None:
        self._file = file
        self._threads = threads
        self._progress = progress
        self._matrices: dict[str, _kernels.PackedMatrix] = {}
        self._bytes_done = 0
        self._bytes_total = sum(info.num_bytes for info in file.tensors.values())

    @property
    def num_bytes(self) -> int:
        """Memory of the packed matrices."""
        return sum(matrix.num_bytes for matrix in self._matrices.values())

    def matrix(self, name: str) -> _kernels.PackedMatrix:
        """The tensor ``[rows, columns]``, packed.

        Raises:
            UnsupportedModelError: the kernels don't know its type.
            ModelLoadError: its shape does not suit its type.
        """
        from candlewick import _kernels

        packed = self._matrices.get(name)
        if packed is not None:
            return packed
        info = self._file.tensors[name]
        if not _kernels.is_supported(info.type):
            raise UnsupportedModelError(
                info.path, f"tensor {name!r}", f"has type {TensorType(info.type).name}, which has no kernels; "
                "use a file in another quantisation, such as Q4_K_M or Q8_0"
            )  # fmt: skip
        rows, columns = info.shape
        try:
            packed = _kernels.PackedMatrix.pack(
                info.type, self._file.data(name), rows, columns, self._threads
            )
        except ValueError as error:
            raise ModelLoadError(info.path, f"tensor {name!r}", str(error)) from error
        self._matrices[name] = packed
        self._count(info.num_bytes)
        return packed

    def vector(self, name: str) -> npt.NDArray[np.float32]:
        """A one-dimensional tensor as floats.

        Raises:
            UnsupportedModelError: it is not of a float type.
        """
        info = self._file.tensors[name]
        data = self._file.data(name)
        if info.type == TensorType.F32:
            values = data.view(np.float32)
        elif info.type == TensorType.F16:
            values = data.view(np.float16).astype(np.float32)
        elif info.type == TensorType.BF16:
            values = (data.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
        else:
            raise UnsupportedModelError(
                info.path, f"tensor {name!r}", f"must be F32, F16 or BF16, is {TensorType(info.type).name}"
            )
        self._count(info.num_bytes)
        return np.ascontiguousarray(values)

    def _count(self, num_bytes: int) -> None:
        self._bytes_done += num_bytes
        if self._progress is not None:
            self._progress("loading weights", min(self._bytes_done, self._bytes_total), self._bytes_total)
