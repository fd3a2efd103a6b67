"""Make, follow, cancel and keep responses, for any number of owners; no HTTP.

Owns the responses that run in this process. What they are made of is ``preparation.py``, what they look like
``wire/``, where they are kept ``records/``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from candlewick.chat.llm import AsyncLLM
from candlewick.core.errors import CandlewickError, InvalidRequestError
from candlewick.responses.api.compaction import compact
from candlewick.responses.api.preparation import (
    Prepared,
    conversation_options,
    prepare,
    read_items,
    truncate,
    truncated_options,
)
from candlewick.responses.api.running import RunningResponse
from candlewick.responses.api.server_access import ServerAccess
from candlewick.responses.events import ConversationComplete
from candlewick.responses.records import Context, ConversationStore, Recording, ResponseStore, Retention
from candlewick.responses.records.response_store import LEASE_SECONDS
from candlewick.responses.result import ConversationResult
from candlewick.responses.session import ResponsesSession
from candlewick.responses.wire.items import Item
from candlewick.responses.wire.output import WireEvent
from candlewick.responses.wire.request import CompactRequest, InputFields, ResponseRequest, TokenCountRequest
from candlewick.responses.wire.response import ResponseState, settled_fields
from candlewick.responses.wire.stream import ResponseWriter
from candlewick.store import Database

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.5
"""How often a response that another process makes is looked at."""


class UsableModel(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def llm(self) -> AsyncLLM: ...


class Models(Protocol):
    """What the service needs of the server's models."""

    def using(self, name: str | None = None) -> AbstractAsyncContextManager[UsableModel]: ...


