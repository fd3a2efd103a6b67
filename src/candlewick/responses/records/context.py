"""What a response goes on from."""

from __future__ import annotations

from dataclasses import dataclass

from candlewick.responses.wire.items import Item


@dataclass(frozen=True)
class Context:
    """All items before a response, and the tokens of the last answer among them, if they are known."""

    items: tuple[Item, ...] = ()
    token_ids: tuple[int, ...] | None = None
