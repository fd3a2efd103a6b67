"""The table of tensor types against the ``gguf`` package's own."""

from __future__ import annotations

import gguf
import pytest

from candlewick.core.tensor_types import WITHDRAWN_TYPES, TensorType


def test_every_type_of_the_gguf_package_is_known_by_the_same_name_and_sizes() -> None:
    theirs = {(int(number), number.name, *sizes) for number, sizes in gguf.GGML_QUANT_SIZES.items()}
    ours = {(int(t), t.name, t.block_size, t.block_bytes) for t in TensorType}
    assert theirs <= ours


def test_withdrawn_numbers_are_not_types() -> None:
    for number in WITHDRAWN_TYPES:
        with pytest.raises(ValueError, match=str(number)):
            TensorType(number)
        assert number not in list(gguf.GGMLQuantizationType)


def test_a_member_is_its_number() -> None:
    assert TensorType(12) is TensorType.Q4_K
    assert TensorType.Q4_K == 12
    assert f"{TensorType.Q4_K.name}" == "Q4_K"
