"""Questions outside the tiny model's world, made of what stands in ``outside.toml``: it says so and points to a real
model."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from corpus import words
from corpus.chance import Chance
from corpus.dialogue import Dialogue, Message
from corpus.variation import varied

ANSWER = 'I am too small to know that. A real model may: load one with LLM("hf:owner/repo") or a GGUF file.'

_PHRASES: dict[str, Any] = tomllib.loads(Path(__file__).with_name("outside.toml").read_text(encoding="utf-8"))
SUBJECTS: tuple[str, ...] = tuple(_PHRASES["subjects"])
_FRAMES, _WHOLE, _PATTERNS = (tuple(_PHRASES[name]) for name in ("frames", "whole", "patterns"))
_GAPS: dict[str, list[str]] = _PHRASES["gaps"]


def _question(chance: Chance) -> str:
    """A question of the patterns; whole questions are held out."""
    return chance.draw(
        lambda: chance.one(_PATTERNS).format_map({gap: chance.one(fills) for gap, fills in _GAPS.items()})
    )


def outside(chance: Chance) -> Dialogue:
    """A question nobody taught; subjects, frames and whole questions are held out."""
    kind = chance.random.random()
    if kind < 0.25:
        question = chance.mine(_WHOLE)
    elif kind < 0.5:
        question = _question(chance)
    elif kind < 0.8:
        question = chance.mine(_FRAMES).format(chance.mine(SUBJECTS))
    else:
        question = chance.mine(_FRAMES).format(chance.one(("the ", "", "")) + words.phrase(chance, 2))
    question = varied(chance, question)
    answer = Message("assistant", ANSWER, "This is outside of what I know.")
    return Dialogue("outside its world", (Message("user", question), answer), chance.chance(0.5))
