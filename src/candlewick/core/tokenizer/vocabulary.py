"""The vocabulary: token texts, their kinds and ids, and which of them are matched as whole words of the text.

Knows nothing of merges or scores.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

import numpy as np

from candlewick.core.errors import ModelLoadError
from candlewick.core.metadata import Metadata

TOKENS_KEY = "tokenizer.ggml.tokens"
TYPES_KEY = "tokenizer.ggml.token_type"

_BYTE_TOKEN = re.compile(r"<0x[0-9A-F]{2}>")


class TokenType(IntEnum):
    """Values of ``tokenizer.ggml.token_type`` (GGUF specification)."""

    UNDEFINED = 0
    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(frozen=True)
class Vocabulary:
    """Token ``i`` has text ``texts[i]`` as the file writes it and the :class:`TokenType` ``types[i]``."""

    texts: list[str]
    types: bytes
    ids: dict[str, int]
    """Text -> id; where a text stands twice, the first id."""
    blank: str
    """How user-defined tokens write a space."""

    @classmethod
    def read(cls, metadata: Metadata, *, special_ids: Iterable[int] = (), blank: str = " ") -> Vocabulary:
        """Read the tokens and their types.

        A file without types is an old one: its ``special_ids`` are then control tokens and ``<0xNN>`` are
        byte tokens.

        Raises:
            ModelLoadError: an entry is missing, ill-typed or of the wrong length.
        """
        texts = read_texts(metadata)
        types = _read_types(metadata, texts, special_ids)
        ids = dict(zip(reversed(texts), range(len(texts) - 1, -1, -1), strict=True))
        return cls(texts, types, ids, blank)

    def __len__(self) -> int:
        return len(self.texts)

    def is_control(self, token_id: int) -> bool:
        return self.types[token_id] in (TokenType.CONTROL, TokenType.UNKNOWN)

    def literal_text(self, token_id: int) -> str:
        """What a control or user-defined token reads as in a text."""
        text = self.texts[token_id]
        return text.replace(self.blank, " ") if self.types[token_id] == TokenType.USER_DEFINED else text

    @cached_property
    def markers(self) -> dict[str, int]:
        """Tokens that structure a prompt, text -> id: recognised in trusted text only.

        These are all control tokens, and the user-defined ones that are neither blank nor a single character:
        in many vocabularies ``<think>`` or ``<tool_call>`` is user-defined, and users must not be able to
        forge those.
        """
        words = self._literals(TokenType.CONTROL, TokenType.UNKNOWN, TokenType.USER_DEFINED)
        return {
            text: token_id
            for text, token_id in words.items()
            if self.is_control(token_id) or not _is_plain(text)
        }

    @cached_property
    def plain_words(self) -> dict[str, int]:
        """User-defined tokens that mark nothing (blanks, single characters): recognised in any text."""
        words = self._literals(TokenType.USER_DEFINED)
        return {text: token_id for text, token_id in words.items() if _is_plain(text)}

    def _literals(self, *kinds: TokenType) -> dict[str, int]:
        token_ids = np.flatnonzero(np.isin(np.frombuffer(self.types, np.uint8), kinds)).tolist()
        words: dict[str, int] = {}
        for token_id in token_ids:
            if text := self.literal_text(token_id):
                words.setdefault(text, token_id)
        return words


def read_texts(metadata: Metadata) -> list[str]:
    """The texts of all tokens; raises ``ModelLoadError`` where there are none."""
    texts = metadata.texts(TOKENS_KEY)
    if not texts:
        raise fault(metadata, TOKENS_KEY, "is empty; a model needs a vocabulary")
    return texts


def fault(metadata: Metadata, key: str, reason: str) -> ModelLoadError:
    """The error for a metadata entry whose content is wrong."""
    return ModelLoadError(metadata.path, f"metadata key {key!r}", reason)


def _is_plain(text: str) -> bool:
    return len(text) == 1 or text.isspace()


def _read_types(metadata: Metadata, texts: list[str], special_ids: Iterable[int]) -> bytes:
    array = metadata.numbers(TYPES_KEY, None)
    if array is None:
        kinds = bytearray(
            TokenType.BYTE if _BYTE_TOKEN.fullmatch(text) else TokenType.NORMAL for text in texts
        )
        for token_id in special_ids:
            kinds[token_id] = TokenType.CONTROL
        return bytes(kinds)
    if len(array) != len(texts):
        raise fault(metadata, TYPES_KEY, f"has {len(array)} entries for a vocabulary of {len(texts)} tokens")
    is_known = np.isin(array, list(TokenType))
    if not is_known.all():
        token_id = int(is_known.argmin())
        raise fault(metadata, TYPES_KEY, f"token {token_id} has type {array[token_id]}; known are 0 to 6")
    for token_id in np.flatnonzero(array == TokenType.BYTE).tolist():
        if not _BYTE_TOKEN.fullmatch(texts[token_id]):
            reason = (
                f"token {token_id} is a byte token, so its text must be <0x00> to <0xFF>: {texts[token_id]!r}"
            )
            raise fault(metadata, TYPES_KEY, reason)
    return array.astype(np.uint8).tobytes()
