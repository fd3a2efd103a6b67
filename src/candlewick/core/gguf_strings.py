"""Decodes runs of short GGUF strings many at a time: a vocabulary has half a million of them.

Owns speed only. What it can't vouch for it leaves to the careful reader of
:mod:`candlewick.core.gguf_header`, which alone refuses broken strings.
"""

from __future__ import annotations

from mmap import mmap

import numpy as np

WINDOW_BYTES = 1 << 16
"""Bytes looked at in one go; bounds the memory of the temporary arrays."""
_PREFIX_BYTES = 8
_SEPARATOR = "\0" * _PREFIX_BYTES


def decode_short_strings(buffer: mmap | bytes, position: int, most: int) -> tuple[list[str], int]:
    """Up to ``most`` strings from ``position`` on, and the position after the last of them.

    Stops, perhaps before the first, at a string that is longer than 255 bytes, holds a NUL, is no UTF-8 or
    reaches beyond the window (so, too, beyond the file).
    """
    window = buffer[position : position + WINDOW_BYTES]
    # Follow the chain of lengths by their lowest byte alone, the one loop that can't be vectorised; then
    # see for how many strings that was the whole length.
    starts: list[int] = []
    next_start = 0
    try:
        for _ in range(most):
            length = window[next_start]
            starts.append(next_start)
            next_start += _PREFIX_BYTES + length
    except IndexError:
        pass
    if next_start > len(window) and starts:
        next_start = starts.pop()
    data = np.frombuffer(window, np.uint8).copy()
    prefixes = np.array(starts, np.int64)[:, None] + np.arange(_PREFIX_BYTES)  # [strings, 8]
    is_long = data[prefixes[:, 1:]].any(axis=1)
    if is_long.any():
        num_short = int(is_long.argmax())
        next_start = starts[num_short]
        prefixes = prefixes[:num_short]
    # Make every prefix a separator; with no other NUL about, splitting there gives the strings back.
    data[prefixes] = 0
    run = data[:next_start]
    if not len(prefixes) or np.count_nonzero(run) != len(run) - prefixes.size:
        return [], position
    try:
        return run.tobytes().decode().split(_SEPARATOR)[1:], position + next_start
    except UnicodeDecodeError:
        return [], position
