# ruff: noqa: E501  (lists of phrases read better in long lines)
"""Tool use: choose among one to five offered tools, copy the arguments, read the result, or call none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from corpus import chains
from corpus.arithmetic import arithmetic
from corpus.candlewick_questions import candlewick_question
from corpus.chance import Chance, is_held_out
from corpus.dialogue import Dialogue, Message, Tool
from corpus.everyday_tools import KEYS, TOOLS, Everyday, EverydayDevice, everyday_device, request_gaps
from corpus.made_tools import Calculator, calculator, made_device
from corpus.offers import Device, Offer
from corpus.outside import ANSWER as OUTSIDE_ANSWER
from corpus.outside import outside
from corpus.random_tools import random_device
from corpus.results import told
from corpus.smalltalk import smalltalk
from corpus.variation import varied

NO_TOOL = "None of my tools can do that."
RANDOM_FAMILIES = 0.2
"""Share of the families whose tools are of random words."""
NO_TOOLS = "I have no tool for that. Offer me one with tools=[...] and I will call it."
_ASKED_IN_NEW_WORDS = tuple(
    key
    for key, source in TOOLS.items()
    if not is_held_out(key)
    and any(is_held_out(ask) and source.takes.keys() >= set(request_gaps(ask)) for ask in source.asks)
)
"""Tools of training with held-out requests that need no parameter which is only listed sometimes."""

_OPENINGS = (
    "",
    "",
    "",
    "Please ",
    "Can you ",
    "Could you ",
    "I'd like you to ",
    "Now ",
    "Hey, ",
    "Hi, please ",
    "Quickly ",
)
_BEFORE = (
    "",
    "",
    "",
    "",
    "",
    "",
    "Hi! ",
    "Hello. ",
    "Thanks. ",
    "Hey, ",
    "OK. ",
    "please ",
    "Great. ",
    "Good morning! ",
    "And ",
    "Also: ",
    "One more thing. ",
    "Hello Candlewick, ",
)
_AFTER = (
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    " Thanks!",
    " please",
    " Thank you.",
    " I am curious.",
    " It is urgent.",
)
_JOINTS = (
    " and then ", ", then ", " and ", ". After that ", ", and also ", ". Then ", " and after that ", ". Next, ", ". Afterwards ", ", afterwards ", ", and next ",
    ". When that is done, ", ". Once that is done, ", ", and when you have it, ", ". Also ", ". As a second step, ", ". And then ", ", and ", "; then ", ". After this, ",
    " and afterwards ", ", after which ", ". Secondly, ", ", followed by this: ", ". In addition, ", ", plus ", ". Then please ", ". When you are done with that, ", " as well as ",
    ". Besides, ", ". Second: ", ", and as soon as that is done ", ". Later ", " and finally ", ". Finally, ", ". I also want this: ", ". Another thing: ", " & ", ", next ", ". Following that, ",
    ". And also ", " and please ", ", and please also ", ". After you have done that, ", ", and after this ", ". That done, ", ". Only then ", " and only then ", ". Thereafter ",
)  # fmt: skip


def make_device(chance: Chance) -> Device:
    """Any tool: half of them made, the others as people write them."""
    kind = chance.random.random()
    if kind < 0.06:
        return calculator(chance)
    return made_device(chance) if kind < 0.5 else everyday_device(chance)


def make_devices(
    chance: Chance, count: int, *first: Device, make: Callable[[Chance], Device] = make_device
) -> list[Device]:
    """So many tools, none of which can be taken for another; ``first`` are the first of them."""
    devices = list(first) or [make(chance)]
    while len(devices) < count:
        device = make(chance)
        if not any(_alike(device, other) for other in devices):
            devices.append(device)
    return devices


def _alike(one: Device, other: Device) -> bool:
    return bool(one.tags & other.avoids or other.tags & one.avoids or one.tool.name == other.tool.name)


def spoken(chance: Chance, device: Device, offer: Offer) -> str:
    """The user's message. An everyday request stands as it is, or with a word of kindness; a made one is an order."""
    if isinstance(device, EverydayDevice):
        after = chance.one(_AFTER) if offer.request.endswith((".", "?", "!")) else ""
        return chance.one(_BEFORE) + offer.request + after if chance.chance(0.4) else offer.request
    return request_sentence(chance, offer.request)


