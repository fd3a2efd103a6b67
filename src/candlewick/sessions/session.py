"""One session that is open: its conversation, who listens, and the answer that is being written.

Owns that every change is stored before it is told, that an answer goes on whether or not anybody listens, and
that there is one answer at a time. Refuses to know HTTP, HTML and where answers come from.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from candlewick.chat.messages import Message
from candlewick.core.errors import CandlewickError, InvalidRequestError, SessionBusy, SessionNotFound
from candlewick.responses import ApprovalRequest, ConversationComplete
from candlewick.sessions import tables
from candlewick.sessions.answer_writer import AnswerWriter
from candlewick.sessions.answering import Answering
from candlewick.sessions.broadcaster import HEARTBEAT_SECONDS, Broadcaster, Published
from candlewick.sessions.entry import Entry
from candlewick.sessions.settings import SessionSettings
from candlewick.sessions.tables import SessionRecord
from candlewick.sessions.tree import ConversationTree
from candlewick.store import Database

logger = logging.getLogger(__name__)

SAVE_SECONDS = 2.0
"""How often an answer is stored while it is written: as much of it a crash can cost."""
TITLE_CHARACTERS = 60
MAX_TITLE = 200


class Session:
    """Made by :class:`~candlewick.sessions.session_manager.SessionManager`; every method is for its event loop.

    Listeners hear the events of :mod:`candlewick.responses.events`, each with the ``entry`` that it belongs
    to, and between them ``entry_added`` and ``entry_ended`` (an entry), ``shown`` (the head),
    ``session`` (title and settings) and ``deleted``.
    """

    def __init__(
        self, record: SessionRecord, entries: Sequence[Entry], database: Database, answering: Answering
    ) -> None:
        self._record = record
        self._database = database
        self._answering = answering
        self._changes = asyncio.Lock()
        self._writing: Entry | None = None
        self._writer: AnswerWriter | None = None
        self._shown_at = 0
        self._reading: asyncio.Task[None] | None = None
        self._answer: asyncio.Task[None] | None = None
        self._approvals: dict[str, asyncio.Future[bool]] = {}
        self.tree = ConversationTree(entries, record.head)
        self.broadcaster = Broadcaster()

    @property
    def id(self) -> str:
        return self._record.id

    @property
    def owner(self) -> str:
        return self._record.owner

    @property
    def title(self) -> str:
        return self._record.title

    @property
    def settings(self) -> SessionSettings:
        return self._record.settings

    @property
    def writing(self) -> str | None:
        """The entry of the answer that is being written."""
        return self._writing.id if self._writing else None

    @property
    def shown_at(self) -> int:
        """The number of the event that switched branches last; before it, other entries were shown."""
        return self._shown_at

    def pace(self) -> tuple[int, float] | None:
        """Tokens and seconds of the answer that is being written; see :meth:`AnswerWriter.pace`."""
        return self._writer.pace() if self._writer and self._writing else None

    def summary(self) -> dict[str, Any]:
        return summary(self._record, writing=self.writing)

    def snapshot(self) -> dict[str, Any]:
        """Everything, as it is now."""
        return {
            "session": self.summary(),
            "head": self.tree.head,
            "entries": [entry.to_json() for entry in self.tree],
        }

    def listen(
        self, last_id: str | None = None, heartbeat_seconds: float = HEARTBEAT_SECONDS
    ) -> AsyncGenerator[Published | None, None]:
        """See :meth:`Broadcaster.listen`."""
        return self.broadcaster.listen(self.snapshot, last_id, heartbeat_seconds)

    async def send(self, text: str) -> Entry:
        """Say something at the end of the shown branch, and have it answered.

        Returns:
            the entry of the answer, which has only begun.

        Raises:
            SessionBusy: an answer is being written.
            InvalidRequestError: the text is empty.
        """
        return await self._ask(lambda: Entry.from_user(text, self.tree.head))

    async def edit(self, entry_id: str, text: str) -> Entry:
        """Say something else instead of what was said there, on a branch of its own, and have it answered.

        Raises:
            SessionBusy: an answer is being written.
            InvalidRequestError: there is no such entry, a model wrote it, or the text is empty.
        """
        before = self.tree[entry_id]
        if before.role != "user":
            raise InvalidRequestError(
                "only what a person said can be edited; ask for another answer", "entry"
            )
        return await self._ask(lambda: Entry.from_user(text, before.parent_id))

    async def answer_again(self, entry_id: str) -> Entry:
        """Write another answer beside this one, or one below a question.

        Raises:
            SessionBusy: an answer is being written.
            InvalidRequestError: there is no such entry, or nothing that could be answered.
        """
        entry = self.tree[entry_id]
        parent_id = entry.id if entry.role == "user" else entry.parent_id
        if parent_id is None or self.tree[parent_id].role != "user":
            raise InvalidRequestError("there is no question above this answer", "entry")
        async with self._changes:
            self._require_rest()
            return await self._begin_answer(parent_id)

    async def show(self, entry_id: str) -> None:
        """Show the branch through this entry.

        Raises:
            SessionBusy: an answer is being written.
            InvalidRequestError: there is no such entry.
        """
        async with self._changes:
            self._require_rest()
            self.tree.show(entry_id)
            await self._save(replace(self._record, head=self.tree.head))
            self._shown_at = self.broadcaster.publish("shown", {"head": self.tree.head})

    async def rename(self, title: str) -> None:
        """
        Raises:
            InvalidRequestError: the title is empty or too long.
        """
        title = clean_title(title)
        if not 0 < len(title) <= MAX_TITLE:
            raise InvalidRequestError(f"a title has 1 to {MAX_TITLE} characters, got {len(title)}", "title")
        async with self._changes:
            self._require_open()
            await self._save(replace(self._record, title=title))
            self._tell_session()

    async def change_settings(self, changes: Mapping[str, Any]) -> None:
        """Replace some settings; an answer that is being written keeps those that it began with.

        Raises:
            InvalidRequestError: a setting is unknown or out of its range.
        """
        async with self._changes:
            self._require_open()
            await self._save(replace(self._record, settings=self.settings.changed(changes)))
            self._tell_session()

    async def stop(self) -> None:
        """End the answer that is being written, if there is one; what is written stays."""
        if self._reading is not None and self._answer is not None:
            self._reading.cancel()
            await asyncio.shield(self._answer)

    def decide(self, call_id: str, *, approved: bool) -> None:
        """A person's word on a call that asks for it.

        Raises:
            InvalidRequestError: no such call waits; perhaps somebody else was quicker.
        """
        waiting = self._approvals.get(call_id)
        if waiting is None or waiting.done():
            raise InvalidRequestError(f"no tool call {call_id!r} waits for approval", "call_id")
        waiting.set_result(approved)

    async def finish(self) -> None:
        """Wait until nothing is being written."""
        if self._answer is not None:
            await asyncio.shield(self._answer)

    async def close(self, last_event: str | None = None) -> None:
        """Stop the answer and let the listeners go, after a last event."""
        async with self._changes:
            await self.stop()
            if last_event is not None:
                self.broadcaster.publish(last_event, {})
            self.broadcaster.close()

    async def _ask(self, question: Callable[[], Entry]) -> Entry:
        async with self._changes:
            self._require_rest()
            entry = question()
            await self._add(entry, title=self.title or title_from(entry.text))
            return await self._begin_answer(entry.id)

    async def _begin_answer(self, parent_id: str) -> Entry:
        answer = Entry(parent_id=parent_id, role="assistant", state="writing")
        await self._add(answer, title=self.title)
        self._writing = answer
        messages = [message for entry in self.tree.path(parent_id) for message in entry.to_messages()]
        if self.settings.system_prompt:
            messages.insert(0, Message(role="system", content=self.settings.system_prompt))
        self._reading = asyncio.create_task(self._read(answer, messages))
        self._answer = asyncio.create_task(self._write(answer, self._reading))
        return answer

    async def _add(self, entry: Entry, title: str) -> None:
        position, body, text = len(self.tree), entry.to_json(), entry.text
        record = replace(self._record, title=title, head=entry.id, updated_at=time.time())

        def save(connection: Any) -> None:
            tables.save_entry(connection, self.id, position, body, text)
            tables.update_session(connection, record)

        await self._database.run(save)
        is_renamed = title != self.title
        self._record = record
        self.tree.add(entry)
        entry.version = self.broadcaster.publish("entry_added", {"entry": entry.to_json()})
        for part in entry.parts:
            part.version = entry.version
        if is_renamed:
            self._tell_session()

    async def _read(self, answer: Entry, messages: Sequence[Message]) -> None:
        """The events of the answer, into the entry and to the listeners."""
        writer = self._writer = AnswerWriter(answer)
        try:
            async with aclosing(self._answering(messages, self.settings, self._approval)) as events:
                async for event in events:
                    if isinstance(event, ConversationComplete):
                        # ``entry_ended`` tells of this.
                        writer.accept(event, self.broadcaster.number + 1)
                        continue
                    number = self.broadcaster.publish(event.sse_name, {**event.to_json(), "entry": answer.id})
                    writer.accept(event, number)
        finally:
            # The next event, ``entry_ended``, tells of this.
            writer.end(self.broadcaster.number + 1)

    async def _write(self, answer: Entry, reading: asyncio.Task[None]) -> None:
        """Wait for the answer's end, storing it meanwhile and then for good."""
        while not reading.done():
            await asyncio.wait((reading,), timeout=SAVE_SECONDS)
            if not reading.done():
                with contextlib.suppress(CandlewickError):  # told when the whole is stored
                    await self._save_entry(answer)
        self._approvals.clear()
        _settle(answer, reading)
        try:
            await self._save_entry(answer)
        except CandlewickError as error:
            logger.exception("an answer could not be stored")
            answer.state, answer.error = "failed", f"this answer could not be stored: {error}"
        answer.version = self.broadcaster.number + 1
        self._writing = None
        self.broadcaster.publish("entry_ended", {"entry": answer.to_json()})

    async def _approval(self, request: ApprovalRequest) -> bool:
        call_id = request.call_id
        waiting: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._approvals[call_id] = waiting
        try:
            return await waiting
        finally:
            self._approvals.pop(call_id, None)

    async def _save(self, record: SessionRecord) -> None:
        await self._database.run(lambda connection: tables.update_session(connection, record))
        self._record = record

    async def _save_entry(self, entry: Entry) -> None:
        body, text = entry.to_json(), entry.text
        await self._database.run(lambda connection: tables.save_entry(connection, self.id, 0, body, text))

    def _tell_session(self) -> None:
        self.broadcaster.publish("session", {"session": self.summary()})

    def _require_open(self) -> None:
        if self.broadcaster.is_closed:
            raise SessionNotFound(f"the session {self.id!r} was deleted")

    def _require_rest(self) -> None:
        self._require_open()
        if self._writing is not None:
            raise SessionBusy("an answer is being written in this session; stop it, or wait for its end")


