"""Which weights a model was loaded from, told without reading them twice unless somebody asks."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from candlewick.core.errors import ModelLoadError


def weights_digest(paths: Sequence[Path]) -> str:
    """SHA-256 of a model's file, metadata included; of the digests of all parts if it is split."""
    digests = []
    for path in paths:
        with path.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256"))
    if len(digests) == 1:
        return digests[0].hexdigest()
    return hashlib.sha256(b"".join(digest.digest() for digest in digests)).hexdigest()


class WeightsIdentity:
    """The files that a model is being loaded from; made at that time."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = tuple(paths)
        self._loaded = self._look()

    @cached_property
    def digest(self) -> str:
        """:func:`weights_digest` of the files as they were loaded.

        Raises:
            ModelLoadError: they are not the same any more.
            OSError: they can't be read.
        """
        digest = weights_digest(self._paths)
        if self._look() != self._loaded:
            raise ModelLoadError(
                self._paths[0], "the file", "has changed since it was loaded; load the model again"
            )
        return digest

    def _look(self) -> list[tuple[int, int, int]]:
        stats = [path.stat() for path in self._paths]
        return [(stat.st_ino, stat.st_size, stat.st_mtime_ns) for stat in stats]
