"""How a request's sampler looks to the engine, and how the native one is built.

Owns the two small types between the engine and whatever draws tokens. The arithmetic itself (penalties,
filters, the counter-based draw) lives in the native module; this page only translates
:class:`GenerationParams` for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from candlewick.core.params import GenerationParams


class TokenSampler(Protocol):
    """The sampling state of one choice: token counts for the penalties and the index of the next draw.

    It survives a preemption unchanged, because it depends on tokens alone and not on what is cached.
    """

    def accept(self, token_id: int) -> None:
        """Record that ``token_id`` now stands in the answer."""

    def retract(self, token_id: int) -> None:
        """Undo the latest :meth:`accept`, which was given this ``token_id``."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One drawn token; log-probabilities are those of the model's own distribution, before any filter."""

    token_id: int
    logprob: float
    top_logprobs: tuple[tuple[int, float], ...] = ()
    """``(token id, log-probability)``, most likely first, as many as ``GenerationParams.logprobs`` says."""


def new_native_sampler(
    params: GenerationParams, vocab_size: int, seed: int, choice: int, prompt_ids: Sequence[int]
) -> TokenSampler:
    """The native sampler of one choice.

    ``seed`` is the 64-bit number that the request settled on, ``choice`` selects the stream of draws under it
    and ``prompt_ids`` are the tokens that the repetition penalty counts besides the answer's own.
    """
    # Loaded here and not above: the engine and its tests must import on a machine without the native module.
    from candlewick import _kernels

    sampler: TokenSampler = _kernels.Sampler(
        vocab_size=vocab_size,
        temperature=params.temperature,
        top_k=params.top_k,
        top_p=params.top_p,
        min_p=params.min_p,
        repetition_penalty=params.repetition_penalty,
        frequency_penalty=params.frequency_penalty,
        presence_penalty=params.presence_penalty,
        bias_ids=np.array(list(params.logit_bias.keys()), dtype=np.int32),
        bias_values=np.array(list(params.logit_bias.values()), dtype=np.float32),
        seed=seed,
        choice=choice,
        num_logprobs=-1 if params.logprobs is None else params.logprobs,
        prompt_ids=np.array(prompt_ids, dtype=np.int32),
    )
    return sampler
