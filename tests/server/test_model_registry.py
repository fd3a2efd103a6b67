"""Models by name: loaded once when asked for, kept while in use, unloaded when memory is wanted."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from scripted_llm import ScriptedLLM, text_answer

from candlewick.core.errors import (
    EngineOverloaded,
    InvalidRequestError,
    ModelLoadError,
    ModelNotFoundError,
)
from candlewick.server import Services, create_app, model_registry
from candlewick.server.model_registry import ModelRegistry, ModelSource


class Closing(ScriptedLLM):
    closed = False

    async def close(self) -> None:
        self.closed = True


class Shelf:
    """Makes sources, and remembers what was loaded and unloaded, in order."""

    def __init__(self) -> None:
        self.loads: list[str] = []
        self.models: dict[str, Closing] = {}
        self.may_load = threading.Event()
        self.may_load.set()
        self.is_loading = threading.Event()
        self.failing: set[str] = set()

    def source(self, name: str, num_bytes: int = 10, *aliases: str) -> ModelSource:
        def load(progress: Callable[[str, int, int], None]) -> Any:
            progress("weights", 5, 20)
            self.loads.append(name)
            self.is_loading.set()
            assert self.may_load.wait(10)
            progress("weights", 20, 20)
            if name in self.failing:
                raise ModelLoadError(f"{name}.gguf", "tensors", "are missing")
            self.models[name] = Closing(lambda call: text_answer(name), model_name=name)
            return self.models[name]

        return ModelSource((name, *aliases), load, lambda progress: num_bytes)

    def unloaded(self) -> list[str]:
        return [name for name, model in self.models.items() if model.closed]


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


async def test_a_model_is_loaded_once_however_many_ask(shelf: Shelf) -> None:
    registry = ModelRegistry([shelf.source("a"), shelf.source("b", 10, "bee")])
    shelf.may_load.clear()

    async def ask(name: str | None) -> str:
        async with registry.using(name) as model:
            return model.name

    asking = [asyncio.create_task(ask(name)) for name in ("a", None, "a")]
    assert await asyncio.to_thread(shelf.is_loading.wait, 10)
    status = registry.status("a")
    assert (status.state, status.stage, status.progress, status.users) == ("loading", "weights", 0.25, 3)
    shelf.may_load.set()
    assert await asyncio.gather(*asking) == ["a", "a", "a"]
    assert (await ask("bee"), await ask("b")) == ("b", "b")
    assert shelf.loads == ["a", "b"]
    assert [status.state for status in registry.statuses()] == ["ready", "ready"]
    assert registry.names == ("a", "b", "bee")
    await registry.close()
    assert shelf.unloaded() == ["a", "b"]


async def test_the_one_used_longest_ago_makes_room(shelf: Shelf) -> None:
    registry = ModelRegistry([shelf.source(name) for name in "abc"], memory_limit_bytes=25)
    for name in ("a", "b", "a", "c"):
        await registry.load(name)
    assert shelf.unloaded() == ["b"]
    assert [status.state for status in registry.statuses()] == ["ready", "unloaded", "ready"]
    await registry.load("b")
    assert shelf.unloaded() == ["a"]


async def test_a_model_in_use_stays(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = ModelRegistry([shelf.source("a"), shelf.source("b")], memory_limit_bytes=15)
    async with registry.using("a"):
        waiting = asyncio.create_task(registry.load("b"))
        await asyncio.sleep(0)
        assert registry.status("b").state == "loading"
        monkeypatch.setattr(model_registry, "ROOM_SECONDS", 0.05)
        done, _ = await asyncio.wait([waiting], timeout=0.02)
        assert not done
        assert shelf.unloaded() == []
    await waiting
    assert shelf.unloaded() == ["a"]
    async with registry.using("b"):
        with pytest.raises(EngineOverloaded, match="'a' needs memory that models in use have"):
            await registry.load("a")
    assert not shelf.models["b"].closed


async def test_a_model_larger_than_the_limit_is_refused(shelf: Shelf) -> None:
    registry = ModelRegistry([shelf.source("a"), shelf.source("giant", 99)], memory_limit_bytes=50)
    await registry.load("a")
    with pytest.raises(ModelLoadError, match="needs 99 bytes, and all models together may take 50"):
        await registry.load("giant")
    assert shelf.unloaded() == []


async def test_a_failed_load_is_told_and_tried_again(shelf: Shelf) -> None:
    registry = ModelRegistry([shelf.source("a")])
    shelf.failing.add("a")
    with pytest.raises(ModelLoadError, match="are missing"):
        await registry.load()
    assert (registry.status("a").state, registry.status("a").users) == ("failed", 0)
    assert "are missing" in (registry.status("a").error or "")
    shelf.failing.clear()
    await registry.load()
    assert (registry.status("a").state, registry.status("a").error) == ("ready", None)


async def test_a_request_that_goes_away_leaves_the_loading_to_others(shelf: Shelf) -> None:
    registry = ModelRegistry([shelf.source("a")])
    shelf.may_load.clear()
    first, second = asyncio.create_task(registry.load()), asyncio.create_task(registry.load())
    assert await asyncio.to_thread(shelf.is_loading.wait, 10)
    first.cancel()
    shelf.may_load.set()
    await second
    assert first.cancelled()
    assert shelf.loads == ["a"]


async def test_closing_ends_loading(shelf: Shelf) -> None:
    registry = ModelRegistry([shelf.source("a")])
    shelf.may_load.clear()
    loading = asyncio.create_task(registry.load())
    assert await asyncio.to_thread(shelf.is_loading.wait, 10)
    closing = asyncio.create_task(registry.close())
    await asyncio.sleep(0)
    shelf.may_load.set()
    await closing
    with pytest.raises(model_registry.LoadCancelled):
        await loading
    assert shelf.models == {}


def test_names_must_differ(shelf: Shelf) -> None:
    with pytest.raises(InvalidRequestError, match="two models are called 'a'"):
        ModelRegistry([shelf.source("a"), shelf.source("b", 1, "a")])


async def test_requests_choose_among_models(shelf: Shelf) -> None:
    registry = ModelRegistry([shelf.source("a"), shelf.source("b")], memory_limit_bytes=15)
    app = create_app(Services(registry))
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")
    assert (await client.get("/health")).json()["status"] == "unloaded"
    for name in ("a", "b", "a"):
        body: dict[str, Any] = {"model": name, "messages": [{"role": "user", "content": "hi"}]}
        answer = (await client.post("/v1/chat/completions", json=body)).json()
        assert (answer["model"], answer["choices"][0]["message"]["content"]) == (name, name)
        streamed = await client.post("/v1/chat/completions", json=body | {"stream": True})
        assert f'"content":"{name}"' in streamed.text
    assert shelf.loads == ["a", "b", "a"]
    listed = (await client.get("/v1/models")).json()["data"]
    assert [(model["id"], model["status"]["value"]) for model in listed] == [
        ("a", "ready"),
        ("b", "unloaded"),
    ]
    unknown = await client.post("/v1/chat/completions", json={"model": "c", "messages": body["messages"]})
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "model_not_found")
    with pytest.raises(ModelNotFoundError):
        registry.status("c")
