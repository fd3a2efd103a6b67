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
from corpus.tools import no_tool, tool_answer, tool_choice, two_calls
from corpus.word_tasks import word_task

Maker = Callable[[Chance], Dialogue]

_SYSTEM = (
    "You are a helpful assistant.", "You are Candlewick Tiny.", "Be brief.", "Answer politely.", "You are a friendly helper.",
    "You help the user.", "Answer the user's questions.", "You are an assistant with tools.",
)  # fmt: skip


def mixed_chat(chance: Chance) -> Dialogue:
    """Several unrelated exchanges in one conversation; the last one is learned."""
    plain: tuple[Maker, ...] = (smalltalk, candlewick_question, arithmetic, outside, word_task)
    parts = [chance.one(plain)(chance) for _ in range(chance.number(2, 6))]
    messages = tuple(message for part in parts for message in part.messages)
    return Dialogue(parts[-1].ability, messages, parts[-1].think)


WEIGHTS: tuple[tuple[Maker, float], ...] = (
    (smalltalk, 0.06),
    (candlewick_question, 0.13),
    (arithmetic, 0.22),
    (tool_choice, 0.10),
    (tool_answer, 0.06),
    (no_tool, 0.05),
    (two_calls, 0.07),
    (recall, 0.07),
    (outside, 0.06),
    (word_task, 0.09),
    (mixed_chat, 0.03),
    (long_chat, 0.06),
)


def dialogue(chance: Chance) -> Dialogue:
    """One dialogue of the mixture, some of them with a system message in front."""
    makers, weights = zip(*WEIGHTS, strict=True)
    return _with_system(chance, chance.random.choices(makers, weights)[0](chance))


def learned_throughout(chance: Chance, made: Dialogue) -> Dialogue:
    """The same dialogue, of which every answer is learned and not only the last."""
    branches = tuple(
        (place, message.thinking is not None and chance.chance(0.5))
        for place, message in enumerate(made.messages[:-1])
        if message.role == "assistant"
    )
    return replace(made, branches=branches)


def _with_system(chance: Chance, made: Dialogue) -> Dialogue:
    if not chance.chance(0.15):
        return made
    return replace(made, messages=(Message("system", chance.mine(_SYSTEM)), *made.messages))
