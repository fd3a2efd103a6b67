"""The Chat Completions request: which fields there are, what each may hold, and what they mean to the engine.

Every field is honoured, known to be harmless, or refused by name: nothing that would change the answer is
dropped silently. Messages and tools are handed on as they came; :mod:`candlewick.chat.messages` reads them.
Source: OpenAI's Chat Completions reference (``openai.types.chat.completion_create_params``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from candlewick.core.errors import InvalidRequestError
from candlewick.core.params import MAX_CHOICES, MAX_TOP_LOGPROBS, GenerationParams
from candlewick.openai.fields import parse_fields
from candlewick.openai.types import JSONObject

Thinking = Literal["think", "no_think", "adaptive"]

REFUSED_FIELDS = {
    "audio": "answers are text",
    "function_call": "use 'tool_choice'",
    "functions": "use 'tools'",
    "moderation": "no moderation is run",
    "web_search_options": "no web search is run",
    "verbosity": "ask for it in a message",
}
"""Fields that would change the answer and that we can't honour; ``null`` is as good as absent."""


class StreamOptions(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    include_usage: bool = False
    include_obfuscation: bool = False
    """Accepted, without effect: it pads chunks against observers of the network."""


class ChatCompletionRequest(BaseModel):
    """One request as it came over the wire, its types checked; make it by :meth:`parse`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: str
    messages: Annotated[list[JSONObject], Field(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: float | None = None
    top_p: float | None = None
    n: Annotated[int, Field(ge=1, le=MAX_CHOICES)] | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=MAX_TOP_LOGPROBS)] | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    response_format: JSONObject | None = None
    tools: list[JSONObject] | None = None
    tool_choice: str | JSONObject | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    modalities: list[str] | None = None

    # Our extensions, named as in other servers of open models.
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    stop_token_ids: list[int] | None = None
    ignore_eos: bool | None = None
    enable_thinking: bool | None = None
    chat_template_kwargs: JSONObject | None = None

    # Harmless: they name, bill, store or speed up a request, and do not change its answer.
    user: str | None = None
    metadata: JSONObject | None = None
    store: bool | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: JSONObject | None = None
    prompt_cache_retention: str | None = None
    prediction: JSONObject | None = None

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> ChatCompletionRequest:
        """Check a request's fields.

        Raises:
            InvalidRequestError: a field is unknown, unsupported, contradicts another or holds a wrong value;
                ``parameter`` names it.
        """
        for name, reason in REFUSED_FIELDS.items():
            if body.get(name) is not None:
                raise InvalidRequestError(f"{name!r} is not supported: {reason}", name)
        request = parse_fields(cls, {key: body[key] for key in body if key not in REFUSED_FIELDS})
        request.check()
        return request

    def check(self) -> None:
        """Refuse what the fields ask for together, or ask of us and can't have.

        Raises:
            InvalidRequestError: ``parameter`` names the field.
        """
        if self.response_format is not None and self.response_format.get("type") != "text":
            raise InvalidRequestError(
                "response_format can only be {'type': 'text'}: structured output is not supported yet, "
                f"got type {self.response_format.get('type')!r}",
                "response_format",
            )
        if self.tool_choice not in (None, "auto", "none"):
            raise InvalidRequestError(
                "tool_choice can only be 'auto' or 'none': a forced call is not supported yet, "
                f"got {self.tool_choice!r}",
                "tool_choice",
            )
        if self.modalities is not None and self.modalities != ["text"]:
            raise InvalidRequestError(
                f"modalities can only be ['text'], got {self.modalities!r}", "modalities"
            )
        if self.stream_options is not None and not self.stream:
            raise InvalidRequestError("stream_options needs 'stream': true", "stream_options")
        if self.top_logprobs is not None and not self.logprobs:
            raise InvalidRequestError("top_logprobs needs 'logprobs': true", "top_logprobs")
        if None not in (self.max_tokens, self.max_completion_tokens) and (
            self.max_tokens != self.max_completion_tokens
        ):
            raise InvalidRequestError(
                f"max_tokens ({self.max_tokens}) and max_completion_tokens ({self.max_completion_tokens}) "
                "contradict each other; give one",
                "max_tokens",
            )
        self.thinking()
        self.generation_params()

    def generation_params(self) -> GenerationParams:
        """What the sampler is asked for; fields left out keep the library's defaults.

        Raises:
            InvalidRequestError: a value is out of its range.
        """
        given: dict[str, Any] = {
            "max_tokens": self.max_completion_tokens or self.max_tokens,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "top_k": self.top_k,
            "min_p": self.min_p,
            "repetition_penalty": self.repetition_penalty,
            "frequency_penalty": self.frequency_penalty,
            "presence_penalty": self.presence_penalty,
            "stop": (self.stop,) if isinstance(self.stop, str) else self.stop and tuple(self.stop),
            "stop_token_ids": self.stop_token_ids and tuple(self.stop_token_ids),
            "ignore_eos": self.ignore_eos,
            "logit_bias": self.logit_bias and token_biases(self.logit_bias),
            "logprobs": (self.top_logprobs or 0) if self.logprobs else None,
            # The protocol's seeds are signed, ours are not.
            "seed": None if self.seed is None else self.seed % 2**64,
            "n": self.n,
        }
        return GenerationParams(**{name: value for name, value in given.items() if value is not None})

    def offered_tools(self) -> list[JSONObject] | None:
        """The tools that the model may call: none when ``tool_choice`` is ``"none"``, so that it can't."""
        return self.tools if self.tools and self.tool_choice != "none" else None

    def thinking(self) -> Thinking:
        """Whether to think, from ``enable_thinking``, ``chat_template_kwargs`` and ``reasoning_effort``.

        Raises:
            InvalidRequestError: they contradict each other.
        """
        wishes = {
            "enable_thinking": self.enable_thinking,
            "chat_template_kwargs": (self.chat_template_kwargs or {}).get("enable_thinking"),
            "reasoning_effort": None if self.reasoning_effort is None else self.reasoning_effort != "none",
        }
        given = {name: wish for name, wish in wishes.items() if wish is not None}
        for name, wish in given.items():
            if not isinstance(wish, bool):
                raise InvalidRequestError(f"enable_thinking must be true or false, got {wish!r}", name)
        if len(set(given.values())) > 1:
            raise InvalidRequestError(f"{' and '.join(given)} contradict each other", next(iter(given)))
        if not given:
            return "adaptive"
        return "think" if next(iter(given.values())) else "no_think"

    def template_variables(self) -> JSONObject:
        """Variables for the chat template, beyond those that ``thinking`` stands for."""
        variables = {k: v for k, v in (self.chat_template_kwargs or {}).items() if k != "enable_thinking"}
        if self.reasoning_effort not in (None, "none"):
            variables.setdefault("reasoning_effort", self.reasoning_effort)
        return variables


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
