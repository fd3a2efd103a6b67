"""Parses the header of one GGUF file: metadata and tensor table.

Owns the byte format and every check that one file's bytes allow, so that a broken file is refused here, by
place and reason, before anything of its claimed size is allocated. Knows no model and no split files, and
never touches tensor data.

Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md; where it is silent, ggml's ``gguf.cpp``
decides.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, replace
from itertools import pairwise
from mmap import mmap
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from candlewick.core.errors import ModelLoadError
from candlewick.core.gguf_strings import decode_short_strings
from candlewick.core.metadata import Metadata, MetadataValue
from candlewick.core.tensor_types import WITHDRAWN_TYPES, TensorType

MAGIC = b"GGUF"
SUPPORTED_VERSIONS = (2, 3)
DEFAULT_ALIGNMENT = 32
MAX_DIMENSIONS = 4
MAX_NAME_BYTES = 65535
"""Longest key or tensor name (the specification's limit for keys)."""
MAX_VALUE_BYTES = 1 << 28
"""Longest string or array of numbers; the largest in use are a hundred times smaller."""
MAX_LIST_LENGTH = 1 << 22
"""Most strings (or arrays) in one array; the largest vocabularies in use have half a million merges."""
MAX_NESTING = 4
"""Deepest array of arrays; models use none."""
_CAREFUL_STRETCH = 1024

_SCALARS = {
    0: struct.Struct("<B"),
    1: struct.Struct("<b"),
    2: struct.Struct("<H"),
    3: struct.Struct("<h"),
    4: struct.Struct("<I"),
    5: struct.Struct("<i"),
    6: struct.Struct("<f"),
    10: struct.Struct("<Q"),
    11: struct.Struct("<q"),
    12: struct.Struct("<d"),
}
_ARRAY_DTYPES = {
    0: "<u1",
    1: "<i1",
    2: "<u2",
    3: "<i2",
    4: "<u4",
    5: "<i4",
    6: "<f4",
    10: "<u8",
    11: "<i8",
    12: "<f8",
}
_BOOLEAN, _STRING, _ARRAY = 7, 8, 9
_TENSOR_TYPES = {int(tensor_type): tensor_type for tensor_type in TensorType}
_UINT32, _UINT64 = _SCALARS[4], _SCALARS[10]

# A count is believed only as far as the bytes that remain could hold so many of the smallest such items.
_SMALLEST_ENTRY = 8 + 1 + 4 + 1  # length, name, type, value
_SMALLEST_TENSOR = 8 + 1 + 4 + 8 + 4 + 8  # length, name, number of dimensions, one of them, type, offset
_SMALLEST_STRING = 8
_SMALLEST_ARRAY = 4 + 8


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """Where a tensor's bytes are and how to read them."""

    name: str
    shape: tuple[int, ...]
    """Outermost first, as numpy has it: ``(rows, columns)``; a row's columns are consecutive in the file."""
    type: TensorType
    num_bytes: int
    offset: int
    """Of the first byte, from the start of the file ``path``."""
    path: Path

    @property
    def num_elements(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Header:
    """All that one file says before its tensor data."""

    version: int
    metadata: Metadata
    tensors: dict[str, TensorInfo]


def read_header(buffer: mmap | bytes, path: Path) -> Header:
    """Parse and check the header of the GGUF file whose whole content is ``buffer``.

    Raises:
        ModelLoadError: the file is broken or of another format or version.
    """
    reader = _Reader(buffer, path)
    version = _read_version(reader)
    num_tensors = reader.count("number of tensors", _SMALLEST_TENSOR)
    num_entries = reader.count("number of metadata entries", _SMALLEST_ENTRY)
    metadata = Metadata(_read_entries(reader, num_entries), path)
    alignment = metadata.integer("general.alignment", DEFAULT_ALIGNMENT)
    if alignment < 1 or alignment & (alignment - 1):
        raise ModelLoadError(
            path, "metadata key 'general.alignment'", f"must be a power of two, got {alignment}"
        )
    tensors = _read_tensors(reader, num_tensors, alignment)
    return Header(version, metadata, tensors)


def _read_version(reader: _Reader) -> int:
    magic = reader.take(4, "magic")
    if magic != MAGIC:
        if magic == MAGIC[::-1]:
            reader.fail("magic", "this is a big-endian GGUF file; convert it to little-endian", 0)
        reader.fail("magic", f"must be {MAGIC!r}, got {magic!r}: this is not a GGUF file", 0)
    version = reader.scalar(_UINT32, "version")
    if version not in SUPPORTED_VERSIONS:
        if version & 0xFFFF == 0 and version:
            reader.fail("version", "this is a big-endian GGUF file; convert it to little-endian", 4)
        reader.fail("version", f"must be 2 or 3, got {version}; convert the model with a current tool", 4)
    return int(version)


def _read_entries(reader: _Reader, count: int) -> dict[str, MetadataValue]:
    entries: dict[str, MetadataValue] = {}
    for index in range(count):
        start = reader.position
        key = reader.name(f"key of metadata entry {index}")
        what = f"metadata key {key!r}"
        if key in entries:
            reader.fail(what, "stands twice in the file", start)
        entries[key] = reader.value(reader.scalar(_UINT32, what), what)
    return entries


def _read_tensors(reader: _Reader, count: int, alignment: int) -> dict[str, TensorInfo]:
    path = reader.path
    tensors: dict[str, TensorInfo] = {}
    for index in range(count):
        start = reader.position
        name = reader.name(f"name of tensor {index}")
        if name in tensors:
            reader.fail(f"tensor {name!r}", "stands twice in the file", start)
        tensors[name] = _read_tensor(reader, name, alignment)
    # Offsets in the table count from the first aligned byte after it; from here on they are the file's own.
    data_start = -(-reader.position // alignment) * alignment
    size = reader.size
    for name, info in tensors.items():
        offset = data_start + info.offset
        if offset + info.num_bytes > size:
            raise ModelLoadError(
                path,
                f"tensor {name!r}",
                f"its bytes {offset} to {offset + info.num_bytes} lie beyond the end of the file "
                f"({size} bytes); the file is damaged or incomplete",
            )
        tensors[name] = replace(info, offset=offset)
    by_offset = sorted(tensors.values(), key=lambda info: info.offset)
    for earlier, later in pairwise(by_offset):
        if earlier.offset + earlier.num_bytes > later.offset:
            raise ModelLoadError(
                path, f"tensor {later.name!r}", f"its bytes overlap those of tensor {earlier.name!r}"
            )
    return tensors


def _read_tensor(reader: _Reader, name: str, alignment: int) -> TensorInfo:
    """One row of the tensor table; the offset is still that of the table."""
    what = f"tensor {name!r}"
    start = reader.position
    num_dimensions = reader.scalar(_UINT32, what)
    if not 1 <= num_dimensions <= MAX_DIMENSIONS:
        reader.fail(what, f"must have 1 to {MAX_DIMENSIONS} dimensions, got {num_dimensions}", start)
    innermost_first = [reader.scalar(_UINT64, what) for _ in range(num_dimensions)]
    shape = tuple(reversed(innermost_first))
    num_elements = math.prod(shape)
    if num_elements == 0:
        reader.fail(what, f"has a dimension of zero: {list(shape)}", start)
    if num_elements >= 1 << 63:
        reader.fail(what, f"has more elements than 64 bits can count: {list(shape)}", start)
    type_start = reader.position
    number = reader.scalar(_UINT32, what)
    if number not in _TENSOR_TYPES:
        fate = f"({WITHDRAWN_TYPES[number]}) was withdrawn" if number in WITHDRAWN_TYPES else "is not known"
        reader.fail(what, f"tensor type number {number} {fate}; convert the model again", type_start)
    tensor_type = _TENSOR_TYPES[number]
    if shape[-1] % tensor_type.block_size:
        reader.fail(
            what,
            f"a row of {shape[-1]} elements is no whole number of {tensor_type.name} blocks "
            f"of {tensor_type.block_size}",
            start,
        )
    offset_start = reader.position
    offset = reader.scalar(_UINT64, what)
    if offset % alignment:
        reader.fail(what, f"its offset {offset} is no multiple of the alignment {alignment}", offset_start)
    num_bytes = num_elements // tensor_type.block_size * tensor_type.block_bytes
    return TensorInfo(name, shape, tensor_type, num_bytes, offset, reader.path)


class _Reader:
    """A position in the file that moves forward over checked values."""

    def __init__(self, buffer: mmap | bytes, path: Path) -> None:
        self._buffer = buffer
        self.size = len(buffer)
        self.position = 0
        self.path = path

    def fail(self, what: str, reason: str, position: int | None = None) -> NoReturn:
        place = self.position if position is None else position
        raise ModelLoadError(self.path, f"byte {place}, {what}", reason)

    def take(self, num_bytes: int, what: str) -> bytes:
        start = self._advance(num_bytes, what)
        return self._buffer[start : self.position]

    def scalar(self, layout: struct.Struct, what: str) -> Any:
        return layout.unpack_from(self._buffer, self._advance(layout.size, what))[0]

    def count(self, what: str, smallest_item: int) -> int:
        """A number of items that must fit into the rest of the file."""
        start = self.position
        value: int = self.scalar(_UINT64, what)
        remaining = self.size - self.position
        if value * smallest_item > remaining:
            self.fail(what, f"{value} can't be: only {remaining} bytes follow", start)
        return value

    def name(self, what: str) -> str:
        start = self.position
        text = self._text(what, MAX_NAME_BYTES)
        if not text:
            self.fail(what, "is empty", start)
        return text

    def value(self, kind: int, what: str, depth: int = 0) -> MetadataValue:
        if kind in _SCALARS:
            number: int | float = self.scalar(_SCALARS[kind], what)
            return number
        if kind == _BOOLEAN:
            byte = self.take(1, what)[0]
            if byte > 1:
                self.fail(what, f"a boolean must be 0 or 1, got {byte}", self.position - 1)
            return byte == 1
        if kind == _STRING:
            return self._text(what, MAX_VALUE_BYTES)
        if kind != _ARRAY:
            self.fail(what, f"value type number {kind} is not known", self.position - 4)
        if depth == MAX_NESTING:
            self.fail(what, f"arrays are nested more than {MAX_NESTING} deep")
        return self._array(what, depth)

    def _array(self, what: str, depth: int) -> MetadataValue:
        kind: int = self.scalar(_UINT32, what)
        start = self.position
        if kind == _STRING:
            return self._texts(self.count(what, _SMALLEST_STRING), what)
        if kind == _ARRAY:
            count = self.count(what, _SMALLEST_ARRAY)
            self._check_list_length(count, what, start)
            return [self.value(_ARRAY, what, depth + 1) for _ in range(count)]
        if kind == _BOOLEAN:
            booleans = self._numbers(np.dtype("u1"), what)
            if booleans.size and booleans.max() > 1:
                self.fail(what, f"booleans must be 0 or 1, got {booleans.max()}", start)
            return booleans.astype(np.bool_)
        if kind not in _ARRAY_DTYPES:
            self.fail(what, f"value type number {kind} of an array's elements is not known", start - 4)
        return self._numbers(np.dtype(_ARRAY_DTYPES[kind]), what)

    def _numbers(self, dtype: np.dtype[Any], what: str) -> npt.NDArray[Any]:
        start = self.position
        count = self.count(what, dtype.itemsize)
        if count * dtype.itemsize > MAX_VALUE_BYTES:
            self.fail(what, f"an array of {count} numbers is absurdly long", start)
        position = self._advance(count * dtype.itemsize, what)
        # A copy in the machine's own byte order: a view would keep the map from closing.
        return np.frombuffer(self._buffer, dtype, count, position).astype(dtype.newbyteorder("="))

    def _text(self, what: str, longest: int) -> str:
        start = self.position
        length = self.count(what, 1)
        if length > longest:
            self.fail(what, f"a string of {length} bytes is absurdly long (at most {longest})", start)
        try:
            return self.take(length, what).decode()
        except UnicodeDecodeError as error:
            self.fail(what, f"is no valid UTF-8: {error.reason}", start + 8 + error.start)

    def _texts(self, count: int, what: str) -> list[str]:
        self._check_list_length(count, what, self.position - 8)
        texts: list[str] = []
        while len(texts) < count:
            run, self.position = decode_short_strings(self._buffer, self.position, count - len(texts))
            texts += run
            # A run that ended early may be followed by more that would: a stretch of careful reading keeps
            # fruitless attempts rare.
            stretch = max(1, _CAREFUL_STRETCH - len(run))
            for index in range(len(texts), min(count, len(texts) + stretch)):
                texts.append(self._text(f"{what}, element {index}", MAX_VALUE_BYTES))
        return texts

    def _check_list_length(self, count: int, what: str, position: int) -> None:
        if count > MAX_LIST_LENGTH:
            self.fail(what, f"an array of {count} elements is absurdly long", position)

    def _advance(self, num_bytes: int, what: str) -> int:
        """Move over ``num_bytes`` and return where they start."""
        start = self.position
        if num_bytes > self.size - start:
            self.fail(
                what,
                f"the file ends too early (after {self.size} bytes); it is damaged or incomplete",
            )
        self.position = start + num_bytes
        return start
