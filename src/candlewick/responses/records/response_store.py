"""Responses in the database: as they run, when they are over, and how later ones go on from them.

A response and its input are there before a client hears of it, each item of its output before a client is told
that it is done, and its end before the client is told of that: what a client has heard survives. An item is
written whole or not at all. Owns leases: a response whose server died is found to have failed.
"""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from candlewick.core.errors import InvalidRequestError, NotFoundError, PreviousResponseNotFound
from candlewick.responses.records.context import Context
from candlewick.responses.records.conversation_store import append_items
from candlewick.responses.records.tables import (
    CONVERSATION_ITEMS,
    CONVERSATIONS,
    RESPONSE_ITEMS,
    RESPONSES,
    SCHEMA,
)
from candlewick.responses.wire.items import Item
from candlewick.responses.wire.response import FINAL, Status
from candlewick.store import Database

LEASE_SECONDS = 30.0
"""How long a response may go without a sign of life of the server that runs it."""

_DEAD = {"code": "server_error", "message": "the server stopped while the response was being made"}


@dataclass(frozen=True, kw_only=True)
class Retention:
    """What is forgotten, by when it was last made, read or gone on from; ``None``: no limit."""

    max_age_seconds: float | None = 30 * 86400.0
    max_responses: int | None = 100_000


@dataclass(frozen=True)
class StoredResponse:
    """A response as it is in the database; ``response`` is the object that clients see."""

    response: dict[str, Any]
    status: Status
    has_events: bool

    @property
    def is_final(self) -> bool:
        return self.status in FINAL


@dataclass(frozen=True)
class Outcome:
    """The end of a response; ``response`` is the whole object, with its output."""

    response: Mapping[str, Any]
    input_items: Sequence[Item]
    token_ids: Sequence[int] = ()
    events: Sequence[Mapping[str, Any]] = field(default=(), repr=False)


