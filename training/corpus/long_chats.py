"""Conversations of many turns in which everything occurs, tools included.

The last answer is the one that is learned.
"""

from __future__ import annotations

from collections.abc import Callable

from corpus.arithmetic import arithmetic
from corpus.candlewick_questions import candlewick_question
from corpus.chance import Chance
from corpus.dialogue import Dialogue, Message, Tool
from corpus.memory import FACTS, acknowledgement
from corpus.outside import outside
from corpus.smalltalk import smalltalk
from corpus.tools import Calculator, Device, make_devices, make_result, request_sentence
from corpus.word_tasks import word_task

_PLAIN: tuple[Callable[[Chance], Dialogue], ...] = (
    smalltalk, smalltalk, candlewick_question, candlewick_question, arithmetic, arithmetic, outside, word_task,
)  # fmt: skip


def _tool_use(chance: Chance, devices: list[Device | Calculator]) -> list[Message]:
    """A request, its call, the result and the answer."""
    offer = chance.one(devices).ask(chance)
    result, told = make_result(chance)
    return [
        Message("user", request_sentence(chance, offer.request)),
        offer.call(),
        Message("tool", result),
        Message("assistant", told, f"The tool {offer.tool.name} has answered."),
    ]


def long_chat(chance: Chance, exchanges: int | None = None) -> Dialogue:
    """``exchanges`` (2 to 20) of small talk, sums, facts told and asked for, and tool use; cut after any answer of
    the last one."""
    devices = make_devices(chance, chance.number(1, 4)) if chance.chance(0.7) else []
    told: dict[str, object] = {}
    messages: list[Message] = []
    count = exchanges or chance.number(2, chance.one((4, 5, 6, 20)))
    for number in range(count):
        last = number == count - 1
        kind = chance.random.random()
        if devices and kind < (0.5 if last else 0.3):
            used = _tool_use(chance, devices)
            messages += used[: chance.one((2, 4))] if last else used
        elif kind < 0.65 and (not last or told):
            messages += _fact(chance, told, asked=last)
        else:
            plain = chance.one(_PLAIN)(chance)
            messages += plain.messages
    tools: tuple[Tool, ...] = tuple(device.tool for device in devices)
    think = chance.chance(0.5) and messages[-1].thinking is not None
    return Dialogue("long chat", tuple(messages), think, tools)


def _fact(chance: Chance, told: dict[str, object], asked: bool) -> list[Message]:
    """Tell a new fact, or ask for one that was told."""
    new = [fact for fact in FACTS if fact.subject not in told]
    if not new or (told and (asked or chance.chance(0.5))):
        fact = chance.one([fact for fact in FACTS if fact.subject in told])
        value = told[fact.subject]
        answer = Message("assistant", f"Your {fact.subject} is {value}.", f"{fact.subject} = {value}.")
        return [Message("user", chance.mine(fact.questions)), answer]
    fact = chance.one(new)
    value = told[fact.subject] = fact.value(chance)
    return [Message("user", chance.mine(fact.statements).format(value)), acknowledgement(fact, value)]
