"""Showing an answer while it comes: on a terminal with dim thinking, in a pipe as nothing but its text."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from rich.console import Console

from candlewick.chat.events import (
    Complete,
    Error,
    ResponseToken,
    ThinkingEnd,
    ThinkingStart,
    ThinkingToken,
    ToolCallEnd,
)
from candlewick.core.errors import EngineError
from candlewick.responses.events import (
    ConversationComplete,
    ConversationEvent,
    ServerState,
    ToolExecutionEnd,
    ToolProgress,
)
from candlewick.responses.result import ConversationResult

MOST_SHOWN_CHARS = 500
"""Of a tool's result; the model sees all of it."""

# A model may write escape sequences; a terminal would obey them.
_CONTROL_CHARACTERS = {code: None for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}


@dataclass
class Shown:
    """What an answer held, gathered while it was shown."""

    text: str = ""
    thinking: str = ""
    tool_calls: list[ToolCallEnd] = field(default_factory=list)
    complete: Complete | None = None
    result: ConversationResult | None = None
    """Of a conversation with tools."""

    def to_messages(self) -> list[dict[str, Any]]:
        """What the conversation goes on with. Calls of one that was stopped have no results: only what was said
        stays.
        """
        if self.result is not None:
            return [message.to_json() for message in self.result.messages]
        return [replace(self, tool_calls=[]).to_message()]

    def to_message(self) -> dict[str, Any]:
        """The answer as a message of the conversation."""
        message: dict[str, Any] = {"role": "assistant", "content": self.text}
        if self.thinking:
            message["reasoning_content"] = self.thinking
        if self.tool_calls:
            message["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments},
                }
                for call in self.tool_calls
            ]
        return message


class AnswerPrinter:
    """Prints events as they come.

    The answer goes to standard output. Thinking goes, dim, to the terminal; when standard output is a pipe it
    goes to standard error, so that the pipe carries the answer alone.

    Args:
        hide_thinking: print the answer only.
    """

    def __init__(self, *, hide_thinking: bool = False) -> None:
        self._answer = Console(file=sys.stdout, highlight=False)
        self._aside = self._answer if self._answer.is_terminal else Console(file=sys.stderr, highlight=False)
        self._hide_thinking = hide_thinking
        self._line_is_open: dict[Console, bool] = {}

    def show(self, events: Iterable[ConversationEvent], shown: Shown | None = None) -> Shown:
        """Print events up to their end; ``shown`` keeps what came, also when the printing is interrupted.

        Raises:
            EngineError: the answer failed midway.
        """
        shown = shown or Shown()
        try:
            for event in events:
                self._show(event, shown)
        finally:
            self._end_line(self._answer)
            self._end_line(self._aside)
        return shown

    def note(self, text: str) -> None:
        """Say something beside the answer, dim."""
        self._end_line(self._aside)
        self._write(self._aside, text + "\n", style="dim")

    def _show(self, event: ConversationEvent, shown: Shown) -> None:
        match event:
            case ThinkingStart() | ThinkingEnd() if not self._hide_thinking:
                self._end_line(self._aside)
            case ThinkingToken(text=text):
                shown.thinking += text
                if not self._hide_thinking:
                    self._write(self._aside, text, style="dim")
            case ResponseToken(text=text):
                shown.text += text
                self._write(self._answer, text)
            case ToolCallEnd(name=name, arguments=arguments):
                shown.tool_calls.append(event)
                self.note(f"→ {name}({arguments})")
            case Complete():
                shown.complete = event
            case ServerState(label=label, status="ready", tools=tools):
                self.note(f"[{label}: {len(tools)} tools]")
            case ServerState(label=label, status="failed", error=reason):
                self.note(f"[{label} failed: {reason}]")
            case ToolProgress(progress=progress, total=total, message=text):
                share = f"{progress:g}" if total is None else f"{progress:g}/{total:g}"
                self.note(f"… {share} {text or ''}".rstrip())
            case ToolExecutionEnd(call=call):
                text = call.result.for_model
                cut = f" … ({len(text)} characters)" if len(text) > MOST_SHOWN_CHARS else ""
                self.note(f"← {text[:MOST_SHOWN_CHARS]}{cut}")
            case ConversationComplete(result=result):
                shown.result = result
            case Error(message=message, error_type=error_type):
                raise EngineError(f"the answer failed: {message} ({error_type})")

    def _write(self, console: Console, text: str, style: str | None = None) -> None:
        if not text:
            return
        self._line_is_open[console] = not text.endswith("\n")
        if console.is_terminal:
            text = text.translate(_CONTROL_CHARACTERS)
            console.print(text, style=style, end="", markup=False, soft_wrap=True)
        else:
            console.file.write(text)
            console.file.flush()

    def _end_line(self, console: Console) -> None:
        if self._line_is_open.get(console):
            self._write(console, "\n")


def stats_line(complete: Complete) -> str:
    """Tokens and speed of one answer."""
    usage, timings = complete.usage, complete.timings
    speed = timings.tokens_per_second(usage.completion_tokens)
    parts = [f"prompt {usage.prompt_tokens} tokens"]
    if usage.cached_tokens:
        parts[0] += f" ({usage.cached_tokens} cached)"
    parts.append(f"answer {usage.completion_tokens} tokens")
    if usage.reasoning_tokens:
        parts[-1] += f" ({usage.reasoning_tokens} thinking)"
    if speed:
        parts.append(f"{speed:.1f} tokens/s")
    parts.append(f"first token after {timings.time_to_first_token_seconds:.2f} s")
    return " · ".join(parts)
