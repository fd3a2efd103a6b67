"""Batches for training: whole dialogues packed into rows of equal length, none of which sees another.

A dialogue is a trunk with branches. The trunk is the text as a client would send it, with the last answer at
its end; a branch is an earlier answer as the model should have written it, with or without its thinking. A
branch sees the trunk up to where it leaves it, and nobody sees a branch. So every answer of a conversation is
learned in one pass over it, though past answers stand in a prompt without their thinking. Dialogues that have the same
tools on offer are branches of one trunk, too, which is their system message.

A batch depends on its seed and part alone, so a resumed run sees what an unbroken one would have seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from tokenizers import Tokenizer
from torch import Tensor

from chat_format import ANSWER_HEADER, CONTROL, END_OF_TURN, MARKERS, completion, render
from corpus.chance import Chance
from corpus.dialogue import Dialogue
from corpus.mixture import lesson
from drills import drill
from model import FORBIDDEN

PROMPT_SHARE = 0.02
"""Of the prompt's tokens one in fifty is learned, of the answer's each. A little of it teaches the language and copying
sooner; much of it is noise, since nobody can know what a user says next."""
TOKENS_PER_BATCH = 4096
ROW_LENGTHS: tuple[tuple[int, float], ...] = (
    (128, 0.12),
    (256, 0.14),
    (512, 0.52),
    (1024, 0.20),
    (2048, 0.02),
)
"""Lengths of rows and their shares of the batches. A row's length decides what attention costs, so it is no longer
than its dialogues need. With these shares the learned tokens are spread roughly as the mixture spreads them: short
dialogues also fill the gaps of long rows."""
DRILL_LENGTH = 256
"""Tokens of a row of drills."""
FIRST_TEXT_TOKEN = len(CONTROL) + len(MARKERS)
"""The tokens before it structure a dialogue."""
HEADER_TOKENS = 3
"""Tokens of ``ANSWER_HEADER``: the marker, the role, the newline."""
_PATIENCE = 4
"""Dialogues that fit nowhere before shorter ones fill the gaps; three times as many, and the batch is full."""


@dataclass
class Encoded:
    """A dialogue's tokens: trunk first, then the branches.

    ``positions`` are what the rotation goes by, ``branch`` is 0 for the trunk, ``limits`` the last position of
    the trunk that a token sees, ``shares`` how often predicting the token from the one before it is learned.
    """

    ids: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    branch: list[int] = field(default_factory=list)
    limits: list[int] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)
    prompt_length: int = 0

    def add_trunk(self, ids: list[int], share: float) -> None:
        start = len(self.ids)
        self.positions += range(start, start + len(ids))
        self.limits += range(start, start + len(ids))
        self.branch += [0] * len(ids)
        self.shares += [share] * len(ids)
        self.ids += ids

    def add_branch(self, leaves_at: int, given: list[int], written: list[int]) -> None:
        """``leaves_at`` is the position in the trunk of the token that is the last before the answer. It is repeated
        as the branch's first, so that each token is predicted from its neighbour."""
        own = [self.ids[leaves_at], *given, *written]
        number = max(self.branch) + 1
        self.positions += range(leaves_at, leaves_at + len(own))
        self.limits += [leaves_at - 1] * len(own)
        self.branch += [number] * len(own)
        self.shares += [0.0] * (1 + len(given)) + [1.0] * len(written)
        self.ids += own


@dataclass(frozen=True)
class Batch:
    """All [rows, tokens] int64 as in :class:`Encoded`, with ``document`` (-1 is padding); ``learned``: whether a
    token is learned this time, bool."""

    ids: Tensor
    document: Tensor
    positions: Tensor
    branch: Tensor
    limits: Tensor
    learned: Tensor

    def mask(self) -> Tensor:
        """[rows, 1, tokens, tokens]: a token sees its document's trunk up to its limit, and its own branch up to
        itself."""
        same = self.document[:, :, None] == self.document[:, None, :]
        in_trunk = (self.branch == 0)[:, None, :] & (self.positions[:, None, :] <= self.limits[:, :, None])
        own = (self.branch[:, :, None] == self.branch[:, None, :]) & torch.ones(same.shape[1:]).tril().bool()
        return torch.where(same & (in_trunk | own), 0.0, FORBIDDEN)[:, None]


