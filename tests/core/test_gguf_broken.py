"""Files broken in one known way each: the error names the file, the place and the reason."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from candlewick.core.errors import ModelLoadError
from candlewick.core.gguf import GGUFFile

UINT8, UINT32, FLOAT32, BOOL, STRING, ARRAY = 0, 4, 6, 7, 8, 9
F32, Q4_0 = 0, 2


def u32(value: int) -> bytes:
    return struct.pack("<I", value)


def u64(value: int) -> bytes:
    return struct.pack("<Q", value)


def text(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return u64(len(data)) + data


def entry(key: str | bytes, kind: int, value: bytes) -> bytes:
    return text(key) + u32(kind) + value


def array(kind: int, count: int, elements: bytes) -> bytes:
    return u32(kind) + u64(count) + elements


def tensor(name: str | bytes, innermost_first: list[int], kind: int, offset: int) -> bytes:
    dimensions = b"".join(u64(size) for size in innermost_first)
    return text(name) + u32(len(innermost_first)) + dimensions + u32(kind) + u64(offset)


def model(entries: list[bytes], tensors: list[bytes] | None = None, num_data_bytes: int = 0) -> bytes:
    tensors = tensors or []
    header = b"GGUF" + u32(3) + u64(len(tensors)) + u64(len(entries)) + b"".join(entries) + b"".join(tensors)
    return header + bytes(-len(header) % 32) + bytes(num_data_bytes)


SOUND = model(
    [
        entry("general.architecture", STRING, text("llama")),
        entry("scores", ARRAY, array(FLOAT32, 2, bytes(8))),
        entry("tokens", ARRAY, array(STRING, 2, text("a") + text("b" * 300))),
        entry("nested", ARRAY, array(ARRAY, 1, array(BOOL, 2, b"\0\1"))),
        entry("flag", BOOL, b"\1"),
        entry("zero", UINT8, b"\0"),
    ],
    [tensor("w", [64, 2], Q4_0, 0), tensor("b", [2], F32, 96)],
    96 + 8,
)


def nested(depth: int) -> bytes:
    value = array(UINT8, 0, b"")
    for _ in range(depth):
        value = array(ARRAY, 1, value)
    return value


BROKEN: dict[str, tuple[bytes, str]] = {
    "magic": (b"GGML" + SOUND[4:], "byte 0, magic: .*not a GGUF file"),
    "magic of a big-endian file": (b"FUGG" + SOUND[4:], "magic: .*big-endian"),
    "version 1": (b"GGUF" + u32(1) + SOUND[8:], "byte 4, version: must be 2 or 3, got 1"),
    "version 4": (b"GGUF" + u32(4) + SOUND[8:], "version: must be 2 or 3, got 4"),
    "version 0": (b"GGUF" + u32(0) + SOUND[8:], "version: must be 2 or 3, got 0"),
    "version of a big-endian file": (b"GGUF" + struct.pack(">I", 3) + SOUND[8:], "version: .*big-endian"),
    "number of tensors": (
        SOUND[:8] + u64(2**62) + SOUND[16:],
        "byte 8, number of tensors: 46116860.* can't be",
    ),
    "number of entries": (SOUND[:16] + u64(2**32) + SOUND[24:], "byte 16, number of metadata entries: 42949"),
    "length of a key": (SOUND[:24] + u64(2**63) + SOUND[32:], "byte 24, key of metadata entry 0: 92233"),
    "long key": (model([entry("k" * 70000, UINT8, b"\0")]), "key of metadata entry 0: .*absurdly long"),
    "empty key": (model([entry("", UINT8, b"\0")]), "byte 24, key of metadata entry 0: is empty"),
    "key that is no text": (model([entry(b"k\xff", UINT8, b"\0")]), "byte 33, key .* no valid UTF-8"),
    "key twice": (
        model([entry("k", UINT8, b"\0"), entry("k", UINT32, u32(1))]),
        "byte 38, metadata key 'k': stands twice",
    ),
    "unknown kind of value": (
        model([entry("k", 13, bytes(8))]),
        "byte 33, metadata key 'k': value type number 13",
    ),
    "unknown kind of element": (
        model([entry("k", ARRAY, array(99, 1, bytes(8)))]),
        "metadata key 'k': value type number 99 of an array's elements",
    ),
    "boolean": (model([entry("k", BOOL, b"\2")]), "metadata key 'k': a boolean must be 0 or 1, got 2"),
    "boolean in an array": (
        model([entry("k", ARRAY, array(BOOL, 3, b"\0\1\7"))]),
        "metadata key 'k': booleans must be 0 or 1, got 7",
    ),
    "string that is no text": (
        model([entry("k", STRING, text(b"ab\xc3"))]),
        "byte 47, metadata key 'k': is no valid UTF-8",
    ),
    "string in an array that is no text": (
        model([entry("k", ARRAY, array(STRING, 3, text("a") + text(b"\xed\xa0\x80") + text("c")))]),
        "metadata key 'k', element 1: is no valid UTF-8",
    ),
    "length of a string": (model([entry("k", STRING, u64(10**18))]), "metadata key 'k': 10000.* can't be"),
    "length of a string in an array": (
        model([entry("k", ARRAY, array(STRING, 2, text("a") + u64(10**6) + b"b"))]),
        "metadata key 'k', element 1: 1000000 can't be",
    ),
    "number of strings": (
        model([entry("k", ARRAY, array(STRING, 2**61, b""))]),
        "metadata key 'k': 2305.* can't be",
    ),
    "number of numbers": (
        model([entry("k", ARRAY, array(FLOAT32, 2**62, b""))]),
        "metadata key 'k': 4611.* can't be",
    ),
    "number of arrays": (
        model([entry("k", ARRAY, array(ARRAY, 2**60, b""))]),
        "metadata key 'k': 1152.* can't be",
    ),
    "deep nesting": (
        model([entry("k", ARRAY, nested(5000))]),
        "metadata key 'k': arrays are nested more than 4 deep",
    ),
    "alignment 0": (
        model([entry("general.alignment", UINT32, u32(0))]),
        "'general.alignment'.*power of two, got 0",
    ),
    "alignment 48": (
        model([entry("general.alignment", UINT32, u32(48))]),
        "'general.alignment'.*power of two",
    ),
    "alignment of another kind": (
        model([entry("general.alignment", STRING, text("32"))]),
        "'general.alignment'.*must be an integer, got str '32'",
    ),
    "split count of another kind": (
        model([entry("split.count", STRING, text("3"))]),
        "'split.count'.*must be an integer, got str '3'",
    ),
    "empty tensor name": (model([], [tensor("", [1], F32, 0)], 4), "name of tensor 0: is empty"),
    "tensor twice": (
        model([], [tensor("w", [1], F32, 0), tensor("w", [1], F32, 32)], 64),
        "byte 57, tensor 'w': stands twice",
    ),
    "no dimensions": (
        model([], [tensor("w", [], F32, 0)], 64),
        "tensor 'w': must have 1 to 4 dimensions, got 0",
    ),
    "five dimensions": (
        model([], [tensor("w", [1] * 5, F32, 0)], 64),
        "tensor 'w': must have 1 to 4 .*got 5",
    ),
    "absurdly many dimensions": (
        model([], [text("w") + u32(2**32 - 1) + bytes(64)], 64),
        "tensor 'w': must have 1 to 4 dimensions, got 4294967295",
    ),
    "dimension of zero": (model([], [tensor("w", [4, 0], F32, 0)], 64), r"tensor 'w': .*zero: \[0, 4\]"),
    "more elements than 64 bits count": (
        model([], [tensor("w", [2**32, 2**32], F32, 0)], 64),
        "tensor 'w': has more elements than 64 bits can count",
    ),
    "unknown tensor type": (
        model([], [tensor("w", [1], 999, 0)], 64),
        "tensor 'w': tensor type number 999 is not",
    ),
    "withdrawn tensor type": (
        model([], [tensor("w", [1], 31, 0)], 64),
        r"'w'.*31 \(Q4_0_4_4\) was withdrawn",
    ),
    "row of half a block": (
        model([], [tensor("w", [48, 2], Q4_0, 0)], 64),
        "'w': a row of 48 .*Q4_0 blocks of 32",
    ),
    "misaligned": (
        model([], [tensor("w", [1], F32, 8)], 64),
        "tensor 'w': its offset 8 is no multiple of .* 32",
    ),
    "tensor beyond the file": (
        model([], [tensor("w", [17], F32, 0)], 64),
        "tensor 'w': its bytes 64 to 132 lie",
    ),
    "offset beyond the file": (
        model([], [tensor("w", [1], F32, 2**63)], 64),
        "tensor 'w': .* beyond the end",
    ),
    "overlap": (
        model([], [tensor("w", [8], F32, 32), tensor("v", [9], F32, 0)], 64),
        "tensor 'w': its bytes overlap those of tensor 'v'",
    ),
}


@pytest.fixture
def open_bytes(tmp_path: Path) -> Callable[[bytes], GGUFFile]:
    def open_them(content: bytes) -> GGUFFile:
        path = tmp_path / "model.gguf"
        path.write_bytes(content)
        return GGUFFile.open(path)

    return open_them


def test_the_sound_file_opens(open_bytes: Callable[[bytes], GGUFFile]) -> None:
    with open_bytes(SOUND) as file:
        assert file.metadata["tokens"] == ["a", "b" * 300]
        assert file.tensors["w"].shape == (2, 64)
        assert len(file.data("b")) == 8


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_refused_with_place_and_reason(
    name: str, open_bytes: Callable[[bytes], GGUFFile], tmp_path: Path
) -> None:
    content, message = BROKEN[name]
    with pytest.raises(ModelLoadError, match=message) as caught:
        open_bytes(content)
    assert caught.value.path == tmp_path / "model.gguf"
    assert str(tmp_path / "model.gguf") in str(caught.value)


def test_a_file_cut_off_anywhere_is_refused(open_bytes: Callable[[bytes], GGUFFile]) -> None:
    for length in range(len(SOUND)):
        with pytest.raises(ModelLoadError):
            open_bytes(SOUND[:length])


def test_absurdly_long_values_are_refused_without_reading_them(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    for kind, element_size in ((UINT8, 1), (STRING, 8), (ARRAY, 12)):
        content = model([entry("k", ARRAY, array(kind, 2**29 // element_size, b""))])
        with path.open("wb") as file:
            file.write(content)
            file.truncate(2**30)  # sparse: takes no room on disk
        with pytest.raises(ModelLoadError, match=r"metadata key .k.: an array of .* is absurdly long"):
            GGUFFile.open(path)
    with path.open("wb") as file:
        file.write(model([entry("k", STRING, u64(2**29))]))
        file.truncate(2**30)
    with pytest.raises(
        ModelLoadError, match="metadata key 'k': a string of 536870912 bytes is absurdly long"
    ):
        GGUFFile.open(path)
