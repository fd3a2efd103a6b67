"""Typed access to metadata."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from candlewick.core.errors import ModelLoadError
from candlewick.core.gguf import Metadata

ENTRIES: dict[str, Any] = {
    "integer": 7,
    "float": 2.5,
    "text": "llama",
    "true": True,
    "texts": ["a", "b"],
    "numbers": np.array([1, 2, 3], np.int32),
    "plain numbers": [1, 2.5],
    "flags": np.array([True, False]),
    "nested": [np.array([1])],
    "empty": np.array([], np.uint8),
    "nan": math.nan,
    "zero": 0,
}
GOOD = [
    ("integer", "integer", 7),
    ("integer", "zero", 0),
    ("number", "integer", 7.0),
    ("number", "float", 2.5),
    ("text", "text", "llama"),
    ("boolean", "true", True),
    ("texts", "texts", ["a", "b"]),
    ("texts", "empty", []),
]
BAD = [
    ("integer", "true", "an integer, got bool True"),
    ("integer", "float", "an integer, got float 2.5"),
    ("integer", "text", "an integer, got str 'llama'"),
    ("number", "text", "a finite number, got str 'llama'"),
    ("number", "true", "a finite number, got bool True"),
    ("number", "nan", "a finite number, got float nan"),
    ("text", "integer", "a string, got int 7"),
    ("text", "texts", "a string, got an array of 2 str"),
    ("boolean", "integer", "a boolean, got int 7"),
    ("texts", "text", "an array of strings, got str 'llama'"),
    ("texts", "numbers", "an array of strings, got an array of 3 int32"),
    ("texts", "nested", "an array of strings, got an array of 1 ndarray"),
    ("numbers", "texts", "an array of numbers, got an array of 2 str"),
    ("numbers", "flags", "an array of numbers, got an array of 2 bool"),
    ("numbers", "integer", "an array of numbers, got int 7"),
]
ACCESSORS = ["integer", "number", "text", "boolean", "texts", "numbers"]


@pytest.fixture
def metadata() -> Metadata:
    return Metadata(ENTRIES, "models/m.gguf")


def test_is_a_mapping(metadata: Metadata) -> None:
    assert dict(metadata) == ENTRIES
    assert len(metadata) == len(ENTRIES)
    assert metadata.get("absent") is None
    assert metadata.path == Path("models/m.gguf")
    with pytest.raises(KeyError):
        metadata["absent"]


@pytest.mark.parametrize(("accessor", "key", "value"), GOOD)
def test_values_of_the_right_kind(metadata: Metadata, accessor: str, key: str, value: object) -> None:
    found = getattr(metadata, accessor)(key)
    assert found == value
    assert type(found) is type(value)
    assert getattr(metadata, accessor)(key, default=None) == value


def test_arrays_of_numbers(metadata: Metadata) -> None:
    np.testing.assert_array_equal(metadata.numbers("numbers"), [1, 2, 3])
    np.testing.assert_array_equal(metadata.numbers("plain numbers"), [1, 2.5])
    assert metadata.numbers("empty").size == 0


@pytest.mark.parametrize(("accessor", "key", "message"), BAD)
def test_values_of_another_kind_are_refused(
    metadata: Metadata, accessor: str, key: str, message: str
) -> None:
    for arguments in ({}, {"default": None}):
        with pytest.raises(ModelLoadError) as caught:
            getattr(metadata, accessor)(key, **arguments)
        assert caught.value.where == f"metadata key {key!r}"
        assert caught.value.reason == f"must be {message}"
        assert caught.value.path == metadata.path


@pytest.mark.parametrize("accessor", ACCESSORS)
def test_missing_keys(metadata: Metadata, accessor: str) -> None:
    with pytest.raises(ModelLoadError, match=r"m\.gguf: metadata key 'absent': is missing"):
        getattr(metadata, accessor)("absent")
    for default in (None, 0, "x"):
        assert getattr(metadata, accessor)("absent", default=default) is default


def test_long_values_are_shortened_in_errors() -> None:
    metadata = Metadata({"template": "x" * 10_000}, "m.gguf")
    with pytest.raises(ModelLoadError) as caught:
        metadata.integer("template")
    assert len(str(caught.value)) < 200
