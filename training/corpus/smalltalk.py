"""Greetings, who the model is, and small talk: short exchanges with one answer each, which stand in
``smalltalk.toml``."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

from corpus.chance import Chance, is_held_out
from corpus.dialogue import Dialogue, Message
from corpus.variation import varied


@dataclass(frozen=True)
class Exchange:
    """``patterns`` stand for many questions: of each "[this|that]" one is said."""

    thought: str
    questions: tuple[str, ...]
    answer: str
    patterns: tuple[str, ...]

    @cached_property
    def all_questions(self) -> tuple[str, ...]:
        """Those that are listed and those that the patterns stand for, each once."""
        made = (question for pattern in self.patterns for question in expanded(pattern))
        return tuple(dict.fromkeys((*self.questions, *made)))


def expanded(pattern: str) -> list[str]:
    """All texts that ``pattern`` stands for, each with a capital first letter."""
    parts = [part.split("|") for part in re.split(r"[\[\]]", pattern)]
    texts = ("".join(chosen) for chosen in product(*parts))
    return [text[:1].upper() + text[1:] for text in texts]


def _read() -> tuple[Exchange, ...]:
    file = Path(__file__).with_name("smalltalk.toml")
    tables: list[dict[str, Any]] = tomllib.loads(file.read_text(encoding="utf-8"))["exchange"]
    return tuple(
        Exchange(t["thought"], tuple(t["questions"]), t["answer"], tuple(t["patterns"])) for t in tables
    )


EXCHANGES = _read()


def smalltalk(chance: Chance) -> Dialogue:
    """One of the exchanges above; phrasings are held out."""
    exchange = chance.one(EXCHANGES)
    listed = exchange.questions if chance.chance(0.4) else exchange.all_questions
    if chance.split == "test" and not any(map(is_held_out, listed)):
        listed = exchange.all_questions
    question = varied(chance, chance.mine(listed))
    answer = Message("assistant", exchange.answer, exchange.thought)
    return Dialogue("greetings and identity", (Message("user", question), answer), chance.chance(0.5))
