"""Commands run in this process on a scripted model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("typer", reason="needs the cli extra")
pytest.importorskip("rich", reason="needs the cli extra")

sys.path.insert(0, str(Path(__file__).parents[1] / "openai"))


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Any:
    """``play(*answers)`` makes every command load a model that gives these answers, one a question."""
    from scripted_chat import ScriptedChat

    from candlewick.cli import loading

    def prepare(*answers: Any) -> ScriptedChat:
        llm = ScriptedChat(list(answers))
        monkeypatch.setattr(loading, "load_llm", lambda reference, **options: llm.load(reference, options))
        return llm

    return prepare
