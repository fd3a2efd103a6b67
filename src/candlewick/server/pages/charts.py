"""Small line charts as SVG, drawn here so that the page needs no script for them."""

from __future__ import annotations

import math
from collections.abc import Sequence

WIDTH, HEIGHT = 320, 90
SECONDS = 600


def line_chart(points: Sequence[tuple[float, float]]) -> str:
    """The last ten minutes, now at the right.

    Args:
        points: seconds ago and a value from 0, oldest first.
    """
    top = nice_ceiling(max((value for _, value in points), default=0))
    places = [
        (WIDTH * (1 - min(age, SECONDS) / SECONDS), HEIGHT - (HEIGHT - 4) * value / top)
        for age, value in points
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    shape = f"{places[0][0]:.1f},{HEIGHT} {line} {places[-1][0]:.1f},{HEIGHT}" if places else ""
    last = points[-1][1] if points else 0
    drawn = (
        f'<polygon class="area" points="{shape}"/><polyline class="line" points="{line}"/>' if places else ""
    )
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="now {short(last)}, at most {short(top)}">'
        f'<line class="grid" x1="0" x2="{WIDTH}" y1="{HEIGHT / 2}" y2="{HEIGHT / 2}"/>{drawn}</svg>'
        f'<span class="chart-top">{short(top)}</span><span class="chart-now">{short(last)}</span>'
    )


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
