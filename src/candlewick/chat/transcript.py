"""Going on after an earlier answer with the very tokens that it was made of.

A model's own words, encoded again, are not always the tokens that it drew. A conversation that goes on from the
drawn ones finds all of its keys and values in the prefix cache. Owns when that is right; refuses to know where
transcripts are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from candlewick.chat.user_text import Segments
from candlewick.core.tokenizer import Tokenizer


@dataclass(frozen=True)
class Transcript:
    """The tokens of a conversation up to and with one answer.

    A chat template may tell the past in other words than it happened: most leave out what a model thought in
    earlier turns. Then the template's words count, and the transcript is not used, unless ``keeps_thinking``
    says that the conversation shall go on from the tokens as they are.
    """

    token_ids: tuple[int, ...]
    """A prompt and its whole answer: :attr:`candlewick.chat.events.Complete.token_ids`."""
    num_messages: int
    """How many of the conversation's messages it stands for, the answer included."""
    keeps_thinking: bool = False


def continue_transcript(
    tokenizer: Tokenizer, transcript: Transcript, prompt: Segments, past: Segments | None
) -> list[int] | None:
    """The ids of ``prompt`` with those of the transcript at its beginning; ``None`` if it doesn't begin so.

    Args:
        prompt: the whole conversation, rendered.
        past: the transcript's messages alone, rendered without the beginning of an answer: ``prompt`` has to
            begin like this then, and what the transcript says in its place is taken instead.
    """
    known = _parts_of(tokenizer, transcript.token_ids)
    wanted = tokenizer.split_at_markers(prompt)
    if known == wanted[: len(known)]:
        rest = wanted[len(known) :]
    else:
        told = _up_to_last_marker(tokenizer.split_at_markers(past or []))
        if not told or told != wanted[: len(told)]:
            return None
        # An answer ends with the marker that ends its turn, unless it was cut off.
        rest = wanted[len(told) - (known[-1:] != told[-1:]) :]
    segments = [
        (part, False) if isinstance(part, str) else (tokenizer.token_bytes(part).decode(), True)
        for part in rest
    ]
    return [*transcript.token_ids, *tokenizer.encode_segments(segments)]


def _parts_of(tokenizer: Tokenizer, token_ids: Sequence[int]) -> list[str | int]:
    """Markers and the runs of text between them, as :meth:`Tokenizer.split_at_markers` gives them."""
    parts: list[str | int] = []
    decoder, run = tokenizer.decoder(), ""
    for token_id in token_ids:
        if tokenizer.is_marker(token_id):
            run += decoder.flush()
            parts += [run, token_id] if run else [token_id]
            decoder, run = tokenizer.decoder(after=token_id), ""
        else:
            run += decoder.push(token_id)
    run += decoder.flush()
    return [*parts, run] if run else parts


def _up_to_last_marker(parts: Sequence[str | int]) -> Sequence[str | int]:
    """Without the layout after the marker that ends a turn; nothing if no marker does."""
    if parts and isinstance(parts[-1], str):
        return parts[:-1] if parts[-1].isspace() else ()
    return parts
