"""A model file's metadata: named values with typed access.

Owns the checks "is it there" and "is it of this kind", so that no reader of metadata writes them again. Knows
neither the file format that the values come from nor what any key means.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar, overload

import numpy as np
import numpy.typing as npt

from candlewick.core.errors import ModelLoadError

MetadataValue: TypeAlias = "bool | int | float | str | list[str] | list[MetadataValue] | npt.NDArray[Any]"
"""Scalars are Python's own, arrays of numbers or booleans numpy's, arrays of strings or arrays are lists."""

Default = TypeVar("Default")


class _Required(Enum):
    REQUIRED = "required"


REQUIRED: Final = _Required.REQUIRED


class Metadata(Mapping[str, MetadataValue]):
    """A read-only mapping from key to value, with accessors that check the kind of what they return.

    Without a ``default`` a key is required; a default is returned as it is when the key is absent. A key
    that is there with a value of another kind is an error in both cases.

    Raises (every accessor):
        ModelLoadError: the key is missing or its value is of another kind; names :attr:`path` and the key.
    """

    def __init__(self, entries: Mapping[str, MetadataValue], path: str | Path) -> None:
        self._entries = dict(entries)
        self.path = Path(path)
        """The file that errors name."""

    def __getitem__(self, key: str) -> MetadataValue:
        return self._entries[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"Metadata({len(self)} entries of {self.path})"

    @overload
    def integer(self, key: str) -> int: ...
    @overload
    def integer(self, key: str, default: Default) -> int | Default: ...
    def integer(self, key: str, default: object = REQUIRED) -> object:
        """A whole number; booleans and floats are refused."""
        value = self._find(key, default)
        if value is None or (isinstance(value, int) and not isinstance(value, bool)):
            return default if value is None else value
        raise self._wrong_kind(key, "an integer", value)

    @overload
    def number(self, key: str) -> float: ...
    @overload
    def number(self, key: str, default: Default) -> float | Default: ...
    def number(self, key: str, default: object = REQUIRED) -> object:
        """A finite number, integer or float, as a float."""
        value = self._find(key, default)
        if value is None:
            return default
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
        raise self._wrong_kind(key, "a finite number", value)

    @overload
    def text(self, key: str) -> str: ...
    @overload
    def text(self, key: str, default: Default) -> str | Default: ...
    def text(self, key: str, default: object = REQUIRED) -> object:
        """A string."""
        value = self._find(key, default)
        if value is None or isinstance(value, str):
            return default if value is None else value
        raise self._wrong_kind(key, "a string", value)

    @overload
    def boolean(self, key: str) -> bool: ...
    @overload
    def boolean(self, key: str, default: Default) -> bool | Default: ...
    def boolean(self, key: str, default: object = REQUIRED) -> object:
        """True or false; numbers are refused."""
        value = self._find(key, default)
        if value is None or isinstance(value, bool):
            return default if value is None else value
        raise self._wrong_kind(key, "a boolean", value)

    @overload
    def texts(self, key: str) -> list[str]: ...
    @overload
    def texts(self, key: str, default: Default) -> list[str] | Default: ...
    def texts(self, key: str, default: object = REQUIRED) -> object:
        """An array of strings."""
        value = self._find(key, default)
        if value is None:
            return default
        if isinstance(value, list) and set(map(type, value)) <= {str}:
            return value
        # An empty array keeps no trace of its element type once it is in memory.
        if isinstance(value, np.ndarray) and value.size == 0:
            return []
        raise self._wrong_kind(key, "an array of strings", value)

    @overload
    def numbers(self, key: str) -> npt.NDArray[Any]: ...
    @overload
    def numbers(self, key: str, default: Default) -> npt.NDArray[Any] | Default: ...
    def numbers(self, key: str, default: object = REQUIRED) -> object:
        """An array of numbers ``[count]``, in the type of the file."""
        value = self._find(key, default)
        if value is None:
            return default
        if isinstance(value, list) and set(map(type, value)) <= {int, float}:
            value = np.array(value)
        if isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind in "iuf":
            return value
        raise self._wrong_kind(key, "an array of numbers", value)

    def _find(self, key: str, default: object) -> MetadataValue | None:
        """The value, or None when the key is absent and a default allows it."""
        value = self._entries.get(key)
        if value is None and default is REQUIRED:
            raise ModelLoadError(
                self.path, f"metadata key {key!r}", "is missing, and a model of this kind needs it"
            )
        return value

    def _wrong_kind(self, key: str, expected: str, value: MetadataValue) -> ModelLoadError:
        found = _describe(value)
        return ModelLoadError(self.path, f"metadata key {key!r}", f"must be {expected}, got {found}")


def _describe(value: MetadataValue) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of {value.size} {value.dtype}"
    if isinstance(value, list):
        return f"an array of {len(value)} {type(value[0]).__name__ if value else 'values'}"
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 80 else text[:77] + '…'}"
