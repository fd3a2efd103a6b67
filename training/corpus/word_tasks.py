# ruff: noqa: E501  (lists of phrases read better in long lines)
"""Short tasks with words and numbers that need copying or comparing, no knowledge."""

from __future__ import annotations

from corpus import words
from corpus.chance import Chance
from corpus.dialogue import Dialogue, Message

_REPEAT = (
    "Repeat after me: {}", "Repeat: {}", "Say {}", "Please say: {}", "Repeat these words: {}", "Write this: {}", "Echo: {}",
    "Say the following: {}", "Please repeat: {}", "Just say {}", "Copy this: {}", "Answer only with: {}",
)  # fmt: skip
_LARGER = (
    "Which is larger, {} or {}?", "Which number is bigger: {} or {}?", "What is larger, {} or {}?", "Is {} or {} larger?",
    "Tell me the larger of {} and {}.", "Which is greater: {} or {}?", "{} or {}: which is more?", "Which one is bigger, {} or {}?",
)  # fmt: skip
_FIRST = (
    "What is the first word of: {}", "Tell me the first word of: {}", "Give me the first word: {}", "Which word comes first: {}",
    "First word of this, please: {}", "Name the first word: {}",
)  # fmt: skip


def repeat(chance: Chance) -> Dialogue:
    text = words.phrase(chance, chance.one((5, 16)))
    messages = (
        Message("user", chance.mine(_REPEAT).format(text)),
        Message("assistant", text, "I repeat the words."),
    )
    return Dialogue("word tasks", messages, chance.chance(0.5))


def larger(chance: Chance) -> Dialogue:
    a, b = chance.number(0, 999), chance.number(0, 999)
    sign = "<" if a < b else ">="
    messages = (
        Message("user", chance.mine(_LARGER).format(a, b)),
        Message("assistant", f"{max(a, b)}", f"{a:03} {sign} {b:03}"),
    )
    return Dialogue("word tasks", messages, chance.chance(0.8))


def first_word(chance: Chance) -> Dialogue:
    spoken = [words.word(chance) for _ in range(chance.number(2, 5))]
    question = chance.mine(_FIRST).format(" ".join(spoken))
    messages = (Message("user", question), Message("assistant", spoken[0], f"The first word is {spoken[0]}."))
    return Dialogue("word tasks", messages, chance.chance(0.5))


def word_task(chance: Chance) -> Dialogue:
    """Repeat words, compare numbers or pick a word; mostly repeat, since that teaches copying soonest."""
    return chance.one((repeat, repeat, repeat, larger, first_word))(chance)
