"""A picture of a load test: for each figure, how many of the requests were at least so quick."""

from __future__ import annotations

from html import escape

from candlewick.cli.load_generator import Report, Spread

WIDTH, HEIGHT, MARGIN = 260, 180, 42
TITLES = {
    "time_to_first_token": "Time to first token",
    "inter_token": "Between tokens",
    "end_to_end": "End to end",
}
MOST_POINTS = 200


def picture(report: Report) -> str:
    """An SVG document: one panel a figure, milliseconds across and the share of the requests upwards."""
    panels = [(name, spread) for name, spread in report.spreads().items() if spread is not None]
    width = MARGIN + len(panels) * (WIDTH + MARGIN)
    title = (
        f"{report.load.model}: {report.load.requests} requests, {report.load.rate:g} a second, "
        f"{report.tokens_per_second:.0f} tokens/s, {len(report.failures)} failed"
    )
    body = [
        _panel(MARGIN + number * (WIDTH + MARGIN), TITLES[name], spread)
        for number, (name, spread) in enumerate(panels)
    ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {max(width, 400)} {HEIGHT + 110}" '
            'font-family="system-ui, sans-serif" font-size="11" fill="#333">',
            '<rect width="100%" height="100%" fill="#fff"/>',
            f'<text x="{MARGIN}" y="24" font-size="14">{escape(title)}</text>',
            *body,
            "</svg>",
            "",
        ]
    )


def _panel(left: int, title: str, spread: Spread) -> str:
    top, bottom = 64, 64 + HEIGHT
    most = spread.values[-1] or 1e-9

    def x(seconds: float) -> float:
        return left + WIDTH * seconds / most

    step = max(1, len(spread.values) // MOST_POINTS)
    shown = [*range(0, len(spread.values), step), len(spread.values) - 1]
    points = " ".join(
        f"{x(spread.values[i]):.1f},{bottom - HEIGHT * (i + 1) / len(spread.values):.1f}" for i in shown
    )
    parts = [
        f'<text x="{left}" y="{top - 12}" font-weight="600">{title}, ms</text>',
        f'<rect x="{left}" y="{top}" width="{WIDTH}" height="{HEIGHT}" fill="#faf7f2"/>',
        f'<polyline points="{left},{bottom} {points}" fill="none" stroke="#c2410c" stroke-width="2"/>',
        f'<text x="{left}" y="{bottom + 14}">0</text>',
        f'<text x="{left + WIDTH}" y="{bottom + 14}" text-anchor="end">{most * 1000:.1f}</text>',
    ]
    for percent in spread.percentiles:
        height = bottom - HEIGHT * percent / 100
        parts.append(
            f'<line x1="{left}" x2="{left + WIDTH}" y1="{height:.1f}" y2="{height:.1f}" stroke="#ddd"/>'
        )
    # Below the panel: beside their lines the highest would stand on top of each other.
    told = "   ".join(f"p{percent} {seconds * 1000:.1f}" for percent, seconds in spread.percentiles.items())
    parts.append(f'<text x="{left}" y="{bottom + 32}" font-size="10" xml:space="preserve">{told}</text>')
    return "\n".join(parts)
