"""How many tokens of prompts a step may compute beside running answers, learned from how long steps take.

What a reader of an answer notices is the time between two tokens, and a token of a prompt costs that time in a
measure that differs a hundredfold between models and machines. So it is measured: how long a step takes that
only decodes, and how long one takes with a share of prompts. Who comes while a prompt is computed, or leaves, waits
for the end of the step: where tokens are dear, steps of prompts alone are kept short as well. Pure arithmetic without
a clock; whoever runs steps tells their durations. The choice changes when something is computed and never what.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from math import inf

NO_LIMIT = sys.maxsize
FIRST_SHARE = 8
"""Tokens of prompts beside running answers before there is a measurement. Decoding is bound by reading the weights,
and rows up to about this number share that reading."""
LEAST_SHARE = 2
"""Fewest tokens of prompts beside running answers: whatever they cost, they come to their end."""
_REFRESH_STEPS = 64
"""Steps with prompts after which the time without is measured again."""
_LATEST_WEIGHT = 0.25
"""Of the latest measurement, in a moving average."""
_MOST_GROWTH = 2.0
"""Of what is known, by one step: a hiccup of the machine is not a trend."""

LONGEST_STEP_SECONDS = 2.0
"""Of a step that computes prompts alone."""
LEAST_ALONE = 64
"""Fewest tokens of such a step: with fewer, reading the weights would take a good part of it."""

_LEAST_SECONDS = 1e-9
"""What a coarse clock sees as no time at all."""


@dataclass(slots=True)
class _Pace:
    """What is known of steps with one number of running answers."""

    quiet_seconds: float
    """Without prompts."""
    share: float
    """Tokens of prompts that keep such a step within the limit."""
    steps_since_quiet: int = 0


class StepPacer:
    """Keeps steps with prompts within ``max_slowdown`` times the duration of the same step without them.

    ``max_slowdown`` is more than 1; infinity sets no limit.
    """

    def __init__(self, max_slowdown: float) -> None:
        self.max_slowdown = max_slowdown
        self._paces: dict[int, _Pace] = {}
        self._seconds_alone: float | None = None
        """Of a token in steps that compute prompts alone."""

    def allowance(self, num_decodes: int) -> int:
        """Most tokens of prompts beside ``num_decodes`` running answers.

        It is 0 now and then, for a step that measures how long the answers alone take.
        """
        if num_decodes == 0:
            return self._allowance_alone()
        if self.max_slowdown == inf:
            return NO_LIMIT
        pace = self._paces.get(num_decodes)
        if pace is None or pace.steps_since_quiet >= _REFRESH_STEPS:
            return 0
        return int(pace.share)

    def record(self, num_decodes: int, num_prompt_tokens: int, seconds: float) -> None:
        """Learn from a step that took ``seconds``."""
        seconds = max(seconds, _LEAST_SECONDS)
        if num_decodes == 0:
            if num_prompt_tokens >= LEAST_ALONE:
                latest = seconds / num_prompt_tokens
                self._seconds_alone = _averaged(self._seconds_alone or latest, latest)
            return
        pace = self._paces.get(num_decodes)
        if num_prompt_tokens > 0:
            if pace is not None:
                pace.steps_since_quiet += 1
                self._adapt_share(pace, num_prompt_tokens, seconds)
        elif pace is None:
            self._paces[num_decodes] = _Pace(seconds, self._first_share(num_decodes))
        else:
            pace.quiet_seconds = _averaged(pace.quiet_seconds, seconds)
            pace.steps_since_quiet = 0

    def _allowance_alone(self) -> int:
        if self._seconds_alone is None:
            return NO_LIMIT
        return max(int(LONGEST_STEP_SECONDS / self._seconds_alone), LEAST_ALONE)

    def _first_share(self, num_decodes: int) -> float:
        """That of fewer, whose steps are shorter and have less room."""
        fewer = max((known for known in self._paces if known < num_decodes), default=None)
        return FIRST_SHARE if fewer is None else self._paces[fewer].share

    def _adapt_share(self, pace: _Pace, num_prompt_tokens: int, seconds: float) -> None:
        # A step's duration never grows faster than its tokens, so scaling these by the time that is left comes
        # near the limit from below.
        fitting = num_prompt_tokens * self.max_slowdown * pace.quiet_seconds / seconds
        if fitting >= num_prompt_tokens:
            # A prompt may have had less left than its share.
            pace.share = max(pace.share, min(fitting, pace.share * _MOST_GROWTH))
        else:
            pace.share = min(pace.share, max(fitting, pace.share / _MOST_GROWTH, LEAST_SHARE))


def _averaged(known: float, latest: float) -> float:
    """The moving average with one more measurement."""
    return known + _LATEST_WEIGHT * (min(latest, _MOST_GROWTH * known) - known)