class ResponsesService:
    """Responses of all models and all owners of one process; belongs to one event loop.

    Args:
        models: what can be asked.
        database: where responses and conversations are kept; the caller closes it.
        access: which MCP servers there are, and which a request may bring.
        retention: what is forgotten.
        lease_seconds: after how long without a sign of life a process is taken for dead by others.

    Raises:
        StoreError: the database was written by a newer version. Also from every method: it fails.
    """

    def __init__(
        self,
        models: Models,
        database: Database,
        *,
        access: ServerAccess | None = None,
        retention: Retention | None = None,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        self.conversations = ConversationStore(database)
        self._models = models
        self._access = access or ServerAccess()
        self._responses = ResponseStore(database, retention, lease_seconds=lease_seconds)
        self._running: dict[str, RunningResponse] = {}

    async def create(
        self,
        request: ResponseRequest,
        owner: str,
        *,
        recent: Mapping[str, Context] | None = None,
        generates: bool = True,
    ) -> RunningResponse:
        """Begin a response; its first events are there, or in the background will be.

        Args:
            recent: what can be gone on from besides what is stored, by the ids of responses.
            generates: whether the model is asked; else there is an empty response to go on from.

        Raises:
            InvalidRequestError: the request can't be honoured; ``parameter`` names the field.
            ModelNotFoundError: it names another model. EngineError: the engine can't serve at present.
        """
        prepared = await prepare(request, owner, self._responses, self.conversations, recent)
        self._access.admit(prepared.tools)
        async with self._models.using(request.model) as model:
            name = model.name
        state = ResponseState(settled_fields(request, prepared.tools, name))
        running = RunningResponse(state, owner)
        if request.background:
            state.status = "queued"
            await self._responses.begin(state.to_json(), owner, prepared.input_items)
        maker = _Maker(self._models, self._responses, self._access, running, request, prepared, generates)
        running.task = asyncio.create_task(maker.make())
        self._running[running.id] = running
        running.task.add_done_callback(lambda task: self._forget(running, task))
        if not request.background:
            try:
                await running.begun()
            except asyncio.CancelledError:
                running.cancel()
                raise
        return running

    async def retrieve(self, response_id: str, owner: str) -> dict[str, Any]:
        """A response as it stands.

        Raises:
            NotFoundError: the owner has none of this id.
        """
        running = self._of(response_id, owner)
        if running is not None:
            return running.state.to_json()
        return (await self._responses.get(response_id, owner)).response

    async def follow(
        self, response_id: str, owner: str, starting_after: int = -1
    ) -> AsyncGenerator[WireEvent, None]:
        """The events of a response after the one with this number, as they come or as they were.

        Raises:
            NotFoundError: the owner has none of this id. InvalidRequestError: its events were not kept.
        """
        running = self._of(response_id, owner)
        if running is not None:
            async with contextlib.aclosing(running.follow(starting_after)) as events:
                async for event in events:
                    yield event
            return
        # What another process makes can be seen in the database only.
        while not (stored := await self._responses.get(response_id, owner)).is_final:  # noqa: ASYNC110
            await asyncio.sleep(POLL_SECONDS)
        if not stored.has_events:
            raise InvalidRequestError(
                f"the response {response_id!r} can't be streamed: it was not made with 'stream' or 'background', or "
                "did not come to its end",
                "stream",
            )
        for event in await self._responses.events(response_id, owner):
            if event["sequence_number"] > starting_after:
                yield event

    async def cancel(self, response_id: str, owner: str) -> dict[str, Any]:
        """Stop a background response; one that is over stays as it is.

        Raises:
            NotFoundError: the owner has none of this id. InvalidRequestError: it does not run in the background.
        """
        response = await self.retrieve(response_id, owner)
        if not response["background"]:
            raise InvalidRequestError(
                f"the response {response_id!r} does not run in the background; close its connection to stop it",
                "response_id",
            )
        running = self._of(response_id, owner)
        if running is not None:
            running.cancel()
            return await running.finished()
        if response["status"] in ("queued", "in_progress"):
            await self._responses.want_cancel(response_id, owner)
        return response

    async def delete(self, response_id: str, owner: str) -> None:
        """Stop a response and forget it.

        Raises:
            NotFoundError: the owner has none of this id.
        """
        running = self._of(response_id, owner)
        if running is not None:
            running.cancel()
            with contextlib.suppress(CandlewickError):
                await running.finished()
        await self._responses.delete(response_id, owner)

    async def input_items(self, response_id: str, owner: str) -> list[Item]:
        """The items of a response's request, the oldest first.

        Raises:
            NotFoundError: the owner has none of this id.
        """
        return await self._responses.input_items(response_id, owner)

    async def count_tokens(self, request: TokenCountRequest, owner: str) -> int:
        """Tokens of the prompt that a request stands for.

        Raises:
            InvalidRequestError: a field is wrong.
        """
        prepared = await prepare(request, owner, self._responses, self.conversations)
        messages, tools = prepared.dialogue.messages, prepared.offered_functions()
        async with self._models.using(request.model) as model:
            return await asyncio.to_thread(model.llm.count_tokens, messages, tools)

    async def compact(self, request: CompactRequest, owner: str) -> dict[str, Any]:
        """A conversation as one item that says what matters in it.

        Raises:
            InvalidRequestError: a field is wrong.
        """
        fields = InputFields(**request.model_dump(include=set(InputFields.model_fields)))
        prepared = await prepare(fields, owner, self._responses, self.conversations)
        async with self._models.using(request.model) as model:
            return await compact(model.llm, prepared)

    async def read_items(self, value: object, owner: str) -> list[Item]:
        """Items that a client gives, those that it names by reference among them.

        Raises:
            InvalidRequestError: one is malformed. NotFoundError: there is none of an id.
        """
        return await read_items(value, "items", owner, self._responses)

    async def close(self) -> None:
        """Stop all responses that run, and wait until that is on record."""
        for running in list(self._running.values()):
            running.cancel()
        tasks = [running.task for running in self._running.values() if running.task is not None]
        await asyncio.gather(*tasks, return_exceptions=True)

    def _of(self, response_id: str, owner: str) -> RunningResponse | None:
        running = self._running.get(response_id)
        return (
            running
            if running is not None and running.owner == owner and running.state.fields["store"]
            else None
        )

    def _forget(self, running: RunningResponse, task: asyncio.Task[None]) -> None:
        self._running.pop(running.id, None)
        if not task.cancelled() and task.exception() is not None:
            logger.debug("the response %s was refused: %s", running.id, task.exception())


class _Maker:
    """Makes one response: runs its conversation, and keeps what comes of it before anybody is told."""

    def __init__(
        self,
        models: Models,
        store: ResponseStore,
        access: ServerAccess,
        running: RunningResponse,
        request: ResponseRequest,
        prepared: Prepared,
        generates: bool,
    ) -> None:
        self._models = models
        self._access = access
        self._running = running
        self._request = request
        self._prepared = prepared
        self._generates = generates
        self._is_begun = False
        self._recording = (
            Recording(
                store,
                running.state,
                running.owner,
                prepared.input_items,
                keeps_events=bool(request.stream or request.background),
            )
            if request.is_stored
            else None
        )
        self._writer = ResponseWriter(
            running.state,
            has_reasoning_pieces=request.wants_reasoning_pieces,
            has_summary=request.wants_summary,
            has_sealed=request.includes("reasoning.encrypted_content"),
            listed=prepared.listed_servers,
        )

    async def make(self) -> None:
        """Run to the end of the response.

        Raises:
            CandlewickError: the request was refused before there was a response.
        """
        renewing = None
        if self._recording is not None:
            renewing = asyncio.create_task(self._recording.renew(self._cancel))
        try:
            if self._request.background:
                await self._begin()
            await (self._converse() if self._generates else self._only_prepare())
        except asyncio.CancelledError:
            if not self._running.state.is_final:  # else its end is on its way to the store
                await self._end(list(self._writer.cancel()))
            raise
        except Exception as error:
            if not self._is_begun:
                raise
            if not isinstance(error, CandlewickError):
                logger.exception("a response failed")
            await self._end(list(self._writer.fail(error)))
        finally:
            if renewing is not None:
                renewing.cancel()

    async def _converse(self) -> None:
        running, request, prepared = self._running, self._request, self._prepared
        async with self._models.using(request.model) as model:
            options = conversation_options(prepared, request, self._access)
            messages: Sequence[Any] = prepared.dialogue.messages
            if request.truncation == "auto":
                tools = prepared.offered_functions()
                limit = request.max_output_tokens
                messages = await asyncio.to_thread(truncate, model.llm, messages, tools, limit)
                options = truncated_options(options, len(messages), len(prepared.dialogue.messages))
            session = ResponsesSession(model.llm, mcp_servers=self._access.servers)
            conversation = session.stream_conversation(messages, options)
            running.stop = conversation.cancel
            if running.is_stopped:
                conversation.cancel()
            async with contextlib.aclosing(conversation):
                async for event in conversation:
                    if not self._is_begun:
                        await self._begin()
                    await self._tell(list(self._writer.write(event)))

    async def _only_prepare(self) -> None:
        await self._begin()
        nothing = ConversationResult(messages=(), stop_reason="stop", turns_taken=0)
        await self._tell(list(self._writer.write(ConversationComplete(nothing))))

    async def _begin(self) -> None:
        if self._recording is not None and not self._request.background:
            await self._recording.begin()
        self._is_begun = True
        self._running.tell(list(self._writer.begin()))

    async def _tell(self, events: list[WireEvent]) -> None:
        """Keep what is done, then tell."""
        if self._running.state.is_final:
            await self._end(events)
            return
        if self._recording is not None:
            await self._recording.put(events)
        self._running.tell(events)

    async def _end(self, events: list[WireEvent]) -> None:
        running = self._running
        if self._recording is not None:
            await self._recording.end(self._writer.token_ids, [*running.events, *events])
        items = (*self._prepared.context.items, *self._prepared.input_items, *running.state.output)
        running.context = Context(items, self._writer.token_ids or None)
        running.tell(events)

    def _cancel(self) -> None:
        """Somebody wants it cancelled, or has deleted it; before it has begun there is nothing to cancel."""
        if self._is_begun:
            self._running.cancel()
