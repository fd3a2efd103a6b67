# ruff: noqa: E501  (lists of phrases read better in long lines)
"""Conversations of several turns: facts told early are asked for later."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from corpus import words
from corpus.chance import Chance
from corpus.dialogue import Dialogue, Message
from corpus.smalltalk import smalltalk
from corpus.variation import varied


@dataclass(frozen=True)
class Fact:
    """``statements`` tell it, ``questions`` ask for it, ``subject`` is how the answer names it."""

    subject: str
    value: Callable[[Chance], object]
    statements: tuple[str, ...]
    questions: tuple[str, ...]


def _simple(subject: str, value: Callable[[Chance], object]) -> Fact:
    return Fact(
        subject,
        value,
        (f"My {subject} is {{}}.", f"my {subject} is {{}}", f"By the way, my {subject} is {{}}.", f"Remember that my {subject} is {{}}.",
         f"You should know that my {subject} is {{}}.", f"Please note: my {subject} is {{}}.", f"{{}} is my {subject}."),
        (f"What is my {subject}?", f"what's my {subject}", f"Do you remember my {subject}?", f"Can you tell me my {subject}?",
         f"Which {subject} did I tell you?", f"Tell me my {subject}.", f"Do you still know my {subject}?", f"Remind me: what is my {subject}?"),
    )  # fmt: skip


FACTS = (
    Fact("name", words.person,
         ("My name is {}.", "I am {}.", "Hi, I'm {}.", "Call me {}.", "Hello, my name is {}.", "my name is {}", "You can call me {}.",
          "Hey, I am {}!", "They call me {}.", "Please remember my name: {}."),
         ("What is my name?", "Who am I?", "Do you remember my name?", "what's my name", "Can you tell me my name?", "How am I called?",
          "Say my name.", "Do you know who I am?", "Remind me what my name is.", "What did I say my name was?")),
    Fact("city", words.city,
         ("I live in {}.", "My city is {}.", "I am from {}.", "My home is in {}.", "I'm living in {}.", "I come from {}.", "i live in {}"),
         ("Where do I live?", "Which city do I live in?", "What is my city?", "Do you remember where I live?", "In which city do I live?",
          "where do i live", "Where is my home?")),
    Fact("number", words.integer,
         ("Remember the number {}.", "My number is {}.", "Please remember {}.", "The number is {}.", "Keep the number {} in mind.",
          "Note the number {}.", "The secret number is {}."),
         ("What is the number?", "Which number did I tell you?", "What number should you remember?", "Tell me the number.",
          "What was the number?", "Do you remember the number?", "What's my number?")),
    _simple("favourite colour", lambda chance: chance.one(words.COLOURS)),
    _simple("favourite food", lambda chance: chance.one(words.FOODS)),
    _simple("pet", lambda chance: "a " + chance.one(words.ANIMALS)),
    _simple("job", lambda chance: chance.one(words.JOBS)),
    _simple("code word", words.word),
    _simple("friend", words.person),
    _simple("age", lambda chance: chance.number(5, 99)),
    _simple("lucky number", words.integer),
)  # fmt: skip


def acknowledgement(fact: Fact, value: object) -> Message:
    if fact.subject == "name":
        return Message("assistant", f"Nice to meet you, {value}!", f"The user tells me a name: {value}.")
    return Message(
        "assistant",
        f"I will remember it: your {fact.subject} is {value}.",
        f"The user tells me: {fact.subject} = {value}.",
    )


def recall(chance: Chance) -> Dialogue:
    """One to four facts with small talk between them, then either a statement's answer or a question about one."""
    facts = chance.some(FACTS, chance.number(1, 4))
    told: dict[str, object] = {}
    messages: list[Message] = []
    for fact in facts:
        value = fact.value(chance)
        told[fact.subject] = value
        messages += [
            Message("user", chance.mine(fact.statements).format(value)),
            acknowledgement(fact, value),
        ]
        for _ in range(chance.number(0, 2) if chance.chance(0.5) else 0):
            messages += smalltalk(chance).messages
    think = chance.chance(0.5)
    if chance.split == "train" and chance.chance(0.15) and messages[-1].thinking:
        return Dialogue("memory", tuple(messages), think)
    if chance.chance(0.12):
        fact = chance.one([fact for fact in FACTS if fact.subject not in told])
        answer = Message(
            "assistant", f"You have not told me your {fact.subject} yet.", f"{fact.subject}: not told."
        )
    else:
        fact = chance.one(facts)
        value = told[fact.subject]
        answer = Message("assistant", f"Your {fact.subject} is {value}.", f"{fact.subject} = {value}.")
    messages += [Message("user", varied(chance, chance.mine(fact.questions))), answer]
    return Dialogue("memory", tuple(messages), think)
