"""A small agent framework on ResponsesSession: functions, MCP servers, and a journal of what was done.

python agent_framework.py "What is 17 + 25?" [mcp.json]
"""

from __future__ import annotations

import asyncio
import sys
from datetime import date

from candlewick import AsyncLLM
from candlewick.responses import (
    ConversationOptions,
    ConversationResult,
    MCPConfiguration,
    ResponsesSession,
    ToolExecutionEnd,
)


def add(a: float, b: float) -> float:
    """Add two numbers."""
    return a + b


def today() -> str:
    """Tell today's date."""
    return date.today().isoformat()


class Agent:
    """A model with a role, tools and a memory of the conversation."""

    def __init__(self, session: ResponsesSession, role: str) -> None:
        self._session = session
        self._messages: list = [{"role": "system", "content": role}]
        self.journal: list[str] = []

    async def do(self, task: str) -> ConversationResult:
        """Work on a task; what was said and done is remembered."""
        self._messages.append({"role": "user", "content": task})
        conversation = self._session.stream_conversation(self._messages, ConversationOptions(max_turns=4))
        async for event in conversation:
            if isinstance(event, ToolExecutionEnd):
                self.journal.append(f"{event.call.name}: {event.call.status}")
            elif event.sse_name == "conversation_complete":
                result = event.result
        self._messages.extend(result.messages)
        return result


async def main(task: str, configuration: MCPConfiguration) -> None:
    async with (
        AsyncLLM() as llm,
        ResponsesSession(llm, tools=[add, today], mcp_servers=configuration) as session,
    ):
        agent = Agent(session, "You are a careful assistant. Use tools for sums.")
        result = await agent.do(task)
        print(result.text)
        print(f"[{result.stop_reason} after {result.turns_taken} turns; {agent.journal}]")


if __name__ == "__main__":
    task, *paths = sys.argv[1:] or ["What is 17 + 25?"]
    asyncio.run(main(task, MCPConfiguration.load(paths[0]) if paths else MCPConfiguration()))
