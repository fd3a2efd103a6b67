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
from served_model import Served

pytest.importorskip("fastapi", reason="needs the server extra")
pytest.importorskip("uvicorn", reason="needs the server extra")

# litellm would fetch a list of prices when it is imported.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS / "openai"), str(TESTS / "server")]


@pytest.fixture(scope="session")
def scripted() -> Iterator[Served]:
    """A model that calls ``get_weather`` and then repeats the tool's result."""
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
        yield Served(base, "scripted", "It is sunny in Ulm.")


@pytest.fixture(scope="session")
def builtin() -> Iterator[Served]:
    """The built-in model. It is small, so calls are forced, their arguments an enumeration, and answers cut short."""
    pytest.importorskip("candlewick._kernels", reason="needs the native module")
    pytest.importorskip("llguidance", reason="the extra 'structured' is not installed")
    from running_server import running

    from candlewick.chat.llm import AsyncLLM
    from candlewick.server import create_app

    llm = AsyncLLM("builtin", num_threads=1)
    with running(create_app(llm)) as base:
        yield Served(base, "builtin")
    asyncio.run(llm.close())


@pytest.fixture(params=["scripted", "builtin"])
def served(request: pytest.FixtureRequest) -> Served:
    """Each of the two: what comes back is known to the letter, or comes from the whole house."""
    served: Served = request.getfixturevalue(request.param)
    return served
