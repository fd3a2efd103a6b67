"""Keys and values in a file: blocks under their digests, each with a checksum.

Owns the format. Refuses to know what a block holds, whose it is and when it is written. A file belongs to one model and
one way of computing: whoever reads it says which, and gets nothing from a file of another.

::

    b"candlewick-kv 1\\n"
    uint32 length, JSON {"block_bytes": …, identity…}, 16 bytes BLAKE2b of the JSON
    for each block: 16 bytes digest, 16 bytes BLAKE2b of digest and data, block_bytes of data
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from candlewick.core.errors import KvFileError

BlockData = npt.NDArray[np.uint8]
Identity = Mapping[str, str | int]
"""What keys and values depend on besides the tokens: weights, program, cache type."""

_MAGIC = b"candlewick-kv 1\n"
_LENGTH = struct.Struct("<I")
_DIGEST_SIZE = 16
_LONGEST_HEADER = 1 << 16


def write_kv_file(path: Path, identity: Identity, blocks: Iterable[tuple[bytes, BlockData]]) -> int:
    """Write blocks ``(digest, data)`` in the order given; returns how many.

    The file appears whole or not at all: a crash midway leaves what was there before.

    Raises:
        OSError: the file can't be written.
    """
    count = 0
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            for digest, data in blocks:
                if count == 0:
                    header = json.dumps({**identity, "block_bytes": len(data)}, sort_keys=True).encode()
                    file.write(_MAGIC + _LENGTH.pack(len(header)) + header + _checksum(header))
                file.write(digest + _checksum(digest, data.data))
                file.write(data.data)
                count += 1
            file.flush()
            os.fsync(file.fileno())
        if count:
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return count


def read_kv_file(path: Path, identity: Identity, block_bytes: int) -> Iterator[tuple[bytes, BlockData]]:
    """The blocks of a file, in the order in which they were written, each checked before it is given.

    Raises:
        KvFileError: the file is damaged or cut off (blocks given before are sound), or belongs to another model,
            another version or another type of cache.
        OSError: the file can't be read.
    """
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise KvFileError(path, "is no file of keys and values of this version")
        (length,) = _LENGTH.unpack(_read(file, path, _LENGTH.size))
        if length > _LONGEST_HEADER:
            raise KvFileError(path, "has a damaged header")
        header = _read(file, path, length)
        if _read(file, path, _DIGEST_SIZE) != _checksum(header):
            raise KvFileError(path, "has a damaged header")
        written, expected = json.loads(header), {**identity, "block_bytes": block_bytes}
        if written != expected:
            names = [name for name in expected if written.get(name) != expected[name]]
            raise KvFileError(path, f"belongs to another model or version: it differs in {', '.join(names)}")
        while digest := file.read(_DIGEST_SIZE):
            checksum = _read(file, path, _DIGEST_SIZE)
            data = np.frombuffer(_read(file, path, block_bytes), dtype=np.uint8)
            if _checksum(digest, data.data) != checksum:
                raise KvFileError(path, "has a damaged block")
            yield digest, data


def _read(file: BinaryIO, path: Path, size: int) -> bytes:
    data = file.read(size)
    if len(data) < size:
        raise KvFileError(path, "is cut off")
    return data


def _checksum(*parts: bytes | memoryview) -> bytes:
    state = blake2b(digest_size=_DIGEST_SIZE)
    for part in parts:
        state.update(part)
    return state.digest()
