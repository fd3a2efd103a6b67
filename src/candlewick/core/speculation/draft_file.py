"""The file of a draft model: whether it belongs to a model, and how it is loaded beside that one."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import zip_longest

import numpy as np
import numpy.typing as npt

from candlewick.core.batch import Batch
from candlewick.core.config import EngineConfig
from candlewick.core.errors import ModelLoadError
from candlewick.core.gguf import GGUFFile
from candlewick.core.metadata import Metadata
from candlewick.core.model_config import ModelConfig
from candlewick.core.native_runner import NativeRunner, kv_block_bytes
from candlewick.core.runner_protocol import ModelRunner
from candlewick.core.tokenizer.vocabulary import TOKENS_KEY, TokenType, Vocabulary
from candlewick.core.weights import Progress

_PADDING = re.compile(r"\[PAD\d+\]")
"""As llama.cpp's converter calls rows that have no token."""


def draft_config(draft_file: GGUFFile, config: EngineConfig, *, num_blocks: int) -> EngineConfig:
    """How the draft model of an engine with ``config`` is loaded: as many sequences as long, in as many blocks."""
    block_bytes = kv_block_bytes(ModelConfig.from_file(draft_file), config.kv_cache_type)
    return replace(config, draft_model=None, kv_cache_bytes=num_blocks * block_bytes)


class DraftRunner(NativeRunner):
    """A native runner with the vocabulary of another model, which differs from its own in padding only.

    A token that only one of them has is never drawn; what this model does not have is read as its last token.
    """

    def execute(self, batch: Batch) -> None:
        if self.model.vocab_size < self.vocab_size:
            batch = replace(batch, token_ids=np.minimum(batch.token_ids, self.model.vocab_size - 1))
        super().execute(batch)

    def logits(self) -> npt.NDArray[np.float32]:
        """The rows ``[R, vocabulary]`` of the last step."""
        logits = super().logits()
        if self.model.vocab_size == self.vocab_size:
            return logits
        num_shared = min(self.model.vocab_size, self.vocab_size)
        fitting = np.full((len(logits), self.vocab_size), -np.inf, dtype=np.float32)
        fitting[:, :num_shared] = logits[:, :num_shared]
        return fitting


def load_draft_runner(
    draft_file: GGUFFile, config: EngineConfig, model: ModelRunner, progress: Progress | None = None
) -> DraftRunner:
    """The runner of a draft model beside ``model``, with as many blocks; the file may be closed afterwards.

    Raises:
        ModelLoadError: the file does not hold a model that can be run, or memory does not suffice.
    """
    runner = DraftRunner.load(
        draft_file, draft_config(draft_file, config, num_blocks=model.num_blocks), progress
    )
    runner.vocab_size = model.vocab_size
    return runner


def require_same_vocabulary(draft_file: GGUFFile, file: GGUFFile) -> None:
    """Check that a token of the one model means the same in the other. Padding means nothing: vocabularies are rounded
    up by it to some round number of rows, another one for every size of a model.

    Raises:
        ModelLoadError: it does not; the error names the first that differs.
    """
    drafts, tokens = (_meaningful_texts(each.metadata) for each in (draft_file, file))
    for number, (draft, token) in enumerate(zip_longest(drafts, tokens)):
        if draft != token:
            shown, wanted = ("no token" if text is None else repr(text) for text in (draft, token))
            raise ModelLoadError(
                draft_file.path,
                TOKENS_KEY,
                f"differs: token {number} is {shown}, not {wanted}; a draft model needs the vocabulary of "
                f"{file.path.name}; take another of its family",
            )


def _meaningful_texts(metadata: Metadata) -> list[str | None]:
    """The texts of all tokens, ``None`` for padding. Older files give it other types: it is known by its text, too."""
    vocabulary = Vocabulary.read(metadata)
    return [
        None if kind == TokenType.UNUSED or _PADDING.fullmatch(text) else text
        for text, kind in zip(vocabulary.texts, vocabulary.types, strict=True)
    ]
