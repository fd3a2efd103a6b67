"""Batches for training: whole dialogues packed into rows of equal length, none of which sees another.

A dialogue is a trunk with branches. The trunk is the text as a client would send it, with the last answer at
its end; a branch is an earlier answer as the model should have written it, with or without its thinking. A
branch sees the trunk up to where it leaves it, and nobody sees a branch. So every answer of a conversation is
learned in one pass over it, though past answers stand in a prompt without their thinking. Dialogues that have the same
tools on offer are branches of one trunk, too, which is their system message.

A batch depends on its seed and part alone, so a resumed run sees what an unbroken one would have seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from tokenizers import Tokenizer
from torch import Tensor

from chat_format import ANSWER_HEADER, CONTROL, END_OF_TURN, MARKERS, completion, render
from corpus.chance import Chance
from corpus.dialogue import Dialogue
from corpus.mixture import lesson
from drills import drill

PROMPT_SHARE = 0.02
"""Of the prompt's tokens one in fifty is learned, of the answer's each. A little of it teaches the language and copying
sooner; much of it is noise, since nobody can know what a user says next."""
TOKENS_PER_BATCH = 4096
GROUP = 16
"""Steps whose batches are made together, so that nearly every dialogue finds a row to stand in: making one takes about
as long as learning from it if most are thrown away."""
ROW_LENGTH, LONG_ROW_LENGTH = 1024, 2048
LONG_STEPS = 8
"""Steps of a group with long rows: as many as the dialogues need that don't fit into the others. With too few
the longest dialogues, which have the most tools, are thrown away."""
FILL = 0.97
"""Share of a group's places for which dialogues are made; with more, those that fit nowhere are the short ones."""
BEGINNING = 20
"""Tokens that are learned of an answer without thinking that is cut: some ten words."""
END_OF_THINKING = len(CONTROL) + MARKERS.index("</think>")
"""The token after which one with thinking is cut."""
DRILL_LENGTH = 256
"""Tokens of a row of drills."""
FIRST_TEXT_TOKEN = len(CONTROL) + len(MARKERS)
"""The tokens before it structure a dialogue."""
HEADER_TOKENS = 3
"""Tokens of ``ANSWER_HEADER``: the marker, the role, the newline."""


@dataclass
class Encoded:
    """A dialogue's tokens: trunk first, then the branches.

    ``positions`` are what the rotation goes by, ``branch`` is 0 for the trunk, ``limits`` the last position of
    the trunk that a token sees, ``shares`` how often predicting the token from the one before it is learned; above one,
    how much it counts.
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
    """All [rows, tokens] int64 as in :class:`Encoded`, with ``document`` (-1 is padding); ``weights``: how much
    the prediction of a token counts, 0 if it isn't learned this time, float32."""

    ids: Tensor
    document: Tensor
    positions: Tensor
    branch: Tensor
    limits: Tensor
    weights: Tensor

    def spans(self) -> Tensor:
        """[rows, tokens, 3], int32, as in :mod:`model`: a token sees its document's trunk up to its limit, and its own
        branch up to itself."""
        starts = _starts(self.document)
        own = _starts(self.document * (1 + int(self.branch.max())) + self.branch)
        return torch.stack((starts, starts + self.limits + 1, own), dim=-1).to(torch.int32)


def _starts(kind: Tensor) -> Tensor:
    """Where the run of equal values begins that each place of a row is in."""
    begins = torch.ones_like(kind, dtype=torch.bool)
    begins[:, 1:] = kind[:, 1:] != kind[:, :-1]
    return torch.where(begins, torch.arange(kind.shape[1]), 0).cummax(1).values


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
    result.add_trunk(_learned(made, written, tokenizer), made.weight)
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
    for made, (prompt, written) in zip(family, rendered, strict=True):
        given = prompt.removeprefix(head)
        result.add_branch(leaves_at, tokenizer.encode(given).ids, _learned(made, written, tokenizer))
    return result


def _learned(made: Dialogue, written: str, tokenizer: Tokenizer) -> list[int]:
    """Tokens of the answer, or of its beginning."""
    ids = tokenizer.encode(written).ids
    if not made.cut:
        return ids
    return ids[: ids.index(END_OF_THINKING) + 1] if made.think else ids[:BEGINNING]


