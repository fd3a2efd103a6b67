"""Responses of a server, without HTTP."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sqlalchemy", reason="needs the store extra")
pytest.importorskip("fastapi", reason="needs the server extra")

from scripted_llm import replaying, text_answer

from candlewick.responses.api.service import ResponsesService
from candlewick.responses.records import ResponseStore
from candlewick.responses.wire.request import ResponseRequest
from candlewick.server.model_registry import ModelRegistry
from candlewick.store import Database


async def test_a_response_that_is_stopped_while_its_end_is_stored_has_come_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As all tasks are stopped when a program ends."""
    finish = ResponseStore.finish

    async def stop_and_finish(store: ResponseStore, outcome: Any) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await finish(store, outcome)

    monkeypatch.setattr(ResponseStore, "finish", stop_and_finish)
    with Database.open(f"sqlite:///{tmp_path / 'store.db'}") as database:
        service = ResponsesService(ModelRegistry.of(replaying(*text_answer("Hi."))), database)
        running = await service.create(ResponseRequest(model="scripted", input="Hello?"), "me")
        with pytest.raises(asyncio.CancelledError):
            await running.finished()
        response = await service.retrieve(running.id, "me")
    assert (response["status"], response["output"][0]["content"][0]["text"]) == ("completed", "Hi.")
