"""From items to the messages that a model is told, and back; what a model says becomes items in ``stream.py``.

Owns the meaning of items. Refuses to know where they come from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from candlewick.chat.messages import Message, Role, ToolCall
from candlewick.core.errors import InvalidRequestError
from candlewick.responses.approval import ApprovalAnswer
from candlewick.responses.wire.ids import new_id
from candlewick.responses.wire.items import Item, output_text, text_of
from candlewick.responses.wire.sealed import unseal


@dataclass(frozen=True)
class Dialogue:
    """What items stand for: ``messages``, and the answers to calls that waited for somebody's word."""

    messages: tuple[Message, ...]
    approvals: Mapping[str, ApprovalAnswer]

    @property
    def num_messages_answered(self) -> int:
        """Messages up to and with the model's last answer."""
        return max(
            (index + 1 for index, message in enumerate(self.messages) if message.role == "assistant"),
            default=0,
        )


ToolNames = Callable[[str, str], str]
"""From a server's label and the name that it gives a tool to the name that the model knows."""


def to_dialogue(
    items: Iterable[Item],
    instructions: str | None = None,
    tool_names: ToolNames = lambda label, name: name,
    *,
    is_past: bool = False,
) -> Dialogue:
    """The messages of a conversation given in items.

    Items of one answer (reasoning, text, calls) become one message. A call that is waiting for an approval
    stays open at the end, for the conversation to deal with; elsewhere the model is told that it was not run. So
    does a function call whose output is still to come, where the items are only what was said until then (``is_past``).

    Raises:
        InvalidRequestError: a function call has no output, an output or an approval has no call.
    """
    reader = _Reader(tool_names)
    if instructions:
        reader.messages.append(Message(role="system", content=instructions))
    for item in items:
        reader.read(item)
    reader.finish(is_past=is_past)
    return Dialogue(tuple(reader.messages), reader.approvals)


def to_items(messages: Iterable[Message]) -> list[Item]:
    """Messages that somebody gives as items, in their normal form; a message's ``name`` has no place in them."""
    items: list[Item] = []
    for message in messages:
        text = message.content or ""
        if message.role == "tool":
            output = {"call_id": message.tool_call_id, "output": text, "status": "completed"}
            items.append(_item("function_call_output", **output))
            continue
        if message.role != "assistant":
            part = {"type": "input_text", "text": text}
            items.append(_item("message", role=message.role, content=[part], status="completed"))
            continue
        if message.reasoning:
            thought = {"type": "reasoning_text", "text": message.reasoning}
            items.append(_item("reasoning", summary=[], content=[thought], status="completed"))
        if text or not message.tool_calls:
            parts = [output_text(text)]
            items.append(_item("message", role="assistant", content=parts, status="completed"))
        for call in message.tool_calls:
            made = {"call_id": call.id, "name": call.name, "arguments": call.arguments}
            items.append(_item("function_call", **made, status="completed"))
    return items


def _item(kind: str, **fields: Any) -> Item:
    return {"id": new_id(kind), "type": kind, **fields}


@dataclass
class _Answer:
    """One answer of the model as it is gathered."""

    reasoning: list[str] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)
    results: dict[str, str] = field(default_factory=dict)
    """Of the calls, by their ids."""
    is_answered: bool = False
    """Whether the client has given results: what the model says then is another answer."""
    requests: set[str] = field(default_factory=set)
    """Ids of the calls that need an approval."""

    @property
    def is_open(self) -> bool:
        """Whether a call waits for the client's output: what the model says then, it said after the call."""
        return any(call.id not in self.results and call.id not in self.requests for call in self.calls)