def _settle(answer: Entry, reading: asyncio.Task[None]) -> None:
    """How the answer ended, as its reading tells."""
    if reading.cancelled():
        answer.state = "stopped"
    elif (error := reading.exception()) is not None:
        answer.state = "failed"
        if isinstance(error, CandlewickError):
            answer.error = str(error)
        else:
            # The text of a foreign exception may hold paths and prompts: it stays on this side.
            logger.error("an answer failed", exc_info=error)
            answer.error = "internal error; the server's log has the details"
    elif answer.state == "writing":
        answer.state = "complete"


def clean_title(text: str) -> str:
    """One line without control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def title_from(text: str) -> str:
    """A title for a conversation that begins with ``text``."""
    title = clean_title(text[: 4 * TITLE_CHARACTERS])
    if len(title) <= TITLE_CHARACTERS:
        return title
    return title[:TITLE_CHARACTERS].rsplit(" ", 1)[0] + "…"


def summary(record: SessionRecord, writing: str | None = None) -> dict[str, Any]:
    """A session in lists; ``writing`` is the entry of an answer that has not ended."""
    return {
        "id": record.id,
        "title": record.title,
        "settings": record.settings.to_json(),
        "created_at": record.created_at,
        "updated_at": record.updated_at,
        "writing": writing,
    }
