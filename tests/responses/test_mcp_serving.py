"""The model as an MCP server, asked by the SDK's client."""

from __future__ import annotations

import sys

import pytest

pytest.importorskip("mcp", reason="needs the responses extra")
from mcp import Client, StdioServerParameters
from scripted_llm import ScriptedLLM, text_answer

from candlewick import LLM, GenerationParams
from candlewick.chat.answer import fold_events
from candlewick.core.errors import ContextOverflowError
from candlewick.responses.mcp.serving import mcp_server


class AnsweringLLM(ScriptedLLM):
    async def answer(self, messages, **options):
        return fold_events([event async for event in self.chat(messages, **options)])


async def test_a_question_and_a_refusal():
    def script(call):
        return [ContextOverflowError("too long")] if len(call.messages) > 1 else text_answer("Hello.")

    llm = AnsweringLLM(script)
    async with Client(mcp_server(llm)) as client:
        tools = (await client.list_tools()).tools
        assert [tool.name for tool in tools] == ["chat", "complete", "embed", "count_tokens"]
        answer = await client.call_tool("chat", {"message": "Hi", "max_tokens": 9, "think": True})
        assert answer.content[0].text == "Hello."
        assert (llm.calls[0].params.max_tokens, llm.calls[0].thinking) == (9, "think")
        refused = await client.call_tool("chat", {"message": "Hi", "system": "Be long."})
        assert refused.is_error
        assert "too long" in refused.content[0].text


async def test_the_command_serves_the_built_in_model():
    pytest.importorskip("candlewick._kernels", reason="the native module is not built")
    command = StdioServerParameters(command=sys.executable, args=["-m", "candlewick", "mcp"])
    async with Client(command) as client:
        prompt = "user: Hello!"
        completed = await client.call_tool("complete", {"prompt": prompt, "max_tokens": 4, "temperature": 0})
        with LLM() as llm:
            expected = llm.complete(prompt, GenerationParams(max_tokens=4, temperature=0)).text
        assert completed.content[0].text == expected
        counted = await client.call_tool("count_tokens", {"text": "Once upon a time"})
        assert counted.structured_content["result"] > 2
        vectors = (await client.call_tool("embed", {"texts": ["one", "two"]})).structured_content["result"]
        assert len(vectors) == 2
        assert len(vectors[0]) == len(vectors[1]) > 8
        wrong = await client.call_tool("complete", {"prompt": "x", "max_tokens": -1})
        assert "max_tokens" in wrong.content[0].text
