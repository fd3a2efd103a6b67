"""Answers from a script, at a pace that the test sets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field

from candlewick.chat.events import (
    Complete,
    ResponseToken,
    Start,
    ThinkingEnd,
    ThinkingStart,
    ThinkingToken,
)
from candlewick.chat.messages import Message
from candlewick.core.usage import Timings, Usage
from candlewick.responses import (
    ApprovalAnswered,
    ApprovalRequest,
    ApprovalRequested,
    Approve,
    ConversationEvent,
    ExecutedCall,
    ToolExecutionEnd,
    ToolResult,
)
from candlewick.sessions import SessionSettings


class Hold:
    """The model thinks until somebody lets it go on."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.go_on = asyncio.Event()


@dataclass(frozen=True)
class Ask:
    """The answer waits for a word on this call, and then tells what came of it."""

    call_id: str
    name: str
    result: str


Step = ConversationEvent | Hold | Ask | Exception


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
    ) -> AsyncGenerator[ConversationEvent, None]:
        self.asked.append(list(messages))
        self.settings.append(settings)
        try:
            for step in self.script(messages):
                if isinstance(step, Hold):
                    step.reached.set()
                    await step.go_on.wait()
                elif isinstance(step, Ask):
                    request = ApprovalRequest(
                        call_id=step.call_id, name=step.name, arguments="{}", server="s"
                    )
                    yield ApprovalRequested(request)
                    approved = bool(await approve(request))
                    yield ApprovalAnswered(step.call_id, approved)
                    yield ToolExecutionEnd(
                        ExecutedCall(
                            call_id=step.call_id,
                            name=step.name,
                            arguments="{}",
                            result=ToolResult(text=step.result if approved else "refused by the user"),
                            status="completed" if approved else "refused",
                            seconds=0.5,
                        )
                    )
                elif isinstance(step, Exception):
                    raise step
                else:
                    await asyncio.sleep(0)
                    yield step
        finally:
            self.closed += 1


def always(*steps: Step) -> ScriptedAnswers:
    return ScriptedAnswers(lambda messages: steps)
