"""Other people's libraries against a real server.

``make clients`` runs them all, in an environment of its own with the dependency group ``clients``; what is not
installed is skipped.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs the server extra")
pytest.importorskip("uvicorn", reason="needs the server extra")

# litellm would fetch a list of prices when it is imported.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS / "openai"), str(TESTS / "server")]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A server whose model calls ``get_weather`` and then repeats the tool's result."""
    from running_server import running
    from scripted_llm import Call, ScriptedLLM, text_answer, tool_answer

    from candlewick.server import create_app

    def script(call: Call) -> Any:
        last = call.messages[-1]
        if last["role"] == "tool":
            return text_answer("It is ", str(last["content"]), ".")
        assert call.tools
        assert call.tools[0]["function"]["name"] == "get_weather"
        return tool_answer(("call12345", "get_weather", ['{"city"', ': "Ulm"}']))

    with running(create_app(ScriptedLLM(script))) as base:
        yield base


@pytest.fixture(scope="session")
def builtin() -> Iterator[str]:
    """A server of the built-in model."""
    from running_server import running

    from candlewick.chat.llm import AsyncLLM
    from candlewick.core.errors import ModelNotFoundError
    from candlewick.server import create_app

    try:
        llm = AsyncLLM("builtin", num_threads=1)
    except ModelNotFoundError:
        pytest.skip("the built-in model is not there")
    with running(create_app(llm)) as base:
        yield base
    asyncio.run(llm.close())
