"""Small charts as SVG, drawn here so that the page needs no script for them: the last ten minutes, now at the right.

Points are seconds ago and a value from 0, oldest first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

WIDTH, HEIGHT = 320, 90
SECONDS = 600
BUCKET_SECONDS = 30

Points = Sequence[tuple[float, float]]


def line_chart(points: Points) -> str:
    """Values that were measured all the time: a line, and the latest as a number."""
    top = nice_ceiling(max((value for _, value in points), default=0))
    places = _places(points, top)
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    drawn = ""
    if places:
        shape = f"{places[0][0]:.1f},{HEIGHT} {line} {places[-1][0]:.1f},{HEIGHT}"
        drawn = f'<polygon class="area" points="{shape}"/><polyline class="line" points="{line}"/>'
    last = short(points[-1][1]) if points else "0"
    return _chart(drawn, f"now {last}, at most {short(top)}", short(top), last)


def latency_chart(points: Points) -> str:
    """Seconds that single things took: a dot each, a line through their medians, and the median of all as a number.

    The height is made for nine of ten; what took longer than fits lies at the upper edge.
    """
    if not points:
        return _chart("", "nothing was measured", "", "–")
    seconds = sorted(seconds for _, seconds in points)
    middle, worst = median(seconds), seconds[-1]
    top = nice_ceiling(1000 * min(worst, 1.5 * seconds[int(0.9 * (len(seconds) - 1))])) / 1000
    dots = "".join(f"M{x:.1f} {y:.1f}h0" for x, y in _places([(a, min(s, top)) for a, s in points], top))
    medians = " ".join(f"{x:.1f},{y:.1f}" for x, y in _places(_medians(points, top), top))
    return _chart(
        f'<polyline class="line" points="{medians}"/><path class="dots" d="{dots}"/>',
        f"{len(points)} measured, half of them within {milliseconds(middle)}, the worst {milliseconds(worst)}",
        milliseconds(top),
        milliseconds(middle),
    )


def _chart(drawn: str, description: str, top: str, number: str) -> str:
    return (
        f'<strong class="chart-number">{number}</strong><div class="plot">'
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{description}">'
        f'<line class="grid" x1="0" x2="{WIDTH}" y1="{HEIGHT / 2}" y2="{HEIGHT / 2}"/>{drawn}</svg>'
        f'<span class="chart-top">{top}</span></div>'
    )


def _places(points: Points, top: float) -> list[tuple[float, float]]:
    return [
        (WIDTH * (1 - min(age, SECONDS) / SECONDS), HEIGHT - (HEIGHT - 6) * value / top)
        for age, value in points
    ]


def _medians(points: Points, most: float) -> list[tuple[float, float]]:
    buckets: dict[int, list[float]] = {}
    for age, value in points:
        buckets.setdefault(int(age // BUCKET_SECONDS), []).append(value)
    return [
        ((bucket + 0.5) * BUCKET_SECONDS, min(median(values), most)) for bucket, values in buckets.items()
    ]


def nice_ceiling(value: float) -> float:
    """The least of 1, 2, 5, 10, 20 … that is not below."""
    if value <= 1:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value * (1 - 1e-9))


def short(value: float) -> str:
    """Three digits and a unit."""
    if value >= 10_000:
        return f"{value / 1000:.0f} k"
    return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.1f}"


def milliseconds(seconds: float) -> str:
    """Of times that may be short: ``3.2 ms``, ``450 ms``, ``1.5 s``."""
    return f"{short(1000 * seconds)} ms" if seconds < 1 else f"{short(seconds)} s"
