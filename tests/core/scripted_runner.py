"""A model that can't be fooled: its "keys and values" are the token ids themselves.

``execute`` writes token and position of every new token into the pool of blocks, and what a sequence attends
to is read back through its block table. So a wrong block, a stale or overwritten slot, a gap or a mixed-up
sequence changes the context that the next token is computed from, and the context is also compared with what
the sampler was told.
"""

from __future__ import annotations

import codecs
import zlib
from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from candlewick.core.batch import BLOCK_SIZE, Batch
from candlewick.core.params import GenerationParams
from candlewick.core.sampling import Sample

EOS, THINK, TOOL_CALL = 256, 257, 258
VOCAB_SIZE = 259


class ScriptedSampler:
    def __init__(self, params: GenerationParams, seed: int, choice: int, prompt_ids: Sequence[int]) -> None:
        self.params = params
        self.seed = seed
        self.choice = choice
        self.prompt_ids = tuple(prompt_ids)
        self.accepted: list[int] = []

    def accept(self, token_id: int) -> None:
        self.accepted.append(token_id)

    def retract(self, token_id: int) -> None:
        assert self.accepted.pop() == token_id


def hidden_state(context: tuple[int, ...]) -> tuple[float, float, float]:
    """Depends on every token of the context, in order."""
    return zlib.crc32(bytes(context)) % 1000 / 7, context[-1], len(context)


NextToken = Callable[[tuple[int, ...], ScriptedSampler], int]


def hashed(context: tuple[int, ...], sampler: ScriptedSampler) -> int:
    """Depends on every token of the context, in order, and, unless greedy, on seed, choice and index."""
    salt = 0
    if sampler.params.temperature > 0:
        salt = zlib.crc32(f"{sampler.seed} {sampler.choice} {len(sampler.accepted)}".encode())
    return zlib.crc32(np.array(context, dtype="<i4").tobytes(), salt) % 256


def repetitive(context: tuple[int, ...], sampler: ScriptedSampler) -> int:
    """Mostly what stood eleven tokens before, so that guesses at repetition are often right and often wrong."""
    token_id = hashed(context, sampler)
    return context[-11] if len(context) > 11 and token_id % 8 else token_id


def reply(text: str | bytes | Sequence[int]) -> NextToken:
    """Answers every prompt with the same bytes or tokens, then with the end token for ever."""
    token_ids = list(text.encode() if isinstance(text, str) else text)
    return lambda context, sampler: [*token_ids, EOS][min(len(sampler.accepted), len(token_ids))]


def direct(
    prompt_ids: Sequence[int], params: GenerationParams, choice: int = 0, next_token: NextToken = hashed
) -> list[int]:
    """The tokens that an engine has to give, computed with no engine; without regard to end tokens."""
    assert params.max_tokens is not None
    sampler = ScriptedSampler(params, params.seed or 0, choice, prompt_ids)
    for _ in range(params.max_tokens):
        sampler.accept(next_token((*prompt_ids, *sampler.accepted), sampler))
    return sampler.accepted


