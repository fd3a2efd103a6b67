"""Keeps one answer to its constraint: which tokens may be drawn next, and which follow without a draw.

Owns the state of one choice in its grammar and the worker that writes masks while the model computes. Knows
neither the model nor how tokens are drawn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from collections.abc import Set as ReadableSet
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from candlewick.core.grammar import GrammarError, Matcher, TokenMask, TokenMasks, set_allowed


class Guide:
    """The constraint of one choice.

    Tokens that the grammar forces are known without a draw (:meth:`skip_ahead`). An answer's tokens depend on them,
    so they are the same whether they are skipped ahead or, for their log-probabilities, drawn from a mask that
    allows nothing else.

    Args:
        matcher: where the answer stands in the grammar.
        stop_ids: tokens that end the answer besides the model's own end tokens, which the matcher knows; both are
            allowed only where the grammar accepts.
        banned_ids: tokens that are never allowed.
    """

    def __init__(
        self,
        matcher: Matcher,
        *,
        stop_ids: ReadableSet[int] = frozenset(),
        banned_ids: ReadableSet[int] = frozenset(),
    ) -> None:
        self._matcher = matcher
        self._stop_ids = stop_ids
        self._banned_ids = banned_ids
        self._forced: deque[int] = deque()
        self._look_ahead()

    @property
    def is_free(self) -> bool:
        """Whether the grammar allows any token, for as long as none is accepted."""
        return self._matcher.is_free

    @property
    def is_complete(self) -> bool:
        """Whether the answer has its form and nothing may follow."""
        return self._matcher.is_complete

    def accept(self, token_id: int) -> None:
        """Go on by a token.

        Raises:
            GrammarError: it is not allowed, or the grammar needs too much work here.
        """
        self._matcher.accept(token_id)
        if self._forced:
            expected = self._forced.popleft()
            assert token_id == expected, f"token {token_id} was drawn where {expected} is forced"
        if not self._forced:
            self._look_ahead()

    def skip_ahead(self, most: int, *, may_complete: bool = True) -> list[int]:
        """Go on by the tokens that must come next, ``most`` at most.

        Args:
            may_complete: whether the last token of the answer may be among them; if not, it is left to be drawn.
        """
        token_ids: list[int] = []
        while self._forced and len(token_ids) < most:
            token_ids.append(self._forced[0])
            self.accept(token_ids[-1])
        if token_ids and not may_complete and self.is_complete:
            self._matcher.retract(1)
            self._forced.append(token_ids.pop())
        return token_ids

    def write_mask(self, mask: TokenMask) -> None:
        """Write which tokens may be drawn next into ``mask``, which is zero."""
        if self._forced:
            set_allowed(mask, [self._forced[0]], True)
            return
        self._matcher.write_mask(mask)
        if self._stop_ids:
            set_allowed(mask, self._stop_ids, self._matcher.is_accepting)
        set_allowed(mask, self._banned_ids, False)

    def _look_ahead(self) -> None:
        for token_id in self._matcher.forced_tokens():
            if token_id in self._stop_ids or token_id in self._banned_ids:
                return
            self._forced.append(token_id)


@dataclass(frozen=True)
class Allowed:
    """The masks of some draws."""

    masks: TokenMasks
    errors: dict[int, GrammarError]
    """Why some have no mask; they allow everything, and what is drawn by them does not count."""


class MaskWriter:
    """Writes masks on a thread of its own while the model computes, for llguidance works without the GIL."""

    def __init__(self, vocab_size: int) -> None:
        self._num_words = -(-vocab_size // 32)
        self._worker: ThreadPoolExecutor | None = None

    def begin(self, guides: Sequence[Guide | None]) -> Future[Allowed] | None:
        """Start to write a mask for each guide; ``None`` if no guide forbids anything."""
        guides = [None if guide is None or guide.is_free else guide for guide in guides]
        if not any(guides):
            return None
        if self._worker is None:
            self._worker = ThreadPoolExecutor(1, thread_name_prefix="candlewick-masks")
        return self._worker.submit(self._write, guides)

    def close(self) -> None:
        """Let the thread end."""
        if self._worker is not None:
            self._worker.shutdown()

    def _write(self, guides: Sequence[Guide | None]) -> Allowed:
        allowed = Allowed(np.zeros((len(guides), self._num_words), dtype=np.uint32), {})
        for row, guide in enumerate(guides):
            if guide is None:
                allowed.masks[row] = ~np.uint32(0)
                continue
            try:
                guide.write_mask(allowed.masks[row])
            except GrammarError as error:
                allowed.errors[row] = error
                allowed.masks[row] = ~np.uint32(0)
        return allowed
