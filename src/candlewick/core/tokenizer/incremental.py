"""From token ids to text, one token at a time: whole characters only, nothing lost, constant cost a token.

Owns the bytes of a character that is not yet whole and the rule of the leading space; the bytes of a token
are the tokenizer's business.
"""

from __future__ import annotations

import codecs
from typing import Protocol

_Utf8Decoder = codecs.getincrementaldecoder("utf-8")


class TokenTexts(Protocol):
    """What the decoder needs to know of the vocabulary."""

    @property
    def adds_space_prefix(self) -> bool: ...
    def token_bytes(self, token_id: int) -> bytes: ...
    def is_control(self, token_id: int) -> bool: ...
    def is_marker(self, token_id: int) -> bool: ...


class IncrementalDecoder:
    """The text of a growing sequence of tokens.

    The pieces that :meth:`push` and the final :meth:`flush` return are, joined, what decoding all tokens at
    once gives. Bytes that are no UTF-8 become U+FFFD. One decoder serves one sequence and one thread.
    """

    def __init__(self, tokens: TokenTexts, *, skip_special: bool = False, after: int | None = None) -> None:
        """``skip_special`` leaves out control tokens; ``after`` is the token that stands before the first one
        pushed, ``None`` if the text begins here (it decides whether a leading space is the tokenizer's or the
        text's own).
        """
        self._tokens = tokens
        self._skip_special = skip_special
        self._utf8 = _Utf8Decoder("replace")
        self._at_start = after is None or tokens.is_marker(after)

    def push(self, token_id: int) -> str:
        """The characters that this token makes whole; may be empty.

        Raises:
            InvalidRequestError: there is no such token.
        """
        tokens = self._tokens
        piece = tokens.token_bytes(token_id)
        if tokens.adds_space_prefix:
            if self._at_start and piece.startswith(b" "):
                piece = piece[1:]
            self._at_start = tokens.is_marker(token_id)
        if self._skip_special and tokens.is_control(token_id):
            return ""
        return self._utf8.decode(piece)

    def flush(self) -> str:
        """The rest: U+FFFD for a character that stayed incomplete, else nothing."""
        return self._utf8.decode(b"", final=True)
