"""All sessions of a program: made, listed, opened, copied, deleted, and forgotten when they are old.

A session that is open is one object, whoever asks for it. It stays in memory as long as somebody uses it, or it
writes an answer, or it is among the few used last; everything in it that matters is in the database.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any
from weakref import WeakValueDictionary

from candlewick.core.errors import InvalidRequestError, SessionNotFound
from candlewick.sessions import tables
from candlewick.sessions.answering import Answering
from candlewick.sessions.entry import Entry
from candlewick.sessions.session import MAX_TITLE, Session, clean_title, summary, title_from
from candlewick.sessions.settings import SessionSettings
from candlewick.sessions.tables import SessionRecord
from candlewick.sessions.tree import ConversationTree
from candlewick.store import Database

KEPT_SESSIONS = 32
SWEEP_SECONDS = 600.0
MAX_LISTED = 1000


class SessionManager:
    """Every method is for one event loop. ``owner`` names whose sessions are meant; others' are not found.

    ::

        manager = SessionManager(Database.open("sqlite:///chats.db"), answering)
        session = await manager.create()
        await session.send("Hello")
        async for event in session.listen(): ...
    """

    def __init__(
        self, database: Database, answering: Answering, *, expire_after_seconds: float | None = None
    ) -> None:
        """
        Args:
            database: where sessions are kept; the caller closes it, after this.
            answering: who answers.
            expire_after_seconds: sessions that nothing was added to for so long are deleted; ``None``: never.

        Raises:
            StoreError: the database fails, or was written by a newer version.
        """
        database.apply(tables.SCHEMA)
        self._database = database
        self._answering = answering
        self._expire_after = expire_after_seconds
        self._next_sweep = 0.0
        self._opening = asyncio.Lock()
        self._open: WeakValueDictionary[str, Session] = WeakValueDictionary()
        self._used_last: OrderedDict[str, Session] = OrderedDict()

    async def create(
        self,
        *,
        owner: str = "",
        title: str = "",
        settings: SessionSettings | None = None,
        entries: Sequence[Entry] = (),
        head: str | None = None,
    ) -> Session:
        """A new session, empty or with a conversation that there is already.

        Args:
            title: by default made of the first thing that is said.
            head: the last entry of the branch that is shown; by default the newest.

        Raises:
            InvalidRequestError: the entries are no conversation, or the title is too long.
        """
        await self._sweep()
        title = clean_title(title) or next((title_from(e.text) for e in entries if e.role == "user"), "")
        if len(title) > MAX_TITLE:
            raise InvalidRequestError(
                f"a title has at most {MAX_TITLE} characters, got {len(title)}", "title"
            )
        tree = ConversationTree(entries, head)
        now = time.time()
        record = SessionRecord(
            id=f"session_{uuid.uuid4().hex}",
            owner=owner,
            title=title,
            settings=settings or SessionSettings(),
            head=tree.head,
            created_at=now,
            updated_at=now,
        )
        numbered = list(enumerate(tree))
        await self._database.run(lambda connection: tables.insert_session(connection, record, numbered))
        return self._keep(Session(record, list(tree), self._database, self._answering))

    async def open(self, id: str, owner: str = "") -> Session:
        """
        Raises:
            SessionNotFound: the owner has no such session.
        """
        async with self._opening:
            session = self._open.get(id)
            if session is None:
                found = await self._database.run(
                    lambda connection: tables.read_session(connection, id, owner)
                )
                if found is not None:
                    session = Session(*found, self._database, self._answering)
        if session is None or session.owner != owner:
            raise SessionNotFound(f"there is no session {id!r}")
        return self._keep(session)

    async def list(self, owner: str = "", *, search: str = "", limit: int = 100) -> list[dict[str, Any]]:
        """Summaries, the latest first; of a search, those in which every word of it stands somewhere.

        Raises:
            InvalidRequestError: ``limit`` is out of its range.
        """
        if not 1 <= limit <= MAX_LISTED:
            raise InvalidRequestError(f"limit must be from 1 to {MAX_LISTED}, got {limit}", "limit")
        await self._sweep()
        records = await self._database.run(lambda c: tables.list_sessions(c, owner, search, limit))
        return [summary(record, self._writing_in(record.id)) for record in records]

    async def fork(self, id: str, entry_id: str | None = None, owner: str = "") -> Session:
        """A new session that begins with another's conversation, up to an entry or to its head.

        Raises:
            SessionNotFound: the owner has no such session.
            InvalidRequestError: there is no such entry.
        """
        session = await self.open(id, owner)
        # Through JSON, so that the two share no entry; an answer that is being written is a stopped one there.
        entries = [Entry.from_json(entry.to_json()) for entry in session.tree.path(entry_id)]
        return await self.create(owner=owner, title=session.title, settings=session.settings, entries=entries)

    async def delete(self, id: str, owner: str = "") -> None:
        """Delete a session, stopping its answer and telling its listeners.

        Raises:
            SessionNotFound: the owner has no such session.
        """
        session = await self.open(id, owner)
        await session.close("deleted")
        await self._database.run(lambda connection: tables.delete_session(connection, id, owner))
        self._open.pop(id, None)
        self._used_last.pop(id, None)

    async def expire(self, older_than_seconds: float) -> int:
        """Delete the sessions that nothing was added to for so long; gives how many."""
        before = time.time() - older_than_seconds
        old = await self._database.run(lambda connection: tables.sessions_older_than(connection, before))
        for id, owner in old:
            await self.delete(id, owner)
        return len(old)

    async def close(self) -> None:
        """Stop all answers, which are stored as far as they are written, and let all listeners go."""
        await asyncio.gather(*(session.close() for session in list(self._open.values())))
        self._open.clear()
        self._used_last.clear()

    def _keep(self, session: Session) -> Session:
        self._open[session.id] = session
        self._used_last[session.id] = session
        self._used_last.move_to_end(session.id)
        while len(self._used_last) > KEPT_SESSIONS:
            self._used_last.popitem(last=False)
        return session

    def _writing_in(self, id: str) -> str | None:
        session = self._open.get(id)
        return session.writing if session else None

    async def _sweep(self) -> None:
        now = time.monotonic()
        if self._expire_after is not None and now >= self._next_sweep:
            self._next_sweep = now + SWEEP_SECONDS
            await self.expire(self._expire_after)