def pack(items: Sequence[Encoded], row_lengths: Sequence[int]) -> list[list[Encoded]]:
    """What stands in each row: first fit, the longest first. What fits nowhere is left out."""
    rows: list[list[Encoded]] = [[] for _ in row_lengths]
    room = list(row_lengths)
    for item in sorted(items, key=lambda item: len(item.ids), reverse=True):
        size = len(item.ids)
        row = next((row for row, free in enumerate(room) if size <= free), None)
        if row is not None:
            rows[row].append(item)
            room[row] -= size
    return rows


def lay_out(rows: Sequence[Sequence[Encoded]], row_length: int, chance: Chance) -> Batch:
    """One batch of these rows."""
    shape = (len(rows), row_length)
    batch = Batch(
        ids=torch.zeros(shape, dtype=torch.int64),
        document=torch.full(shape, -1),
        positions=torch.zeros(shape, dtype=torch.int64),
        branch=torch.zeros(shape, dtype=torch.int64),
        limits=torch.zeros(shape, dtype=torch.int64),
        weights=torch.zeros(shape),
    )
    for row, items in enumerate(rows):
        used = 0
        for number, item in enumerate(items):
            place = slice(used, used := used + len(item.ids))
            batch.document[row, place] = number
            for name in ("ids", "positions", "branch", "limits"):
                getattr(batch, name)[row, place] = torch.tensor(getattr(item, name))
            batch.weights[row, place] = torch.tensor(
                [max(1.0, share) if chance.chance(share) else 0.0 for share in item.shares]
            )
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
        weights=torch.tensor([follows for _, follows in rows]).float(),
    )


def make_batches(seed: int, part: int, tokenizer: Tokenizer, drill_share: float = 0.0) -> list[Batch]:
    """A part of each of the :data:`GROUP` steps of the group that has this seed, from the training split; in every step
    all parts have rows of one length, so that none takes longer than the others. ``drill_share`` of the steps are
    drills."""
    chance = Chance((seed << 8) + part)
    lengths = _lengths(Chance(seed), drill_share)
    row_lengths = [length for length in lengths if length for _ in range(TOKENS_PER_BATCH // length)]
    rows = iter(_fill(row_lengths, _lessons(chance, tokenizer, int(FILL * sum(row_lengths))), chance))
    return [
        lay_out([next(rows) for _ in range(TOKENS_PER_BATCH // length)], length, chance)
        if length
        else drills(chance, tokenizer)
        for length in lengths
    ]


def _lengths(chance: Chance, drill_share: float) -> list[int]:
    """The length of the rows of each step of a group; 0 for a step of drills."""
    lengths = [0 if chance.chance(drill_share) else ROW_LENGTH for _ in range(GROUP)]
    texts = [step for step, length in enumerate(lengths) if length]
    for step in chance.some(texts, min(LONG_STEPS, len(texts))):
        lengths[step] = LONG_ROW_LENGTH
    return lengths


def _lessons(chance: Chance, tokenizer: Tokenizer, num_tokens: int) -> list[Encoded]:
    """Lessons of that many tokens together, none longer than the longest row."""
    items: list[Encoded] = []
    made = 0
    while made < num_tokens:
        together = lesson(chance)
        item = encode_family(together, tokenizer) if len(together) > 1 else encode(*together, tokenizer)
        if len(item.ids) <= LONG_ROW_LENGTH:
            items.append(item)
            made += len(item.ids)
    return items


def _fill(row_lengths: Sequence[int], items: Sequence[Encoded], chance: Chance) -> list[list[Encoded]]:
    """What stands in each row. The rows that are filled first get the longest dialogues, so their order is drawn; long
    rows come last and take what fits nowhere else."""
    order = list(range(len(row_lengths)))
    chance.random.shuffle(order)
    order.sort(key=row_lengths.__getitem__)
    packed = dict(zip(order, pack(items, [row_lengths[row] for row in order]), strict=True))
    return [packed[row] for row in range(len(row_lengths))]
