"""The agent loop: ask the model, run what it calls, ask again, until it speaks or a limit is reached.

Owns the order of events and that every way out ends with a truthful result. Refuses to know where tools come
from and who reads the events.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any, Protocol

from candlewick.chat.answer import AnswerBuilder, ChatAnswer
from candlewick.chat.events import Complete, Error, Event
from candlewick.chat.messages import Message, Tool, ToolCall
from candlewick.chat.reasoning import ThinkingMode
from candlewick.chat.transcript import Transcript
from candlewick.core.errors import CandlewickError
from candlewick.core.params import GenerationParams
from candlewick.core.usage import Usage
from candlewick.responses.approval import ApprovalRequest, rule_for, to_answer
from candlewick.responses.events import (
    ApprovalAnswered,
    ApprovalRequested,
    ConversationComplete,
    ConversationEvent,
    ToolExecutionEnd,
    TurnStart,
)
from candlewick.responses.execution import CallRunner
from candlewick.responses.options import ConversationOptions
from candlewick.responses.result import (
    ConversationError,
    ConversationResult,
    ExecutedCall,
    StopReason,
    ToolStatus,
)
from candlewick.responses.toolbox import Toolbox
from candlewick.responses.tools import ExecutableTool, ToolResult


class Chatting(Protocol):
    """What the loop needs of :class:`~candlewick.chat.llm.AsyncLLM`."""

    @property
    def model_name(self) -> str: ...

    def chat(
        self,
        messages: Sequence[Message],
        *,
        params: GenerationParams | None = None,
        thinking: ThinkingMode = "adaptive",
        tools: Sequence[Tool] | None = None,
        template_variables: Mapping[str, Any] | None = None,
        transcript: Transcript | None = None,
    ) -> AsyncGenerator[Event, None]: ...


class AgentLoop:
    """One conversation from its messages to its result; run it once.

    Args:
        prepare: awaited before all else; gets the tools ready.
        toolbox: called before each turn, for tools come and go with their servers.
        emit: told every event; must not wait.
        is_cancelled: whether a result is still owed when the task is cancelled.
    """

    def __init__(
        self,
        llm: Chatting,
        messages: Sequence[Message],
        options: ConversationOptions,
        prepare: Callable[[], Awaitable[None]],
        toolbox: Callable[[], Toolbox],
        emit: Callable[[ConversationEvent], None],
        is_cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        self._llm = llm
        self._given = tuple(messages)
        self._options = options
        self._prepare = prepare
        self._toolbox = toolbox
        self._emit = emit
        self._is_cancelled = is_cancelled
        self._runner = CallRunner(
            self._note, options.tool_timeout, options.max_result_chars, options.raise_tool_errors
        )
        self._new: list[Message] = []
        self._transcript = options.transcript
        self._executed: list[ExecutedCall] = []
        self._usage = Usage()
        self._turns = 0
        self._num_run = 0
        self._results: dict[str, ExecutedCall] = {}
        """Of the calls that are being dealt with, by their ids."""
        self._pending_calls: list[ToolCall] = []
        self._pending_approvals: list[ApprovalRequest] = []
        self._error: ConversationError | None = None

    async def run(self) -> None:
        """Run to the end, which is a ``ConversationComplete``.

        Raises:
            asyncio.CancelledError: the task was cancelled, and no result is owed.
            CandlewickError: the request was refused before anything had happened.
            Exception: what a tool raised, if the options ask for that, or what ``approve`` raised.
        """
        try:
            stop_reason = await self._converse()
        except asyncio.CancelledError:
            if not self._is_cancelled():
                raise
            stop_reason = "cancelled"
        self._settle_open_calls(stop_reason)
        result = ConversationResult(
            messages=tuple(self._new),
            stop_reason=stop_reason,
            turns_taken=self._turns,
            tool_calls_executed=tuple(self._executed),
            pending_calls=tuple(self._pending_calls),
            pending_approvals=tuple(self._pending_approvals),
            usage=self._usage,
            error=self._error,
        )
        self._emit(ConversationComplete(result))

    async def _converse(self) -> StopReason:
        await self._prepare()
        toolbox = self._toolbox()
        calls = self._open_calls()
        while True:
            if calls and (stop_reason := await self._deal_with(calls, toolbox)) is not None:
                return stop_reason
            toolbox = self._toolbox()
            if self._is_used_up():
                toolbox = Toolbox({}, toolbox.client)
            answer = await self._turn(toolbox)
            if self._error is not None:
                return "error"
            if answer.reason in ("length", "cancelled"):
                return answer.reason
            if not answer.tool_calls:
                return "stop"
            calls = answer.tool_calls

    async def _turn(self, toolbox: Toolbox) -> ChatAnswer:
        """Ask the model; its answer, also if it failed midway (then there is an error)."""
        self._results = {}
        builder = AnswerBuilder()
        num_events = 0
        try:
            async with contextlib.aclosing(self._ask(toolbox)) as events:
                async for event in events:
                    if not num_events:
                        self._turns += 1
                        self._emit(TurnStart(self._turns, toolbox.offered()))
                    num_events += 1
                    self._emit(event)
                    if isinstance(event, Error):
                        self._error = ConversationError(event.message, event.error_type)
                    else:
                        builder.add(event)
        except CandlewickError as error:
            if not self._turns and not self._executed:
                raise
            self._error = ConversationError(str(error), type(error).__name__)
        finally:
            answer = builder.answer()
            if builder.complete is not None or answer.text or answer.thinking or answer.tool_calls:
                self._new.append(answer.to_message())
                self._remember(builder.complete)
                self._usage = _sum(self._usage, answer.usage)
        return answer

    def _remember(self, complete: Complete | None) -> None:
        """Let the next turn go on from the tokens of this one."""
        if complete is not None and complete.token_ids:
            given = self._options.transcript
            num_messages = len(self._given) + len(self._new)
            keeps_thinking = self._options.keeps_thinking or (given is not None and given.keeps_thinking)
            self._transcript = Transcript(complete.token_ids, num_messages, keeps_thinking)

    def _ask(self, toolbox: Toolbox) -> AsyncGenerator[Event, None]:
        options = self._options
        return self._llm.chat(
            [*self._given, *self._new],
            params=options.params,
            thinking=options.thinking,
            tools=toolbox.definitions() or None,
            template_variables=options.template_variables,
            transcript=self._transcript,
            **self._forced(),
        )

    def _forced(self) -> dict[str, Any]:
        """What the model must do. A call is forced once: after it, the model must be able to answer."""
        options, forced = self._options, dict[str, Any]()
        if options.tool_choice == "none" or (options.tool_choice != "auto" and not self._executed):
            forced["tool_choice"] = options.tool_choice
        if not options.parallel_tool_calls:
            forced["parallel_tool_calls"] = False
        return forced

    async def _deal_with(self, calls: Sequence[ToolCall], toolbox: Toolbox) -> StopReason | None:
        """Run the calls of one answer, and add their results; why the conversation can't go on, if so."""
        runnable: list[tuple[ToolCall, ExecutableTool]] = []
        for call in calls:
            tool = toolbox.executable.get(call.name)
            if call.name in toolbox.client:
                self._pending_calls.append(call)
            elif tool is None:
                names = ", ".join(definition.name for definition in toolbox.definitions()) or "none"
                self._refuse(call, None, f"there is no tool {call.name!r}; there are: {names}", "failed")
            elif self._turns >= self._options.max_turns:
                self._refuse(call, tool, f"not run: {self._turns} turns were taken, which is the limit")
            elif self._is_used_up(len(runnable)):
                limit = self._options.max_tool_calls
                self._refuse(call, tool, f"not run: the limit of {limit} tool calls is reached; answer now")
            elif await self._is_approved(call, tool):
                runnable.append((call, tool))
        self._num_run += len(runnable)
        await self._run(runnable)
        self._add_results(calls)
        if self._pending_approvals:
            return "approval"
        if self._pending_calls:
            return "tool_calls"
        return "max_turns" if self._turns >= self._options.max_turns else None

    async def _run(self, runnable: Sequence[tuple[ToolCall, ExecutableTool]]) -> None:
        if not self._options.parallel:
            for call, tool in runnable:
                await self._runner.run(call, tool)
            return
        try:
            async with asyncio.TaskGroup() as group:
                for call, tool in runnable:
                    group.create_task(self._runner.run(call, tool))
        except* Exception as errors:
            raise errors.exceptions[0] from None

    async def _is_approved(self, call: ToolCall, tool: ExecutableTool) -> bool:
        options = self._options
        if not (tool.needs_approval or rule_for(options.approval, call.name) == "always"):
            return True
        request = ApprovalRequest(
            call_id=call.id,
            name=call.name,
            arguments=call.arguments,
            server=tool.server,
            own_name=tool.own_name,
        )
        given = options.approvals.get(call.id)
        if given is None:
            self._emit(ApprovalRequested(request))
            if options.approve is None:
                self._pending_approvals.append(request)
                return False
            given = await options.approve(request)
        answer = to_answer(given)
        self._emit(ApprovalAnswered(call.id, answer.approved, answer.reason))
        if not answer.approved:
            reason = f": {answer.reason}" if answer.reason else ""
            self._refuse(call, tool, f"the user refused this call{reason}", "refused")
        return answer.approved

    def _is_used_up(self, num_more: int = 0) -> bool:
        limit = self._options.max_tool_calls
        return limit is not None and self._num_run + num_more >= limit

    def _refuse(
        self, call: ToolCall, tool: ExecutableTool | None, reason: str, status: ToolStatus = "skipped"
    ) -> None:
        self._runner.end(call, tool, ToolResult(text=reason, is_error=True), status)

    def _note(self, event: ConversationEvent) -> None:
        if isinstance(event, ToolExecutionEnd):
            self._executed.append(event.call)
            self._results[event.call.call_id] = event.call
        self._emit(event)

    def _add_results(self, calls: Sequence[ToolCall]) -> None:
        self._new.extend(self._results[call.id].to_message() for call in calls if call.id in self._results)

    def _open_calls(self) -> tuple[ToolCall, ...]:
        """The calls of the last message by the model that nobody has answered, unless the talk went on."""
        answered = set()
        for message in reversed((*self._given, *self._new)):
            if message.role == "tool":
                answered.add(message.tool_call_id)
            elif message.role == "assistant":
                return tuple(call for call in message.tool_calls if call.id not in answered)
            else:
                return ()
        return ()

    def _settle_open_calls(self, stop_reason: StopReason) -> None:
        """Give every call a result that will get none any more: a model's next turn needs all of them."""
        waiting = {call.id for call in self._pending_calls}
        waiting |= {request.call_id for request in self._pending_approvals}
        calls = [call for call in self._open_calls() if call.id not in waiting]
        why = {"cancelled": "the conversation was cancelled", "length": "the answer was cut at its length"}
        for call in calls:
            if call.id not in self._results:
                self._refuse(call, None, f"not run: {why.get(stop_reason, 'the conversation ended')}")
        self._add_results(calls)


def _sum(one: Usage, other: Usage) -> Usage:
    return Usage(*(getattr(one, field.name) + getattr(other, field.name) for field in fields(Usage)))
