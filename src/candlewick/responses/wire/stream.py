"""From the events of a conversation to those of the wire, and to the items of the response.

A plain response is what is left when its stream is over: both come from here and can't differ. Owns the order
of events, their sequence numbers, and that every item that begins also ends. Refuses to know who reads, and
what is stored.
Source: ``openai.types.responses.ResponseStreamEvent``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

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
from candlewick.responses.approval import ApprovalRequest
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
from candlewick.responses.result import ConversationResult, ExecutedCall
from candlewick.responses.wire.ids import new_id
from candlewick.responses.wire.items import Item, output_text
from candlewick.responses.wire.response import ResponseState, Status
from candlewick.responses.wire.sealed import seal

WireEvent = dict[str, Any]

OWN_LABEL = "candlewick"
"""The ``server_label`` of calls to tools of no MCP server: the server's own functions, and names that nobody has."""


class ResponseWriter:
    """Writes the events of one response.

    Args:
        state: the response, which grows with the events.
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
        has_summary: bool = False,
        has_sealed: bool = False,
        listed: Collection[str] = (),
        first_sequence_number: int = 0,
    ) -> None:
        self.state = state
        self.token_ids: tuple[int, ...] = ()
        """The tokens of the last answer, with its prompt."""
        self._has_summary = has_summary
        self._has_sealed = has_sealed
        self._listed = set(listed)
        self._next = first_sequence_number
        self._open: _OpenItem | None = None
        self._client_tools: frozenset[str] = frozenset()
        self._calls: dict[str, tuple[int, Item]] = {}
        """Items of calls that run, with their index, by call id."""
        self._approvals: set[str] = set()
        """Calls that had to be approved."""
        self._blank = ""
        """Blank text at the beginning of an answer, which counts only if more follows."""
        self._blank_logprobs: list[TokenLogprob] = []

    def begin(self) -> Iterator[WireEvent]:
        """The first events: the response exists."""
        yield self._lifecycle("response.created")
        if self.state.status == "queued":
            yield self._lifecycle("response.queued")
            self.state.status = "in_progress"
        yield self._lifecycle("response.in_progress")

    def write(self, event: ConversationEvent) -> Iterator[WireEvent]:
        """The wire's events for one of the conversation; ``ConversationComplete`` ends the response."""
        match event:
            case ServerState(status="ready") if event.label in self._listed:
                self._listed.discard(event.label)  # a later change is told
            case ServerState(status="ready" | "failed"):
                yield from self._server(event)
            case TurnStart():
                self._client_tools = frozenset(tool.name for tool in event.tools if tool.kind == "client")
            case ThinkingStart():
                yield from self._begin(_OpenReasoning(self._has_summary, self._has_sealed))
            case ThinkingToken(text=text):
                yield from self._add(text)
            case ThinkingEnd():
                yield from self._end()
            case ResponseToken(text=text, logprobs=logprobs):
                yield from self._text(text, logprobs)
            case ToolCallEnd(id=call_id, name=name, arguments=arguments):
                yield from self._end()
                if name in self._client_tools:
                    yield from self._function_call(call_id, name, arguments)
            case Complete():
                self.token_ids = event.token_ids
                yield from self._end("incomplete" if event.reason in ("length", "cancelled") else "completed")
            case ApprovalRequested(request=request):
                yield from self._approval_request(request)
            case ApprovalAnswered(call_id=call_id):
                self._approvals.add(call_id)
            case ToolExecutionStart():
                label = event.server or OWN_LABEL
                yield from self._call_begins(
                    event.call_id, label, event.own_name or event.name, event.arguments
                )
            case ToolExecutionEnd(call=call):
                yield from self._call_ends(call)
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
        if not isinstance(self._open, _OpenMessage):
            # A line break before a call is no message; before words it is part of them.
            self._blank += text
            self._blank_logprobs += logprobs or ()
            if not self._blank.strip():
                return
            text, logprobs = self._blank, tuple(self._blank_logprobs)
            self._blank, self._blank_logprobs = "", []
            yield from self._begin(_OpenMessage())
        yield from self._add(text, logprobs or ())

    def _begin(self, item: _OpenItem) -> Iterator[WireEvent]:
        yield from self._end()
        self._open = item
        item.index = self._added(item.to_json("in_progress"))
        yield self._event(
            "response.output_item.added", output_index=item.index, item=item.to_json("in_progress")
        )
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
        yield self._item_done(item.index, item.to_json(status))

    def _of_item(self, item: _OpenItem, event: WireEvent) -> WireEvent:
        return self._event(event.pop("type"), item_id=item.id, output_index=item.index, **event)

    # Calls

    def _function_call(self, call_id: str, name: str, arguments: str) -> Iterator[WireEvent]:
        """A call that the client runs. It is told when it is whole: half a call must not look like one."""
        item: Item = {
            "id": new_id("function_call"),
            "type": "function_call",
            "call_id": call_id,
            "name": name,
            "arguments": "",
            "status": "in_progress",
        }
        index = self._added(item)
        yield self._event("response.output_item.added", output_index=index, item=item)
        yield from self._arguments("function_call", item["id"], index, arguments)
        yield self._item_done(index, {**item, "arguments": arguments, "status": "completed"})

    def _arguments(self, kind: str, item_id: str, index: int, arguments: str) -> Iterator[WireEvent]:
        place = {"item_id": item_id, "output_index": index}
        yield self._event(f"response.{kind}_arguments.delta", **place, delta=arguments)
        yield self._event(f"response.{kind}_arguments.done", **place, arguments=arguments)

    def _call_begins(self, call_id: str, label: str, name: str, arguments: str) -> Iterator[WireEvent]:
        item: Item = {
            "id": new_id("mcp_call"),
            "type": "mcp_call",
            "server_label": label,
            "name": name,
            "arguments": "",
            "output": None,
            "error": None,
            "approval_request_id": call_id if call_id in self._approvals else None,
            "status": "in_progress",
        }
        index = self._added(item)
        place = {"item_id": item["id"], "output_index": index}
        yield self._event("response.output_item.added", output_index=index, item=item)
        yield self._event("response.mcp_call.in_progress", **place)
        yield from self._arguments("mcp_call", item["id"], index, arguments)
        self._calls[call_id] = (index, {**item, "arguments": arguments})

    def _call_ends(self, call: ExecutedCall) -> Iterator[WireEvent]:
        if call.call_id not in self._calls:
            label = call.server or OWN_LABEL
            yield from self._call_begins(call.call_id, label, call.own_name or call.name, call.arguments)
        index, item = self._calls.pop(call.call_id)
        text = call.result.text
        if call.status == "completed":
            item |= {"output": text, "status": "completed"}
        else:
            content = [{"type": "text", "text": text}]
            item |= {"error": {"type": "mcp_tool_execution_error", "content": content}, "status": "failed"}
        yield self._event(f"response.mcp_call.{item['status']}", item_id=item["id"], output_index=index)
        yield self._item_done(index, item)

    def _approval_request(self, request: ApprovalRequest) -> Iterator[WireEvent]:
        item: Item = {
            "id": request.call_id,
            "type": "mcp_approval_request",
            "server_label": request.server or OWN_LABEL,
            "name": request.own_name or request.name,
            "arguments": request.arguments,
        }
        index = self._added(item)
        yield self._event("response.output_item.added", output_index=index, item=item)
        yield self._item_done(index, item)

    def _server(self, state: ServerState) -> Iterator[WireEvent]:
        item: Item = {
            "id": new_id("mcp_list_tools"),
            "type": "mcp_list_tools",
            "server_label": state.label,
            "tools": [],
            "error": None,
        }
        index = self._added(item)
        place = {"item_id": item["id"], "output_index": index}
        yield self._event("response.output_item.added", output_index=index, item=item)
        yield self._event("response.mcp_list_tools.in_progress", **place)
        if state.status == "ready":
            tools = [
                {
                    "name": tool.name,
                    "description": tool.description,
                    "input_schema": dict(tool.parameters),
                    "annotations": None,
                }
                for tool in state.tools
            ]
            yield self._event("response.mcp_list_tools.completed", **place)
            yield self._item_done(index, {**item, "tools": tools})
        else:
            yield self._event("response.mcp_list_tools.failed", **place)
            yield self._item_done(index, {**item, "error": state.error or "the server can't be reached"})

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
        for index, item in self._calls.values():
            yield self._event("response.mcp_call.failed", item_id=item["id"], output_index=index)
            error = {"type": "mcp_tool_execution_error", "content": [{"type": "text", "text": "stopped"}]}
            yield self._item_done(index, {**item, "error": error, "status": "failed"})
        self._calls.clear()

    def _finish(self, status: Status, event: str) -> Iterator[WireEvent]:
        self.state.usage = self.state.usage or Usage()
        self.state.finish(status)
        yield self._lifecycle(event)

    # Numbers

    def _added(self, item: Item) -> int:
        self.state.output.append(item)
        return len(self.state.output) - 1

    def _item_done(self, index: int, item: Item) -> WireEvent:
        self.state.output[index] = item
        return self._event("response.output_item.done", output_index=index, item=item)

    def _lifecycle(self, kind: str) -> WireEvent:
        return self._event(kind, response=self.state.to_json())

    def _event(self, kind: str, **fields: Any) -> WireEvent:
        number, self._next = self._next, self._next + 1
        return {"type": kind, "sequence_number": number, **fields}


