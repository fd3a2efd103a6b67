"""Lists of items in pages, as OpenAI's clients turn them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from typing_extensions import TypedDict

from candlewick.core.errors import NotFoundError


class Page(TypedDict):
    object: Literal["list"]
    data: list[dict[str, Any]]
    first_id: str
    last_id: str
    has_more: bool


def page_of(
    items: Sequence[dict[str, Any]], after: str | None, limit: int, order: Literal["asc", "desc"]
) -> Page:
    """At most ``limit`` of ``items``, which come the oldest first, in an order, after the one with an id.

    Raises:
        NotFoundError: there is no item of this id.
    """
    ordered = list(items if order == "asc" else reversed(items))
    start = 0
    if after is not None:
        start = next((place + 1 for place, item in enumerate(ordered) if item["id"] == after), 0)
        if not start:
            raise NotFoundError(f"there is no item {after!r} in this list", "after")
    data = ordered[start : start + limit]
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else "",
        "last_id": data[-1]["id"] if data else "",
        "has_more": len(ordered) > start + limit,
    }