def request_sentence(chance: Chance, request: str) -> str:
    text = chance.mine(_OPENINGS) + request
    text = text[0].upper() + text[1:] if chance.chance(0.8) else text
    return text.rstrip(".?") + chance.one(("", ".", ".", "?"))


def _shuffled_tools(chance: Chance, devices: Sequence[Device]) -> tuple[Tool, ...]:
    return tuple(chance.some([device.tool for device in devices], len(devices)))


def use(chance: Chance, device: Device) -> list[Message]:
    """A request, its call, the result and the answer."""
    offer = device.ask(chance)
    return [Message("user", spoken(chance, device, offer)), *_answered(offer)]


def _answered(offer: Offer) -> list[Message]:
    answer = Message("assistant", told(offer.result), f"The tool {offer.tool.name} has answered.")
    return [offer.call(), Message("tool", offer.result), answer]


def tool_choice(chance: Chance, first: Device | None = None) -> Dialogue:
    """One request that one of the offered tools serves; training has fewer tools more often, which are shorter."""
    count = chance.number(1, 5) if chance.split == "test" else chance.one((1, 1, 2, 2, 2, 3, 3, 4, 5))
    devices = make_devices(chance, count, *([first] if first else []))
    return replace(_asked_for(chance, devices[0]), tools=_shuffled_tools(chance, devices))


def _asked_for(chance: Chance, asked: Device) -> Dialogue:
    """A request for this tool and the call of it."""
    if isinstance(asked, EverydayDevice) and asked.source.general and chance.chance(0.5):
        question = outside(chance).messages[0].content
        name = next(iter(asked.source.takes))
        offer = asked.offer(chance, question, {name: question})
    else:
        offer = asked.ask(chance)
    messages = (Message("user", spoken(chance, asked, offer)), offer.call())
    if isinstance(asked, EverydayDevice) and asked.source.general:
        messages = (Message("user", offer.request), offer.call())
    return Dialogue("tool call", messages, chance.chance(0.6))


def made_tool_choice(chance: Chance) -> Dialogue:
    """The same, where the right tool is a made one."""
    return tool_choice(chance, made_device(chance))


def everyday_tool_choice(chance: Chance) -> Dialogue:
    """The same, where the right tool is as people write them."""
    return tool_choice(chance, everyday_device(chance))


def known_tool_choice(chance: Chance) -> Dialogue:
    """The same, where the right tool is one of training's; in the test split the request's words are held out."""
    return tool_choice(chance, everyday_device(chance, chance.one(_ASKED_IN_NEW_WORDS)))


def tool_answer(chance: Chance) -> Dialogue:
    """The tool has answered; the model tells the result."""
    devices = make_devices(chance, chance.number(1, 3))
    return replace(_used(chance, devices[0]), tools=_shuffled_tools(chance, devices))


def _used(chance: Chance, device: Device) -> Dialogue:
    return Dialogue("tool result", tuple(use(chance, device)), chance.chance(0.6))


def _everyday(devices: Sequence[Device]) -> list[Everyday]:
    return [device.source for device in devices if isinstance(device, EverydayDevice)]


def _computes(devices: Sequence[Device]) -> bool:
    calculates = any(isinstance(device, Calculator) for device in devices)
    return calculates or any(source.computes for source in _everyday(devices))


def _searches(devices: Sequence[Device]) -> bool:
    return any(source.general for source in _everyday(devices))


def _knows(devices: Sequence[Device]) -> bool:
    return any(source.knowledge for source in _everyday(devices))


