"""From typed events to the wire: chunks for a stream, one object for a plain answer.

Both readers take the same events, so that a streamed and a plain answer can't differ. Knows no HTTP and no
engine.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from candlewick.chat.events import (
    Complete,
    Event,
    ResponseToken,
    ThinkingToken,
    TokenLogprob,
    ToolCallArguments,
    ToolCallEnd,
    ToolCallStart,
)
from candlewick.core.errors import EngineClosed
from candlewick.core.usage import Usage
from candlewick.openai.types import (
    AssistantMessage,
    ChatCompletion,
    ChatCompletionChunk,
    Choice,
    ChoiceLogprobs,
    ChunkChoice,
    CompletionUsage,
    Delta,
    FinishReason,
    PromptTokensDetails,
    ToolCall,
    TopLogprob,
)
from candlewick.openai.types import TokenLogprob as TokenLogprobWire


@dataclass(frozen=True)
class Heading:
    """What every object of one answer repeats."""

    model: str
    system_fingerprint: str
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid.uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))


class UsageSum:
    """Token counts over the choices of one request."""

    def __init__(self) -> None:
        self._choices: list[Usage] = []

    def add(self, usage: Usage) -> None:
        self._choices.append(usage)

    def to_wire(self) -> CompletionUsage:
        """The prompt counts once, however many answers it has; cached is what the first of them found."""
        return self.total([self])

    @staticmethod
    def total(requests: Iterable[UsageSum]) -> CompletionUsage:
        """The usage of several prompts with all of their choices."""
        prompt = completion = cached = reasoning = truncated = 0
        for request in requests:
            choices = request._choices
            prompt += max((usage.prompt_tokens for usage in choices), default=0)
            completion += sum(usage.completion_tokens for usage in choices)
            cached += min((usage.cached_tokens for usage in choices), default=0)
            reasoning += sum(usage.reasoning_tokens for usage in choices)
            truncated += max((usage.truncated_tokens for usage in choices), default=0)
        details: PromptTokensDetails = {"cached_tokens": cached}
        if truncated:
            details["truncated_tokens"] = truncated
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": details,
            "completion_tokens_details": {"reasoning_tokens": reasoning},
        }


class ChunkWriter:
    """Renders the events of one answer as chunks.

    A call's arguments are told as they come. One that turns out malformed, or is cut off, can't be taken
    back: its arguments stay unfinished, its text follows as content, and no later call has its index.
    """

    def __init__(self, heading: Heading, *, include_usage: bool) -> None:
        self._heading = heading
        self._include_usage = include_usage
        self._begun: set[int] = set()
        self._usage = UsageSum()

    def write(self, event: Event) -> Iterator[ChatCompletionChunk]:
        """The chunks that say what ``event`` adds; often one, sometimes none."""
        if event.choice not in self._begun:
            self._begun.add(event.choice)
            yield self._chunk(event.choice, {"role": "assistant", "content": ""})
        match event:
            case ResponseToken(text=text, logprobs=logprobs):
                yield self._chunk(event.choice, {"content": text}, logprobs=_logprobs(logprobs))
            case ThinkingToken(text=text):
                yield self._chunk(event.choice, {"reasoning_content": text, "reasoning": text})
            case ToolCallStart(index=index, id=id, name=name):
                yield self._chunk(
                    event.choice,
                    {
                        "tool_calls": [
                            {
                                "index": index,
                                "id": id,
                                "type": "function",
                                "function": {"name": name, "arguments": ""},
                            }
                        ]
                    },
                )
            case ToolCallArguments(index=index, text=text):
                yield self._chunk(
                    event.choice, {"tool_calls": [{"index": index, "function": {"arguments": text}}]}
                )
            case Complete(usage=usage):
                self._usage.add(usage)
                yield self._chunk(event.choice, {}, reason=finish_reason(event))

    def close(self) -> Iterator[ChatCompletionChunk]:
        """The chunk after the last event, if the client asked for one."""
        if self._include_usage:
            yield self._envelope([], self._usage.to_wire())

    def _chunk(
        self,
        index: int,
        delta: Delta,
        *,
        logprobs: ChoiceLogprobs | None = None,
        reason: FinishReason | None = None,
    ) -> ChatCompletionChunk:
        return self._envelope(
            [{"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": reason}], None
        )

    def _envelope(self, choices: list[ChunkChoice], usage: CompletionUsage | None) -> ChatCompletionChunk:
        chunk: ChatCompletionChunk = {
            "id": self._heading.id,
            "object": "chat.completion.chunk",
            "created": self._heading.created,
            "model": self._heading.model,
            "system_fingerprint": self._heading.system_fingerprint,
            "choices": choices,
        }
        if self._include_usage:
            chunk["usage"] = usage
        return chunk


@dataclass
class _Answer:
    """One choice as it grows."""

    text: list[str] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    thinking: list[str] = field(default_factory=list)
    tool_calls: list[ToolCall] = field(default_factory=list)
    reason: FinishReason | None = None

    def to_wire(self, index: int) -> Choice:
        message: AssistantMessage = {
            "role": "assistant",
            "content": "".join(self.text) if self.text or not self.tool_calls else None,
            "refusal": None,
        }
        if self.tool_calls:
            message["tool_calls"] = self.tool_calls
        if self.thinking:
            message["reasoning_content"] = message["reasoning"] = "".join(self.thinking)
        assert self.reason is not None, "an answer ends with Complete"
        return {
            "index": index,
            "message": message,
            "logprobs": _logprobs(self.logprobs or None),
            "finish_reason": self.reason,
        }


class CompletionBuilder:
    """Gathers the events of one answer into a plain completion."""

    def __init__(self, heading: Heading) -> None:
        self._heading = heading
        self._answers: dict[int, _Answer] = {}
        self._usage = UsageSum()

    def add(self, event: Event) -> None:
        answer = self._answers.setdefault(event.choice, _Answer())
        match event:
            case ResponseToken(text=text, logprobs=logprobs):
                answer.text.append(text)
                answer.logprobs.extend(logprobs or ())
            case ThinkingToken(text=text):
                answer.thinking.append(text)
            case ToolCallEnd(id=id, name=name, arguments=arguments):
                answer.tool_calls.append(
                    {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}
                )
            case Complete(usage=usage):
                self._usage.add(usage)
                answer.reason = finish_reason(event)

    def result(self) -> ChatCompletion:
        return {
            "id": self._heading.id,
            "object": "chat.completion",
            "created": self._heading.created,
            "model": self._heading.model,
            "system_fingerprint": self._heading.system_fingerprint,
            "choices": [answer.to_wire(index) for index, answer in sorted(self._answers.items())],
            "usage": self._usage.to_wire(),
        }


def finish_reason(event: Complete) -> FinishReason:
    """Why the answer ended, in the protocol's words.

    Raises:
        EngineClosed: somebody other than the client cancelled it; the protocol has no word for half an
        answer.
    """
    if event.reason == "cancelled":
        raise EngineClosed("the answer was cancelled before it was complete; send the request again")
    return event.reason


def _logprobs(tokens: Sequence[TokenLogprob] | None) -> ChoiceLogprobs | None:
    if tokens is None:
        return None
    content: list[TokenLogprobWire] = [
        {**_logprob(token), "top_logprobs": [_logprob(other) for other in token.top]} for token in tokens
    ]
    return {"content": content, "refusal": None}


def _logprob(token: TokenLogprob) -> TopLogprob:
    return {"token": token.text, "logprob": token.logprob, "bytes": list(token.bytes)}
