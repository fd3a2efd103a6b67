"""What an engine may be told: its sizes, its threads, its cache. Frozen and complete; unknown keys raise."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from candlewick.core.errors import InvalidRequestError

CacheType = Literal["f16", "f32", "q8"]
Speculation = Literal["prompt_lookup"]


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """Settings of one :class:`~candlewick.core.engine.InferenceEngine`.

    Sizes carry their unit in the name; ``None`` means "decide from the machine and the model" and is resolved once,
    at load.

    Raises:
        InvalidRequestError: a value is out of its range; the error's ``parameter`` names the field.
    """

    max_context: int | None = None
    """Tokens of prompt and answer together; ``None``: the model's own limit, as far as memory allows."""
    kv_cache_bytes: int | None = None
    """Size of the pool of keys and values; ``None``: what all running sequences could need, at most a quarter of the
    free memory."""
    kv_cache_type: CacheType = "f16"
    """What a key or value is stored as. ``q8``: a byte, with a common factor for each token and head; half of the
    memory of ``f16``, at some loss."""
    max_running: int = 32
    """Sequences that are computed at the same time; a request with ``n`` choices is ``n`` of them."""
    max_waiting: int = 256
    """Requests that may queue; one more raises :class:`~candlewick.core.errors.EngineOverloaded`."""
    max_queue_seconds: float | None = None
    """How long a request may wait to be begun before it ends with ``EngineOverloaded``, too; ``None``: as long as it
    takes."""
    max_step_tokens: int = 512
    """Token budget of one step: decodes first, then prefill chunks."""
    max_decode_slowdown: float = 2.5
    """How many times as long a step of running answers may take because prompts are computed beside it; more than 1,
    ``inf`` for no limit. The share of prompts follows from measured times. Less keeps streams smoother, more brings
    long prompts to their end sooner; it never changes an answer."""
    kv_cache_path: str | Path | None = None
    """A file for the computed blocks of the prefix cache: read when the engine starts, written when it is closed, so
    that prompts known from earlier runs need not be computed again."""
    speculation: Speculation | None = "prompt_lookup"
    """Compute guesses at the next tokens along with each step, where that pays; never changes an answer.
    ``prompt_lookup`` guesses that texts repeat themselves; ``None`` guesses nothing."""
    draft_model: str | Path | None = None
    """A much smaller model with the same vocabulary, by any reference that a model may have: it guesses where the text
    does not repeat itself, as long as that pays. Takes the memory of its weights and of as many blocks as the model
    has."""
    num_threads: int | None = None
    """Worker threads; ``None``: the cores this process may use."""
    isa: str | None = None
    """Force an instruction set (``scalar``, ``avx2``, ``avx512``, ``amx``, ``neon``); ``None``: what the environment
    variable ``CANDLEWICK_ISA`` says, else the best this CPU has."""

    def __post_init__(self) -> None:
        for name in ("max_context", "kv_cache_bytes", "num_threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InvalidRequestError(f"{name} must be at least 1, got {value!r}", name)
        for name in ("max_running", "max_waiting", "max_step_tokens"):
            value = getattr(self, name)
            if value < 1:
                raise InvalidRequestError(f"{name} must be at least 1, got {value!r}", name)
        if self.max_queue_seconds is not None and not self.max_queue_seconds > 0:
            raise InvalidRequestError(
                f"max_queue_seconds must be more than 0 or None, got {self.max_queue_seconds!r}",
                "max_queue_seconds",
            )
        if not self.max_decode_slowdown > 1:
            raise InvalidRequestError(
                f"max_decode_slowdown must be more than 1 ('inf' for no limit), got {self.max_decode_slowdown!r}",
                "max_decode_slowdown",
            )
        if self.kv_cache_type not in get_args(CacheType):
            raise InvalidRequestError(
                f"kv_cache_type must be 'f16', 'f32' or 'q8', got {self.kv_cache_type!r}", "kv_cache_type"
            )
        if self.draft_model is not None and self.speculation is None:
            raise InvalidRequestError(
                f"draft_model={str(self.draft_model)!r} is there to guess and speculation=None forbids guessing; "
                "give one of them",
                "draft_model",
            )
        if self.speculation not in ("prompt_lookup", None):
            raise InvalidRequestError(
                f"speculation must be 'prompt_lookup' or None, got {self.speculation!r}", "speculation"
            )