def talk(chance: Chance, devices: Sequence[Device]) -> Dialogue:
    """An exchange that none of ``devices`` is needed for."""
    makers = [smalltalk, smalltalk, candlewick_question]
    if not devices and chance.chance(0.3):
        makers.append(without_tools)
    if not _computes(devices):
        makers.append(lambda chance: arithmetic(chance))
    if not _searches(devices) and not _knows(devices):
        makers += [outside, outside]
    while True:
        made = chance.one(makers)(chance)
        question = made.messages[0].content
        plain = made.ability not in ("outside its world", "greetings and identity")
        if plain or not any(device.concerns(question) for device in devices):
            return made


def no_tool(chance: Chance) -> Dialogue:
    """Tools are offered, but none fits: another thing is asked for, or it is only talk."""
    asked, *offered = make_devices(chance, chance.number(2, 4))
    return replace(_not_served(chance, asked, offered), tools=_shuffled_tools(chance, offered))


def _not_served(chance: Chance, asked: Device, offered: Sequence[Device]) -> Dialogue:
    """A request for a tool that is not among the ``offered``, or talk."""
    think = chance.chance(0.6)
    if chance.chance(0.5) and not isinstance(asked, Calculator) and not _searches(offered):
        question = spoken(chance, asked, asked.ask(chance))
        answer = Message("assistant", NO_TOOL, "No tool fits this request.")
    else:
        plain = talk(chance, offered)
        question, answer = plain.messages[0].content, plain.answer
        if plain.ability in ("addition", "subtraction", "multiplication"):
            think = plain.think
        else:
            answer = replace(answer, thinking=f"No tool is needed. {answer.thinking}")
    accepted = (NO_TOOL, OUTSIDE_ANSWER)
    return Dialogue("no tool fits", (Message("user", question), answer), think, accepted=accepted)


def without_tools(chance: Chance) -> Dialogue:
    """Something is to be done and no tool is there at all."""
    key = chance.mine([key for key in KEYS if not TOOLS[key].knowledge])
    device = everyday_device(chance, key)
    question = spoken(chance, device, device.ask(chance))
    answer = Message("assistant", NO_TOOLS, "That needs a tool, and I have none.")
    return Dialogue(
        "no tools at all", (Message("user", question), answer), chance.chance(0.5), accepted=(OUTSIDE_ANSWER,)
    )


def refused(chance: Chance, offered: Sequence[Device]) -> list[Message]:
    """A request for a tool that is not among the offered ones."""
    asked = make_devices(chance, len(offered) + 1, *offered)[-1]
    if isinstance(asked, Calculator) or _searches(offered):
        return use(chance, offered[0])
    question = spoken(chance, asked, asked.ask(chance))
    return [Message("user", question), Message("assistant", NO_TOOL, "No tool fits this request.")]


def two_calls(chance: Chance) -> Dialogue:
    """A request that needs two tools, now and then three, one after the other; in training cut at any of the
    assistant's turns, seldom at the first, which other dialogues have, too."""
    steps = 3 if chance.split == "train" and chance.chance(0.15) else 2
    devices = make_devices(chance, chance.number(steps, 4))
    return replace(_one_after_the_other(chance, devices[:steps]), tools=_shuffled_tools(chance, devices))


def _one_after_the_other(chance: Chance, devices: Sequence[Device]) -> Dialogue:
    offers = [device.ask(chance) for device in devices]
    request = offers[0].request
    for offer in offers[1:]:
        following = offer.request if chance.chance(0.3) else offer.request[0].lower() + offer.request[1:]
        request = request.rstrip(".?!") + chance.mine(_JOINTS) + following
    answer = " ".join(told(offer.result) for offer in offers)
    return _sequence(chance, request_sentence(chance, request), offers, answer)


def chained_calls(chance: Chance) -> Dialogue:
    """A request of which the second call needs what the first returned; the answer tells the last result."""
    one, then = chains.chain(chance)
    devices = make_devices(chance, chance.number(2, 4), one.device, then.device)
    return replace(_linked(chance, one, then), tools=_shuffled_tools(chance, devices))


def _linked(chance: Chance, one: chains.Link, then: chains.Link) -> Dialogue:
    return _sequence(chance, one.offer.request, [one.offer, then.offer], told(then.offer.result))


