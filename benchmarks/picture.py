"""Pairs of bars as SVG, readable on light and on dark pages."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

WIDTH, LEFT, RIGHT, BAR, GAP, TOP = 720, 110, 130, 15, 16, 64
OURS, THEIRS = "#e8590c", "#868e96"


@dataclass(frozen=True)
class Row:
    name: str
    ours: float
    theirs: float
    ratio: float


def draw(title: str, our_name: str, their_name: str, rows: list[Row]) -> str:
    """One pair of bars a row, with the figures and their ratio beside them."""
    most = max(max(row.ours, row.theirs) for row in rows)
    height = TOP + len(rows) * (2 * BAR + GAP)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'font-family="system-ui, sans-serif" font-size="13">',
        f"<title>{escape(title)}</title>",
        "<style>text{fill:#1f2328}@media(prefers-color-scheme:dark){text{fill:#e6edf3}}</style>",
        f'<text x="{LEFT}" y="22" font-size="16" font-weight="600">{escape(title)}</text>',
        f'<rect x="{LEFT}" y="36" width="12" height="12" rx="2" fill="{OURS}"/>',
        f'<text x="{LEFT + 18}" y="47">{escape(our_name)}</text>',
        f'<rect x="{LEFT + 120}" y="36" width="12" height="12" rx="2" fill="{THEIRS}"/>',
        f'<text x="{LEFT + 138}" y="47">{escape(their_name)}</text>',
    ]
    for number, row in enumerate(rows):
        y = TOP + number * (2 * BAR + GAP)
        lines.append(f'<text x="{LEFT - 10}" y="{y + BAR + 4}" text-anchor="end">{escape(row.name)}</text>')
        for offset, value, colour in ((0, row.ours, OURS), (BAR, row.theirs, THEIRS)):
            width = max(1.0, (WIDTH - LEFT - RIGHT) * value / most)
            lines.append(
                f'<rect x="{LEFT}" y="{y + offset}" width="{width:.1f}" height="{BAR - 2}" rx="2" fill="{colour}"/>'
            )
            told = f"{value:.0f}" if value >= 100 else f"{value:.1f}"
            if offset == 0:
                told += f"  ({row.ratio:.1f} ×)"
            lines.append(
                f'<text x="{LEFT + width + 6:.1f}" y="{y + offset + 11}" font-size="12">{told}</text>'
            )
    return "\n".join([*lines, "</svg>", ""])
