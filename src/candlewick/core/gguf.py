"""A GGUF model as one thing: metadata, tensors and their bytes, over one file or the parts of a split.

Owns the memory maps and the rules of split files. Reads no tensor as numbers: bytes in a
:class:`~candlewick.core.tensor_types.TensorType` are what it hands out.
"""

from __future__ import annotations

import mmap
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from candlewick.core.errors import ModelLoadError, ModelNotFoundError
from candlewick.core.gguf_header import Header, TensorInfo, read_header
from candlewick.core.metadata import Metadata, MetadataValue

__all__ = ["GGUFFile", "Metadata", "MetadataValue", "TensorInfo", "split_part"]

_SPLIT_NAME = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")


def split_part(name: str) -> tuple[str, int, int] | None:
    """Stem, number (from 1) and count of a name like ``model-00001-of-00003.gguf``; None for other names."""
    match = _SPLIT_NAME.fullmatch(name)
    return (match["stem"], int(match["number"]), int(match["count"])) if match else None


class GGUFFile:
    """An open GGUF model; a context manager.

    The files are mapped, not read: opening costs the header only, and :meth:`data` costs nothing until its
    bytes are looked at. The maps are read-only. A file must not be changed or truncated while it is open.
    """

    def __init__(self, maps: Mapping[Path, mmap.mmap], headers: list[Header]) -> None:
        self._maps = dict(maps)
        self.paths: tuple[Path, ...] = tuple(maps)
        """All files, in the order of the parts."""
        self.size_bytes: int = sum(len(file_map) for file_map in maps.values())
        self.version: int = headers[0].version
        """Version of the GGUF format (2 or 3)."""
        self.metadata: Metadata = headers[0].metadata
        """Of the first part, where a split keeps what describes the whole."""
        tensors = {name: info for header in headers for name, info in header.tensors.items()}
        self.tensors: Mapping[str, TensorInfo] = MappingProxyType(tensors)
        self._is_closed = False

    @classmethod
    def open(cls, path: str | Path) -> GGUFFile:
        """Map the file, and the other parts if it is the first of a split, and check all that can be checked.

        Raises:
            ModelNotFoundError: there is no such file.
            ModelLoadError: a file or the set of parts is broken, or is no GGUF of a supported version.
        """
        first_path = Path(path)
        maps: dict[Path, mmap.mmap] = {}
        try:
            headers = [_map_and_read(first_path, maps)]
            other_parts = _other_parts(first_path, headers[0].metadata)
            headers.extend(_map_and_read(part_path, maps) for part_path in other_parts)
            _check_parts(headers)
        except BaseException:
            for file_map in maps.values():
                _release(file_map)
            raise
        return cls(maps, headers)

    @property
    def path(self) -> Path:
        """The file that was opened; of a split, its first part."""
        return self.paths[0]

    def data(self, name: str) -> npt.NDArray[np.uint8]:
        """The bytes ``[num_bytes]`` of a tensor, as a read-only view of the map.

        Raises:
            ModelLoadError: the model has no such tensor.
            ValueError: the file is closed.
        """
        if self._is_closed:
            raise ValueError(f"{self.path} is closed; read its tensors before close()")
        info = self.tensors.get(name)
        if info is None:
            raise ModelLoadError(self.path, f"tensor {name!r}", "is missing")
        return np.frombuffer(self._maps[info.path], np.uint8, info.num_bytes, info.offset)

    def close(self) -> None:
        """Let go of the files; may be called twice.

        Views handed out by :meth:`data` stay valid: a file's map is released with the last view of it.
        """
        self._is_closed = True
        for file_map in self._maps.values():
            _release(file_map)
        self._maps.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"GGUFFile({str(self.path)!r}, {len(self.tensors)} tensors, {self.size_bytes} bytes)"


def _release(file_map: mmap.mmap) -> None:
    try:
        file_map.close()
    except BufferError:
        # Views are alive; each of them keeps the map, which unmaps itself when the last one is gone.
        return


def _map_and_read(path: Path, maps: dict[Path, mmap.mmap]) -> Header:
    """Map one file into ``maps`` and parse its header."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ModelLoadError(path, "file", "is a directory" if path.is_dir() else "is not a regular file")
        if status.st_size == 0:
            raise ModelLoadError(path, "file", "is empty")
        with path.open("rb") as file:
            maps[path] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except FileNotFoundError as error:
        raise ModelNotFoundError(f"{path}: there is no such file") from error
    except (OSError, ValueError) as error:  # ValueError: emptied between the two looks, or NUL in the path
        raise ModelLoadError(path, "file", f"can't be read: {error}") from error
    return read_header(maps[path], path)


def _other_parts(first_path: Path, metadata: Metadata) -> list[Path]:
    """Paths of the parts after the first; empty when the model is a single file."""
    count = metadata.integer("split.count", 1)
    if count < 2:
        return []
    where = "metadata key 'split.count'"
    name = split_part(first_path.name)
    if name is None or name[2] != count:
        raise ModelLoadError(
            first_path,
            where,
            f"the model has {count} parts, so its first must be named like NAME-00001-of-{count:05d}.gguf; "
            "give the parts back the names that they were made with",
        )
    stem, number, _ = name
    paths = [first_path.with_name(f"{stem}-{part:05d}-of-{count:05d}.gguf") for part in range(1, count + 1)]
    if number != 1:
        raise ModelLoadError(
            first_path, "file name", f"this is part {number} of {count}; open the first one, {paths[0].name}"
        )
    missing = [part.name for part in paths[1:] if not part.is_file()]
    if missing:
        raise ModelLoadError(
            first_path,
            where,
            f"the model has {count} parts, but {', '.join(missing)} can't be found beside this file",
        )
    return paths[1:]


def _check_parts(headers: list[Header]) -> None:
    """The parts know their own place, and together hold each tensor once."""
    if len(headers) == 1:
        return
    owners: dict[str, Path] = {}
    for index, header in enumerate(headers):
        metadata = header.metadata
        for key, expected in (("split.count", len(headers)), ("split.no", index)):
            value = metadata.integer(key)
            if value != expected:
                raise ModelLoadError(
                    metadata.path, f"metadata key {key!r}", f"must be {expected} in this part, got {value}"
                )
        for name in header.tensors:
            if name in owners:
                raise ModelLoadError(
                    metadata.path, f"tensor {name!r}", f"stands in another part too, {owners[name].name}"
                )
            owners[name] = metadata.path
    first = headers[0].metadata
    expected_tensors = first.integer("split.tensors.count", len(owners))
    if expected_tensors != len(owners):
        raise ModelLoadError(
            first.path,
            "metadata key 'split.tensors.count'",
            f"promises {expected_tensors} tensors, but the {len(headers)} parts hold {len(owners)}",
        )
