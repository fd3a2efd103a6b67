"""Bytes and counts as people read them."""

from __future__ import annotations


def size(num_bytes: float) -> str:
    """Bytes in decimal units, as discs and downloads are sold: ``1.92 GB``."""
    return f"{_scaled(num_bytes)}B" if num_bytes >= 1000 else f"{num_bytes:.0f} B"


def count(number: float) -> str:
    """A count: ``3.08 G``."""
    return _scaled(number) if number >= 1000 else f"{number:.0f}"


def _scaled(number: float) -> str:
    for unit in ("k", "M", "G"):
        number /= 1000
        if number < 999.5:
            return f"{number:.3g} {unit}"
    return f"{number / 1000:.3g} T"
