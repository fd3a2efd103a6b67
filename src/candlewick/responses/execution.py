"""Running one call: its arguments, its time limit, its cancellation, and whatever comes of it as a value.

Owns that a call always ends, in time and with a truthful status. Refuses to know turns and approvals.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from candlewick.chat.messages import ToolCall, parse_arguments
from candlewick.core.errors import InvalidRequestError
from candlewick.responses.events import ConversationEvent, ToolExecutionEnd, ToolExecutionStart, ToolProgress
from candlewick.responses.result import ExecutedCall, ToolStatus
from candlewick.responses.tools import ExecutableTool, ToolContext, ToolError, ToolResult

GRACE_SECONDS = 2.0
"""How long a cancelled tool may take to clean up before it is left to itself."""

Emit = Callable[[ConversationEvent], None]


@dataclass(frozen=True)
class CallRunner:
    """Runs calls and tells events; ``timeout`` in seconds, and less where a tool says so."""

    emit: Emit
    timeout: float | None
    max_result_chars: int
    raise_errors: bool = False

    async def run(self, call: ToolCall, tool: ExecutableTool) -> ExecutedCall:
        """Run one call to its end.

        Raises:
            asyncio.CancelledError: the conversation was cancelled; the tool has been stopped and its end told.
            Exception: what the tool raised, if ``raise_errors``.
        """
        started = time.perf_counter()

        def end(result: ToolResult, status: ToolStatus) -> ExecutedCall:
            return self.end(call, tool, result, status, time.perf_counter() - started)

        try:
            arguments = parse_arguments(call.arguments, "arguments")
        except InvalidRequestError as wrong:
            return end(ToolResult(text=str(wrong), is_error=True), "failed")
        self.emit(
            ToolExecutionStart(
                call_id=call.id,
                name=call.name,
                arguments=call.arguments,
                server=tool.server,
                own_name=tool.own_name,
            )
        )
        limits = [limit for limit in (self.timeout, tool.timeout) if limit is not None]
        timeout = min(limits, default=None)
        work = asyncio.create_task(self._execute(tool, arguments, call.id))
        try:
            await asyncio.wait({work}, timeout=timeout)
            if not work.done():
                stopped = await _stop(work)
                return end(_timed_out(timeout, stopped), "timed_out")
        except asyncio.CancelledError:
            stopped = await _stop(work)
            end(_cancelled(stopped), "cancelled")
            raise
        if work.cancelled():  # the tool cancelled itself
            return end(ToolResult(text="the tool was cancelled", is_error=True), "failed")
        error = work.exception()
        if error is not None:
            failed = end(ToolResult(text=_explain(error), is_error=True), "failed")
            if self.raise_errors and not isinstance(error, ToolError):
                raise error
            return failed
        result = work.result()
        return end(result, "failed" if result.is_error else "completed")

    def end(
        self,
        call: ToolCall,
        tool: ExecutableTool | None,
        result: ToolResult,
        status: ToolStatus,
        seconds: float = 0.0,
    ) -> ExecutedCall:
        """The end of a call, told as an event; ``tool`` is ``None`` where there is none of that name."""
        executed = ExecutedCall(
            call_id=call.id,
            name=call.name,
            arguments=call.arguments,
            result=result.cut_to(self.max_result_chars),
            status=status,
            seconds=seconds,
            server=tool.server if tool is not None else None,
            own_name=tool.own_name if tool is not None else call.name,
        )
        self.emit(ToolExecutionEnd(executed))
        return executed

    async def _execute(self, tool: ExecutableTool, arguments: Mapping[str, Any], call_id: str) -> ToolResult:
        loop = asyncio.get_running_loop()
        is_running = True

        def tell(event: ToolProgress) -> None:
            if is_running:  # what comes after the end would break the order of events
                self.emit(event)

        def report(progress: float, total: float | None, message: str | None) -> None:
            event = ToolProgress(call_id=call_id, progress=progress, total=total, message=message)
            loop.call_soon_threadsafe(tell, event)

        try:
            result = await tool.execute(arguments, ToolContext(call_id, report))
            await asyncio.sleep(0)  # lets progress be told that a thread reported last
        finally:
            is_running = False
        if not isinstance(result, ToolResult):
            raise ToolError(f"the tool gave a {type(result).__name__} instead of a result")
        return result


async def _stop(work: asyncio.Task[ToolResult]) -> bool:
    """Cancel a tool; whether it ended. One that does not is left to itself."""
    work.cancel()
    work.add_done_callback(lambda task: task.cancelled() or task.exception())  # nobody else will look
    await asyncio.wait({work}, timeout=GRACE_SECONDS)
    return work.done()


def _timed_out(timeout: float | None, stopped: bool) -> ToolResult:
    rest = "it was stopped" if stopped else "it does not stop, and may still have effects"
    return ToolResult(text=f"the tool gave no result within {timeout:g} s; {rest}", is_error=True)


def _cancelled(stopped: bool) -> ToolResult:
    rest = "it was stopped and may have had effects" if stopped else "it does not stop"
    return ToolResult(text=f"the call was cancelled while it ran; {rest}", is_error=True)


def _explain(error: BaseException) -> str:
    """What the model is told: the tool's own words, else the kind of error too."""
    if isinstance(error, ToolError):
        return str(error)
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
