"""Byte-level BPE (``tokenizer.ggml.model = gpt2``): each character of a token's text stands for a byte.

Owns the alphabet and the merging of plain text; control tokens never reach it. The merging itself is the
``tokenizers`` library's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from tokenizers import Regex, normalizers, pre_tokenizers
from tokenizers import Tokenizer as MergingTokenizer
from tokenizers.models import BPE

from candlewick.core.errors import UnsupportedModelError
from candlewick.core.metadata import Metadata
from candlewick.core.tokenizer.pre_tokenizers import PRE_TOKENIZERS, PreTokenizer
from candlewick.core.tokenizer.vocabulary import Vocabulary, fault


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's alphabet: printable Latin-1 stands for itself, the others for 256, 257, … (Radford 2019)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = sorted(set(range(256)) - set(printable))
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}


_BYTE_OF_CHARACTER = _byte_alphabet()


_MERGES_KEY = "tokenizer.ggml.merges"
_PRE_KEY = "tokenizer.ggml.pre"


class ByteLevelBPE:
    """Merges of byte pairs after splitting into words.

    A byte that the vocabulary lacks is dropped, as the models' own tokenizers do; such vocabularies lack only
    bytes that UTF-8 never uses, or control characters.
    """

    adds_space_prefix = False

    def __init__(
        self, vocabulary: Vocabulary, merges: Sequence[tuple[str, str]], pre_tokenizer: PreTokenizer
    ) -> None:
        """Raises ``ValueError`` for merges of, or to, a text that is no token."""
        # Markers are kept out, so that no text, however spelled, merges into one.
        markers = vocabulary.markers.keys()
        mergeable = vocabulary.ids.copy()
        for text in ("", *markers):
            mergeable.pop(text, None)
        if not markers.isdisjoint(map("".join, merges)) or any(len(text) == 1 for text in markers):
            merges = [pair for pair in merges if markers.isdisjoint((*pair, "".join(pair)))]
        try:
            model = BPE(mergeable, list(merges), ignore_merges=pre_tokenizer.ignore_merges)
        except Exception as error:  # the library raises the bare class
            raise ValueError(str(error)) from error
        self._merging = MergingTokenizer(model)
        if pre_tokenizer.compose:
            self._merging.normalizer = normalizers.NFC()
        self._merging.pre_tokenizer = pre_tokenizers.Sequence(
            [
                *(pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in pre_tokenizer.patterns),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )

    @classmethod
    def read(cls, metadata: Metadata, vocabulary: Vocabulary, pre_tokenizer: PreTokenizer) -> ByteLevelBPE:
        """Read the merges.

        Raises:
            ModelLoadError: they are missing, ill-typed, malformed or name texts that are no tokens.
        """
        try:
            return cls(vocabulary, _read_merges(metadata), pre_tokenizer)
        except ValueError as error:
            raise fault(metadata, _MERGES_KEY, str(error)) from error

    def encode(self, runs: Sequence[str]) -> list[list[int]]:
        """The ids of each run; the interpreter's lock is released meanwhile."""
        encodings = self._merging.encode_batch_fast(list(runs), add_special_tokens=False)
        return [encoding.ids for encoding in encodings]

    def piece_bytes(self, text: str) -> bytes:
        """The bytes that a normal token's text stands for."""
        try:
            return bytes([_BYTE_OF_CHARACTER[character] for character in text])
        except KeyError:  # a token outside the alphabet can only mean itself
            return text.encode()


def read_pre_tokenizer(metadata: Metadata) -> PreTokenizer:
    """The row of the table that ``tokenizer.ggml.pre`` names; ``default`` where an old file has none.

    Raises:
        UnsupportedModelError: the name is not in the table.
    """
    name = metadata.text(_PRE_KEY, "default")
    if name not in PRE_TOKENIZERS:
        known = ", ".join(sorted(PRE_TOKENIZERS))
        raise UnsupportedModelError(
            metadata.path, f"metadata key {_PRE_KEY!r}", f"{name!r} is not known; known are: {known}"
        )
    return PRE_TOKENIZERS[name]


def _read_merges(metadata: Metadata) -> list[tuple[str, str]]:
    lines = metadata.texts(_MERGES_KEY)
    merges = [tuple(line.split(" ")) for line in lines]
    if not set(map(len, merges)) <= {2}:
        index = next(i for i, merge in enumerate(merges) if len(merge) != 2)
        reason = f"entry {index} must be two texts with a space between, found {lines[index]!r}"
        raise fault(metadata, _MERGES_KEY, reason)
    return cast(list[tuple[str, str]], merges)
