"""Ends a text at the first stop string, however the text is cut into pieces.

Knows characters only: neither tokens nor why the pieces are as they are.
"""

from __future__ import annotations

from collections.abc import Sequence


class StopStringFilter:
    """Passes a text through until a stop string is complete, and never lets any part of that one out.

    The stop string that is complete first wins; of those complete at the same character, the longest. So the
    result depends on the text alone and not on its pieces.
    """

    def __init__(self, stop_strings: Sequence[str]) -> None:
        self._stop_strings = tuple(stop_strings)
        self.matched: str | None = None
        """The stop string that ended the text."""
        self._held = ""  # the longest end of the text so far that may be the beginning of a stop string

    def push(self, text: str) -> tuple[str, bool]:
        """The text that is now certain to be visible, and whether a stop string ended it."""
        if not self._stop_strings:
            return text, False
        text = self._held + text
        if found := self._first_stop(text):
            cut, self.matched = found
            self._held = ""
            return text[:cut], True
        visible = len(text) - self._longest_beginning(text)
        self._held = text[visible:]
        return text[:visible], False

    def flush(self) -> str:
        """The text held back, once it is known that nothing follows."""
        held, self._held = self._held, ""
        return held

    def _first_stop(self, text: str) -> tuple[int, str] | None:
        """Where the winning stop string begins, and which it is."""
        starts = [(stop, text.find(stop)) for stop in self._stop_strings]
        ends = [(start + len(stop), start, stop) for stop, start in starts if start >= 0]
        return min(ends)[1:] if ends else None

    def _longest_beginning(self, text: str) -> int:
        """Length of the longest end of ``text`` that is a proper beginning of a stop string."""
        longest = 0
        for stop in self._stop_strings:
            for length in range(min(len(stop) - 1, len(text)), longest, -1):
                if text.endswith(stop[:length]):
                    longest = length
                    break
        return longest
