"""One turn of a conversation: the prompt that is sent to the engine, and its outputs turned into events.

Owns what sync and async have in common while an answer runs. Refuses to know how outputs are waited for.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from candlewick.chat.events import (
    Complete,
    Error,
    Event,
    FinishReason,
    ResponseToken,
    Start,
    ThinkingToken,
    TokenLogprob,
    ToolCallArguments,
    ToolCallEnd,
    ToolCallStart,
)
from candlewick.core.output_stream import Output
from candlewick.core.params import GenerationParams
from candlewick.core.tokenizer import Tokenizer
from candlewick.core.usage import Timings, Usage


class AnswerParser(Protocol):
    """Turns the tokens of one answer into events."""

    @property
    def is_thinking(self) -> bool:
        """Whether the next token is thinking, as far as is known."""

    @property
    def num_calls(self) -> int:
        """Whole calls so far."""

    def push(self, token_id: int | None, text: str) -> list[Event]:
        """The events that a token brings about; ``text`` is what it adds to the visible text."""

    def finish(self) -> list[Event]:
        """The events that the end of the answer brings about."""


@dataclass
class _Choice:
    parser: AnswerParser
    token_ids: list[int] = field(default_factory=list)
    reasoning_tokens: int = 0
    logprobs: list[TokenLogprob] = field(default_factory=list)
    """Those of tokens whose text was not told yet."""
    is_finished: bool = False
    has_called: bool = False
    """Whether its first call is whole."""


class Turn:
    """One request: ``parsers`` has one parser for each of the choices of ``params``.

    Without ``parallel_calls`` the calls after an answer's first one are not told.
    """

    def __init__(
        self,
        prompt_ids: Sequence[int],
        params: GenerationParams,
        parsers: Sequence[AnswerParser],
        tokenizer: Tokenizer,
        model_name: str,
        *,
        parallel_calls: bool = True,
    ) -> None:
        self.prompt_ids = prompt_ids
        self.params = params
        self._tokenizer = tokenizer
        self._model_name = model_name
        self._parallel_calls = parallel_calls
        self._choices = [_Choice(parser) for parser in parsers]

    def begin(self) -> list[Event]:
        """The first events."""
        answer_id = f"answer-{secrets.token_hex(12)}"
        return [Start(answer_id, self._model_name, choice=index) for index in range(len(self._choices))]

    def accept(self, output: Output) -> list[Event]:
        """The events of one output."""
        choice = self._choices[output.index]
        was_thinking = choice.parser.is_thinking
        events = choice.parser.push(output.token_id, output.text)
        if output.token_id is not None:
            choice.token_ids.append(output.token_id)
            choice.reasoning_tokens += was_thinking or choice.parser.is_thinking
        if output.finish_reason is not None:
            events += choice.parser.finish()
        if not self._parallel_calls:
            events = list(_first_call_only(events, choice))
        if self.params.logprobs is not None:
            events = list(_with_logprobs(events, choice, token_logprob(output, self._tokenizer)))
        if output.finish_reason is not None:
            events.append(self._complete(output, choice, output.finish_reason))
            choice.is_finished = True
        return events

    def fail(self, error: Exception) -> list[Event]:
        """The last events of the choices that were still running."""
        running = [index for index, choice in enumerate(self._choices) if not choice.is_finished]
        return [Error(str(error), type(error).__name__, choice=index) for index in running]

    def _complete(self, output: Output, choice: _Choice, reason: FinishReason) -> Complete:
        return Complete(
            "tool_calls" if reason == "stop" and choice.parser.num_calls else reason,
            replace(output.usage or Usage(), reasoning_tokens=choice.reasoning_tokens),
            output.timings or Timings(),
            token_ids=(*self.prompt_ids, *choice.token_ids),
            stop_string=output.stop_string,
            choice=output.index,
        )


def _first_call_only(events: list[Event], choice: _Choice) -> Iterator[Event]:
    for event in events:
        if isinstance(event, ToolCallStart | ToolCallArguments | ToolCallEnd):
            if choice.has_called:
                continue
            choice.has_called = isinstance(event, ToolCallEnd)
        yield event


def token_logprob(output: Output, tokenizer: Tokenizer) -> TokenLogprob | None:
    """The log-probability of an output's token, with the most likely ones; ``None`` if it has none."""
    if output.token_id is None or output.logprob is None:
        return None
    top = tuple(_logprob(token_id, logprob, tokenizer) for token_id, logprob in output.top_logprobs)
    return replace(_logprob(output.token_id, output.logprob, tokenizer), top=top)


def _logprob(token_id: int, logprob: float, tokenizer: Tokenizer) -> TokenLogprob:
    data = tokenizer.token_bytes(token_id)
    return TokenLogprob(data.decode("utf-8", "replace"), tuple(data), logprob)


def _with_logprobs(events: list[Event], choice: _Choice, logprob: TokenLogprob | None) -> Iterator[Event]:
    """Hand the waiting log-probabilities to the first piece of text; those of markers and calls to nobody."""
    if logprob is not None:
        choice.logprobs.append(logprob)
    for event in events:
        if isinstance(event, ThinkingToken | ResponseToken):
            yield replace(event, logprobs=tuple(choice.logprobs))
        else:
            yield event
        choice.logprobs.clear()
