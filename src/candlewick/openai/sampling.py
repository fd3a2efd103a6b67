"""The fields about sampling that every request for text has, and what they mean to the engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from candlewick.core.errors import InvalidRequestError
from candlewick.core.params import MAX_CHOICES, ContextOverflow, GenerationParams
from candlewick.openai.fields import WireRequest


class StreamOptions(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    include_usage: bool = False
    include_obfuscation: bool = False
    """Accepted, without effect: it pads chunks against observers of the network."""


class SamplingRequest(WireRequest):
    """The fields that Chat Completions and Completions share, and our extensions to them."""

    temperature: float | None = None
    top_p: float | None = None
    n: Annotated[int, Field(ge=1, le=MAX_CHOICES)] | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    logit_bias: dict[str, float] | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None

    # Our extensions, named as in other servers of open models.
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    stop_token_ids: list[int] | None = None
    ignore_eos: bool | None = None
    context_overflow: ContextOverflow | None = None

    def sampling(self, **others: Any) -> GenerationParams:
        """What the sampler is asked for; fields left out, and ``others`` that are ``None``, keep the library's
        defaults.

        Raises:
            InvalidRequestError: a value is out of its range.
        """
        return sampling_params(
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            min_p=self.min_p,
            repetition_penalty=self.repetition_penalty,
            frequency_penalty=self.frequency_penalty,
            presence_penalty=self.presence_penalty,
            stop=self.stop,
            stop_token_ids=self.stop_token_ids,
            ignore_eos=self.ignore_eos,
            context_overflow=self.context_overflow,
            logit_bias=self.logit_bias and token_biases(self.logit_bias),
            seed=self.seed,
            n=self.n,
            **others,
        )


def sampling_params(**fields: Any) -> GenerationParams:
    """Fields as clients write them, named as those of :class:`GenerationParams`; ``None`` keeps its default.

    Raises:
        InvalidRequestError: a value is out of its range.
    """
    given = {name: value for name, value in fields.items() if value is not None}
    if isinstance(given.get("stop"), str):
        given["stop"] = (given["stop"],)
    given |= {name: tuple(given[name]) for name in ("stop", "stop_token_ids") if name in given}
    if "seed" in given:
        given["seed"] %= 2**64  # the protocols' seeds are signed, ours are not
    return GenerationParams(**given)


def token_biases(logit_bias: Mapping[str, float]) -> dict[int, float]:
    """``logit_bias`` with the token ids as numbers, which JSON has no keys for.

    Raises:
        InvalidRequestError: a key is no token id.
    """
    for token_id in logit_bias:
        # ASCII digits only: int() would also take '१', '1_0' and ' 1'.
        if not (token_id.isascii() and token_id.isdigit() and len(token_id) < 10):
            raise InvalidRequestError(
                f"logit_bias must map token ids to numbers, got key {token_id!r}", "logit_bias"
            )
    return {int(token_id): bias for token_id, bias in logit_bias.items()}