class ResponseStore:
    """Responses of any number of owners, none of whom sees what is another's.

    Args:
        database: where; the tables are made here.
        retention: what is forgotten, looked at when responses are made.
        now: the clock, in seconds since 1970.

    Raises:
        StoreError: the database holds tables of a newer version. Also from every method: it fails.
    """

    def __init__(
        self,
        database: Database,
        retention: Retention | None = None,
        *,
        lease_seconds: float = LEASE_SECONDS,
        now: Callable[[], float] = time.time,
    ) -> None:
        database.apply(SCHEMA)
        self.lease_seconds = lease_seconds
        self._database = database
        self._retention = retention or Retention()
        self._now = now

    async def begin(self, response: Mapping[str, Any], owner: str, input_items: Sequence[Item]) -> None:
        """A response that begins to run, with the input of its request."""
        now = self._now()

        def work(connection: Connection) -> None:
            self._forget(connection, now)
            row = {
                "id": response["id"],
                "owner": owner,
                "used_at": int(now),
                "status": response["status"],
                "previous_id": response["previous_response_id"],
                "fields": _fields(response),
                "lease_until": now + self.lease_seconds,
            }
            connection.execute(insert(RESPONSES).values(row))
            _put_items(connection, response["id"], dict(enumerate(input_items)), is_output=False)

        await self._database.run(work)

    async def put_output(self, response_id: str, items: Mapping[int, Item]) -> None:
        """Items of the output that are done, by their index; nothing if the response was deleted while it runs."""

        def work(connection: Connection) -> None:
            row = select(RESPONSES.c.id).where(RESPONSES.c.id == response_id).with_for_update()
            if connection.scalar(row) is not None:
                _put_items(connection, response_id, items, is_output=True)

        await self._database.run(work)

    async def renew(self, response_id: str) -> bool:
        """Say that a response still runs; whether it shall go on: not if somebody wants it cancelled or deleted."""
        until = self._now() + self.lease_seconds

        def work(connection: Connection) -> bool:
            row = RESPONSES.c.id == response_id
            connection.execute(update(RESPONSES).where(row).values(lease_until=until))
            return connection.scalar(select(RESPONSES.c.is_cancel_wanted).where(row)) is False

        return await self._database.run(work)

    async def finish(self, outcome: Outcome) -> None:
        """The end of a response, all of it or nothing; with its conversation, if it is in one."""
        response = outcome.response
        now = self._now()

        def work(connection: Connection) -> None:
            values = {
                "status": response["status"],
                "fields": _fields(response),
                "used_at": int(now),
                "token_ids": outcome.token_ids or None,
                "events": zlib.compress(json.dumps(outcome.events).encode()) if outcome.events else None,
            }
            found = connection.execute(
                update(RESPONSES).where(RESPONSES.c.id == response["id"]).values(values)
            )
            if not found.rowcount:
                return  # deleted while it ran
            output = response["output"]
            connection.execute(
                delete(RESPONSE_ITEMS).where(
                    RESPONSE_ITEMS.c.response_id == response["id"], RESPONSE_ITEMS.c.is_output
                )
            )
            _put_items(connection, response["id"], dict(enumerate(output)), is_output=True)
            if response["conversation"] is not None and response["status"] in ("completed", "incomplete"):
                items = [*outcome.input_items, *output]
                append_items(connection, response["conversation"]["id"], items, int(now), outcome.token_ids)

        await self._database.run(work)

    async def get(self, response_id: str, owner: str) -> StoredResponse:
        """A response as it stands.

        Raises:
            InvalidRequestError: the owner has no such response; its ``code`` says not found.
        """
        now = self._now()

        def work(connection: Connection) -> StoredResponse:
            row = self._find(connection, response_id, owner, now)
            response = {
                **row.fields,
                "status": row.status,
                "output": _items(connection, response_id, is_output=True),
            }
            return StoredResponse(response, row.status, row.events is not None)

        return await self._database.run(work)

    async def events(self, response_id: str, owner: str) -> list[dict[str, Any]]:
        """The whole stream of a response that is over; empty if it was never recorded."""
        now = self._now()

        def work(connection: Connection) -> bytes | None:
            events: bytes | None = self._find(connection, response_id, owner, now).events
            return events

        events = await self._database.run(work)
        return [] if events is None else list(json.loads(zlib.decompress(events)))

    async def input_items(self, response_id: str, owner: str) -> list[Item]:
        """The items of a response's own request."""
        now = self._now()

        def work(connection: Connection) -> list[Item]:
            self._find(connection, response_id, owner, now)
            return _items(connection, response_id, is_output=False)

        return await self._database.run(work)

    async def context(self, response_id: str, owner: str) -> Context:
        """What a response that goes on from this one begins with.

        Raises:
            InvalidRequestError: there is no such response, one before it was deleted, or it did not come to an end.
        """
        now = self._now()

        def work(connection: Connection) -> Context:
            items: list[Item] = []
            seen: list[str] = []
            token_ids = None
            current: str | None = response_id
            while current is not None:
                row = self._find(connection, current, owner, now, "previous_response_id")
                if row.status not in ("completed", "incomplete"):
                    raise InvalidRequestError(
                        f"the response {current!r} is {row.status}: only what came to its end can be gone on from",
                        "previous_response_id",
                    )
                if not seen:
                    token_ids = row.token_ids
                own = [
                    *_items(connection, current, is_output=False),
                    *_items(connection, current, is_output=True),
                ]
                items[:0] = own
                seen.append(current)
                current = row.previous_id
            connection.execute(update(RESPONSES).where(RESPONSES.c.id.in_(seen)).values(used_at=int(now)))
            return Context(tuple(items), token_ids)

        return await self._database.run(work)

    async def find_item(self, item_id: str, owner: str) -> Item:
        """The latest item with an id, in responses and conversations.

        Raises:
            InvalidRequestError: the owner has no such item.
        """

        def work(connection: Connection) -> Item | None:
            in_responses = (
                select(RESPONSE_ITEMS.c.item)
                .join(RESPONSES, RESPONSES.c.id == RESPONSE_ITEMS.c.response_id)
                .where(RESPONSE_ITEMS.c.item_id == item_id, RESPONSES.c.owner == owner)
                .order_by(RESPONSES.c.used_at.desc())
            )
            in_conversations = (
                select(CONVERSATION_ITEMS.c.item)
                .join(CONVERSATIONS, CONVERSATIONS.c.id == CONVERSATION_ITEMS.c.conversation_id)
                .where(CONVERSATION_ITEMS.c.item_id == item_id, CONVERSATIONS.c.owner == owner)
            )
            for query in (in_responses, in_conversations):
                found: Item | None = connection.scalar(query.limit(1))
                if found is not None:
                    return found
            return None

        item = await self._database.run(work)
        if item is None:
            raise NotFoundError(f"there is no item {item_id!r}", "input")
        return item

    async def want_cancel(self, response_id: str, owner: str) -> None:
        """Ask whoever runs a response to stop it."""
        now = self._now()

        def work(connection: Connection) -> None:
            self._find(connection, response_id, owner, now)
            connection.execute(
                update(RESPONSES).where(RESPONSES.c.id == response_id).values(is_cancel_wanted=True)
            )

        await self._database.run(work)

    async def delete(self, response_id: str, owner: str) -> None:
        """Forget a response; responses that went on from it stay, but can't be gone on from."""
        now = self._now()

        def work(connection: Connection) -> None:
            self._find(connection, response_id, owner, now)
            connection.execute(delete(RESPONSES).where(RESPONSES.c.id == response_id))

        await self._database.run(work)

    def _find(
        self, connection: Connection, response_id: str, owner: str, now: float, parameter: str = "response_id"
    ) -> Row[Any]:
        """The row of a response, after what there is to say of its server."""
        row = connection.execute(
            select(RESPONSES).where(RESPONSES.c.id == response_id, RESPONSES.c.owner == owner)
        ).one_or_none()
        if row is None:
            kind = NotFoundError if parameter == "response_id" else PreviousResponseNotFound
            raise kind(f"there is no response {response_id!r}", parameter)
        if row.status not in FINAL and row.lease_until < now:
            fields = {**row.fields, "error": _DEAD}
            connection.execute(
                update(RESPONSES).where(RESPONSES.c.id == response_id).values(status="failed", fields=fields)
            )
            return self._find(connection, response_id, owner, now, parameter)
        return row

    def _forget(self, connection: Connection, now: float) -> None:
        limits = self._retention
        is_over = RESPONSES.c.status.in_(FINAL) | (RESPONSES.c.lease_until < now)
        if limits.max_age_seconds is not None:
            oldest = int(now - limits.max_age_seconds)
            connection.execute(delete(RESPONSES).where(RESPONSES.c.used_at < oldest, is_over))
            connection.execute(delete(CONVERSATIONS).where(CONVERSATIONS.c.used_at < oldest))
        if limits.max_responses is not None:
            count = connection.scalar(select(func.count()).select_from(RESPONSES)) or 0
            if count >= limits.max_responses:
                surplus = count - limits.max_responses + 1
                longest_unused = (
                    select(RESPONSES.c.id).where(is_over).order_by(RESPONSES.c.used_at).limit(surplus)
                )
                connection.execute(delete(RESPONSES).where(RESPONSES.c.id.in_(longest_unused)))


def _fields(response: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in response.items() if name not in ("output", "status")}


def _put_items(
    connection: Connection, response_id: str, items: Mapping[int, Item], *, is_output: bool
) -> None:
    rows = [
        {
            "response_id": response_id,
            "is_output": is_output,
            "position": position,
            "item_id": item["id"],
            "item": item,
        }
        for position, item in items.items()
    ]
    if rows:
        connection.execute(insert(RESPONSE_ITEMS), rows)


def _items(connection: Connection, response_id: str, *, is_output: bool) -> list[Item]:
    query = (
        select(RESPONSE_ITEMS.c.item)
        .where(RESPONSE_ITEMS.c.response_id == response_id, RESPONSE_ITEMS.c.is_output == is_output)
        .order_by(RESPONSE_ITEMS.c.position)
    )
    return list(connection.scalars(query))
