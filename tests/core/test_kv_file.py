"""The format: what is written is read, and nothing else is."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from candlewick.core.errors import KvFileError
from candlewick.core.kv_file import BlockData, read_kv_file, write_kv_file

IDENTITY = {"weights": "abc", "cache": "f16", "arithmetic": 1}


def some_blocks(count: int) -> list[tuple[bytes, BlockData]]:
    rng = np.random.default_rng(count)
    return [(rng.bytes(16), rng.integers(0, 256, 96, dtype=np.uint8)) for _ in range(count)]


def read(path: Path) -> list[tuple[bytes, bytes]]:
    return [(digest, data.tobytes()) for digest, data in read_kv_file(path, IDENTITY, 96)]


def test_blocks_come_back_in_their_order(tmp_path: Path) -> None:
    path = tmp_path / "cache.kv"
    blocks = some_blocks(5)
    assert write_kv_file(path, IDENTITY, blocks) == 5
    assert read(path) == [(digest, data.tobytes()) for digest, data in blocks]
    assert [p.name for p in tmp_path.iterdir()] == ["cache.kv"]


def test_no_block_no_file(tmp_path: Path) -> None:
    assert write_kv_file(tmp_path / "cache.kv", IDENTITY, []) == 0
    assert not list(tmp_path.iterdir())


def test_a_failure_midway_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "cache.kv"
    write_kv_file(path, IDENTITY, some_blocks(2))
    before = path.read_bytes()

    def failing():
        yield some_blocks(1)[0]
        raise RuntimeError("the pool is gone")

    with pytest.raises(RuntimeError):
        write_kv_file(path, IDENTITY, failing())
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["cache.kv"]


@pytest.mark.parametrize(
    ("identity", "block_bytes", "named"),
    [
        ({**IDENTITY, "weights": "xyz"}, 96, "weights"),
        ({**IDENTITY, "cache": "q8"}, 80, "cache, block_bytes"),
        ({**IDENTITY, "arithmetic": 2}, 96, "arithmetic"),
    ],
)
def test_another_model_s_file_gives_nothing(
    identity: dict[str, str | int], block_bytes: int, named: str, tmp_path: Path
) -> None:
    path = tmp_path / "cache.kv"
    write_kv_file(path, IDENTITY, some_blocks(2))
    with pytest.raises(KvFileError, match=f"differs in {named}"):
        list(read_kv_file(path, identity, block_bytes))


@pytest.fixture(scope="module")
def sound_contents(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """The bytes of files with the first one, two, … of some blocks."""
    path = tmp_path_factory.mktemp("sound") / "cache.kv"
    return [_written(path, some_blocks(4)[:count]) for count in range(1, 5)]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damage_is_noticed_before_a_damaged_block_is_given(
    tmp_path: Path, sound_contents: list[bytes], data: st.DataObject
) -> None:
    path = tmp_path / "cache.kv"
    blocks = some_blocks(4)
    content = bytearray(sound_contents[-1])
    if data.draw(st.booleans(), label="cut off"):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    else:
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    found: list[tuple[bytes, bytes]] = []
    is_whole = False
    with contextlib.suppress(KvFileError):
        found.extend((digest, block.tobytes()) for digest, block in read_kv_file(path, IDENTITY, 96))
        is_whole = True
    sound = [(digest, block.tobytes()) for digest, block in blocks]
    assert found == sound[: len(found)]
    # Only a file that ends between two blocks can't be told from one with fewer blocks.
    header_size = 2 * len(sound_contents[0]) - len(sound_contents[1])
    assert not is_whole or bytes(content) in (*sound_contents, sound_contents[0][:header_size])


def _written(path: Path, blocks: list[tuple[bytes, BlockData]]) -> bytes:
    write_kv_file(path, IDENTITY, blocks)
    return path.read_bytes()
