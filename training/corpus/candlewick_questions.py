# ruff: noqa: E501  (lists of phrases read better in long lines)
"""Questions about Candlewick itself; what is known stands in ``topics.toml``."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from corpus.chance import Chance, is_held_out
from corpus.dialogue import Dialogue, Message
from corpus.variation import varied

TOPICS: dict[str, dict[str, Any]] = tomllib.loads(Path(__file__).with_name("topics.toml").read_text())

_ABOUT = (
    "What is {}?", "Tell me about {}.", "Explain {}.", "What about {}?", "Can you explain {}?", "what is {}", "I have a question about {}.",
    "What do you know about {}?", "Please explain {} to me.", "Tell me more about {}.", "{}?", "{}", "What can you say about {}?",
    "Can you tell me something about {}?", "Describe {}.", "explain {}", "I want to know more about {}.", "Give me a hint about {}.",
)  # fmt: skip
_DOING = (
    "How do I {}?", "How can I {}?", "how do i {}", "How to {}?", "I want to {}.", "What must I do to {}?", "Show me how to {}.",
    "Can I {}?", "Is it possible to {}?", "What is the way to {}?", "Can you explain how to {}?", "I would like to {}. How?", "Please show me how to {}.",
    "How does one {}?", "Tell me how to {}.", "I need to {}.", "What do I write to {}?", "How would I {}?", "I don't know how to {}.",
)  # fmt: skip
_ENDINGS = ("", "", "", "", " in Candlewick", " with Candlewick", " here")


def _questions(topic: dict[str, Any]) -> list[str]:
    asked = list(topic["ask"])
    asked += [frame.format(noun) for noun in topic.get("about", []) for frame in _ABOUT]
    asked += [
        frame.format(act + end) for act in topic.get("doing", []) for frame in _DOING for end in _ENDINGS[3:]
    ]
    return asked


_QUESTIONS = {key: _questions(topic) for key, topic in TOPICS.items()}


def candlewick_question(chance: Chance) -> Dialogue:
    """A question about one topic; the thinking names the topic. Whole questions are held out."""
    key = chance.one(list(TOPICS))
    topic = TOPICS[key]
    question = chance.mine(_QUESTIONS[key])
    own = [asked for asked in topic["ask"] if is_held_out(asked) == (chance.split == "test")]
    if own and chance.chance(0.3):
        question = chance.one(own)
    question = varied(chance, question)
    thought = f"The user asks about {key.replace('_', ' ')}."
    messages = (Message("user", question), Message("assistant", topic["answer"], thought))
    return Dialogue("questions about Candlewick", messages, chance.chance(0.5))
