"""A real server on a real port, driven by a scripted model."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs the server extra")
uvicorn = pytest.importorskip("uvicorn", reason="needs the server extra")

sys.path.insert(0, str(Path(__file__).parents[1] / "openai"))

Serve = Callable[..., str]


@contextmanager
def running(app: Any) -> Iterator[str]:
    """Run ``app`` in a thread; gives its base address."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        # The socket listens already: whoever connects now waits until the server takes it.
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        assert not thread.is_alive(), "the server did not shut down"


@pytest.fixture
def serve() -> Iterator[Serve]:
    """``serve(llm, **options)`` starts a server and gives its base address."""
    from candlewick.server import create_app

    with ExitStack() as servers:
        yield lambda llm, **options: servers.enter_context(running(create_app(llm, **options)))
