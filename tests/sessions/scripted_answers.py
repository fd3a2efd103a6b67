"""Answers from a script, at a pace that the test sets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field

from candlewick.chat.events import (
    Complete,
    Event,
    ResponseToken,
    Start,
    ThinkingEnd,
    ThinkingStart,
    ThinkingToken,
)
from candlewick.chat.messages import Message
from candlewick.core.usage import Timings, Usage
from candlewick.sessions import Approve, SessionSettings, ToolNews


class Hold:
    """The model thinks until somebody lets it go on."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.go_on = asyncio.Event()


@dataclass(frozen=True)
class Ask:
    """The answer waits for a word on this call, and then tells it."""

    call_id: str


Step = Event | ToolNews | Hold | Ask | Exception


def text(*pieces: str) -> list[Step]:
    return [
        Start("a1", "scripted"),
        *(ResponseToken(piece) for piece in pieces),
        Complete("stop", Usage(7, len(pieces)), Timings(decode_seconds=1.0)),
    ]


def thinking(thought: str, *pieces: str) -> list[Step]:
    begin, *rest = text(*pieces)
    return [begin, ThinkingStart(), ThinkingToken(thought), ThinkingEnd(), *rest]


@dataclass
class ScriptedAnswers:
    """``script(messages)`` gives the steps of each answer."""

    script: Callable[[Sequence[Message]], Sequence[Step]]
    asked: list[list[Message]] = field(default_factory=list)
    settings: list[SessionSettings] = field(default_factory=list)
    closed: int = 0

    async def __call__(
        self, messages: Sequence[Message], settings: SessionSettings, approve: Approve
    ) -> AsyncGenerator[Event | ToolNews, None]:
        self.asked.append(list(messages))
        self.settings.append(settings)
        try:
            for step in self.script(messages):
                if isinstance(step, Hold):
                    step.reached.set()
                    await step.go_on.wait()
                elif isinstance(step, Ask):
                    yield ToolNews(step.call_id, state="asking")
                    approved = await approve(step.call_id)
                    yield ToolNews(step.call_id, state="running" if approved else "refused")
                elif isinstance(step, Exception):
                    raise step
                else:
                    await asyncio.sleep(0)
                    yield step
        finally:
            self.closed += 1


def always(*steps: Step) -> ScriptedAnswers:
    return ScriptedAnswers(lambda messages: steps)