class _Reader:
    def __init__(self, tool_names: ToolNames) -> None:
        self.messages: list[Message] = []
        self._tool_names = tool_names
        self._summary = ""
        self.approvals: dict[str, ApprovalAnswer] = {}
        self._answer: _Answer | None = None

    def read(self, item: Item) -> None:
        match item["type"]:
            case "message" if item["role"] == "assistant":
                answer = self._of_model(is_beginning=True)
                answer.text.append(text_of(item["content"]))
            case "message":
                self._close()
                self._tell(item["role"], text_of(item["content"]))
            case "reasoning":
                answer = self._of_model(is_beginning=True)
                answer.reasoning.append("".join(part["text"] for part in item["content"] or item["summary"]))
            case "function_call":
                self._call(item["call_id"], item)
            case "function_call_output":
                output = item["output"]
                self._result(item["call_id"], output if isinstance(output, str) else text_of(output))
                self._of_model().is_answered = True
            case "mcp_call":
                call_id = item["approval_request_id"] or item["id"]
                if self._answer is None or call_id not in self._answer.requests:
                    self._call(call_id, item)
                self._result(call_id, _mcp_result(item))
            case "mcp_approval_request":
                self._call(item["id"], item)
                self._of_model().requests.add(item["id"])
            case "mcp_approval_response":
                self._approval(item)
            case "compaction":
                self._close()
                self._summary = unseal(item["encrypted_content"], "encrypted_content")

    def finish(self, *, is_past: bool) -> None:
        self._close(is_end=True, is_past=is_past)
        if self._summary:
            self._tell("user", "")

    def _tell(self, role: Role, text: str) -> None:
        """A message that is not the model's. A summary goes before the user's words: many templates want turns."""
        if role == "user" and self._summary:
            text, self._summary = "\n\n".join(filter(None, [self._summary, text])), ""
        self.messages.append(Message(role=role, content=text))

    def _of_model(self, *, is_beginning: bool = False) -> _Answer:
        """The answer that is being gathered; reasoning and text come at the beginning of one."""
        answer = self._answer
        if answer is not None and is_beginning and (answer.text or answer.calls) and not answer.is_open:
            self._close()
        if self._answer is None:
            self._answer = _Answer()
        return self._answer

    def _call(self, call_id: str, item: Item) -> None:
        if self._answer is not None and self._answer.is_answered:
            self._close()
        label = item.get("server_label")
        name = item["name"] if label is None else self._tool_names(label, item["name"])
        self._of_model().calls.append(ToolCall(id=call_id, name=name, arguments=item["arguments"]))

    def _result(self, call_id: str, text: str) -> None:
        if self._answer is None or all(call.id != call_id for call in self._answer.calls):
            raise InvalidRequestError(
                f"no function call with call_id {call_id!r} stands before its output", "input"
            )
        self._answer.results[call_id] = text

    def _approval(self, item: Item) -> None:
        request_id = item["approval_request_id"]
        if self._answer is None or request_id not in self._answer.requests:
            raise InvalidRequestError(
                f"no open approval request {request_id!r} stands before its answer", "input"
            )
        self.approvals[request_id] = ApprovalAnswer(item["approve"], item["reason"])

    def _close(self, *, is_end: bool = False, is_past: bool = False) -> None:
        """End the answer that is being gathered."""
        answer, self._answer = self._answer, None
        if answer is None:
            return
        self.messages.append(
            Message(
                role="assistant",
                content="".join(answer.text) if answer.text or not answer.calls else None,
                tool_calls=tuple(answer.calls),
                reasoning="\n".join(answer.reasoning) or None,
            )
        )
        for call in answer.calls:
            result = answer.results.get(call.id)
            if result is None:
                if is_past:
                    continue
                if call.id not in answer.requests:
                    raise InvalidRequestError(f"the function call {call.id!r} has no output", "input")
                if is_end:
                    continue
                result = "not run: nobody approved it"
            self.messages.append(Message(role="tool", content=result, tool_call_id=call.id, name=call.name))


def _mcp_result(item: Item) -> str:
    if item["error"] is None:
        return item["output"] or ""
    return f"error: {error_text(item['error'])}"


def error_text(error: Any) -> str:
    """The words of a call's ``error``, which is text or one of the wire's error objects."""
    if isinstance(error, Mapping):
        content = error.get("message", error.get("content"))
        if isinstance(content, Sequence) and not isinstance(content, str):
            return "\n".join(part.get("text", "") for part in content if isinstance(part, Mapping))
        return str(content)
    return str(error)