class _OpenItem:
    """An item of text that grows. Its events lack what the writer adds: number, index and item id."""

    kind: str

    def __init__(self) -> None:
        self.id = new_id(self.kind)
        self.index = -1
        self.text: list[str] = []

    def begin(self) -> Iterator[WireEvent]:
        raise NotImplementedError

    def add(self, text: str, logprobs: tuple[TokenLogprob, ...]) -> Iterator[WireEvent]:
        raise NotImplementedError

    def end(self) -> Iterator[WireEvent]:
        raise NotImplementedError

    def to_json(self, status: str) -> Item:
        raise NotImplementedError


class _OpenMessage(_OpenItem):
    kind = "message"

    def __init__(self) -> None:
        super().__init__()
        self._logprobs: list[dict[str, Any]] = []

    def begin(self) -> Iterator[WireEvent]:
        yield {"type": "response.content_part.added", "content_index": 0, "part": output_text("")}

    def add(self, text: str, logprobs: tuple[TokenLogprob, ...]) -> Iterator[WireEvent]:
        self.text.append(text)
        new = [_logprob(token) for token in logprobs]
        self._logprobs += new
        yield {"type": "response.output_text.delta", "content_index": 0, "delta": text, "logprobs": new}

    def end(self) -> Iterator[WireEvent]:
        text = "".join(self.text)
        yield {
            "type": "response.output_text.done",
            "content_index": 0,
            "text": text,
            "logprobs": self._logprobs,
        }
        yield {"type": "response.content_part.done", "content_index": 0, "part": self._part()}

    def to_json(self, status: str) -> Item:
        return {
            "id": self.id,
            "type": "message",
            "role": "assistant",
            "status": status,
            "content": [] if status == "in_progress" else [self._part()],
        }

    def _part(self) -> dict[str, Any]:
        return output_text("".join(self.text), self._logprobs)


