"""Conversations in the database: lists of items that responses read and add to."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from candlewick.core.errors import NotFoundError
from candlewick.responses.records.context import Context
from candlewick.responses.records.tables import CONVERSATION_ITEMS, CONVERSATIONS, SCHEMA
from candlewick.responses.wire.ids import new_id
from candlewick.responses.wire.items import Item
from candlewick.store import Database

Conversation = dict[str, Any]


class ConversationStore:
    """Conversations of any number of owners, none of whom sees what is another's.

    Args:
        database: where; the tables are made here.
        now: the clock, in seconds since 1970.

    Raises:
        StoreError: the database holds tables of a newer version. Also from every method: it fails.
        NotFoundError: from every method that is given an id: the owner has nothing of this id.
    """

    def __init__(self, database: Database, *, now: Callable[[], float] = time.time) -> None:
        database.apply(SCHEMA)
        self._database = database
        self._now = now

    async def create(self, owner: str, metadata: Mapping[str, str], items: Sequence[Item]) -> Conversation:
        """A new conversation, which may begin with items."""
        now = int(self._now())
        conversation_id = new_id("conversation")

        def work(connection: Connection) -> Conversation:
            row = {"id": conversation_id, "owner": owner, "created_at": now, "used_at": now}
            connection.execute(insert(CONVERSATIONS).values(row | {"metadata": dict(metadata)}))
            append_items(connection, conversation_id, items, now)
            return _to_json(_find(connection, conversation_id, owner))

        return await self._database.run(work)

    async def get(self, conversation_id: str, owner: str) -> Conversation:
        return await self._database.run(
            lambda connection: _to_json(_find(connection, conversation_id, owner))
        )

    async def update(self, conversation_id: str, owner: str, metadata: Mapping[str, str]) -> Conversation:
        """Give it other metadata."""

        def work(connection: Connection) -> Conversation:
            _find(connection, conversation_id, owner)
            connection.execute(
                update(CONVERSATIONS)
                .where(CONVERSATIONS.c.id == conversation_id)
                .values(metadata=dict(metadata), used_at=int(self._now()))
            )
            return _to_json(_find(connection, conversation_id, owner))

        return await self._database.run(work)

    async def delete(self, conversation_id: str, owner: str) -> None:
        """Forget it and its items; responses that were made in it stay."""

        def work(connection: Connection) -> None:
            _find(connection, conversation_id, owner)
            connection.execute(delete(CONVERSATIONS).where(CONVERSATIONS.c.id == conversation_id))

        await self._database.run(work)

    async def items(self, conversation_id: str, owner: str) -> list[Item]:
        """All items, the oldest first."""

        def work(connection: Connection) -> list[Item]:
            _find(connection, conversation_id, owner)
            return _items(connection, conversation_id)

        return await self._database.run(work)

    async def context(self, conversation_id: str, owner: str) -> Context:
        """All items, and the tokens of the last answer if nothing but responses was added since."""

        def work(connection: Connection) -> Context:
            row = _find(connection, conversation_id, owner)
            return Context(tuple(_items(connection, conversation_id)), row.token_ids)

        return await self._database.run(work)

    async def add(self, conversation_id: str, owner: str, items: Sequence[Item]) -> None:
        """Items at the end."""

        def work(connection: Connection) -> None:
            _find(connection, conversation_id, owner)
            append_items(connection, conversation_id, items, int(self._now()))

        await self._database.run(work)

    async def item(self, conversation_id: str, item_id: str, owner: str) -> Item:
        def work(connection: Connection) -> Item | None:
            _find(connection, conversation_id, owner)
            found: Item | None = connection.scalar(
                select(CONVERSATION_ITEMS.c.item).where(*_named(conversation_id, item_id))
            )
            return found

        item = await self._database.run(work)
        if item is None:
            raise NotFoundError(f"there is no item {item_id!r} in {conversation_id!r}", "item_id")
        return item

    async def delete_item(self, conversation_id: str, item_id: str, owner: str) -> Conversation:
        """Take an item out; what is left of the conversation."""

        def work(connection: Connection) -> tuple[int, Conversation]:
            conversation = _to_json(_find(connection, conversation_id, owner))
            found = connection.execute(delete(CONVERSATION_ITEMS).where(*_named(conversation_id, item_id)))
            connection.execute(
                update(CONVERSATIONS).where(CONVERSATIONS.c.id == conversation_id).values(token_ids=None)
            )
            return found.rowcount, conversation

        count, conversation = await self._database.run(work)
        if not count:
            raise NotFoundError(f"there is no item {item_id!r} in {conversation_id!r}", "item_id")
        return conversation


def append_items(
    connection: Connection,
    conversation_id: str,
    items: Sequence[Item],
    now: int,
    token_ids: Sequence[int] | None = None,
) -> None:
    """Add items at the end of a conversation, if it still is there; ``token_ids`` are those of the last answer."""
    found = connection.execute(
        update(CONVERSATIONS)
        .where(CONVERSATIONS.c.id == conversation_id)
        .values(used_at=now, token_ids=token_ids or None)
    )
    if not found.rowcount:
        return
    last = connection.scalar(
        select(func.max(CONVERSATION_ITEMS.c.position)).where(
            CONVERSATION_ITEMS.c.conversation_id == conversation_id
        )
    )
    rows = [
        {"conversation_id": conversation_id, "position": position, "item_id": item["id"], "item": item}
        for position, item in enumerate(items, start=0 if last is None else last + 1)
    ]
    if rows:
        connection.execute(insert(CONVERSATION_ITEMS), rows)


def _find(connection: Connection, conversation_id: str, owner: str) -> Row[Any]:
    row = connection.execute(
        select(CONVERSATIONS).where(CONVERSATIONS.c.id == conversation_id, CONVERSATIONS.c.owner == owner)
    ).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no conversation {conversation_id!r}", "conversation")
    return row


def _items(connection: Connection, conversation_id: str) -> list[Item]:
    query = (
        select(CONVERSATION_ITEMS.c.item)
        .where(CONVERSATION_ITEMS.c.conversation_id == conversation_id)
        .order_by(CONVERSATION_ITEMS.c.position)
    )
    return list(connection.scalars(query))


def _named(conversation_id: str, item_id: str) -> tuple[Any, Any]:
    return (
        CONVERSATION_ITEMS.c.conversation_id == conversation_id,
        CONVERSATION_ITEMS.c.item_id == item_id,
    )


def _to_json(row: Row[Any]) -> Conversation:
    return {"id": row.id, "object": "conversation", "created_at": row.created_at, "metadata": row.metadata}
