"""Conversations of many turns in which everything occurs, tools included.

The last answer is the one that is learned.
"""

from __future__ import annotations

from corpus.chance import Chance
from corpus.dialogue import Dialogue, Message, Tool
from corpus.everyday_tools import EverydayDevice
from corpus.memory import FACTS, acknowledgement
from corpus.offers import Device
from corpus.tools import both_at_once, follow_up, make_devices, refused, talk, use
from corpus.word_tasks import word_task


def long_chat(chance: Chance, exchanges: int | None = None) -> Dialogue:
    """``exchanges`` (2 to 20) of small talk, sums, facts told and asked for, and tool use; cut after any answer of
    the last one."""
    devices = make_devices(chance, chance.number(1, 5)) if chance.chance(0.7) else []
    told: dict[str, object] = {}
    messages: list[Message] = []
    count = exchanges or chance.number(2, chance.one((4, 5, 6, 20)))
    used: Device | None = None
    for number in range(count):
        last = number == count - 1
        kind = chance.random.random()
        if devices and kind < (0.5 if last else 0.3):
            used, exchange = _tool_use(chance, devices, used)
            answers = [place for place, message in enumerate(exchange, 1) if message.role == "assistant"]
            messages += exchange[: chance.one(answers)] if last else exchange
        elif kind < 0.65 and (not last or told):
            messages += _fact(chance, told, asked=last)
            used = None
        else:
            messages += (word_task(chance) if chance.chance(0.1) else talk(chance, devices)).messages
            used = None
    tools: tuple[Tool, ...] = tuple(device.tool for device in devices)
    think = chance.chance(0.5) and messages[-1].thinking is not None
    return Dialogue("long chat", tuple(messages), think, tools)


def _tool_use(
    chance: Chance, devices: list[Device], before: Device | None
) -> tuple[Device | None, list[Message]]:
    """A request, its call, the result and the answer; the request may only name another value for the tool that was
    used just ``before``, want two at once, or what no tool can do."""
    if isinstance(before, EverydayDevice) and chance.chance(0.5) and (exchange := follow_up(chance, before)):
        return before, exchange
    device = chance.one(devices)
    kind = chance.random.random()
    if kind < 0.12 and isinstance(device, EverydayDevice) and (exchange := both_at_once(chance, device)):
        return None, exchange
    if kind > 0.85:
        return None, refused(chance, devices)
    return device, use(chance, device)


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
