"""The output of a response as it grows: its items by index, and events with their numbers.

Owns that numbers have no gaps and that an index names one item for ever. Refuses to know what items mean.
"""

from __future__ import annotations

from typing import Any

from candlewick.responses.wire.items import Item
from candlewick.responses.wire.response import ResponseState

WireEvent = dict[str, Any]


class Output:
    """Makes the events of one response, and puts items into it.

    Args:
        state: the response, which grows with the events.
        first_sequence_number: of the first event.
    """

    def __init__(self, state: ResponseState, first_sequence_number: int = 0) -> None:
        self.state = state
        self._next = first_sequence_number

    def add(self, item: Item) -> tuple[int, WireEvent]:
        """Begin an item; its index, and the event that says so."""
        self.state.output.append(item)
        index = len(self.state.output) - 1
        return index, self.event("response.output_item.added", output_index=index, item=item)

    def done(self, index: int, item: Item) -> WireEvent:
        """The item of an index as it stays."""
        self.state.output[index] = item
        return self.event("response.output_item.done", output_index=index, item=item)

    def lifecycle(self, kind: str) -> WireEvent:
        """An event with the whole response."""
        return self.event(kind, response=self.state.to_json())

    def event(self, kind: str, **fields: Any) -> WireEvent:
        """An event with the next number."""
        number, self._next = self._next, self._next + 1
        return {"type": kind, "sequence_number": number, **fields}
