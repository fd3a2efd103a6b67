"""Servers whose model answers slowly from a script, to be killed in the middle: ``… FILE``.

For each line of standard input one more, forked from this process, which has imported all that it needs. Each
prints its process id and address when it listens.
"""

from __future__ import annotations

import asyncio
import os
import signal
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


def serve(file: str) -> None:
    llm = SlowLLM(lambda call: thinking_answer(["hm"] * 3, *(["word "] * 10)))
    services = Services(ModelRegistry.of(llm), database=Database.open(f"sqlite:///{file}"))
    service = ResponsesService(services.models, services.database, lease_seconds=LEASE_SECONDS)
    services.__dict__["responses"] = service
    listener = socket.create_server(("127.0.0.1", 0))
    print(os.getpid(), f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    uvicorn.Server(uvicorn.Config(create_app(services), log_level="error")).run([listener])


def main(file: str) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how they died
    for _ in sys.stdin:
        if os.fork() == 0:
            serve(file)
            os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
