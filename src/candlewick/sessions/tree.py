"""A conversation as a tree of entries: editing a question or asking for another answer makes a branch beside it.

Owns which branch is shown. Refuses to know storage, events and models.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from candlewick.core.errors import InvalidRequestError
from candlewick.sessions.entry import Entry


class ConversationTree:
    """Entries by id, each below the one that it answers.

    The shown branch is the path from ``head`` up to its root. Conversations may have several roots: another
    version of the first question is one.
    """

    def __init__(self, entries: Iterable[Entry] = (), head: str | None = None) -> None:
        """``entries`` stand in the order in which they were added.

        Raises:
            InvalidRequestError: an entry is there twice or stands below none, or ``head`` is none of them.
        """
        self._entries: dict[str, Entry] = {}
        self._children: dict[str | None, list[str]] = {None: []}
        self.head: str | None = None
        for entry in entries:
            self.add(entry)
        if head is not None:
            self.head = self[head].id

    def add(self, entry: Entry) -> None:
        """Put an entry below its parent, and show it.

        Raises:
            InvalidRequestError: its id is taken, or its parent is unknown.
        """
        if entry.id in self._entries:
            raise InvalidRequestError(f"there are two entries {entry.id!r}", "entries")
        if entry.parent_id is not None and entry.parent_id not in self._entries:
            raise InvalidRequestError(
                f"entry {entry.id!r} stands below {entry.parent_id!r}, which is not there", "entries"
            )
        self._entries[entry.id] = entry
        self._children[entry.id] = []
        self._children[entry.parent_id].append(entry.id)
        self.head = entry.id

    def show(self, entry_id: str) -> None:
        """Show the branch through this entry, below it always the newest."""
        here = self[entry_id].id
        while self._children[here]:
            here = self._children[here][-1]
        self.head = here

    def siblings(self, entry_id: str) -> list[str]:
        """The versions of an entry, itself among them, oldest first."""
        return list(self._children[self[entry_id].parent_id])

    def path(self, last: str | None = None) -> list[Entry]:
        """The entries from a root down to ``last``, by default to the head."""
        entries = []
        here = last or self.head
        while here is not None:
            entry = self[here]
            entries.append(entry)
            here = entry.parent_id
        return entries[::-1]

    def __getitem__(self, entry_id: str) -> Entry:
        """
        Raises:
            InvalidRequestError: there is no such entry.
        """
        try:
            return self._entries[entry_id]
        except KeyError:
            raise InvalidRequestError(
                f"there is no entry {entry_id!r} in this conversation", "entry"
            ) from None

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)
