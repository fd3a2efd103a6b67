"""SentencePiece BPE (``tokenizer.ggml.model = llama``): pieces with scores, bytes for what no piece covers.

Owns the merging of plain text; control tokens never reach it. After Kudo & Richardson 2018 (SentencePiece):
of all neighbours whose union is a piece, the pair of the highest score merges first, the leftmost among
equals.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from heapq import heapify, heappop, heappush
from typing import Any

import numpy as np
import numpy.typing as npt

from candlewick.core.metadata import Metadata
from candlewick.core.tokenizer.vocabulary import TOKENS_KEY, TokenType, Vocabulary, fault

BLANK = "▁"
"""U+2581, how SentencePiece writes a space."""

_WORD = re.compile(f"{BLANK}*[^{BLANK}]+|{BLANK}+")
_CACHED_WORDS = 32768
_LONGEST_CACHED_WORD = 32


_SCORES_KEY = "tokenizer.ggml.scores"
_PREFIX_KEY = "tokenizer.ggml.add_space_prefix"


class SentencePieceBPE:
    """Greedy merging by score; ``O(n log n)`` in the length of a word."""

    def __init__(
        self,
        pieces: Mapping[str, int],
        scores: npt.NDArray[Any],
        byte_ids: Sequence[int] = (),
        *,
        unknown_id: int | None = None,
        adds_space_prefix: bool = True,
    ) -> None:
        """``pieces`` is what merging may yield, text -> id; ``scores`` go by id. ``byte_ids`` are 256, or
        none: then ``unknown_id`` stands for each character that no piece covers.
        """
        self.adds_space_prefix = adds_space_prefix
        self._ids = dict(pieces)
        # Equal scores get equal ranks, so that the leftmost of such pairs goes first.
        _, ranks = np.unique(-scores[list(pieces.values())], return_inverse=True)
        self._ranks: dict[str, int] = dict(zip(pieces, ranks.tolist(), strict=True))
        self._byte_ids = byte_ids
        self._unknown_ids = () if unknown_id is None else (unknown_id,)
        # Where no piece holds a blank after another character, no merge crosses the start of a word; then
        # each word can be merged by itself, and one seen before needs no merging at all.
        self._by_words = not any(BLANK in text.lstrip(BLANK) for text in pieces)
        self._encode_short_word = lru_cache(_CACHED_WORDS)(self._encode_word)

    @classmethod
    def read(cls, metadata: Metadata, vocabulary: Vocabulary, unknown_id: int | None) -> SentencePieceBPE:
        """Read the scores and whether a space goes before a text (yes, where the file does not say).

        Raises:
            ModelLoadError: they are missing or ill-typed, or the byte tokens are incomplete.
        """
        scores = metadata.numbers(_SCORES_KEY).astype(np.float64)
        if len(scores) != len(vocabulary):
            count = f"{len(scores)} entries for a vocabulary of {len(vocabulary)} tokens"
            raise fault(metadata, _SCORES_KEY, f"has {count}")
        if np.isnan(scores).any():
            raise fault(metadata, _SCORES_KEY, f"the score of token {int(np.isnan(scores).argmax())} is NaN")
        mergeable = (TokenType.UNDEFINED, TokenType.NORMAL, TokenType.UNUSED)
        return cls(
            {text: i for text, i in vocabulary.ids.items() if vocabulary.types[i] in mergeable},
            scores,
            _read_byte_ids(metadata, vocabulary),
            unknown_id=unknown_id,
            adds_space_prefix=metadata.boolean(_PREFIX_KEY, True),
        )

    def encode(self, runs: Sequence[str]) -> list[list[int]]:
        """The ids of each run. Holds the interpreter's lock, though other threads get their turns."""
        return [self._encode_run(run.replace(" ", BLANK)) for run in runs]

    def piece_bytes(self, text: str) -> bytes:
        """The bytes that a normal token's text stands for."""
        return text.replace(BLANK, " ").encode()

    def _encode_run(self, text: str) -> list[int]:
        if not self._by_words:
            return list(self._encode_word(text))
        ids: list[int] = []
        for word in _WORD.findall(text):
            is_short = len(word) <= _LONGEST_CACHED_WORD
            ids += self._encode_short_word(word) if is_short else self._encode_word(word)
        return ids

    def _encode_word(self, word: str) -> tuple[int, ...]:
        ids: list[int] = []
        for symbol in self._merge(word):
            token_id = self._ids.get(symbol)
            if token_id is not None:
                ids.append(token_id)
            elif self._byte_ids:
                ids.extend(self._byte_ids[byte] for byte in symbol.encode())
            else:
                ids.extend(self._unknown_ids)
        return tuple(ids)

    def _merge(self, word: str) -> Iterator[str]:
        """The word's symbols once no two neighbours make a piece.

        A symbol is known by the place of its first character: ``following`` and ``preceding`` give its
        neighbours'. A pair waits in the heap as one number, of rank, place and end: numbers are half the cost
        of tuples.
        """
        ranks = self._ranks
        size = len(word)
        base = size + 1
        following = [*range(1, base), -1]
        preceding = list(range(-1, base))
        pairs = [
            (rank * base + place) * base + place + 2
            for place in range(size - 1)
            if (rank := ranks.get(word[place : place + 2])) is not None
        ]
        heapify(pairs)
        while pairs:
            rank_and_place, end = divmod(heappop(pairs), base)
            place = rank_and_place % base
            right = following[place]
            if following[right] != end:
                continue  # one of the two has merged with another since
            following[place] = end
            following[right] = size  # gone: its neighbour is the end, which has none
            preceding[end] = place
            before = preceding[place]
            if end < size and (rank := ranks.get(word[place : following[end]])) is not None:
                heappush(pairs, (rank * base + place) * base + following[end])
            if before >= 0 and (rank := ranks.get(word[before:end])) is not None:
                heappush(pairs, (rank * base + before) * base + end)
        place = 0
        while place < size:
            yield word[place : following[place]]
            place = following[place]


def _read_byte_ids(metadata: Metadata, vocabulary: Vocabulary) -> list[int]:
    """The ids of ``<0x00>`` … ``<0xFF>``, or nothing where the vocabulary has no byte tokens at all."""
    if TokenType.BYTE not in vocabulary.types:
        return []
    byte_ids: list[int] = []
    for byte in range(256):
        token_id = vocabulary.ids.get(f"<0x{byte:02X}>")
        if token_id is None or vocabulary.types[token_id] != TokenType.BYTE:
            raise fault(metadata, TOKENS_KEY, f"some bytes have tokens, but <0x{byte:02X}> is missing")
        byte_ids.append(token_id)
    return byte_ids
