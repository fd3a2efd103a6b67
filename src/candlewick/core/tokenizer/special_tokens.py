"""The tokens with a role: beginning, the ends, the unknown; and whether texts get them added.

Owns the reading of those roles from metadata and the list of texts that are known to end an answer.
"""

from __future__ import annotations

from dataclasses import dataclass

from candlewick.core.metadata import Metadata
from candlewick.core.tokenizer.vocabulary import TokenType, Vocabulary, fault

_KEY = "tokenizer.ggml."
_END_ROLES = ("eos", "eot", "eom")
_ROLES = ("bos", *_END_ROLES, "unknown")

_END_TEXTS = (
    "<|im_end|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|calls|>",
    "<|flush|>",
    "<|END_OF_TURN_TOKEN|>",
    "<|end_of_turn|>",
    "<end_of_turn>",
    "<turn|>",
    "<end_of_utterance>",
    "<|tool_response>",
    "<start_function_response>",
    "<EOT>",
    "[EOT]",
    "[EOS]",
    "<eos>",
    "</s>",
    "<｜end▁of▁sentence｜>",
)


@dataclass(frozen=True)
class SpecialTokens:
    """Ids by role; ``None`` where the vocabulary has no such token."""

    bos_id: int | None
    eos_id: int | None
    unknown_id: int | None
    end_ids: frozenset[int]
    """Every token that ends an answer: end of text, of turn, of message."""
    add_bos: bool
    add_eos: bool

    @classmethod
    def read(cls, metadata: Metadata, vocabulary: Vocabulary, *, add_bos_default: bool) -> SpecialTokens:
        """Read the roles; besides those the file names, control and user-defined tokens with a well-known
        text end an answer, for many files name one end where the model has two.

        Raises:
            ModelLoadError: an id is outside the vocabulary, an entry is ill-typed, or BOS or EOS is to be
            added and
                the file doesn't say which token that is.
        """
        ids = role_ids(metadata, len(vocabulary))
        add_bos = metadata.boolean(f"{_KEY}add_bos_token", None)
        add_eos = metadata.boolean(f"{_KEY}add_eos_token", None)
        for role, is_added in (("bos", add_bos), ("eos", add_eos)):
            if is_added and role not in ids:
                raise fault(metadata, f"{_KEY}{role}_token_id", f"is missing, though add_{role}_token is set")
        named = {ids[role] for role in _END_ROLES if role in ids}
        return cls(
            bos_id=ids.get("bos"),
            eos_id=ids.get("eos"),
            unknown_id=ids.get("unknown"),
            end_ids=frozenset(named | _well_known_ends(vocabulary)),
            add_bos="bos" in ids and (add_bos_default if add_bos is None else add_bos),
            add_eos=bool(add_eos),
        )


def role_ids(metadata: Metadata, vocab_size: int) -> dict[str, int]:
    """The ids that the file gives to ``bos``, ``eos``, ``eot``, ``eom`` and ``unknown``.

    Raises:
        ModelLoadError: an id is ill-typed or outside the vocabulary.
    """
    ids: dict[str, int] = {}
    for role in _ROLES:
        key = f"{_KEY}{role}_token_id"
        token_id = metadata.integer(key, None)
        if token_id is None:
            continue
        if not 0 <= token_id < vocab_size:
            raise fault(metadata, key, f"{token_id} is outside the vocabulary of {vocab_size} tokens")
        ids[role] = token_id
    return ids


def _well_known_ends(vocabulary: Vocabulary) -> set[int]:
    ends = {
        text: vocabulary.ids[text]
        for text in _END_TEXTS
        if text in vocabulary.ids
        and vocabulary.types[vocabulary.ids[text]] in (TokenType.CONTROL, TokenType.USER_DEFINED)
    }
    # In the harmony format <|end|> closes one message of an answer and <|return|> or <|call|> the answer
    # itself.
    if ("<|return|>" in ends and "<|call|>" in ends) or ("<|flush|>" in ends and "<|calls|>" in ends):
        ends.pop("<|end|>", None)
    return set(ends.values())
