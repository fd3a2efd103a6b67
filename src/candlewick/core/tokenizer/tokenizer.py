"""Text to token ids and back, as the model file's metadata describes it.

Owns the order of things: which stretches of a prompt are markers, which are plain text and go to the subword
model, and what is added at either end. How plain text splits is the subword model's business (``byte_level``,
``sentencepiece``).

Encoding a long text takes time: an event loop should call it in a thread. Nothing here changes after
construction, so one tokenizer may serve any number of threads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from candlewick.core.errors import InvalidRequestError, UnsupportedModelError
from candlewick.core.metadata import Metadata, MetadataValue
from candlewick.core.tokenizer.byte_level import ByteLevelBPE, read_pre_tokenizer
from candlewick.core.tokenizer.incremental import IncrementalDecoder
from candlewick.core.tokenizer.sentencepiece import BLANK, SentencePieceBPE
from candlewick.core.tokenizer.special_tokens import SpecialTokens, role_ids
from candlewick.core.tokenizer.vocabulary import TOKENS_KEY, TokenType, Vocabulary, fault, read_texts
from candlewick.core.tokenizer.word_matcher import WordMatcher

_MODEL_KEY = "tokenizer.ggml.model"
_TEMPLATE_KEY = "tokenizer.chat_template"


class SubwordModel(Protocol):
    """How a kind of vocabulary turns plain text into ids."""

    adds_space_prefix: bool

    def encode(self, runs: Sequence[str]) -> list[list[int]]: ...
    def piece_bytes(self, text: str) -> bytes: ...


class Tokenizer:
    """The tokenizer of one model.

    **Markers** are the tokens that structure a prompt: all control tokens, and user-defined ones such as
    ``<think>`` or ``<tool_call>``. They are recognised in trusted text only (``parse_special=True``, ``True``
    segments). In text that users supplied their spelling is text like any other, so nobody can forge the end
    of a turn. User-defined tokens that mark nothing (runs of blanks, single characters) are recognised
    everywhere.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        special: SpecialTokens,
        model: SubwordModel,
        *,
        chat_template: str | None = None,
        chat_template_variants: Mapping[str, str] | None = None,
    ) -> None:
        """Raises ``RecursionError`` when the markers nest too deeply (see :class:`WordMatcher`)."""
        self.chat_template = chat_template
        self.chat_template_variants = dict(chat_template_variants or {})
        """Further templates of the model by name, such as ``tool_use``."""
        self._vocabulary = vocabulary
        self._special = special
        self._model = model
        self._marker_ids = frozenset(vocabulary.markers.values())
        self._markers = WordMatcher(vocabulary.markers)
        self._plain_words = WordMatcher(vocabulary.plain_words)

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, MetadataValue], path: str | Path) -> Tokenizer:
        """Build the tokenizer that a GGUF file's metadata describes; ``path`` is for messages.

        Raises:
            UnsupportedModelError: the kind of vocabulary, or its way of splitting words, is not known.
            ModelLoadError: an entry is missing, has the wrong type or contradicts another.
        """
        entries = Metadata(metadata, path)
        kind = entries.text(_MODEL_KEY)
        special_ids = role_ids(entries, len(read_texts(entries))).values()
        model: SubwordModel
        if kind == "gpt2":
            pre_tokenizer = read_pre_tokenizer(entries)
            vocabulary = Vocabulary.read(entries, special_ids=special_ids)
            special = SpecialTokens.read(entries, vocabulary, add_bos_default=pre_tokenizer.add_bos)
            model = ByteLevelBPE.read(entries, vocabulary, pre_tokenizer)
        elif kind == "llama":
            vocabulary = Vocabulary.read(entries, special_ids=special_ids, blank=BLANK)
            special = SpecialTokens.read(entries, vocabulary, add_bos_default=True)
            model = SentencePieceBPE.read(entries, vocabulary, special.unknown_id)
        else:
            raise UnsupportedModelError(
                path, f"metadata key {_MODEL_KEY!r}", f"{kind!r} is not known; known are: gpt2, llama"
            )
        template = entries.text(_TEMPLATE_KEY, None)
        variants = {
            key.removeprefix(f"{_TEMPLATE_KEY}."): entries.text(key)
            for key in entries
            if key.startswith(f"{_TEMPLATE_KEY}.")
        }
        try:
            return cls(vocabulary, special, model, chat_template=template, chat_template_variants=variants)
        except RecursionError:
            reason = "has markers that nest too deeply, each the beginning of the next"
            raise fault(entries, TOKENS_KEY, reason) from None

    @property
    def vocab_size(self) -> int:
        return len(self._vocabulary)

    @property
    def bos_id(self) -> int | None:
        return self._special.bos_id

    @property
    def eos_id(self) -> int | None:
        """The end token that the file names, which chat templates write as ``eos_token``."""
        return self._special.eos_id

    @property
    def eos_ids(self) -> frozenset[int]:
        """Every token that ends an answer: end of text, of turn, of message."""
        return self._special.end_ids

    @property
    def adds_space_prefix(self) -> bool:
        """Whether encoding puts a space before text at the start and after markers (decoding drops it)."""
        return self._model.adds_space_prefix

    def is_control(self, token_id: int) -> bool:
        """Whether the token is a control token (or the unknown one): structure, never text."""
        return self._vocabulary.is_control(self._checked(token_id))

    @property
    def markers(self) -> Mapping[str, int]:
        """The tokens recognised in trusted text only, text -> id."""
        return MappingProxyType(self._vocabulary.markers)

    def is_marker(self, token_id: int) -> bool:
        """Whether the token is recognised in trusted text only."""
        return token_id in self._marker_ids

    def id_of(self, text: str) -> int | None:
        """The id of the token that the vocabulary writes exactly so (``<|im_end|>``, ``▁the``, ``Ġthe``)."""
        return self._vocabulary.ids.get(text)

    def encode(self, text: str, *, add_special: bool = False, parse_special: bool = False) -> list[int]:
        """The ids of a text.

        ``add_special`` adds BOS and EOS where the model's file says so. ``parse_special`` recognises markers:
        for rendered templates only, never for what users wrote.

        Raises:
            InvalidRequestError: the text holds a lone surrogate, which no encoding can express.
        """
        ids = self.encode_segments([(text, parse_special)])
        if add_special and self._special.add_bos and self._special.bos_id is not None:
            ids.insert(0, self._special.bos_id)
        if add_special and self._special.add_eos and self._special.eos_id is not None:
            ids.append(self._special.eos_id)
        return ids

    def encode_segments(self, segments: Sequence[tuple[str, bool]]) -> list[int]:
        """The ids of a prompt given in pieces, each with whether its markers are to be recognised.

        Nothing but markers separates: text from one marker to the next is encoded as one, whatever pieces it
        came in. A marker must lie in trusted pieces wholly.

        Raises:
            InvalidRequestError: a text holds a lone surrogate, which no encoding can express.
        """
        parts: list[str | int] = []
        for part in self.split_at_markers(segments):
            if isinstance(part, int):
                parts.append(part)
            else:
                parts += self._plain_words.split(" " + part if self._model.adds_space_prefix else part)
        return self._encode_parts(parts)

    def encode_continuation(self, text: str) -> list[int]:
        """The ids of plain text that goes on from other text, so that nothing is put before it.

        Raises:
            InvalidRequestError: the text holds a lone surrogate, which no encoding can express.
        """
        _require_encodable(text)
        return self._encode_parts(self._plain_words.split(text))

    def decode(self, ids: Iterable[int], *, skip_special: bool = False) -> str:
        """The text of a sequence that begins here; control tokens read as they are written, or are left out.

        Raises:
            InvalidRequestError: an id is outside the vocabulary.
        """
        decoder = self.decoder(skip_special=skip_special)
        pieces = [decoder.push(token_id) for token_id in ids]
        return "".join(pieces) + decoder.flush()

    def decoder(self, *, skip_special: bool = False, after: int | None = None) -> IncrementalDecoder:
        """A decoder for one sequence; ``after`` is the last token before it, if there is one."""
        return IncrementalDecoder(self, skip_special=skip_special, after=after)

    def token_bytes(self, token_id: int) -> bytes:
        """What the token contributes to the text, as UTF-8; a byte token or part of a character is not whole
        UTF-8.

        Raises:
            InvalidRequestError: there is no such token.
        """
        kind = self._vocabulary.types[self._checked(token_id)]
        if kind in (TokenType.CONTROL, TokenType.UNKNOWN, TokenType.USER_DEFINED):
            return self._vocabulary.literal_text(token_id).encode()
        text = self._vocabulary.texts[token_id]
        return bytes([int(text[3:5], 16)]) if kind == TokenType.BYTE else self._model.piece_bytes(text)

    def _encode_parts(self, parts: Sequence[str | int]) -> list[int]:
        """The ids of runs of plain text, with the tokens that stand between them."""
        encoded = iter(self._model.encode([part for part in parts if isinstance(part, str)]))
        ids: list[int] = []
        for part in parts:
            if isinstance(part, int):
                ids.append(part)
            else:
                ids += next(encoded)
        return ids

    def _checked(self, token_id: int) -> int:
        if not 0 <= token_id < len(self._vocabulary):
            raise InvalidRequestError(
                f"token id {token_id} is outside the vocabulary of {self.vocab_size} tokens", "token_ids"
            )
        return token_id

    def split_at_markers(self, segments: Sequence[tuple[str, bool]]) -> list[str | int]:
        """A prompt as the ids of its markers and the whole runs of text between them.

        Raises:
            InvalidRequestError: a text holds a lone surrogate, which no encoding can express.
        """
        parts: list[str | int] = []
        run: list[str] = []
        for text, trusted in _joined(segments):
            _require_encodable(text)
            for part in self._markers.split(text) if trusted else [text]:
                if isinstance(part, str):
                    run.append(part)
                    continue
                if run:
                    parts.append("".join(run))
                    run = []
                parts.append(part)
        if run:
            parts.append("".join(run))
        return parts


def _joined(segments: Sequence[tuple[str, bool]]) -> list[tuple[str, bool]]:
    """Neighbours of equal trust in one; empty ones left out."""
    joined: list[tuple[str, bool]] = []
    for text, trusted in segments:
        if joined and text and joined[-1][1] == trusted:
            joined[-1] = (joined[-1][0] + text, trusted)
        elif text:
            joined.append((text, trusted))
    return joined


def _require_encodable(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        found = f"a lone surrogate {text[error.start]!r} at index {error.start}"
        raise InvalidRequestError(f"the text holds {found}; send valid Unicode", "text") from None
