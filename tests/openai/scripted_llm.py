"""An AsyncLLM that plays a script of events, for tests of everything above the chat layer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from candlewick.chat.events import (
    Complete,
    Event,
    ResponseToken,
    Start,
    ThinkingEnd,
    ThinkingStart,
    ThinkingToken,
    ToolCallArguments,
    ToolCallEnd,
    ToolCallStart,
)
from candlewick.chat.transcript import Transcript
from candlewick.core.constraint import Constraint
from candlewick.core.engine_stats import EngineHealth, EngineStats
from candlewick.core.params import GenerationParams
from candlewick.core.usage import Timings, Usage


@dataclass(frozen=True)
class Call:
    """One call of ``chat``, as the layer above made it."""

    messages: Sequence[Mapping[str, Any]]
    params: GenerationParams
    thinking: str
    tools: Sequence[Mapping[str, Any]] | None
    template_variables: Mapping[str, Any] | None
    transcript: Transcript | None = None
    tool_choice: str = "auto"
    parallel_tool_calls: bool = True
    constraint: Constraint | None = None


class Pause:
    """A place in a script where the model thinks for ever."""


class Gate:
    """A place in a script where the model thinks until the test lets it go on, from whatever thread."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.go_on = threading.Event()


class Burst(tuple[Event, ...]):
    """Events that come at once, without a turn of the loop between them."""


Script = Iterable[Event | Burst | Pause | Gate | Exception]


def text_answer(*pieces: str, choice: int = 0, usage: Usage | None = None) -> list[Event]:
    return [
        Start("a1", "scripted", choice=choice),
        *(ResponseToken(piece, choice=choice) for piece in pieces),
        Complete("stop", usage or Usage(5, len(pieces)), Timings(decode_seconds=0.5), choice=choice),
    ]


def thinking_answer(thought: Sequence[str], *pieces: str) -> list[Event]:
    return [
        Start("a1", "scripted"),
        ThinkingStart(),
        *(ThinkingToken(piece) for piece in thought),
        ThinkingEnd(),
        *(ResponseToken(piece) for piece in pieces),
        Complete(
            "stop", Usage(5, len(thought) + len(pieces), reasoning_tokens=len(thought), cached_tokens=3)
        ),
    ]


def tool_answer(*calls: tuple[str, str, Sequence[str]]) -> list[Event]:
    """An answer of calls, each ``(id, name, pieces of the arguments)``."""
    events: list[Event] = [Start("a1", "scripted")]
    for index, (id, name, pieces) in enumerate(calls):
        events.append(ToolCallStart(index, id, name))
        events.extend(ToolCallArguments(index, piece) for piece in pieces)
        events.append(ToolCallEnd(index, id, name, "".join(pieces)))
    return [*events, Complete("tool_calls", Usage(9, 7))]


@dataclass
class ScriptedLLM:
    """Plays ``script(call)`` for every call and counts what runs."""

    script: Callable[[Call], Script]
    model_name: str = "scripted"
    calls: list[Call] = field(default_factory=list)
    running: int = 0
    cancelled: int = 0
    """Answers that ended before their script did."""
    paused: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    max_context: int = 4096
    health_status: Literal["ready", "failed", "closed"] = "ready"

    @property
    def engine(self) -> ScriptedLLM:
        """It is its own engine, as far as numbers go."""
        return self

    def stats(self) -> EngineStats:
        return EngineStats(running=self.running)

    def observe_answers(self, observer: Callable[..., None]) -> None:
        """It has no figures to tell."""

    def health(self) -> EngineHealth:
        return EngineHealth(self.health_status)

    async def close(self) -> None:
        self.health_status = "closed"

    async def chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        params: GenerationParams | None = None,
        thinking: str = "adaptive",
        tools: Sequence[Mapping[str, Any]] | None = None,
        template_variables: Mapping[str, Any] | None = None,
        transcript: Transcript | None = None,
        tool_choice: str = "auto",
        parallel_tool_calls: bool = True,
        constraint: Constraint | None = None,
    ) -> AsyncGenerator[Event, None]:
        call = Call(
            messages,
            params or GenerationParams(),
            thinking,
            tools,
            template_variables,
            transcript,
            tool_choice,
            parallel_tool_calls,
            constraint,
        )
        self.calls.append(call)
        self.running += 1
        finished = False
        try:
            for step in self.script(call):
                if isinstance(step, Exception):
                    raise step
                elif isinstance(step, Gate):
                    step.reached.set()
                    await asyncio.to_thread(step.go_on.wait, 20)
                elif isinstance(step, Pause):
                    self.paused.set()
                    await asyncio.Event().wait()
                elif isinstance(step, Burst):
                    for event in step:
                        yield event
                else:
                    await asyncio.sleep(0)
                    yield step
            finished = True
        finally:
            self.running -= 1
            self.cancelled += not finished
            self.ended.set()


def replaying(*events: Event | Burst | Pause | Exception) -> ScriptedLLM:
    """An LLM that gives the same answer to every question."""
    return ScriptedLLM(lambda call: events)
