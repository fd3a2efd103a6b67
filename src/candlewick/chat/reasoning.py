"""Where a model's thinking begins and ends.

Owns the known pairs of markers, finding a model's pair in its template and vocabulary, and whether a rendered
prompt has already opened a block. Refuses to know tokens as numbers and how events are made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, get_args

from candlewick.core.errors import InvalidRequestError

ThinkingMode = Literal["think", "no_think", "adaptive"]


@dataclass(frozen=True)
class ReasoningFormat:
    """A pair of markers, and whether the prompt has opened the block already."""

    start: str
    end: str
    starts_open: bool = False

    def after_prompt(self, prompt: str) -> ReasoningFormat:
        """This format for an answer to ``prompt``: open when the prompt, whitespace aside, ends with
        ``start``.
        """
        return replace(self, starts_open=prompt.rstrip().endswith(self.start))


KNOWN_FORMATS = (
    ReasoningFormat("<think>", "</think>"),  # SmolLM3, Qwen3, DeepSeek, GLM, MiniMax, Granite
    ReasoningFormat("[THINK]", "[/THINK]"),  # Magistral
    ReasoningFormat("<seed:think>", "</seed:think>"),  # Seed-OSS
    ReasoningFormat("<|START_THINKING|>", "<|END_THINKING|>"),  # Command A
    ReasoningFormat("<|inner_prefix|>", "<|inner_suffix|>"),  # Apertus
    ReasoningFormat("<|begin_of_thought|>", "<|end_of_thought|>"),  # OpenThinker
    ReasoningFormat("<|channel>thought", "<channel|>"),  # Gemma 4
    ReasoningFormat("<thinking>", "</thinking>"),
    ReasoningFormat("<thought>", "</thought>"),
    ReasoningFormat("<reasoning>", "</reasoning>"),
)

REASONING_MARKERS = tuple(marker for known in KNOWN_FORMATS for marker in (known.start, known.end))


def find_reasoning(template_source: str, has_token: Callable[[str], bool]) -> ReasoningFormat | None:
    """The markers of a model, or ``None`` when it doesn't think.

    A pair counts when the vocabulary holds both markers as single tokens, or else when the template mentions
    both; a pair for which both hold comes first.

    Args:
        template_source: the chat template.
        has_token: whether the vocabulary has a token of exactly this text.
    """

    def evidence(known: ReasoningFormat) -> int:
        in_vocabulary = has_token(known.start) and has_token(known.end)
        # "</think>" contains no "<think>", but a template may show only the end marker, splitting answers at
        # it.
        in_template = known.end in template_source
        return 2 * in_vocabulary + in_template

    best = max(KNOWN_FORMATS, key=evidence)
    return best if evidence(best) else None


def template_switch(mode: ThinkingMode) -> bool | None:
    """What ``enable_thinking`` is to be: ``None`` leaves the choice to the template and the model.

    Raises:
        InvalidRequestError: ``mode`` is none of the three.
    """
    if mode not in get_args(ThinkingMode):
        raise InvalidRequestError(
            f"thinking must be one of {', '.join(get_args(ThinkingMode))}, got {mode!r}", "thinking"
        )
    return {"think": True, "no_think": False, "adaptive": None}[mode]
