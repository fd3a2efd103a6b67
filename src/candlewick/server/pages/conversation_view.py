"""A session as a page shows it: a tree of keyed pieces of HTML, and what of it is new since an event.

There is one view of a session, whoever looks. A page that has seen event N asks for what changed since N, however
long ago that was: pages can be slow, sleep or come back, and no token is rendered twice.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from candlewick.server.pages.markdown import StreamedMarkdown
from candlewick.server.pages.templates import Templates
from candlewick.sessions import Entry, Session, TextPart, ThinkingPart, ToolPart

SAID_CHARACTERS = 6_000
"""Of what a person said, this much is shown at once."""
EDIT_CHARACTERS = 50_000
"""Fields with more text than this are too slow to write in."""
PIECE_CHARACTERS = 8_000
"""Browsers skip pieces that are out of sight, so they should be neither large nor many."""
THREAD_CHARACTERS = 2_000
"""More new text than this is rendered outside of the event loop."""


@dataclass(frozen=True)
class Node:
    """A piece of HTML that is replaced as a whole when it changes.

    ``children`` go into its slot and change by themselves; a node that can have some is made once and stays.
    """

    key: str
    html: str
    version: int
    children: tuple[Node, ...] | None = None
    inner: tuple[Node, ...] = ()
    """Pieces inside ``html``, with places of their own."""

    def to_html(self) -> str:
        """With all that is in it, for a page's first look."""
        inside = "".join(child.to_html() for child in self.children or ())
        return self.html.replace(SLOT, inside, 1)


SLOT = "<!--slot-->"


@dataclass
class Patch:
    """``slots`` are the keys of children by the key of what they are in; ``html`` what is new, by key."""

    number: int
    slots: dict[str, list[str]] = field(default_factory=dict)
    html: dict[str, str] = field(default_factory=dict)


@dataclass(eq=False)
class _Texts:
    """What all looks at one session share: its texts as HTML, by the key of the part, and its finished entries."""

    by_key: dict[str, StreamedMarkdown] = field(default_factory=dict)
    finished: dict[str, tuple[tuple[object, ...], Node]] = field(default_factory=dict)
    """Entries that nobody writes any more, each with what it was made of, by their ids."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class ConversationViews:
    """The views of sessions; forgets a session's HTML when nobody uses the session any more."""

    def __init__(self, templates: Templates) -> None:
        self._templates = templates
        self._texts: WeakKeyDictionary[Session, _Texts] = WeakKeyDictionary()

    def of(self, session: Session) -> ConversationView:
        return ConversationView(session, self._templates, self._texts.setdefault(session, _Texts()))


