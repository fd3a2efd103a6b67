"""Batches for training: whole dialogues packed into rows of equal length, none of which sees another.

A batch depends on its seed alone, so a resumed run sees what an unbroken one would have seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer
from torch import Tensor

from chat_format import render
from corpus.chance import Chance
from corpus.dialogue import Dialogue
from corpus.mixture import dialogue
from model import FORBIDDEN

PROMPT_WEIGHT = 0.1
"""Loss on the prompt's tokens, next to 1 for the answer's: a little of it teaches the language and copying
sooner."""
TOKENS_PER_BATCH = 4096
ROW_LENGTHS: tuple[tuple[int, float], ...] = ((256, 0.8), (512, 0.2))
_PATIENCE = 4
"""Dialogues in a row that fit nowhere before a batch counts as full."""


@dataclass(frozen=True)
class Encoded:
    ids: list[int]
    prompt_length: int


@dataclass(frozen=True)
class Batch:
    """``ids`` and ``document`` [rows, tokens] int64 (document -1 is padding), ``weights`` [rows, tokens] of
    predicting each token from those before it."""

    ids: Tensor
    document: Tensor
    weights: Tensor

    def mask(self) -> Tensor:
        """[rows, 1, tokens, tokens]: a token looks at itself and before, inside its own document."""
        same = self.document[:, :, None] == self.document[:, None, :]
        allowed = same & torch.ones(same.shape[1:], dtype=torch.bool).tril()
        return torch.where(allowed, 0.0, FORBIDDEN)[:, None]


def encode(made: Dialogue, tokenizer: Tokenizer) -> Encoded:
    prompt, completion = render(made)
    prompt_ids = tokenizer.encode(prompt).ids
    return Encoded(prompt_ids + tokenizer.encode(completion).ids, len(prompt_ids))


def pack(source: Iterator[Encoded], row_length: int) -> Batch:
    """Fill ``TOKENS_PER_BATCH / row_length`` rows from ``source``, first fit."""
    rows = TOKENS_PER_BATCH // row_length
    ids = torch.zeros(rows, row_length, dtype=torch.int64)
    document = torch.full((rows, row_length), -1, dtype=torch.int64)
    weights = torch.zeros(rows, row_length)
    used = [0] * rows
    missed = 0
    for number, item in enumerate(source):
        size = len(item.ids)
        row = next((row for row in range(rows) if used[row] + size <= row_length), None)
        if row is None:
            missed += 1
            if missed == _PATIENCE:
                break
            continue
        start = used[row]
        used[row] += size
        ids[row, start : start + size] = torch.tensor(item.ids)
        document[row, start : start + size] = number
        weights[row, start + 1 : start + item.prompt_length] = PROMPT_WEIGHT
        weights[row, start + item.prompt_length : start + size] = 1.0
    return Batch(ids, document, weights)


def make_batch(seed: int, tokenizer: Tokenizer, make: Callable[[Chance], Dialogue] = dialogue) -> Batch:
    """The batch of this seed, from the training split."""
    chance = Chance(seed)
    lengths = [length for length, _ in ROW_LENGTHS]
    row_length = chance.random.choices(lengths, [share for _, share in ROW_LENGTHS])[0]

    def endless() -> Iterator[Encoded]:
        while True:
            yield encode(make(chance), tokenizer)

    return pack(endless(), row_length)
