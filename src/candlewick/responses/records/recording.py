"""One response in the store while it is made: its beginning, each item when it is done, its end, its lease.

What is told to anybody has been kept before. Refuses to know what makes the response.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from candlewick.core.errors import CandlewickError
from candlewick.responses.records.response_store import Outcome, ResponseStore
from candlewick.responses.wire.items import Item
from candlewick.responses.wire.output import WireEvent
from candlewick.responses.wire.response import ResponseState

logger = logging.getLogger(__name__)

_ITEM_DONE = "response.output_item.done"


class Recording:
    """The record of one response.

    Args:
        store: where.
        state: the response as it grows.
        owner: whose it is.
        input_items: those of its own request.
        keeps_events: whether the whole stream is kept at the end, to be followed later.

    Raises:
        StoreError: from every method but :meth:`renew`: the database fails.
    """

    def __init__(
        self,
        store: ResponseStore,
        state: ResponseState,
        owner: str,
        input_items: Sequence[Item],
        *,
        keeps_events: bool,
    ) -> None:
        self._store = store
        self._state = state
        self._owner = owner
        self._input_items = input_items
        self._keeps_events = keeps_events

    async def begin(self) -> None:
        """There is a response."""
        await self._store.begin(self._state.to_json(), self._owner, self._input_items)

    async def put(self, events: Sequence[WireEvent]) -> None:
        """Keep the items that these events tell to be done."""
        done = {event["output_index"]: event["item"] for event in events if event["type"] == _ITEM_DONE}
        if done:
            await self._store.put_output(self._state.id, done)

    async def end(self, token_ids: Sequence[int], events: Sequence[WireEvent]) -> None:
        """The response is over; ``events`` are all that there were."""
        outcome = Outcome(
            response=self._state.to_json(),
            input_items=self._input_items,
            token_ids=token_ids,
            events=events if self._keeps_events else (),
        )
        await self._store.finish(outcome)

    async def renew(self, cancel: Callable[[], None]) -> None:
        """Show for ever that this process lives; ``cancel`` is called while somebody wants the response cancelled.

        A database that fails is tried again: whoever needs it meanwhile fails by it.
        """
        while True:
            await asyncio.sleep(self._store.lease_seconds / 6)
            try:
                goes_on = await self._store.renew(self._state.id)
            except CandlewickError:
                logger.exception("the lease of %s can't be renewed", self._state.id)
                continue
            if not goes_on:
                cancel()