def _sequence(chance: Chance, request: str, offers: Sequence[Offer], answer: str) -> Dialogue:
    messages = [Message("user", request)]
    for offer in offers:
        messages += [offer.call(), Message("tool", offer.result)]
    thought = "Both tools have answered." if len(offers) == 2 else "All tools have answered."
    messages.append(Message("assistant", answer, thought))
    later = range(4, len(messages) + 1, 2)
    length = len(messages) if chance.split == "test" else chance.one((2, *later, *later))
    return Dialogue("two tool calls", tuple(messages[:length]), chance.chance(0.6))


def both_at_once(chance: Chance, device: EverydayDevice) -> list[Message] | None:
    """One tool for two values in one answer, the results and what they say; None where it takes no single value."""
    more = device.more(chance, 2)
    if more is None:
        return None
    offers, request = more
    thought = f"The tool {device.tool.name} fits, for each of them."
    told_both = " ".join(told(offer.result) for offer in offers)
    return [
        Message("user", request),
        Message("assistant", "", thought, tuple(offer.wanted for offer in offers)),
        *(Message("tool", offer.result) for offer in offers),
        Message("assistant", told_both, "Both tools have answered."),
    ]


def again(chance: Chance) -> Dialogue:
    """One tool for two values: both in one answer ("Oslo and Rome"), or one now and one later ("and in Rome?")."""
    while True:
        device = everyday_device(chance)
        if made := _again(chance, device):
            break
    return replace(made, tools=_shuffled_tools(chance, make_devices(chance, chance.number(1, 3), device)))


def _again(chance: Chance, device: EverydayDevice) -> Dialogue | None:
    messages, later = both_at_once(chance, device), follow_up(chance, device)
    if not messages or not later:
        return None
    think = chance.chance(0.6)
    if chance.chance(0.5):
        return Dialogue("parallel calls", tuple(messages[: chance.one((2, 5))]), think)
    messages = use(chance, device) + later[: chance.one((2, 2, 4))]
    return Dialogue("follow-up call", tuple(messages), think)


def follow_up(chance: Chance, device: EverydayDevice) -> list[Message] | None:
    """The same tool for another value, which is all that the request names; None where it takes no single value."""
    more = device.more(chance, 2)
    if more is None:
        return None
    offer = more[0][1]
    return [Message("user", varied(chance, offer.request)), *_answered(offer)]


def tool_family(chance: Chance) -> tuple[Dialogue, ...]:
    """Five to eight dialogues with the same tools on offer. Side by side they show that the request decides; and the
    description of the tools, which is most of a prompt, is read once for all of them."""
    make = random_device if chance.chance(RANDOM_FAMILIES) else make_device
    links = chains.chain(chance) if make is make_device and chance.chance(0.15) else None
    first = [link.device for link in links] if links else []
    devices = make_devices(chance, max(len(first), chance.one((1, 2, 2, 3, 3, 4, 5))), *first, make=make)
    tools = _shuffled_tools(chance, devices)
    family = [_linked(chance, *links)] if links else []
    family += [
        _relative(chance, devices, make is make_device) for _ in range(chance.number(5, 8) - len(family))
    ]
    return tuple(replace(made, tools=tools) for made in family)


def _relative(chance: Chance, devices: Sequence[Device], may_refuse: bool) -> Dialogue:
    """One dialogue with ``devices`` on offer. Tools of random words refuse nothing: that taught the model to refuse
    whatever has no word in common with a tool, as many requests have that one of them serves."""
    device = chance.one(devices)
    kind = chance.random.random()
    if kind < 0.22 and may_refuse:
        return _not_served(chance, make_devices(chance, len(devices) + 1, *devices)[-1], devices)
    if kind < 0.32:
        return _used(chance, device)
    if kind < 0.54 and len(devices) > 1:
        return _one_after_the_other(chance, chance.some(devices, 2))
    if kind < 0.60 and isinstance(device, EverydayDevice) and (made := _again(chance, device)):
        return made
    return _asked_for(chance, device)
