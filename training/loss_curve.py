"""The loss curve of a run as a picture: SVG, written without a plotting library.

python training/loss_curve.py --run main                   # writes training/loss_curve.svg
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path

from train import RUNS

OUTPUT = Path(__file__).with_name("loss_curve.svg")
WIDTH, HEIGHT, MARGIN = 720, 360, 56

Point = tuple[float, float]
"""Millions of tokens seen, loss in nats."""


def read_points(log: Path) -> list[Point]:
    """The (tokens, loss) pairs of a run's log, in order, without what a resumed run did again."""
    points: list[Point] = []
    for line in log.read_text().splitlines():
        entry = json.loads(line)
        if "loss" not in entry:
            continue
        tokens = entry["tokens"] / 1e6
        while points and points[-1][0] >= tokens:
            points.pop()
        points.append((tokens, entry["loss"]))
    return points


def draw(points: Sequence[Point]) -> str:
    """An SVG with a linear axis of tokens and a logarithmic one of loss."""
    last = max(tokens for tokens, _ in points)
    low = math.floor(min(math.log2(loss) for _, loss in points))
    high = math.ceil(max(math.log2(loss) for _, loss in points))

    def x(tokens: float) -> float:
        return MARGIN + (WIDTH - 2 * MARGIN) * tokens / last

    def y(loss: float) -> float:
        return MARGIN + (HEIGHT - 2 * MARGIN) * (high - math.log2(loss)) / (high - low)

    shapes = []
    for power in range(low, high + 1):
        height = y(2**power)
        shapes.append(f'<path d="M{MARGIN} {height:.1f}H{WIDTH - MARGIN}" stroke="#ddd"/>')
        shapes.append(f'<text x="{MARGIN - 8}" y="{height + 4:.1f}" text-anchor="end">{2.0**power:g}</text>')
    for fifth in range(6):
        tokens = last * fifth / 5
        shapes.append(
            f'<text x="{x(tokens):.1f}" y="{HEIGHT - MARGIN + 20}" text-anchor="middle">{tokens:.1f}</text>'
        )
    line = " ".join(f"{x(tokens):.1f},{y(loss):.1f}" for tokens, loss in points)
    shapes.append(f'<polyline points="{line}" fill="none" stroke="#c2570c" stroke-width="2"/>')
    shapes.append(f'<text x="{WIDTH / 2}" y="{HEIGHT - 12}" text-anchor="middle">million tokens</text>')
    shapes.append(f'<text x="{MARGIN}" y="{MARGIN - 16}">training loss (nats a token)</text>')
    body = "\n".join(shapes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"'
        f' font-family="sans-serif" font-size="13">\n'
        f'<rect width="100%" height="100%" fill="white"/>\n{body}\n</svg>\n'
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", default="main")
    arguments = parser.parse_args()
    OUTPUT.write_text(draw(read_points(RUNS / arguments.run / "log.jsonl")))
    print(OUTPUT)


if __name__ == "__main__":
    main()
