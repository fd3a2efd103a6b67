"""The scripted models of the OpenAI tests and the running server of the server's drive these too."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs the server extra")
pytest.importorskip("uvicorn", reason="needs the server extra")

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS / "openai"), str(TESTS / "server")]

Serve = Callable[..., str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """``serve(llm, **options)`` starts a server and gives its base address."""
    from running_server import running

    from candlewick.server import create_app

    with ExitStack() as servers:
        yield lambda llm, **options: servers.enter_context(running(create_app(llm, **options)))