class ConversationView:
    """One look at a session."""

    def __init__(self, session: Session, templates: Templates, texts: _Texts) -> None:
        self._session = session
        self._templates = templates
        self._texts = texts

    async def nodes(self) -> tuple[int, list[Node]]:
        """The shown branch, and the number of the event as of which it is."""
        async with self._texts.lock:
            while True:
                number = self._session.broadcaster.number
                await self._render_texts(number)
                # An answer may have ended meanwhile: what is finished must be shown, and kept, to its end.
                is_current = self._session.broadcaster.number == number
                if is_current or all(entry.state == "writing" for entry, *_ in self._unrendered()):
                    return number, [self._entry(entry) for entry in self._session.tree.path()]

    async def patch(self, since: int | None) -> Patch:
        """What a page lacks that has seen the events up to ``since``; ``None``: everything."""
        number, nodes = await self.nodes()
        patch = Patch(number)
        if since is None or since < self._session.shown_at or since > number:
            since = -1
        patch.slots[ROOT] = [node.key for node in nodes]
        for node in nodes:
            _collect(node, since, patch)
        return patch

    def _unrendered(self) -> Iterator[tuple[Entry, StreamedMarkdown, str, bool]]:
        """Texts of answers whose HTML is behind: the entry, the HTML, the text, and whether it grows."""
        for entry in self._session.tree.path():
            for part in entry.parts:
                if isinstance(part, TextPart | ThinkingPart) and entry.role == "assistant":
                    text = self._texts.by_key.setdefault(f"{entry.id}.p{part.id}", StreamedMarkdown())
                    grows = entry.state == "writing" and part is entry.parts[-1]
                    if text.length != len(part.text) or text.grows != grows:
                        yield entry, text, part.text, grows

    async def _render_texts(self, number: int) -> None:
        work = list(self._unrendered())

        def render() -> None:
            for _, text, source, grows in work:
                text.update(source, number, grows=grows)

        if sum(len(source) - text.length for _, text, source, _ in work) > THREAD_CHARACTERS:
            await asyncio.to_thread(render)
        else:
            render()

    def _entry(self, entry: Entry) -> Node:
        siblings = self._session.tree.siblings(entry.id)
        if entry.state == "writing":
            return self._make_entry(entry, siblings)
        # Long conversations must not be made anew for every token of their last answer.
        made_of = (entry.version, *siblings, *(part.version for part in entry.parts))
        known = self._texts.finished.get(entry.id)
        if known is None or known[0] != made_of:
            known = self._texts.finished[entry.id] = made_of, self._make_entry(entry, siblings)
        return known[1]

    def _make_entry(self, entry: Entry, siblings: list[str]) -> Node:
        position = siblings.index(entry.id)
        foot = self._templates.render(
            "partials/foot.html",
            entry=entry.to_json(),
            live=entry.state == "writing",
            may_edit=len(entry.text) <= EDIT_CHARACTERS,
            position=position + 1,
            versions=len(siblings),
            before=siblings[position - 1] if position else None,
            after=siblings[position + 1] if position + 1 < len(siblings) else None,
        )
        parts = [self._part(entry, part) for part in entry.parts]
        return Node(
            key=entry.id,
            html=self._templates.render("partials/entry.html", entry=entry.to_json()),
            version=0,
            children=(*parts, Node(f"{entry.id}.foot", foot, entry.version)),
        )

    def _part(self, entry: Entry, part: TextPart | ThinkingPart | ToolPart) -> Node:
        key = f"{entry.id}.p{part.id}"
        match part:
            case TextPart() if entry.role == "user":
                pieces = list(_pieces(part.text))
                html = self._templates.render(
                    "partials/said.html", key=key, pieces=pieces, length=len(part.text)
                )
                return Node(key, html, part.version)
            case TextPart():
                html = self._templates.render("partials/text.html", key=key)
                return Node(key, html, part.version, self._blocks(key))
            case ThinkingPart():
                summary = self._templates.render(
                    "partials/thinking_summary.html",
                    key=f"{key}.summary",
                    seconds=part.seconds,
                    elapsed=time.monotonic() - part.began,
                )
                html = self._templates.render("partials/thinking.html", key=key, summary=summary)
                inner = (Node(f"{key}.summary", summary, part.version if part.seconds is not None else 0),)
                return Node(key, html, part.version, self._blocks(key), inner)
            case ToolPart():
                html = self._templates.render("partials/tool.html", key=key, entry=entry.id, tool=vars(part))
                return Node(key, html, part.version)

    def _blocks(self, key: str) -> tuple[Node, ...]:
        text = self._texts.by_key.get(key)
        return tuple(
            Node(f"{key}.b{number}", f'<div id="{key}.b{number}">{block.html}</div>', block.version)
            for number, block in enumerate(text.blocks if text else ())
        )


def _pieces(text: str) -> Iterator[str]:
    """The text, cut at line ends where there are any: the start, then all the rest."""
    begin, most = 0, SAID_CHARACTERS
    while len(text) - begin > most:
        end = text.rfind("\n", begin, begin + most) + 1 or begin + most
        yield text[begin:end]
        begin, most = end, PIECE_CHARACTERS
    yield text[begin:]


ROOT = "conversation"


def _collect(node: Node, since: int, patch: Patch) -> None:
    """Into ``patch``: what of a node is new; a node with children whenever anything in it is."""
    if node.children is None:
        if node.version > since:
            patch.html[node.key] = node.html
        return
    if _newest(node) <= since:
        return
    patch.slots[node.key] = [child.key for child in node.children]
    patch.html[node.key] = node.html
    for child in (*node.inner, *node.children):
        _collect(child, since, patch)


def _newest(node: Node) -> int:
    return max((node.version, *(_newest(child) for child in (*node.inner, *(node.children or ())))))
