"""What a decode step costs with one more row in it, learned from the steps that were made.

On a CPU a step of one row reads all weights, and so does a step of six: rows are cheap until arithmetic becomes the
limit. Where that is depends on machine, model and load, so it is measured. Owns the estimate and nothing else; no
clock is read here.
"""

from __future__ import annotations

from bisect import bisect_right

_FIRST_GUESS = 0.08
"""Cost of one more row, in steps of one row, before anything was measured."""

_LEAST = 0.01
"""However little another row seems to cost: what can't be told from noise is no reason to compute it."""

_LEVEL_RATE, _SHAPE_RATE, _NEW_SHAPE_RATE = 0.1, 0.05, 0.5
"""How far the estimates follow one observation; the first ones of a number of rows say more than a guess."""

_KNOTS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
"""Numbers of rows whose cost is learned; between them it is a straight line, beyond them it goes on."""


class StepCosts:
    """The cost of decode steps of different numbers of rows, relative to each other."""

    def __init__(self) -> None:
        # A step of n rows takes _level * _shape(n). The level follows whatever makes all steps slower (longer
        # contexts, a slower clock), the shape what distinguishes them.
        self._level: float | None = None
        self._shape = [1.0 + _FIRST_GUESS * (knot - 1) for knot in _KNOTS]
        self._shape_rate = [_NEW_SHAPE_RATE] * len(_KNOTS)

    def observe(self, num_rows: int, seconds: float) -> None:
        """Learn from a step that did nothing but decode."""
        if seconds <= 0:
            return
        if self._level is None:
            self._level = seconds / self._relative(num_rows)
            return
        knot, share = _place(num_rows)
        # An interruption may make one step ten times as long; it counts as somewhat longer.
        bound = 1.5 if self._shape_rate[knot] == _SHAPE_RATE else 4.0
        surprise = min(max(seconds / (self._level * self._relative(num_rows)), 1 / bound), bound)
        self._level *= surprise**_LEVEL_RATE
        self._adapt(knot, surprise, 1 - share)
        self._adapt(knot + 1, surprise, share)

    def growth(self, num_rows: int, num_more: int) -> float:
        """How many times as long a step takes with ``num_more`` rows besides its ``num_rows``."""
        ratio = self._relative(num_rows + num_more) / self._relative(num_rows)
        return max(ratio, 1.0 + _LEAST * num_more)

    def seconds(self, num_rows: int) -> float | None:
        """How long a step of so many rows takes; ``None`` before anything was measured."""
        return None if self._level is None else self._level * self._relative(num_rows)

    def _adapt(self, knot: int, surprise: float, share: float) -> None:
        rate = self._shape_rate[knot] * share
        self._shape[knot] *= surprise**rate
        self._shape_rate[knot] = max(_SHAPE_RATE, self._shape_rate[knot] * (1 - 0.5 * share))

    def _relative(self, num_rows: int) -> float:
        knot, share = _place(num_rows)
        return self._shape[knot] * (1 - share) + self._shape[knot + 1] * share


def _place(num_rows: int) -> tuple[int, float]:
    """The knot at or before so many rows, not the last one, and how far it is from there to the next one."""
    knot = min(bisect_right(_KNOTS, num_rows), len(_KNOTS) - 1) - 1
    return knot, (num_rows - _KNOTS[knot]) / (_KNOTS[knot + 1] - _KNOTS[knot])
