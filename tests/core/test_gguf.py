"""The GGUF reader against files made, and read, by the ``gguf`` package."""

from __future__ import annotations

import os
import struct
import sys
import time
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from candlewick.core.errors import ModelLoadError, ModelNotFoundError
from candlewick.core.gguf import GGUFFile, split_part
from candlewick.core.tensor_types import TensorType

KIND = gguf.GGUFValueType
FORMATS = {
    KIND.UINT8: "u1",
    KIND.INT8: "i1",
    KIND.UINT16: "u2",
    KIND.INT16: "i2",
    KIND.UINT32: "u4",
    KIND.INT32: "i4",
    KIND.UINT64: "u8",
    KIND.INT64: "i8",
    KIND.FLOAT32: "f4",
    KIND.FLOAT64: "f8",
}


def write(path: Path, tensors: dict[str, Any] | None = None, **writer_options: Any) -> gguf.GGUFWriter:
    """A file with a little metadata and the given tensors: arrays, or (bytes, type) of quantised ones."""
    writer = gguf.GGUFWriter(path, "llama", **writer_options)
    writer.add_uint32("llama.block_count", 2)
    writer.add_array("tokenizer.ggml.tokens", ["<s>", "a", "Grüße", "日本", "🕯️"])
    for name, tensor in (tensors or {}).items():
        data, raw_type = tensor if isinstance(tensor, tuple) else (tensor, None)
        writer.add_tensor(name, data, raw_dtype=raw_type)
    finish(writer)
    return writer


def finish(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def some_tensors() -> dict[str, Any]:
    random = np.random.default_rng(0)
    weights = random.standard_normal((6, 64), dtype=np.float32)
    return {
        "blk.0.weight": weights,
        "blk.0.half": weights[:, :7].astype(np.float16),
        "blk.0.norm": weights[0],
        "blk.0.deep": random.integers(-100, 100, (2, 3, 4, 5), dtype=np.int32),
        "blk.1.q8": (gguf.quantize(weights, gguf.GGMLQuantizationType.Q8_0), gguf.GGMLQuantizationType.Q8_0),
        "blk.1.q4": (gguf.quantize(weights, gguf.GGMLQuantizationType.Q4_0), gguf.GGMLQuantizationType.Q4_0),
    }


def open_descriptors() -> int:
    if not sys.platform.startswith("linux"):
        pytest.skip("counts file descriptors through /proc")
    return len(os.listdir("/proc/self/fd"))


def test_agrees_with_the_gguf_packages_reader(tmp_path: Path) -> None:
    write(tmp_path / "m.gguf", some_tensors())
    reference = gguf.GGUFReader(tmp_path / "m.gguf")
    with GGUFFile.open(tmp_path / "m.gguf") as file:
        fields = {name: field for name, field in reference.fields.items() if not name.startswith("GGUF.")}
        assert list(file.metadata) == list(fields)
        for key, value in file.metadata.items():
            assert value == fields[key].contents()
        assert list(file.tensors) == [tensor.name for tensor in reference.tensors]
        for theirs in reference.tensors:
            ours = file.tensors[theirs.name]
            assert ours.shape == tuple(reversed(theirs.shape.tolist()))
            assert ours.type == theirs.tensor_type
            assert (ours.num_bytes, ours.offset) == (theirs.n_bytes, theirs.data_offset)
            assert ours.num_elements == theirs.n_elements
            np.testing.assert_array_equal(file.data(theirs.name), theirs.data.view(np.uint8).reshape(-1))
        assert file.size_bytes == (tmp_path / "m.gguf").stat().st_size
        assert (file.version, file.path, file.paths) == (3, tmp_path / "m.gguf", (tmp_path / "m.gguf",))


def test_tensor_data_is_what_was_written(tmp_path: Path) -> None:
    tensors = some_tensors()
    write(tmp_path / "m.gguf", tensors)
    with GGUFFile.open(tmp_path / "m.gguf") as file:
        weights = file.data("blk.0.weight").view("<f4").reshape(file.tensors["blk.0.weight"].shape)
        np.testing.assert_array_equal(weights, tensors["blk.0.weight"])
        assert file.tensors["blk.1.q8"].type is TensorType.Q8_0
        assert file.tensors["blk.1.q8"].shape == (6, 64)
        np.testing.assert_array_equal(file.data("blk.1.q8"), tensors["blk.1.q8"][0].reshape(-1))
        assert not weights.flags.writeable


def test_version_2_and_another_alignment(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_custom_alignment(256)
    writer.add_tensor("a", np.ones(3, np.float32))
    writer.add_tensor("b", np.full(5, 2, np.float32))
    finish(writer)
    content = bytearray(path.read_bytes())
    content[4:8] = struct.pack("<I", 2)
    path.write_bytes(content)
    with GGUFFile.open(path) as file:
        assert file.version == 2
        assert file.tensors["b"].offset % 256 == 0
        np.testing.assert_array_equal(file.data("b").view("<f4"), np.full(5, 2, np.float32))


def numbers_of(kind: gguf.GGUFValueType) -> st.SearchStrategy[Any]:
    dtype = np.dtype(FORMATS[kind])
    if dtype.kind == "f":
        return st.floats(width=dtype.itemsize * 8)  # type: ignore[arg-type]
    return st.integers(int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
LONG_TEXTS = st.builds(lambda text, times: text * times, TEXTS, st.integers(1, 60))
ENTRIES = st.one_of(
    *(st.tuples(st.just(kind), st.none(), numbers_of(kind)) for kind in FORMATS),
    *(
        st.tuples(st.just(KIND.ARRAY), st.just(kind), st.lists(numbers_of(kind), min_size=1, max_size=40))
        for kind in FORMATS
    ),
    st.tuples(st.just(KIND.BOOL), st.none(), st.booleans()),
    st.tuples(st.just(KIND.ARRAY), st.just(KIND.BOOL), st.lists(st.booleans(), min_size=1)),
    st.tuples(st.just(KIND.STRING), st.none(), LONG_TEXTS),
    st.tuples(st.just(KIND.ARRAY), st.just(KIND.STRING), st.lists(LONG_TEXTS, min_size=1, max_size=60)),
    st.tuples(
        st.just(KIND.ARRAY),
        st.none(),
        st.lists(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=5), min_size=1, max_size=5),
    ),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(TEXTS.filter(bool).map(lambda key: f"x.{key}"), ENTRIES, max_size=6))
def test_every_kind_of_metadata_survives_a_round_trip(tmp_path: Path, entries: dict[str, Any]) -> None:
    path = tmp_path / "m.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    for key, (kind, element_kind, value) in entries.items():
        writer.add_key_value(key, value, kind, element_kind)
    finish(writer)
    with GGUFFile.open(path) as file:
        assert list(file.metadata) == ["general.architecture", *entries]
        for key, (kind, element_kind, value) in entries.items():
            found = file.metadata[key]
            if kind in FORMATS:
                np.testing.assert_array_equal(found, np.array(value, FORMATS[kind]).item())
                assert type(found) is type(value)
            elif element_kind in FORMATS:
                assert isinstance(found, np.ndarray)
                np.testing.assert_array_equal(found, np.array(value, FORMATS[element_kind]))
                assert found.dtype == np.dtype(FORMATS[element_kind])
            elif element_kind is KIND.BOOL:
                assert isinstance(found, np.ndarray)
                assert found.dtype == np.bool_
                assert found.tolist() == value
            elif element_kind is None and kind is KIND.ARRAY:
                assert isinstance(found, list)
                assert [inner.tolist() for inner in found] == value
            else:
                assert found == value
                assert type(found) is type(value)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(LONG_TEXTS, min_size=1, max_size=30), st.integers(1, 3000))
def test_string_arrays_longer_than_the_readers_window(tmp_path: Path, texts: list[str], times: int) -> None:
    texts = texts * times
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "llama")
    writer.add_array("x", texts)
    finish(writer)
    with GGUFFile.open(tmp_path / "m.gguf") as file:
        assert file.metadata["x"] == texts


