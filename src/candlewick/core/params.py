"""What one request asks of the sampler, validated once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from candlewick.core.constraint import Constraint
from candlewick.core.errors import InvalidRequestError

ContextOverflow = Literal["error", "truncate_left"]

MAX_TOP_LOGPROBS = 20
MAX_CHOICES = 64


@dataclass(frozen=True, kw_only=True)
class GenerationParams:
    """How to continue a prompt.

    The logits go, in this order, through: ``logit_bias``, penalties, ``temperature``, ``top_k``, ``top_p``, ``min_p``,
    and a draw from a counter-based generator keyed by ``seed`` and the token's index, so that a seeded request gives
    the same tokens alone or in a crowd. ``temperature=0`` is greedy: the highest logit, the lowest id among equals.

    Raises:
        InvalidRequestError: a value is out of its range; the error's ``parameter`` names the field.
    """

    max_tokens: int | None = None
    """Most tokens to generate; ``None``: up to the end of the context."""
    temperature: float = 0.7
    top_p: float = 1.0
    """Keep the smallest set of most likely tokens whose probabilities sum to at least this, in (0, 1]."""
    top_k: int = 0
    """Keep the k most likely tokens; 0 keeps all."""
    min_p: float = 0.0
    """Drop tokens less likely than this times the most likely one, in [0, 1]."""
    repetition_penalty: float = 1.0
    """Divide positive (multiply negative) logits of tokens in prompt or answer by this; > 0 (CTRL, Keskar 2019)."""
    frequency_penalty: float = 0.0
    """Subtract this times a token's count in the answer, in [-2, 2] (OpenAI)."""
    presence_penalty: float = 0.0
    """Subtract this from every token that stands in the answer, in [-2, 2] (OpenAI)."""
    stop: tuple[str, ...] = ()
    """Texts that end the answer; they are not part of it."""
    stop_token_ids: tuple[int, ...] = ()
    ignore_eos: bool = False
    """Go on past the model's own end token (for benchmarks)."""
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    logprobs: int | None = None
    """``None``: no log-probabilities; n ≥ 0: the chosen token's and the n most likely ones'. They are those of the
    model's own distribution, before temperature and filters."""
    seed: int | None = None
    """``None``: a fresh random seed."""
    n: int = 1
    """Independent answers to the one prompt; choice i of a seeded request draws with its own stream."""
    context_overflow: ContextOverflow = "error"
    """What happens to a prompt that is too long: ``error``, or ``truncate_left``, which drops tokens from its start
    (but keeps a begin-of-text token) until ``max_tokens`` have room behind it, or a quarter of the context if those are
    not given. ``Usage.truncated_tokens`` says how many."""
    priority: int = 0
    """Requests of a higher priority go first, strictly: one of a lower waits, or pauses, as long as any of a higher one
    wants its place. Equals are served by age. It never changes an answer."""
    constraint: Constraint | None = None
    """The form that the answer must have; tokens that would leave it are not drawn, tokens that only it allows are
    not drawn either but follow at once. Needs the extra ``structured``."""
    max_thinking_tokens: int | None = None
    """Most tokens of thinking in a conversation's answer: then it is closed and the answer goes on. ``None``: no
    limit. Needs the extra ``structured``, and a model whose thinking ends with a token of its own."""

    def __post_init__(self) -> None:
        if self.max_tokens is not None:
            _require(
                _is_int(self.max_tokens) and self.max_tokens >= 1,
                "max_tokens",
                self.max_tokens,
                "an integer of at least 1",
            )
        _number(self.temperature, "temperature", 0.0, 100.0)
        _number(self.top_p, "top_p", 0.0, 1.0)
        _require(self.top_p > 0, "top_p", self.top_p, "more than 0")
        _require(
            _is_int(self.top_k) and self.top_k >= 0,
            "top_k",
            self.top_k,
            "an integer of at least 0 (0 keeps all)",
        )
        _number(self.min_p, "min_p", 0.0, 1.0)
        _number(self.repetition_penalty, "repetition_penalty", 0.0, 100.0)
        _require(
            self.repetition_penalty > 0,
            "repetition_penalty",
            self.repetition_penalty,
            "more than 0 (1 is off)",
        )
        _number(self.frequency_penalty, "frequency_penalty", -2.0, 2.0)
        _number(self.presence_penalty, "presence_penalty", -2.0, 2.0)
        _require(
            isinstance(self.stop, tuple) and all(isinstance(text, str) and text for text in self.stop),
            "stop",
            self.stop,
            "a tuple of non-empty strings",
        )
        _require(
            isinstance(self.stop_token_ids, tuple)
            and all(_is_int(i) and i >= 0 for i in self.stop_token_ids),
            "stop_token_ids",
            self.stop_token_ids,
            "a tuple of token ids",
        )
        _require(
            isinstance(self.logit_bias, Mapping) and all(_is_int(i) and i >= 0 for i in self.logit_bias),
            "logit_bias",
            self.logit_bias,
            "a mapping from token id to a number",
        )
        for token_id, bias in self.logit_bias.items():
            _number(bias, f"logit_bias[{token_id}]", -1e9, 1e9)
        if self.logprobs is not None:
            _require(
                _is_int(self.logprobs) and 0 <= self.logprobs <= MAX_TOP_LOGPROBS,
                "logprobs",
                self.logprobs,
                f"an integer from 0 to {MAX_TOP_LOGPROBS}, or None",
            )
        if self.seed is not None:
            _require(
                _is_int(self.seed) and 0 <= self.seed < 2**64,
                "seed",
                self.seed,
                "an integer from 0 to 2**64 - 1",
            )
        _require(
            self.context_overflow in get_args(ContextOverflow),
            "context_overflow",
            self.context_overflow,
            f"one of {', '.join(get_args(ContextOverflow))}",
        )
        _require(
            _is_int(self.priority) and abs(self.priority) < 2**63,
            "priority",
            self.priority,
            "an integer of 64 bits",
        )
        _require(
            self.constraint is None or isinstance(self.constraint, Constraint),
            "constraint",
            self.constraint,
            "a Constraint, such as Constraint.json_schema(…), or None",
        )
        if self.max_thinking_tokens is not None:
            _require(
                _is_int(self.max_thinking_tokens) and self.max_thinking_tokens >= 0,
                "max_thinking_tokens",
                self.max_thinking_tokens,
                "an integer of at least 0",
            )
        _require(
            _is_int(self.n) and 1 <= self.n <= MAX_CHOICES, "n", self.n, f"an integer from 1 to {MAX_CHOICES}"
        )


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: object, name: str, low: float, high: float) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    _require(is_number and low <= value <= high, name, value, f"a number from {low:g} to {high:g}")  # type: ignore[operator]


def _require(condition: bool, name: str, value: object, expected: str) -> None:
    if not condition:
        raise InvalidRequestError(f"{name} must be {expected}, got {value!r}", name)
