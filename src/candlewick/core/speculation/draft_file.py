"""The file of a draft model: whether it belongs to a model, and how it is loaded beside that one."""

from __future__ import annotations

from dataclasses import replace
from itertools import zip_longest

from candlewick.core.config import EngineConfig
from candlewick.core.errors import ModelLoadError
from candlewick.core.gguf import GGUFFile
from candlewick.core.model_config import ModelConfig
from candlewick.core.native_runner import NativeRunner, kv_block_bytes
from candlewick.core.tokenizer.vocabulary import TOKENS_KEY
from candlewick.core.weights import Progress


def draft_config(draft_file: GGUFFile, config: EngineConfig, *, num_blocks: int) -> EngineConfig:
    """How the draft model of an engine with ``config`` is loaded: as many sequences as long, in as many blocks."""
    block_bytes = kv_block_bytes(ModelConfig.from_file(draft_file), config.kv_cache_type)
    return replace(config, draft_model=None, kv_cache_bytes=num_blocks * block_bytes)


def load_draft_runner(
    draft_file: GGUFFile, config: EngineConfig, *, num_blocks: int, progress: Progress | None = None
) -> NativeRunner:
    """The runner of a draft model beside a model with ``num_blocks`` blocks; the file may be closed afterwards.

    Raises:
        ModelLoadError: the file does not hold a model that can be run, or memory does not suffice.
    """
    return NativeRunner.load(draft_file, draft_config(draft_file, config, num_blocks=num_blocks), progress)


def require_same_vocabulary(draft_file: GGUFFile, file: GGUFFile) -> None:
    """Check that a token of the one model means the same in the other.

    Raises:
        ModelLoadError: it does not; the error names the first that differs.
    """
    drafts, tokens = (each.metadata.texts(TOKENS_KEY) for each in (draft_file, file))
    if drafts == tokens:
        return
    advice = f"a draft model needs the vocabulary of {file.path.name}; take another of its family"
    number, draft, token = next(
        (number, draft, token)
        for number, (draft, token) in enumerate(zip_longest(drafts, tokens))
        if draft != token
    )
    if draft is None or token is None:
        reason = f"has {len(drafts)} tokens, not {len(tokens)}"
    else:
        reason = f"differs: token {number} is {draft!r}, not {token!r}"
    raise ModelLoadError(draft_file.path, TOKENS_KEY, f"{reason}; {advice}")