class _OpenReasoning(_OpenItem):
    kind = "reasoning"

    def __init__(self, has_summary: bool, has_sealed: bool) -> None:
        super().__init__()
        self._has_summary = has_summary
        self._has_sealed = has_sealed

    def begin(self) -> Iterator[WireEvent]:
        yield {"type": "response.content_part.added", "content_index": 0, "part": self._part("")}
        if self._has_summary:
            part = {"type": "summary_text", "text": ""}
            yield {"type": "response.reasoning_summary_part.added", "summary_index": 0, "part": part}

    def add(self, text: str, logprobs: tuple[TokenLogprob, ...]) -> Iterator[WireEvent]:
        self.text.append(text)
        yield {"type": "response.reasoning_text.delta", "content_index": 0, "delta": text}
        if self._has_summary:
            yield {"type": "response.reasoning_summary_text.delta", "summary_index": 0, "delta": text}

    def end(self) -> Iterator[WireEvent]:
        text = "".join(self.text)
        yield {"type": "response.reasoning_text.done", "content_index": 0, "text": text}
        yield {"type": "response.content_part.done", "content_index": 0, "part": self._part(text)}
        if self._has_summary:
            part = {"type": "summary_text", "text": text}
            yield {"type": "response.reasoning_summary_text.done", "summary_index": 0, "text": text}
            yield {"type": "response.reasoning_summary_part.done", "summary_index": 0, "part": part}

    def to_json(self, status: str) -> Item:
        text = "".join(self.text)
        is_told = status != "in_progress"
        return {
            "id": self.id,
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": text}] if is_told and self._has_summary else [],
            "content": [self._part(text)] if is_told else [],
            "encrypted_content": seal(text) if is_told and self._has_sealed else None,
            "status": status,
        }

    @staticmethod
    def _part(text: str) -> dict[str, str]:
        return {"type": "reasoning_text", "text": text}


def _logprob(token: TokenLogprob) -> dict[str, Any]:
    told: dict[str, Any] = {"token": token.text, "logprob": token.logprob, "bytes": list(token.bytes)}
    others = [{"token": top.text, "logprob": top.logprob, "bytes": list(top.bytes)} for top in token.top]
    return {**told, "top_logprobs": others}


def _error_code(kind: str, code: str | None) -> str:
    """The nearest of the codes that the protocol allows in a response."""
    known: Mapping[str, str] = {
        "rate_limit_error": "rate_limit_exceeded",
        "invalid_request_error": "invalid_prompt",
    }
    return known.get(kind, "server_error")