def encode(made: Dialogue, tokenizer: Tokenizer) -> Encoded:
    """Tokens of a dialogue. Each piece that begins with an answer's header is encoded by itself, which changes
    nothing: a marker separates it from what is before."""
    prompt, written = render(made)
    pieces = prompt.split(ANSWER_HEADER)
    result = Encoded()
    headers: list[int] = []
    for number, piece in enumerate(pieces):
        result.add_trunk(tokenizer.encode(piece if number == 0 else ANSWER_HEADER + piece).ids, PROMPT_SHARE)
        headers.append(len(result.ids))
    result.prompt_length = len(result.ids)
    result.add_trunk(tokenizer.encode(written).ids, 1.0)
    result.shares[0] = 0.0
    for start in headers[:-2]:
        # Past answers stand there without their thinking: learning how they begin would teach the model to begin
        # without thinking.
        result.shares[start + HEADER_TOKENS] = 0.0
    answers = [place for place, message in enumerate(made.messages) if message.role == "assistant"]
    for place, think in made.branches:
        texts = completion(made.messages[place], think)
        given, own = (tokenizer.encode(text).ids for text in texts)
        result.add_branch(headers[answers.index(place)] + HEADER_TOKENS - 1, given, own)
    return result


def encode_family(family: Sequence[Dialogue], tokenizer: Tokenizer) -> Encoded:
    """Tokens of dialogues that have the same system message: it is the trunk, and each of them is a branch, whose last
    answer is learned."""
    rendered = [render(made) for made in family]
    system, end, _ = rendered[0][0].partition(END_OF_TURN + "\n")
    head = system + end
    result = Encoded()
    result.add_trunk(tokenizer.encode(head).ids, PROMPT_SHARE)
    result.shares[0] = 0.0
    leaves_at = len(result.ids) - 1
    for prompt, written in rendered:
        given = prompt.removeprefix(head)
        result.add_branch(leaves_at, tokenizer.encode(given).ids, tokenizer.encode(written).ids)
    return result


def pack(source: Iterator[Encoded], row_length: int, shorter: int, chance: Chance) -> Batch:
    """Fill ``TOKENS_PER_BATCH / row_length`` rows from ``source``, first fit: at first with dialogues longer
    than ``shorter``, and when no more of them find room, the gaps with any."""
    shape = (TOKENS_PER_BATCH // row_length, row_length)
    batch = Batch(
        ids=torch.zeros(shape, dtype=torch.int64),
        document=torch.full(shape, -1),
        positions=torch.zeros(shape, dtype=torch.int64),
        branch=torch.zeros(shape, dtype=torch.int64),
        limits=torch.zeros(shape, dtype=torch.int64),
        learned=torch.zeros(shape, dtype=torch.bool),
    )
    used = [0] * shape[0]
    missed = 0
    for number, item in enumerate(source):
        size = len(item.ids)
        if size > row_length or (missed < _PATIENCE and size <= shorter):
            continue
        row = next((row for row in range(shape[0]) if used[row] + size <= row_length), None)
        if row is None:
            missed += 1
            if missed == 3 * _PATIENCE:
                break
            continue
        place = slice(used[row], used[row] + size)
        used[row] += size
        batch.document[row, place] = number
        for name in ("ids", "positions", "branch", "limits"):
            getattr(batch, name)[row, place] = torch.tensor(getattr(item, name))
        batch.learned[row, place] = torch.tensor([chance.chance(share) for share in item.shares])
    return batch


def drills(chance: Chance, tokenizer: Tokenizer) -> Batch:
    """Rows of random tokens that learn to copy."""
    shape = (TOKENS_PER_BATCH // DRILL_LENGTH, DRILL_LENGTH)
    tokens = range(FIRST_TEXT_TOKEN, tokenizer.get_vocab_size())
    rows = [drill(chance, tokens, DRILL_LENGTH) for _ in range(shape[0])]
    places = torch.arange(DRILL_LENGTH).expand(shape)
    return Batch(
        ids=torch.tensor([row for row, _ in rows]),
        document=torch.zeros(shape, dtype=torch.int64),
        positions=places,
        branch=torch.zeros(shape, dtype=torch.int64),
        limits=places,
        learned=torch.tensor([follows for _, follows in rows]),
    )


def make_batch(seed: int, part: int, tokenizer: Tokenizer, drill_share: float = 0.0) -> Batch:
    """A part of the step that has this seed, from the training split; all parts have rows of one length, so that none
    takes longer than the others. ``drill_share`` of the steps are drills."""
    shared, chance = Chance(seed), Chance((seed << 8) + part)
    if shared.chance(drill_share):
        return drills(chance, tokenizer)
    lengths = [0] + [length for length, _ in ROW_LENGTHS]
    shares = [share for _, share in ROW_LENGTHS]
    index = shared.random.choices(range(1, len(lengths)), shares)[0]

    def endless() -> Iterator[Encoded]:
        while True:
            together = lesson(chance)
            yield encode_family(together, tokenizer) if len(together) > 1 else encode(*together, tokenizer)

    return pack(endless(), lengths[index], lengths[index - 1], chance)
