"""One request on its way through the engine, as its thread sees it: what was asked, and what is unfinished."""

from __future__ import annotations

from contextvars import Context, copy_context
from dataclasses import dataclass, field

from candlewick.core.choice import Choice
from candlewick.core.grammar import Grammar, SleepingGrammar
from candlewick.core.output_stream import OutputStream
from candlewick.core.params import GenerationParams


@dataclass(eq=False)
class Request:
    """A validated request. Everything but ``stream`` belongs to the engine's thread once submitted."""

    prompt_ids: list[int]
    params: GenerationParams
    seed: int
    max_tokens: int
    submitted_at: float
    """Seconds of the engine's monotonic clock."""
    num_truncated: int = 0
    """Tokens of the prompt as it was given that are not in ``prompt_ids``."""
    grammar: Grammar | SleepingGrammar | None = None
    """What the answers must look like."""
    context: Context = field(default_factory=copy_context)
    """That of whoever submitted it: observers are called there."""
    stream: OutputStream = field(default_factory=OutputStream)
    choices: list[Choice] = field(default_factory=list)
    """The unfinished ones."""
    queued: bool = True
    """Whether it still counts among those that wait to be begun."""