def test_a_real_vocabulary_agrees_with_the_gguf_packages_reader() -> None:
    path = vocabulary("ggml-vocab-llama-spm.gguf")
    reference = gguf.GGUFReader(path)
    with GGUFFile.open(path) as file:
        tokens = reference.fields["tokenizer.ggml.tokens"].contents()
        scores = reference.fields["tokenizer.ggml.scores"].contents()
        assert file.metadata.texts("tokenizer.ggml.tokens") == tokens
        assert file.metadata.numbers("tokenizer.ggml.scores").tolist() == scores


def test_a_vocabulary_of_128k_tokens_opens_quickly() -> None:
    path = vocabulary("ggml-vocab-llama-bpe.gguf")
    seconds = []
    for _ in range(3):
        start = time.process_time()
        with GGUFFile.open(path) as file:
            seconds.append(time.process_time() - start)
            assert len(file.metadata.texts("tokenizer.ggml.tokens")) == 128256
            assert len(file.metadata.texts("tokenizer.ggml.merges")) == 280147
    assert min(seconds) < 0.4


def vocabulary(name: str) -> Path:
    directory = os.environ.get("CANDLEWICK_TEST_DATA")
    if not directory or not (Path(directory) / "vocab" / name).is_file():
        pytest.skip("set CANDLEWICK_TEST_DATA to a directory that holds llama.cpp's vocabularies in vocab/")
    return Path(directory) / "vocab" / name


def test_close_leaves_no_descriptor_and_views_stay_valid(tmp_path: Path) -> None:
    tensors = some_tensors()
    write(tmp_path / "m.gguf", tensors)
    before = open_descriptors()
    file = GGUFFile.open(tmp_path / "m.gguf")
    view = file.data("blk.0.weight")
    file.close()
    file.close()
    np.testing.assert_array_equal(view.view("<f4"), tensors["blk.0.weight"].reshape(-1))
    with pytest.raises(ValueError, match="is closed"):
        file.data("blk.0.weight")
    del view
    assert open_descriptors() == before


def test_an_unknown_tensor_is_named(tmp_path: Path) -> None:
    write(tmp_path / "m.gguf", some_tensors())
    with (
        GGUFFile.open(tmp_path / "m.gguf") as file,
        pytest.raises(ModelLoadError, match=r"'blk\.7': is missing"),
    ):
        file.data("blk.7")


