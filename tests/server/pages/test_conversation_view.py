"""What a page is told of a session that changes while its text is being rendered."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

pytest.importorskip("pygments", reason="needs the server extra")

from candlewick.server.pages.conversation_view import ConversationViews
from candlewick.server.pages.templates import Templates
from candlewick.sessions import Entry, Session, TextPart
from candlewick.sessions.broadcaster import Broadcaster

LONG = "word " * 1000
"""So much is rendered in a thread, and the event loop goes on."""


async def test_an_answer_that_ends_while_it_is_rendered_is_shown_to_its_end(monkeypatch):
    entry = Entry(parent_id=None, role="assistant", state="writing", parts=[TextPart(id=0)])
    text = entry.parts[0]
    assert isinstance(text, TextPart)
    broadcaster = Broadcaster()

    class OneEntry:
        """What the view asks a session for."""

        shown_at = 0
        tree = SimpleNamespace(path=lambda: [entry], siblings=lambda id: [entry.id])

        def __init__(self) -> None:
            self.broadcaster = broadcaster

    session = OneEntry()  # held here, since views forget sessions that nobody holds
    view = ConversationViews(Templates()).of(cast(Session, session))

    def write(more: str, state: Any = "writing") -> None:
        text.text += more
        entry.state = state
        entry.version = text.version = broadcaster.publish("text", {})

    write(LONG)
    in_a_thread = asyncio.to_thread

    async def ends_meanwhile(render: Any) -> None:
        await in_a_thread(render)
        if entry.state == "writing":
            write("the end", "complete")

    monkeypatch.setattr(asyncio, "to_thread", ends_meanwhile)
    first = await view.patch(None)
    assert any("the end" in html for html in first.html.values())
    assert first.number == broadcaster.number
    again = await view.patch(None)
    assert any("the end" in html for html in again.html.values())
