"""What the engine asks of a model, and all that it knows about one.

A runner owns the weights, the arithmetic and the storage of the key-value blocks. It knows nothing of
requests, queues or which sequence owns a block: the engine tells it that anew in every batch. Tests drive the
engine with a scripted runner.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from candlewick.core.batch import Batch
from candlewick.core.grammar import TokenMasks
from candlewick.core.kv_file import BlockData, Identity
from candlewick.core.model_config import Pooling
from candlewick.core.params import GenerationParams
from candlewick.core.sampling import Sample, TokenSampler


class ModelRunner(Protocol):
    """A loaded model with its block pool. Only the engine's thread calls the methods."""

    @property
    def vocab_size(self) -> int:
        """Number of logits in a row; token ids are below it."""

    @property
    def num_blocks(self) -> int:
        """Blocks of ``BLOCK_SIZE`` tokens in the pool."""

    @property
    def max_context(self) -> int:
        """Most tokens, prompt and answer together, that one sequence may hold."""

    @property
    def hidden_size(self) -> int:
        """Columns of a hidden state."""

    @property
    def pooling(self) -> Pooling | None:
        """How the model makes one vector of a text's hidden states; ``None`` if it makes none."""

    def execute(self, batch: Batch) -> None:
        """Run one step: write the new keys and values to their blocks and keep the wanted rows' logits and hidden
        states."""

    def hidden_states(self) -> npt.NDArray[np.float32]:
        """The last hidden states ``[H, hidden]``, normalised, of the ``hidden_rows`` of the last :meth:`execute`; they
        stay valid until the next one."""

    def new_sampler(
        self, params: GenerationParams, seed: int, choice: int, prompt_ids: Sequence[int]
    ) -> TokenSampler:
        """Sampling state for choice number ``choice`` of a request."""

    def sample(
        self, samplers: Sequence[TokenSampler], rows: Sequence[int], allowed: TokenMasks | None = None
    ) -> Sequence[Sample | ValueError]:
        """Draw a token with each sampler from its row, a number among the logit rows of the last :meth:`execute`.

        Called several times a step when tokens are guessed: a row behind a guess is drawn from once the guess has
        turned out to be right.

        The i-th sampler draws only what the i-th of the masks ``allowed`` allows.

        A row that no token can be drawn from (a model with NaN in its weights) gives the error instead: it ends
        that request, and no other.

        The samplers are not advanced: the engine calls ``accept`` for each token that it keeps.
        """

    @property
    def kv_identity(self) -> Identity:
        """What keys and values depend on besides the tokens; may take seconds when first asked."""

    @property
    def block_bytes(self) -> int:
        """Bytes of a block's keys and values."""

    def read_block(self, block: int) -> BlockData:
        """A copy of a block's keys and values, uint8 ``[block_bytes]``."""

    def write_block(self, block: int, data: BlockData) -> None:
        """Put what :meth:`read_block` gave into a block."""

    def close(self) -> None:
        """Give the memory back. Called once, after the last step."""