class ScriptedRunner:
    """``before_execute`` is called in each step with its batch; tests look, wait or raise there."""

    vocab_size = VOCAB_SIZE
    hidden_size = 3
    pooling = "mean"
    block_bytes = 2 * BLOCK_SIZE * 8
    weights = "scripted"

    def __init__(
        self,
        *,
        num_blocks: int = 64,
        max_context: int = 100_000,
        next_token: NextToken = hashed,
        before_execute: Callable[[Batch], None] | None = None,
    ) -> None:
        self.num_blocks = num_blocks
        self.max_context = max_context
        self.closed = 0
        self.before_execute = before_execute
        self._next_token = next_token
        self._tokens = np.full((num_blocks, BLOCK_SIZE), -1, dtype=np.int64)
        self._positions = np.full((num_blocks, BLOCK_SIZE), -1, dtype=np.int64)
        self._contexts: list[tuple[int, ...]] = []

    def new_sampler(
        self, params: GenerationParams, seed: int, choice: int, prompt_ids: Sequence[int]
    ) -> ScriptedSampler:
        return ScriptedSampler(params, seed, choice, prompt_ids)

    def execute(self, batch: Batch) -> None:
        assert not self.closed
        if self.before_execute is not None:
            self.before_execute(batch)
        self._check_shape(batch)
        written: set[tuple[int, int]] = set()
        for row, (start, end) in enumerate(zip(batch.query_starts[:-1], batch.query_starts[1:], strict=True)):
            for i in range(start, end):
                position = int(batch.positions[i])
                place = int(batch.block_tables[row, position // BLOCK_SIZE]), position % BLOCK_SIZE
                assert place not in written, "two tokens of a step go to one slot"
                written.add(place)
                self._tokens[place] = batch.token_ids[i]
                self._positions[place] = position
        self._contexts = [self._read_back(batch, int(row)) for row in batch.logit_rows]
        self._hidden_contexts = [self._read_back(batch, int(row)) for row in batch.hidden_rows]

    def hidden_states(self) -> npt.NDArray[np.float32]:
        return np.array([hidden_state(context) for context in self._hidden_contexts], dtype=np.float32)

    def sample(
        self,
        samplers: Sequence[ScriptedSampler],
        rows: Sequence[int],
        allowed: npt.NDArray[np.uint32] | None = None,
    ) -> list[Sample | ValueError]:
        """What the script says; where that is not allowed, a token that depends on it."""
        assert len(set(rows)) == len(rows)
        samples: list[Sample | ValueError] = []
        for i, (row, sampler) in enumerate(zip(rows, samplers, strict=True)):
            context = self._contexts[row]
            assert context == (*sampler.prompt_ids, *sampler.accepted), "the cache holds another text"
            token_id = self._next_token(context, sampler)
            if allowed is not None:
                bits = np.unpackbits(allowed[i].view(np.uint8), bitorder="little")
                token_ids = np.flatnonzero(bits)
                if not len(token_ids):
                    samples.append(ValueError("every token is forbidden"))
                    continue
                if not bits[token_id]:
                    token_id = int(token_ids[token_id % len(token_ids)])
            top = tuple((i, -1.0 - i) for i in range(sampler.params.logprobs or 0))
            samples.append(Sample(token_id, -0.5 - token_id, top))
        return samples

    @property
    def kv_identity(self) -> dict[str, str | int]:
        return {"weights": self.weights}

    def read_block(self, block: int) -> npt.NDArray[np.uint8]:
        return np.concatenate([self._tokens[block], self._positions[block]]).view(np.uint8)

    def write_block(self, block: int, data: npt.NDArray[np.uint8]) -> None:
        self._tokens[block], self._positions[block] = data.view(np.int64).reshape(2, BLOCK_SIZE)

    def close(self) -> None:
        self.closed += 1

    def _read_back(self, batch: Batch, token_row: int) -> tuple[int, ...]:
        row = int(np.searchsorted(batch.query_starts, token_row, side="right")) - 1
        length = int(batch.positions[token_row]) + 1
        blocks = batch.block_tables[row, : -(-length // BLOCK_SIZE)]
        assert (self._positions[blocks].reshape(-1)[:length] == np.arange(length)).all(), (
            "stale slots attended"
        )
        return tuple(self._tokens[blocks].reshape(-1)[:length].tolist())

    @staticmethod
    def _check_shape(batch: Batch) -> None:
        arrays = (batch.token_ids, batch.positions, batch.query_starts, batch.block_tables, batch.logit_rows)
        assert all(array.dtype == np.int32 for array in arrays)
        assert batch.num_tokens == len(batch.positions) == batch.query_starts[-1] > 0
        assert batch.query_starts[0] == 0
        assert (np.diff(batch.query_starts) > 0).all()
        assert (np.diff(batch.logit_rows) > 0).all()
        assert batch.block_tables.shape[0] == batch.num_sequences
        for start, end in zip(batch.query_starts[:-1], batch.query_starts[1:], strict=True):
            assert (np.diff(batch.positions[start:end]) == 1).all()


class ByteDecoder:
    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token_id: int) -> str:
        if token_id >= 256:
            return self.flush() + {EOS: "<eos>", THINK: "<think>", TOOL_CALL: "<tool>"}[token_id]
        return self._decoder.decode(bytes([token_id]))

    def flush(self) -> str:
        return self._decoder.decode(b"", True)


class ByteTokenizer:
    """A token a byte, and three control tokens."""

    vocab_size = VOCAB_SIZE
    bos_id = None
    eos_ids = frozenset([EOS])
    markers: ClassVar = {"<eos>": EOS, "<think>": THINK, "<tool>": TOOL_CALL}
    adds_space_prefix = False

    def token_bytes(self, token_id: int) -> bytes:
        return ByteDecoder().push(token_id).encode() if token_id >= 256 else bytes([token_id])

    def encode_continuation(self, text: str) -> list[int]:
        return list(text.encode())

    def decoder(self, *, after: int | None = None) -> ByteDecoder:
        return ByteDecoder()
