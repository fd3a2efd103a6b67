"""A model here as an MCP server: its abilities as tools for other agents.

Owns what these tools are called and what they say. Refuses to know how the model is loaded and who listens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from candlewick.chat.messages import Message
from candlewick.core.errors import CandlewickError
from candlewick.core.params import GenerationParams

if TYPE_CHECKING:
    from mcp.server import MCPServer

    from candlewick.chat.llm import AsyncLLM

MOST_TEXTS = 256
"""To embed in one call."""


def mcp_server(llm: AsyncLLM) -> MCPServer[Any]:
    """An MCP server with the tools ``chat``, ``complete``, ``embed`` and ``count_tokens`` of a model.

    Run it with ``.run("stdio")``, or mount ``.streamable_http_app()``. A call that the client cancels stops
    the model. What the model refuses is told to the client in its own words.
    """
    from mcp.server import MCPServer
    from mcp.server.mcpserver.exceptions import ToolError

    server = MCPServer(
        "candlewick", instructions=f"The language model {llm.model_name}, on this machine's own processor."
    )

    @server.tool()
    async def chat(
        message: str,
        system: str | None = None,
        think: bool = False,
        max_tokens: int | None = None,
        temperature: float = 0.7,
    ) -> str:
        """Ask the language model and get its answer.

        Args:
            message: the question or task
            system: how to behave, if anything special
            think: reason before answering; takes longer
            max_tokens: most tokens to write
            temperature: 0 always takes the likeliest word
        """
        messages = [] if system is None else [Message(role="system", content=system)]
        messages.append(Message(role="user", content=message))
        try:
            answer = await llm.answer(
                messages,
                params=GenerationParams(max_tokens=max_tokens, temperature=temperature),
                thinking="think" if think else "no_think",
            )
        except CandlewickError as error:
            raise ToolError(str(error)) from error
        return answer.text

    @server.tool()
    async def complete(prompt: str, max_tokens: int = 256, temperature: float = 0.7) -> str:
        """Continue a text as it stands, without a conversation around it.

        Args:
            prompt: the text so far
            max_tokens: most tokens to write
            temperature: 0 always takes the likeliest word
        """
        try:
            params = GenerationParams(max_tokens=max_tokens, temperature=temperature)
            return (await llm.complete(prompt, params)).text
        except CandlewickError as error:
            raise ToolError(str(error)) from error

    @server.tool()
    async def embed(texts: list[str]) -> list[list[float]]:
        """Vectors that say what texts mean: alike texts have vectors with a large dot product.

        Args:
            texts: up to 256 texts
        """
        if not 1 <= len(texts) <= MOST_TEXTS:
            raise ToolError(f"give from 1 to {MOST_TEXTS} texts, got {len(texts)}")
        try:
            embeddings = await llm.embed(texts)
        except CandlewickError as error:
            raise ToolError(str(error)) from error
        return [[float(number) for number in vector] for vector in embeddings.vectors]

    @server.tool()
    def count_tokens(text: str) -> int:
        """How many of the model's tokens a text has."""
        try:
            return llm.count_tokens(text)
        except CandlewickError as error:
            raise ToolError(str(error)) from error

    return server
