"""Conversations of a library's user in the store: as responses, which a server over the same database tells too.

Owns what a :class:`~candlewick.responses.session.ResponsesSession` with a store does before and after its loop.
Refuses to know the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

from candlewick.chat.messages import Message, Tool, parse_tools
from candlewick.responses.api.preparation import Prepared, find_context
from candlewick.responses.approval import to_answer
from candlewick.responses.conversation import Cancellation, Emit, wait_to_end
from candlewick.responses.events import ConversationComplete, ConversationEvent
from candlewick.responses.options import ConversationOptions
from candlewick.responses.records import Context, ConversationStore, Recording, ResponseStore, Retention
from candlewick.responses.result import ConversationResult
from candlewick.responses.wire.ids import PREFIXES, new_id
from candlewick.responses.wire.items import Item
from candlewick.responses.wire.messages import to_items
from candlewick.responses.wire.output import WireEvent
from candlewick.responses.wire.request import InputFields, ResponseRequest, check_metadata
from candlewick.responses.wire.response import ResponseState, settled_fields
from candlewick.responses.wire.stream import ResponseWriter
from candlewick.responses.wire.tool_definitions import ToolRequest, function_echo
from candlewick.store import Database

Loop = Callable[[Sequence[Message], ConversationOptions, Emit, Cancellation], Awaitable[None]]
"""Runs a conversation and tells its events; ends its cancellation, which stops nothing more from then on."""


class LibraryStore:
    """The stored conversations of one owner.

    Args:
        database: where; the caller closes it.
        owner: whose they are. A server without keys calls everybody ``everybody``.

    Raises:
        StoreError: the database was written by a newer version. Also from every method: it fails.
    """

    def __init__(self, database: Database, owner: str) -> None:
        self.owner = owner
        # A program's own conversations are its own to forget; a server over the same database has its limits.
        self.responses = ResponseStore(database, Retention(max_age_seconds=None, max_responses=None))
        self._conversations = ConversationStore(database)

    async def new_conversation(self, metadata: Mapping[str, str]) -> str:
        """The id of a new, empty conversation."""
        made = await self._conversations.create(self.owner, metadata, ())
        return str(made["id"])

    async def history(self, stored_id: str, tools: Sequence[Tool]) -> tuple[Message, ...]:
        """All messages up to the end of a response, or of a conversation.

        Raises:
            NotFoundError: the owner has none of this id. InvalidRequestError: the response did not come to its end.
        """
        context = await self.context(stored_id)
        return _prepared(InputFields(), tools, (), context).past().messages

    def begin(
        self, messages: Sequence[Message], options: ConversationOptions, tools: Sequence[Tool], model: str
    ) -> LibraryResponse:
        """A response that will be made; nothing has been stored yet.

        Raises:
            InvalidRequestError: there is more metadata than the protocol knows.
        """
        return LibraryResponse(self, messages, options, tools, model)

    async def context(self, stored_id: str | None) -> Context:
        """What goes on from a response or a conversation begins with."""
        is_conversation = _is_conversation(stored_id)
        return await find_context(
            None if is_conversation else stored_id,
            stored_id if is_conversation else None,
            self.owner,
            self.responses,
            self._conversations,
        )


class LibraryResponse:
    """One run of the loop as a stored response."""

    def __init__(
        self,
        store: LibraryStore,
        messages: Sequence[Message],
        options: ConversationOptions,
        tools: Sequence[Tool],
        model: str,
    ) -> None:
        self._store = store
        self._messages = messages
        self._options = options
        self._tools = (*tools, *parse_tools(options.client_tools))
        check_metadata(options.metadata)
        request = _as_request(options, model)
        self._request = request
        self._state = ResponseState(settled_fields(request, _tool_request(self._tools), model))
        self._told: list[WireEvent] = []
        self._is_begun = False

    async def run(self, loop: Loop, emit: Emit, cancellation: Cancellation) -> None:
        """Run the loop over the whole conversation, and keep each event before it is told.

        Raises:
            NotFoundError: what it goes on from is not there.
            InvalidRequestError: what it goes on from did not come to its end, or calls and results do not match.
            StoreError: the database failed; the loop has been stopped.
            Exception: as the loop does.
        """
        try:
            messages, options = await self._prepare()
        except asyncio.CancelledError:
            if not cancellation.owes_result:
                raise
            emit(
                ConversationComplete(ConversationResult(messages=(), stop_reason="cancelled", turns_taken=0))
            )
            return
        events = asyncio.Queue[ConversationEvent | None]()
        keeping = asyncio.create_task(self._keep_all(events, emit))
        # What can't be kept shall not go on.
        keeping.add_done_callback(lambda _: cancellation.ask(owes_result=False))
        watching = asyncio.create_task(self._recording.renew(lambda: self._cancel(cancellation)))
        try:
            await loop(messages, options, events.put_nowait, cancellation)
        except BaseException as error:
            await self._end(keeping, events, error)
            raise
        else:
            await self._end(keeping, events, None)
        finally:
            watching.cancel()

    async def _prepare(self) -> tuple[tuple[Message, ...], ConversationOptions]:
        """The whole conversation, and how it runs."""
        store = self._store
        context = await store.context(self._options.continues)
        items = [*_approval_items(self._options, context), *to_items(self._messages)]
        prepared = _prepared(self._request, self._tools, items, context)
        self._writer = ResponseWriter(self._state, listed=prepared.listed_servers)
        self._recording = Recording(store.responses, self._state, store.owner, items, keeps_events=True)
        dialogue, transcript = prepared.dialogue, prepared.transcript()
        if transcript is not None and self._options.keeps_thinking:
            transcript = replace(transcript, keeps_thinking=True)
        options = replace(
            self._options,
            approvals={**dialogue.approvals, **self._options.approvals},
            transcript=self._options.transcript or transcript,
        )
        return dialogue.messages, options

    async def _keep_all(self, events: asyncio.Queue[ConversationEvent | None], emit: Emit) -> None:
        while (event := await events.get()) is not None:
            if not self._is_begun:
                self._told += self._writer.begin()
                await self._recording.begin()
                self._is_begun = True
            await self._put(list(self._writer.write(event)))
            if isinstance(event, ConversationComplete):
                event = ConversationComplete(replace(event.result, response_id=self._state.id))
            emit(event)

    async def _end(
        self,
        keeping: asyncio.Task[None],
        events: asyncio.Queue[ConversationEvent | None],
        error: BaseException | None,
    ) -> None:
        """Wait until all that was told is kept, and end a response that came to no end, whoever cancels meanwhile."""
        events.put_nowait(None)
        cancelled = await wait_to_end(keeping)
        if keeping.cancelled():  # as all tasks are when a program ends
            error = error or asyncio.CancelledError()
        else:
            keeping.result()
        if error is not None and self._told and not self._state.is_final:
            last = self._writer.fail(error) if isinstance(error, Exception) else self._writer.cancel()
            await self._put(list(last))
        if cancelled is not None:
            raise cancelled

    async def _put(self, events: list[WireEvent]) -> None:
        self._told += events
        if self._state.is_final:
            await self._recording.end(self._writer.token_ids, self._told)
        else:
            await self._recording.put(events)

    def _cancel(self, cancellation: Cancellation) -> None:
        """Somebody wants it cancelled, who saw it in the store; before it is there, nobody has."""
        if self._is_begun:
            cancellation.ask(owes_result=True)


def _is_conversation(stored_id: str | None) -> bool:
    return stored_id is not None and stored_id.startswith(PREFIXES["conversation"] + "_")


def _as_request(options: ConversationOptions, model: str) -> ResponseRequest:
    """The request that would make the same response over HTTP, as far as there are fields for it.

    It counts as one in the background: no connection carries it, and who sees it in the store may cancel it.
    """
    params, stored_id = options.params, options.continues
    is_conversation = _is_conversation(stored_id)
    return ResponseRequest.model_construct(
        model=model,
        previous_response_id=None if is_conversation else stored_id,
        conversation=stored_id if is_conversation else None,
        background=True,
        max_output_tokens=params.max_tokens,
        max_tool_calls=options.max_tool_calls,
        parallel_tool_calls=options.parallel_tool_calls,
        temperature=params.temperature,
        top_p=params.top_p,
        presence_penalty=params.presence_penalty,
        frequency_penalty=params.frequency_penalty,
        metadata=dict(options.metadata),
    )


def _tool_request(tools: Sequence[Tool]) -> ToolRequest:
    return ToolRequest(functions=tuple(tools), echo=tuple(function_echo(tool) for tool in tools))


def _prepared(
    request: InputFields, tools: Sequence[Tool], items: Sequence[Item], context: Context
) -> Prepared:
    return Prepared(request, _tool_request(tools), tuple(items), context)


def _approval_items(options: ConversationOptions, context: Context) -> list[Item]:
    """The answers to those stored requests that are still open."""
    answered = {
        item["approval_request_id"] for item in context.items if item["type"] == "mcp_approval_response"
    }
    items: list[Item] = []
    for item in context.items:
        given = options.approvals.get(item["id"]) if item["type"] == "mcp_approval_request" else None
        if given is not None and item["id"] not in answered:
            answer = to_answer(given)
            items.append(
                {
                    "id": new_id("mcp_approval_response"),
                    "type": "mcp_approval_response",
                    "approval_request_id": item["id"],
                    "approve": answer.approved,
                    "reason": answer.reason,
                }
            )
    return items
