"""Charts that tell what they were given, and are well-formed whatever that was."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from candlewick.server.pages.charts import (
    HEIGHT,
    SECONDS,
    WIDTH,
    latency_chart,
    line_chart,
    milliseconds,
    nice_ceiling,
)

values = st.floats(0, 1e7, allow_nan=False)
series = st.lists(st.tuples(st.floats(0, 2 * SECONDS), values), max_size=30).map(
    lambda points: sorted(points, reverse=True)
)


@pytest.mark.parametrize("draw", [line_chart, latency_chart])
@given(points=series)
def test_every_point_lies_in_the_chart(draw, points):
    chart = ElementTree.fromstring(f"<div>{draw(points)}</div>")
    drawn = [element.get("points") or element.get("d") or "" for element in chart.iter()]
    numbers = [
        float(number) for text in drawn for number in re.findall(r"-?\d+(?:\.\d+)?", text.replace("h0", ""))
    ]
    assert len(numbers) >= 2 * len(points)
    assert all(0 <= x <= WIDTH for x in numbers[::2])
    assert all(0 <= y <= HEIGHT for y in numbers[1::2])


@given(value=st.floats(0, 1e12))
def test_the_top_is_a_round_number_not_far_above(value):
    top = nice_ceiling(value)
    assert max(value, 1) * (1 - 1e-6) <= top <= max(1, 2.5 * value)
    assert f"{top:.0f}".rstrip("0") in ("1", "2", "5")
    assert math.isfinite(top)


def test_latencies_are_told_by_their_median_and_the_worst():
    chart = latency_chart([(300, 0.02), (200, 0.03), (100, 9.0)])
    assert '<strong class="chart-number">30 ms</strong>' in chart
    assert "3 measured, half of them within 30 ms, the worst 9 s" in chart
    assert latency_chart([]).count("nothing was measured") == 1
    assert [milliseconds(seconds) for seconds in (0.0032, 0.45, 1.5)] == ["3.2 ms", "450 ms", "1.5 s"]
