"""A server whose model answers slowly and for ever in a script, to be killed in the middle: ``… FILE``.

Prints its address when it listens.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import uvicorn

sys.path.insert(0, str(Path(__file__).parents[1] / "openai"))

from scripted_llm import ScriptedLLM, thinking_answer

from candlewick.responses.api import ResponsesService
from candlewick.server import create_app
from candlewick.server.model_registry import ModelRegistry
from candlewick.server.services import Services
from candlewick.store import Database

LEASE_SECONDS = 1.0


class SlowLLM(ScriptedLLM):
    """Gives the loop to others between two events."""

    async def chat(self, *args: Any, **options: Any) -> AsyncGenerator[Any, None]:
        async for event in super().chat(*args, **options):
            await asyncio.sleep(0.001)
            yield event


def main(file: str) -> None:
    llm = SlowLLM(lambda call: thinking_answer(["hm"] * 3, *(["word "] * 10)))
    services = Services(ModelRegistry.of(llm), database=Database.open(f"sqlite:///{file}"))
    service = ResponsesService(services.models, services.database, lease_seconds=LEASE_SECONDS)
    services.__dict__["responses"] = service
    listener = socket.create_server(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    uvicorn.Server(uvicorn.Config(create_app(services), log_level="error")).run([listener])


if __name__ == "__main__":
    main(sys.argv[1])
