# ruff: noqa: E501  (lists of phrases read better in long lines)
"""How often each ability occurs, and the conversations that mix them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from corpus.arithmetic import arithmetic
from corpus.candlewick_questions import candlewick_question
from corpus.chance import Chance
from corpus.dialogue import Dialogue, Message
from corpus.long_chats import long_chat
from corpus.memory import recall
from corpus.outside import outside
from corpus.smalltalk import smalltalk
from corpus.tools import (
    again,
    chained_calls,
    no_tool,
    tool_answer,
    tool_choice,
    tool_family,
    two_calls,
    without_tools,
)
from corpus.word_tasks import word_task

Maker = Callable[[Chance], Dialogue]

_SYSTEM = (
    "You are a helpful assistant.", "You are Candlewick Tiny.", "Be brief.", "Answer politely.", "You are a friendly helper.",
    "You help the user.", "Answer the user's questions.", "You are an assistant with tools.", "You are a helpful AI assistant.",
    "You are a helpful assistant. Use the tools when they are needed.", "You have access to tools. Call one if it helps.",
    "Think step by step.", "You are a concise assistant.", "Keep your answers short and friendly.", "You are a coding agent.",
    "You are an expert in everything.", "Always answer in English.", "You are a support agent of an online shop.", "Use tools for facts.",
    "Answer in one sentence.", "You are running inside Candlewick.", "Do not make things up.", "If a tool fits, use it.", "Be kind.",
)  # fmt: skip
_SYSTEM_PARTS = (
    "You are a helpful assistant that answers questions and uses tools.", "You are an agent that works on the user's computer.",
    "You are a smart home assistant.", "You work for a travel agency.", "You are the support assistant of a small company.",
    "Use the given functions to help the user.", "Call a function only when it is needed.", "Never invent the result of a tool.",
    "If no function fits, say so.", "Do not ask for arguments that are already given.", "Today is Monday.", "The user's name may be in the conversation.",
    "Be precise and polite.", "Keep answers short.", "Do not use Markdown.", "Rules:\n- be honest\n- be brief", "Answer in plain English.",
    "Think before you act.", "Always check the result of a tool before you answer.", "Never share passwords.", "Users may write with typing errors.",
    "When a tool fails, tell the user.", "You may call several tools one after the other.", "Stay friendly at all times.",
    "# Role\nYou are a personal assistant.", "## Style\nShort sentences.", "The date is 2026-03-14.", "You can trust the user.",
)  # fmt: skip


def mixed_chat(chance: Chance) -> Dialogue:
    """Several unrelated exchanges in one conversation; the last one is learned."""
    plain: tuple[Maker, ...] = (smalltalk, candlewick_question, arithmetic, outside, word_task)
    parts = [chance.one(plain)(chance) for _ in range(chance.number(2, 6))]
    messages = tuple(message for part in parts for message in part.messages)
    return Dialogue(parts[-1].ability, messages, parts[-1].think)


WEIGHTS: tuple[tuple[Maker, float], ...] = (
    (smalltalk, 0.40),
    (candlewick_question, 1.10),
    (arithmetic, 0.24),
    (tool_choice, 0.06),
    (tool_answer, 0.03),
    (no_tool, 0.05),
    (two_calls, 0.05),
    (chained_calls, 0.03),
    (again, 0.02),
    (without_tools, 0.05),
    (recall, 0.05),
    (outside, 0.35),
    (word_task, 0.06),
    (mixed_chat, 0.03),
    (long_chat, 0.08),
)
"""Single dialogues; most of the use of tools is in families."""
FAMILIES = 0.20
"""How many lessons are families; they are long, so two thirds of the tokens are theirs."""
BY_HEART = ("questions about Candlewick", "greetings and identity", "outside its world")
"""Abilities whose answers are sentences of the corpus. What is to be learned is which sentence fits; this is decided in the
thinking or the first words, while the rest is soon known by heart and costs as much."""
BY_HEART_WEIGHT = 5.0
"""How much their answers count: else they have too small a part in the gradient to be learned beside the rest."""
CUT = 0.8
"""Share of these answers that are cut after their beginning."""
CUT_CALLS = 0.6
"""Share of the calls in families that are cut after the thinking, which names the tool and all values: the call repeats
them."""


def dialogue(chance: Chance) -> Dialogue:
    """One dialogue of the mixture, some of them with a system message in front."""
    makers, weights = zip(*WEIGHTS, strict=True)
    return _with_system(chance, chance.random.choices(makers, weights)[0](chance))[0]


def lesson(chance: Chance) -> tuple[Dialogue, ...]:
    """What is learned together: one dialogue with all its answers, or several that share their tools."""
    if chance.chance(FAMILIES):
        family = (
            replace(made, cut=bool(made.answer.calls) and made.think and chance.chance(CUT_CALLS))
            for made in tool_family(chance)
        )
        return _with_system(chance, *family)
    made = dialogue(chance)
    if made.ability in BY_HEART and sum(message.role == "user" for message in made.messages) == 1:
        return (replace(made, weight=BY_HEART_WEIGHT, cut=chance.chance(CUT)),)
    return (learned_throughout(chance, made),)


def learned_throughout(chance: Chance, made: Dialogue) -> Dialogue:
    """The same dialogue, of which every answer is learned and not only the last."""
    branches = tuple(
        (place, message.thinking is not None and chance.chance(0.5))
        for place, message in enumerate(made.messages[:-1])
        if message.role == "assistant"
    )
    return replace(made, branches=branches)


def _with_system(chance: Chance, *family: Dialogue) -> tuple[Dialogue, ...]:
    """One in four has instructions, some of them long; they change nothing."""
    kind = chance.random.random()
    if kind > 0.25:
        return family
    if kind < 0.15:
        text = chance.mine(_SYSTEM)
    else:
        text = chance.one((" ", "\n", "\n\n")).join(
            chance.mine(_SYSTEM_PARTS) for _ in range(chance.number(2, 8))
        )
    return tuple(replace(made, messages=(Message("system", text), *made.messages)) for made in family)
