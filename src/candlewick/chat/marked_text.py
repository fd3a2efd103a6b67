"""Finding markers in text that comes in pieces.

Owns the rule that a marker which the vocabulary has as a single token counts only when the model generated
that token. Refuses to know what any marker means.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence


class MarkedText:
    """Text that arrives piece by piece and leaves as the stretches before markers, and the markers.

    Args:
        markers: every text that may count as a marker at some time.
        id_of: the id of the token that is exactly this text, if there is one.
    """

    def __init__(self, markers: Collection[str], id_of: Callable[[str], int | None]) -> None:
        self._marker_of = {token_id: text for text in markers if (token_id := id_of(text)) is not None}
        self._tokens = frozenset(self._marker_of.values())
        self._generated: Counter[str] = Counter()  # markers whose token came and whose text waits
        self._pending = ""

    def push(self, token_id: int | None, text: str) -> None:
        """The text that a token adds."""
        marker = self._marker_of.get(token_id) if token_id is not None else None
        if marker is not None:
            self._generated[marker] += 1
        self._pending += text

    def put_back(self, text: str, marker: str = "") -> None:
        """Text that is to come again, and the marker that was taken after it."""
        self._pending = text + marker + self._pending
        if marker in self._tokens:
            self._generated[marker] += 1

    def tokens_among(self, markers: Collection[str]) -> list[str]:
        """Those of ``markers`` that are tokens of the vocabulary, and so can't be part of any text."""
        return [marker for marker in markers if marker in self._tokens]

    def take(self, markers: Collection[str], *, is_last: bool) -> tuple[str, str]:
        """The text before the next of ``markers``, and that marker.

        With ``""`` for the marker there is none yet, and what may be the beginning of one is kept; unless
        ``is_last``: then nothing follows.
        """
        active = [marker for marker in markers if marker not in self._tokens or self._generated[marker]]
        start, marker = first_marker(self._pending, active, is_last)
        before, self._pending = self._pending[:start], self._pending[start + len(marker) :]
        if marker in self._tokens:
            self._generated[marker] -= 1
        return before, marker


def first_marker(text: str, markers: Sequence[str], is_last: bool) -> tuple[int, str]:
    """Where the leftmost, longest marker begins, and which it is.

    With ``""`` for the marker there is none yet, and what stands from there on may be the beginning of one.
    """
    found = min(
        ((text.find(marker), -len(marker), marker) for marker in markers if marker in text), default=None
    )
    longest = max(map(len, markers), default=0)
    if not is_last:
        for start in range(max(0, len(text) - longest + 1), len(text)):
            if found and found[0] < start:
                break
            if any(len(marker) > len(text) - start and marker.startswith(text[start:]) for marker in markers):
                return start, ""
    return (found[0], found[2]) if found else (len(text), "")
