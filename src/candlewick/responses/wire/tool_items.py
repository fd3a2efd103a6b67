"""Items of tools: calls that the client runs, calls that ran here, requests for somebody's word, lists of tools.

Owns their events, and that a call that begins also ends. Refuses to know when the model is asked.
"""

from __future__ import annotations

from collections.abc import Iterator

from candlewick.responses.approval import ApprovalRequest
from candlewick.responses.events import ServerState
from candlewick.responses.result import ExecutedCall
from candlewick.responses.wire.ids import new_id
from candlewick.responses.wire.items import Item
from candlewick.responses.wire.output import Output, WireEvent

OWN_LABEL = "candlewick"
"""The ``server_label`` of calls to tools of no MCP server: the server's own functions, and names that nobody has."""


class ToolItems:
    """The tool items of one response."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._running: dict[str, tuple[int, Item]] = {}
        """Items of calls that run, with their index, by call id."""
        self.approved: set[str] = set()
        """Calls that had to be approved."""
        self._of_client: set[str] = set()
        """Calls that were told as the client's."""

    def function_call(self, call_id: str, name: str, arguments: str) -> Iterator[WireEvent]:
        """A call that the client runs. It is told when it is whole: half a call must not look like one."""
        item: Item = {
            "id": new_id("function_call"),
            "type": "function_call",
            "call_id": call_id,
            "name": name,
            "arguments": "",
            "status": "in_progress",
        }
        self._of_client.add(call_id)
        index, added = self._output.add(item)
        yield added
        yield from self._arguments("function_call", item["id"], index, arguments)
        yield self._output.done(index, {**item, "arguments": arguments, "status": "completed"})

    def _arguments(self, kind: str, item_id: str, index: int, arguments: str) -> Iterator[WireEvent]:
        place = {"item_id": item_id, "output_index": index}
        yield self._output.event(f"response.{kind}_arguments.delta", **place, delta=arguments)
        yield self._output.event(f"response.{kind}_arguments.done", **place, arguments=arguments)

    def call_begins(self, call_id: str, label: str, name: str, arguments: str) -> Iterator[WireEvent]:
        item: Item = {
            "id": new_id("mcp_call"),
            "type": "mcp_call",
            "server_label": label,
            "name": name,
            "arguments": "",
            "output": None,
            "error": None,
            "approval_request_id": call_id if call_id in self.approved else None,
            "status": "in_progress",
        }
        index, added = self._output.add(item)
        place = {"item_id": item["id"], "output_index": index}
        yield added
        yield self._output.event("response.mcp_call.in_progress", **place)
        yield from self._arguments("mcp_call", item["id"], index, arguments)
        self._running[call_id] = (index, {**item, "arguments": arguments})

    def call_ends(self, call: ExecutedCall) -> Iterator[WireEvent]:
        if call.call_id in self._of_client:
            return  # never run, because the answer was cut: that is for the client to say
        if call.call_id not in self._running:
            label = call.server or OWN_LABEL
            yield from self.call_begins(call.call_id, label, call.own_name or call.name, call.arguments)
        index, item = self._running.pop(call.call_id)
        text = call.result.text
        if call.status == "completed":
            item |= {"output": text, "status": "completed"}
        else:
            content = [{"type": "text", "text": text}]
            item |= {"error": {"type": "mcp_tool_execution_error", "content": content}, "status": "failed"}
        yield self._output.event(
            f"response.mcp_call.{item['status']}", item_id=item["id"], output_index=index
        )
        yield self._output.done(index, item)

    def approval_request(self, request: ApprovalRequest) -> Iterator[WireEvent]:
        item: Item = {
            "id": request.call_id,
            "type": "mcp_approval_request",
            "server_label": request.server or OWN_LABEL,
            "name": request.own_name or request.name,
            "arguments": request.arguments,
        }
        index, added = self._output.add(item)
        yield added
        yield self._output.done(index, item)

    def list_tools(self, state: ServerState) -> Iterator[WireEvent]:
        item: Item = {
            "id": new_id("mcp_list_tools"),
            "type": "mcp_list_tools",
            "server_label": state.label,
            "tools": [],
            "error": None,
        }
        index, added = self._output.add(item)
        place = {"item_id": item["id"], "output_index": index}
        yield added
        yield self._output.event("response.mcp_list_tools.in_progress", **place)
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
            yield self._output.event("response.mcp_list_tools.completed", **place)
            yield self._output.done(index, {**item, "tools": tools})
        else:
            yield self._output.event("response.mcp_list_tools.failed", **place)
            yield self._output.done(index, {**item, "error": state.error or "the server can't be reached"})

    def abandon(self) -> Iterator[WireEvent]:
        """End the calls that still run as failed."""
        for index, item in self._running.values():
            yield self._output.event("response.mcp_call.failed", item_id=item["id"], output_index=index)
            error = {"type": "mcp_tool_execution_error", "content": [{"type": "text", "text": "stopped"}]}
            yield self._output.done(index, {**item, "error": error, "status": "failed"})
        self._running.clear()
