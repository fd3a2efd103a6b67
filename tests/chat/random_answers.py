"""Answers that a grammar allows, drawn at random over a vocabulary of bytes and markers."""

from __future__ import annotations

import codecs
import random
from collections.abc import Sequence

import numpy as np

from candlewick.core.constraint import Constraint
from candlewick.core.grammar import GrammarCompiler

EOS = 256


class ByteVocabulary:
    """A token a byte, an end token, and a token for each marker."""

    bos_id = None
    eos_ids = frozenset([EOS])
    adds_space_prefix = False

    def __init__(self, markers: Sequence[str] = ()) -> None:
        self.markers = {marker: token_id for token_id, marker in enumerate(markers, EOS + 1)}
        self._texts = {token_id: marker for marker, token_id in self.markers.items()}
        self.vocab_size = EOS + 1 + len(markers)
        self.compiler = GrammarCompiler(self)

    def id_of(self, text: str) -> int | None:
        return self.markers.get(text)

    def token_bytes(self, token_id: int) -> bytes:
        return bytes([token_id]) if token_id < EOS else self._texts.get(token_id, "<eos>").encode()

    def encode_continuation(self, text: str) -> list[int]:
        return list(text.encode())


def random_answer(
    constraint: Constraint, vocabulary: ByteVocabulary, seed: int, most: int = 800
) -> list[tuple[int, str]] | None:
    """Tokens and their texts; ``None`` if there is no end in sight.

    Printable characters are preferred, and above all those that end texts: an answer should end some day.
    """
    source = random.Random(seed)
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    matcher = vocabulary.compiler.compile(constraint).new_matcher()
    tokens: list[tuple[int, str]] = []
    mask = np.zeros(-(-vocabulary.vocab_size // 32), dtype=np.uint32)
    while not matcher.is_complete:
        if len(tokens) == most:
            return None
        matcher.write_mask(mask)
        bits = np.unpackbits(mask.view(np.uint8), bitorder="little")[: vocabulary.vocab_size]
        allowed = np.flatnonzero(bits).tolist()
        ending = [token_id for token_id in allowed if token_id >= EOS or chr(token_id) in '"<})]']
        token_id = source.choice(ending if ending and source.random() < 0.4 else allowed)
        if token_id == EOS:
            break
        matcher.accept(token_id)
        text = vocabulary.token_bytes(token_id)
        tokens.append((token_id, decoder.decode(text)))
    return tokens