def test_a_missing_file_a_directory_and_an_empty_file(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="no such file"):
        GGUFFile.open(tmp_path / "none.gguf")
    with pytest.raises(ModelLoadError, match="is a directory"):
        GGUFFile.open(tmp_path)
    (tmp_path / "empty.gguf").touch()
    with pytest.raises(ModelLoadError, match="is empty"):
        GGUFFile.open(tmp_path / "empty.gguf")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("m-00002-of-00013.gguf", ("m", 2, 13)),
        ("a-00001-of-00002-00001-of-00003.gguf", ("a-00001-of-00002", 1, 3)),
        ("m.gguf", None),
        ("m-1-of-3.gguf", None),
        ("-00001-of-00003.gguf", None),
    ],
)
def test_split_names(name: str, expected: tuple[str, int, int] | None) -> None:
    assert split_part(name) == expected


@pytest.fixture
def parts(tmp_path: Path) -> list[Path]:
    """Six tensors in three files."""
    write(tmp_path / "m.gguf", some_tensors(), split_max_tensors=2)
    return [tmp_path / f"m-{number:05d}-of-00003.gguf" for number in (1, 2, 3)]


def test_a_split_is_one_model(parts: list[Path]) -> None:
    tensors = some_tensors()
    with GGUFFile.open(parts[0]) as file:
        assert file.paths == tuple(parts)
        assert file.path == parts[0]
        assert file.size_bytes == sum(part.stat().st_size for part in parts)
        assert list(file.tensors) == list(tensors)
        assert [file.tensors[name].path for name in tensors] == [part for part in parts for _ in range(2)]
        assert file.metadata.text("general.architecture") == "llama"
        np.testing.assert_array_equal(file.data("blk.1.q4"), tensors["blk.1.q4"][0].reshape(-1))
        np.testing.assert_array_equal(file.data("blk.0.norm").view("<f4"), tensors["blk.0.norm"])


def test_a_later_part_points_to_the_first(parts: list[Path]) -> None:
    with pytest.raises(ModelLoadError, match=r"part 2 of 3; open the first one, m-00001-of-00003\.gguf"):
        GGUFFile.open(parts[1])


def test_missing_parts_are_named(parts: list[Path]) -> None:
    before = open_descriptors()
    parts[1].unlink()
    with pytest.raises(ModelLoadError, match=r"m-00002-of-00003\.gguf can't be found"):
        GGUFFile.open(parts[0])
    assert open_descriptors() == before


def test_a_renamed_split_is_refused(parts: list[Path]) -> None:
    parts[0].rename(parts[0].with_name("m.gguf"))
    with pytest.raises(ModelLoadError, match=r"split\.count.*NAME-00001-of-00003\.gguf"):
        GGUFFile.open(parts[0].with_name("m.gguf"))


def test_parts_in_the_wrong_place_are_refused(parts: list[Path]) -> None:
    parts[2].write_bytes(parts[1].read_bytes())
    with pytest.raises(ModelLoadError, match=r"m-00003-of-00003.*split\.no.*must be 2 in this part, got 1"):
        GGUFFile.open(parts[0])


def test_a_part_of_another_model_is_refused(parts: list[Path], tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    two_tensors = {f"t{i}": np.ones(2, np.float32) for i in range(2)}
    write(tmp_path / "other" / "m.gguf", two_tensors, split_max_tensors=1)
    parts[2].write_bytes((tmp_path / "other" / "m-00002-of-00002.gguf").read_bytes())
    with pytest.raises(ModelLoadError, match=r"split\.count.*must be 3 in this part, got 2"):
        GGUFFile.open(parts[0])


def test_a_tensor_in_two_parts_and_a_wrong_total_are_refused(tmp_path: Path) -> None:
    def part(number: int, names: list[str], total: int) -> None:
        writer = gguf.GGUFWriter(tmp_path / f"m-{number + 1:05d}-of-00002.gguf", "llama")
        writer.add_uint16("split.no", number)
        writer.add_uint16("split.count", 2)
        writer.add_int32("split.tensors.count", total)
        for name in names:
            writer.add_tensor(name, np.ones(4, np.float32))
        finish(writer)

    part(0, ["a", "b"], 4)
    part(1, ["c", "b"], 4)
    with pytest.raises(ModelLoadError, match=r"tensor 'b': stands in another part too, m-00001"):
        GGUFFile.open(tmp_path / "m-00001-of-00002.gguf")
    part(1, ["c"], 4)
    with pytest.raises(ModelLoadError, match=r"split\.tensors\.count.*promises 4 tensors.*hold 3"):
        GGUFFile.open(tmp_path / "m-00001-of-00002.gguf")


def test_big_endian_files_are_refused_as_such(tmp_path: Path) -> None:
    write(tmp_path / "m.gguf", {}, endianess=gguf.GGUFEndian.BIG)
    with pytest.raises(ModelLoadError, match="version: this is a big-endian"):
        GGUFFile.open(tmp_path / "m.gguf")
