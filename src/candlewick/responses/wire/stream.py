"""From the events of a conversation to those of the wire, and to the items of the response.

A plain response is what is left when its stream is over: both come from here and can't differ. Owns the order
of events, and that every item that begins also ends. Refuses to know who reads, and what is stored.
Source: ``openai.types.responses.ResponseStreamEvent``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from candlewick.chat.events import (
    Complete,
    ResponseToken,
    ThinkingEnd,
    ThinkingStart,
    ThinkingToken,
    TokenLogprob,
    ToolCallEnd,
)
from candlewick.core.usage import Usage
from candlewick.openai.errors import error_named, error_reply
from candlewick.responses.events import (
    ApprovalAnswered,
    ApprovalRequested,
    ConversationComplete,
    ConversationEvent,
    ServerState,
    ToolExecutionEnd,
    ToolExecutionStart,
    TurnStart,
)
from candlewick.responses.result import ConversationResult
from candlewick.responses.wire.open_items import OpenItem, OpenMessage, OpenReasoning
from candlewick.responses.wire.output import Output, WireEvent
from candlewick.responses.wire.response import ResponseState, Status
from candlewick.responses.wire.tool_items import OWN_LABEL, ToolItems


class ResponseWriter:
    """Writes the events of one response.

    Args:
        state: the response, which grows with the events.
        has_reasoning_pieces: whether reasoning is told as it comes, else when it is done. OpenAI and the Open Responses
            specification have different names for the events of its pieces (``response.reasoning_text.delta`` and
            ``response.reasoning.delta``), so that they come only to those who asked; the names are OpenAI's.
        has_summary: whether reasoning items get a summary. There is no second model to write one: it is the
            reasoning itself.
        has_sealed: whether reasoning items carry ``encrypted_content``.
        listed: labels of servers whose tools were told earlier in the conversation.
        first_sequence_number: of the first event.
    """

    def __init__(
        self,
        state: ResponseState,
        *,
        has_reasoning_pieces: bool = False,
        has_summary: bool = False,
        has_sealed: bool = False,
        listed: Collection[str] = (),
        first_sequence_number: int = 0,
    ) -> None:
        self.state = state
        self.token_ids: tuple[int, ...] = ()
        """The tokens of the last answer, with its prompt."""
        self._has_reasoning_pieces = has_reasoning_pieces
        self._has_summary = has_summary
        self._has_sealed = has_sealed
        self._listed = set(listed)
        self._output = Output(state, first_sequence_number)
        self._tools = ToolItems(self._output)
        self._open: OpenItem | None = None
        self._client_tools: frozenset[str] = frozenset()
        self._blank = ""
        """Blank text at the beginning of an answer, which counts only if more follows."""
        self._blank_logprobs: list[TokenLogprob] = []

    def begin(self) -> Iterator[WireEvent]:
        """The first events: the response exists."""
        yield self._output.lifecycle("response.created")
        if self.state.status == "queued":
            yield self._output.lifecycle("response.queued")
            self.state.status = "in_progress"
        yield self._output.lifecycle("response.in_progress")

    def write(self, event: ConversationEvent) -> Iterator[WireEvent]:
        """The wire's events for one of the conversation; ``ConversationComplete`` ends the response."""
        match event:
            case ServerState(status="ready") if event.label in self._listed:
                self._listed.discard(event.label)  # a later change is told
            case ServerState(status="ready" | "failed"):
                yield from self._tools.list_tools(event)
            case TurnStart():
                self._client_tools = frozenset(tool.name for tool in event.tools if tool.kind == "client")
            case ThinkingStart():
                yield from self._begin(
                    OpenReasoning(self._has_reasoning_pieces, self._has_summary, self._has_sealed)
                )
            case ThinkingToken(text=text):
                yield from self._add(text)
            case ThinkingEnd():
                yield from self._end()
            case ResponseToken(text=text, logprobs=logprobs):
                yield from self._text(text, logprobs)
            case ToolCallEnd(id=call_id, name=name, arguments=arguments):
                yield from self._end()
                if name in self._client_tools:
                    yield from self._tools.function_call(call_id, name, arguments)
            case Complete():
                self.token_ids = event.token_ids
                yield from self._end("incomplete" if event.reason in ("length", "cancelled") else "completed")
            case ApprovalRequested(request=request):
                yield from self._tools.approval_request(request)
            case ApprovalAnswered(call_id=call_id):
                self._tools.approved.add(call_id)
            case ToolExecutionStart():
                label = event.server or OWN_LABEL
                yield from self._tools.call_begins(
                    event.call_id, label, event.own_name or event.name, event.arguments
                )
            case ToolExecutionEnd(call=call):
                yield from self._tools.call_ends(call)
            case ConversationComplete(result=result):
                yield from self._complete(result)

    def fail(self, error: Exception) -> Iterator[WireEvent]:
        """The last events of a response that an exception ended."""
        body = error_reply(error).body["error"]
        yield from self._abandon()
        self.state.error = {"code": _error_code(body["type"], body["code"]), "message": body["message"]}
        yield from self._finish("failed", "response.failed")

    def cancel(self) -> Iterator[WireEvent]:
        """The last events of a response that somebody stopped."""
        yield from self._abandon()
        yield from self._finish("cancelled", "response.incomplete")

    # Text and reasoning

    def _text(self, text: str, logprobs: tuple[TokenLogprob, ...] | None) -> Iterator[WireEvent]:
        if not isinstance(self._open, OpenMessage):
            # A line break before a call is no message; before words it is part of them.
            self._blank += text
            self._blank_logprobs += logprobs or ()
            if not self._blank.strip():
                return
            text, logprobs = self._blank, tuple(self._blank_logprobs)
            self._blank, self._blank_logprobs = "", []
            yield from self._begin(OpenMessage())
        yield from self._add(text, logprobs or ())

    def _begin(self, item: OpenItem) -> Iterator[WireEvent]:
        yield from self._end()
        self._open = item
        item.index, added = self._output.add(item.to_json("in_progress"))
        yield added
        for event in item.begin():
            yield self._of_item(item, event)

    def _add(self, text: str, logprobs: tuple[TokenLogprob, ...] = ()) -> Iterator[WireEvent]:
        if self._open is not None and text:
            for event in self._open.add(text, logprobs):
                yield self._of_item(self._open, event)

    def _end(self, status: str = "completed") -> Iterator[WireEvent]:
        self._blank, self._blank_logprobs = "", []
        item, self._open = self._open, None
        if item is None:
            return
        for event in item.end():
            yield self._of_item(item, event)
        yield self._output.done(item.index, item.to_json(status))

    def _of_item(self, item: OpenItem, event: WireEvent) -> WireEvent:
        return self._output.event(event.pop("type"), item_id=item.id, output_index=item.index, **event)

    # The end

    def _complete(self, result: ConversationResult) -> Iterator[WireEvent]:
        self.state.usage = result.usage
        match result.stop_reason:
            case "stop" | "tool_calls" | "approval":
                yield from self._end()
                yield from self._finish("completed", "response.completed")
            case "length" | "max_turns":
                yield from self._abandon()
                is_length = result.stop_reason == "length"
                self.state.incomplete_reason = "max_output_tokens" if is_length else "max_messages"
                yield from self._finish("incomplete", "response.incomplete")
            case "cancelled":
                yield from self.cancel()
            case "error":
                assert result.error is not None
                yield from self.fail(error_named(result.error.error_type, result.error.message))

    def _abandon(self) -> Iterator[WireEvent]:
        """End what is still open as incomplete."""
        yield from self._end("incomplete")
        yield from self._tools.abandon()

    def _finish(self, status: Status, event: str) -> Iterator[WireEvent]:
        self.state.usage = self.state.usage or Usage()
        self.state.finish(status)
        yield self._output.lifecycle(event)


def _error_code(kind: str, code: str | None) -> str:
    """The nearest of the codes that the protocol allows in a response."""
    known: Mapping[str, str] = {
        "rate_limit_error": "rate_limit_exceeded",
        "invalid_request_error": "invalid_prompt",
    }
    return known.get(kind, "server_error")
