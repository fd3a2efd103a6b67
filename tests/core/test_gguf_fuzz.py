"""Thousands of mutations of a real file: each one opens or is refused, quickly and within little memory."""

from __future__ import annotations

import random
import struct
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest

from candlewick.core.errors import ModelLoadError
from candlewick.core.gguf import GGUFFile

MUTATIONS_OF_A_KIND = 500
MOST_SECONDS = 0.25
"""Processor time for one file; a sound one takes a thousandth of that."""
MOST_BYTES = 1_000_000
"""Peak of Python's allocations for one file of a few kilobytes."""

Mutation = Callable[[bytes, random.Random], bytes]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A small model with every kind of metadata and several kinds of tensors."""
    path = tmp_path_factory.mktemp("fuzz") / "sound.gguf"
    kind = gguf.GGUFValueType
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_uint8("u8", 1)
    writer.add_int16("i16", -2)
    writer.add_float64("f64", 0.5)
    writer.add_bool("flag", True)
    writer.add_uint64("u64", 2**63)
    writer.add_string("template", "{% for m in messages %}{{ m.content }}{% endfor %}")
    writer.add_array("tokenizer.ggml.tokens", [f"token {i} 🕯" for i in range(40)])
    writer.add_array("tokenizer.ggml.scores", [i / 3 for i in range(40)])
    writer.add_key_value("tokenizer.ggml.token_type", list(range(40)), kind.ARRAY, kind.INT32)
    writer.add_key_value("flags", [True, False, True], kind.ARRAY, kind.BOOL)
    writer.add_array("nested", [[1, 2], [3]])
    weights = np.random.default_rng(0).standard_normal((8, 64), dtype=np.float32)
    writer.add_tensor("token_embd.weight", weights)
    writer.add_tensor("blk.0.attn_norm.weight", weights[0].astype(np.float16))
    for quantised in (gguf.GGMLQuantizationType.Q8_0, gguf.GGMLQuantizationType.Q4_0):
        writer.add_tensor(
            f"blk.0.{quantised.name}.weight", gguf.quantize(weights, quantised), raw_dtype=quantised
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path.read_bytes()


def header_size(content: bytes) -> int:
    return content.index(b"blk.0.Q4_0.weight") + 64


def flip_bytes(content: bytes, randomness: random.Random) -> bytes:
    mutant = bytearray(content)
    for _ in range(randomness.randint(1, 4)):
        mutant[randomness.randrange(header_size(content))] = randomness.randrange(256)
    return bytes(mutant)


def flip_one_bit(content: bytes, randomness: random.Random) -> bytes:
    mutant = bytearray(content)
    mutant[randomness.randrange(header_size(content))] ^= 1 << randomness.randrange(8)
    return bytes(mutant)


def cut_off(content: bytes, randomness: random.Random) -> bytes:
    return content[: randomness.randrange(len(content))]


def change_a_number(content: bytes, randomness: random.Random) -> bytes:
    """Overwrite what may be a length, a count, a type or an offset."""
    layout = randomness.choice(["<I", "<Q"])
    position = randomness.randrange(header_size(content))
    extremes = [0, 1, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63 - 1, 2**63, 2**64 - 1, len(content)]
    value = randomness.choice([*extremes, randomness.randrange(64)])
    mutant = bytearray(content)
    struct.pack_into(layout, mutant, position, value % 2 ** (8 * struct.calcsize(layout)))
    return bytes(mutant)


def splice(content: bytes, randomness: random.Random) -> bytes:
    """Copy, move or drop a piece of the header."""
    size = header_size(content)
    start, end = sorted(randomness.randrange(size) for _ in range(2))
    target = randomness.randrange(size)
    piece = content[start : min(end, start + 200)] if randomness.random() < 0.8 else b""
    kept = randomness.choice([0, len(piece), end - start])
    return content[:target] + piece + content[target + kept :]


def fill(content: bytes, randomness: random.Random) -> bytes:
    """A run of equal bytes."""
    start = randomness.randrange(header_size(content))
    length = randomness.randrange(1, 64)
    value = randomness.choice([b"\0", b"\xff", b"\x01", b"\x80"])
    return content[:start] + value * length + content[start + length :]


@pytest.mark.parametrize("mutate", [flip_bytes, flip_one_bit, cut_off, change_a_number, splice, fill])
def test_mutants_open_or_are_refused(mutate: Mutation, sound: bytes, tmp_path: Path) -> None:
    randomness = random.Random(mutate.__name__)
    path = tmp_path / "mutant.gguf"
    num_refused = 0
    tracemalloc.start()
    try:
        for number in range(MUTATIONS_OF_A_KIND):
            path.write_bytes(mutate(sound, randomness))
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            start = time.process_time()
            try:
                with GGUFFile.open(path) as file:
                    for name, info in file.tensors.items():
                        assert len(file.data(name)) == info.num_bytes
            except ModelLoadError:
                num_refused += 1
            seconds = time.process_time() - start
            _, peak = tracemalloc.get_traced_memory()
            assert seconds < MOST_SECONDS, f"mutant {number} took {seconds:.2f} s"
            assert peak - before < MOST_BYTES, f"mutant {number} allocated {peak - before} bytes"
    finally:
        tracemalloc.stop()
    # Most changes of a header matter; a mutator that changes nothing would prove nothing.
    assert num_refused > MUTATIONS_OF_A_KIND // 5


def test_the_sound_file_opens(sound: bytes, tmp_path: Path) -> None:
    (tmp_path / "sound.gguf").write_bytes(sound)
    with GGUFFile.open(tmp_path / "sound.gguf") as file:
        assert len(file.tensors) == 4
        assert len(file.metadata) == 12
