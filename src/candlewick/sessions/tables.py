"""The tables of sessions, and the statements on them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    delete,
    exists,
    insert,
    or_,
    select,
    update,
)

from candlewick.sessions.entry import Entry
from candlewick.sessions.settings import SessionSettings
from candlewick.store import JSONText, Schema

_METADATA = MetaData()

_SESSIONS = Table(
    "sessions",
    _METADATA,
    Column("id", String(64), primary_key=True),
    Column("owner", String(200), nullable=False),
    Column("title", JSONText, nullable=False),
    Column("title_folded", Text, nullable=False),
    Column("settings", JSONText, nullable=False),
    Column("head", String(100)),
    Column("created_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
    Index("sessions_by_owner", "owner", "updated_at"),
)
_ENTRIES = Table(
    "session_entries",
    _METADATA,
    Column("session_id", String(64), primary_key=True),
    Column("id", String(100), primary_key=True),
    Column("position", Integer, nullable=False),
    Column("body", JSONText, nullable=False),
    Column("text_folded", Text, nullable=False),
)

SCHEMA = Schema("sessions", (_METADATA.create_all,))


@dataclass(frozen=True, kw_only=True)
class SessionRecord:
    """A session without its entries; times are seconds since 1970."""

    id: str
    owner: str
    title: str
    settings: SessionSettings
    head: str | None
    created_at: float
    updated_at: float


def insert_session(
    connection: Connection, record: SessionRecord, entries: Iterable[tuple[int, Entry]]
) -> None:
    connection.execute(
        insert(_SESSIONS).values(id=record.id, created_at=record.created_at, **_changing(record))
    )
    for position, entry in entries:
        save_entry(connection, record.id, position, entry.to_json(), entry.text)


def update_session(connection: Connection, record: SessionRecord) -> None:
    connection.execute(update(_SESSIONS).where(_SESSIONS.c.id == record.id).values(**_changing(record)))


def save_entry(
    connection: Connection, session_id: str, position: int, body: dict[str, Any], text: str
) -> None:
    """Add an entry, or write it anew."""
    place = (_ENTRIES.c.session_id == session_id) & (_ENTRIES.c.id == body["id"])
    values = {"body": body, "text_folded": _folded(text)}
    if connection.execute(update(_ENTRIES).where(place).values(**values)).rowcount == 0:
        connection.execute(
            insert(_ENTRIES).values(session_id=session_id, id=body["id"], position=position, **values)
        )


def read_session(connection: Connection, id: str, owner: str) -> tuple[SessionRecord, list[Entry]] | None:
    row = connection.execute(
        select(_SESSIONS).where(_SESSIONS.c.id == id, _SESSIONS.c.owner == owner)
    ).one_or_none()
    if row is None:
        return None
    bodies = connection.scalars(
        select(_ENTRIES.c.body).where(_ENTRIES.c.session_id == id).order_by(_ENTRIES.c.position)
    )
    return _record(row), [Entry.from_json(body) for body in bodies]


def list_sessions(connection: Connection, owner: str, search: str, limit: int) -> list[SessionRecord]:
    """The latest first; ``search`` is found in titles and in what was said, in any case of letters."""
    query = select(_SESSIONS).where(_SESSIONS.c.owner == owner)
    for word in _folded(search).split():
        said = exists().where(
            _ENTRIES.c.session_id == _SESSIONS.c.id, _ENTRIES.c.text_folded.contains(word, autoescape=True)
        )
        query = query.where(or_(_SESSIONS.c.title_folded.contains(word, autoescape=True), said))
    rows = connection.execute(query.order_by(_SESSIONS.c.updated_at.desc(), _SESSIONS.c.id).limit(limit))
    return [_record(row) for row in rows]


def delete_session(connection: Connection, id: str, owner: str) -> bool:
    found = connection.execute(
        delete(_SESSIONS).where(_SESSIONS.c.id == id, _SESSIONS.c.owner == owner)
    ).rowcount
    if found:
        connection.execute(delete(_ENTRIES).where(_ENTRIES.c.session_id == id))
    return bool(found)


def sessions_older_than(connection: Connection, time: float) -> list[tuple[str, str]]:
    """Id and owner of every session that was not touched since ``time``."""
    rows = connection.execute(select(_SESSIONS.c.id, _SESSIONS.c.owner).where(_SESSIONS.c.updated_at < time))
    return [(row.id, row.owner) for row in rows]


def _changing(record: SessionRecord) -> dict[str, Any]:
    return {
        "owner": record.owner,
        "title": record.title,
        "title_folded": _folded(record.title),
        "settings": record.settings.to_json(),
        "head": record.head,
        "updated_at": record.updated_at,
    }


def _record(row: Any) -> SessionRecord:
    return SessionRecord(
        id=row.id,
        owner=row.owner,
        title=row.title,
        settings=SessionSettings.from_json(row.settings),
        head=row.head,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _folded(text: str) -> str:
    # PostgreSQL's text can't hold U+0000, and no text column half a surrogate pair.
    return text.casefold().replace("\0", " ").encode("utf-8", "replace").decode()
