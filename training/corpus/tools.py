# ruff: noqa: E501, SIM905  (lists of words read better as text)
"""Tool use: choose among one to five offered tools, copy the arguments, read the result, or call none.

Tools are made, not listed: an action and an object give the name, the description and the words of a request, so that
the model learns to match a request with a description that it has never seen.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from corpus import words
from corpus.candlewick_questions import candlewick_question
from corpus.chance import Chance
from corpus.dialogue import Dialogue, Message, Tool, ToolCall
from corpus.outside import ANSWER as OUTSIDE_ANSWER
from corpus.outside import outside
from corpus.smalltalk import smalltalk
from corpus.variation import varied

NO_TOOL = "None of my tools can do that."


@dataclass(frozen=True)
class Slot:
    """A parameter: its names, JSON type, how a request mentions it, and a maker of values."""

    names: tuple[str, ...]
    kind: str
    mentions: tuple[str, ...]
    value: Callable[[Chance], Any]


@dataclass(frozen=True)
class Action:
    verb: str
    description: str
    requests: tuple[str, ...]


_ACTIONS = (
    Action("get", "Get the {}", ("get the {}", "what is the {}", "tell me the {}", "I need the {}", "give me the {}", "show the {}")),
    Action("find", "Find a {}", ("find a {}", "look for a {}", "find me a {}", "I am looking for a {}")),
    Action("search", "Search for a {}", ("search for a {}", "search a {}", "do a search for a {}")),
    Action("create", "Create a {}", ("create a {}", "make a {}", "I need a new {}", "make me a {}", "add a new {}")),
    Action("send", "Send a {}", ("send a {}", "send the {}", "I want to send a {}", "please send my {}")),
    Action("book", "Book a {}", ("book a {}", "reserve a {}", "I want to book a {}", "please book me a {}")),
    Action("delete", "Delete a {}", ("delete the {}", "remove the {}", "please delete my {}", "get rid of the {}")),
    Action("play", "Play a {}", ("play a {}", "play the {}", "please play my {}", "start the {}")),
    Action("check", "Check the {}", ("check the {}", "how is the {}", "please check the {}", "what about the {}")),
    Action("set", "Set the {}", ("set the {}", "change the {}", "adjust the {}", "put the {}")),
    Action("open", "Open the {}", ("open the {}", "please open the {}", "show me the {}")),
    Action("count", "Count the {}", ("count the {}", "how many of the {}", "give the count of the {}")),
)  # fmt: skip
_OBJECTS = (
    "weather forecast flight hotel recipe message email song playlist reminder alarm meeting invoice order package ticket photo "
    "document contact note task timer temperature light door calendar event price stock distance route translation definition "
    "restaurant table taxi train movie book article report file folder user account balance payment invoice project branch "
    "issue score game lesson course exam prescription appointment doctor room car bicycle garden pump sensor camera printer backup "
    "server database record survey poll vote coupon discount review rating recipe podcast radio channel video picture map address"
).split()


def _decimal(chance: Chance) -> float:
    return chance.draw(lambda: round(chance.random.uniform(0.1, 99), chance.number(1, 2)))


_SLOTS = (
    Slot(("city", "place", "location", "town"), "string", ("in {}", "for {}", "at {}", "of {}"), words.city),
    Slot(("name", "person", "recipient", "user"), "string", ("for {}", "to {}", "with {}", "by {}"), words.person),
    Slot(("text", "title", "query", "message", "topic"), "string", ('"{}"', 'called "{}"', 'about "{}"', 'with the text "{}"'), words.phrase),
    Slot(("count", "amount", "number", "quantity"), "integer", ("with {0} items", "number {0}", "{0} times", "for {0} people"), words.integer),
    Slot(("id", "code"), "integer", ("with id {}", "id {}", "with the code {}", "no. {}"), words.integer),
    Slot(("minutes", "hours", "days"), "integer", ("for {} {name}", "in {} {name}", "of {} {name}"), lambda chance: words.integer(chance, 2)),
    Slot(("price", "weight", "length", "value"), "number", ("of {}", "with {name} {}", "for {}"), _decimal),
    Slot(("colour", "color"), "string", ("in {}", "the colour {}", "coloured {}"), lambda chance: chance.one(words.COLOURS)),
)  # fmt: skip

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
_RESULT_KEYS = (
    "temperature status price total time date result distance score length level state value balance wind rating duration "
    "size answer owner place title weight speed"
).split()


_CALCULATIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "add": ("Add two numbers", ("add {} and {}", "what is {} plus {}", "add {1} to {0}", "{} + {}", "sum {} and {}", "the sum of {} and {}")),
    "subtract": ("Subtract two numbers", ("subtract {1} from {0}", "what is {} minus {}", "{} - {}", "take {1} from {0}", "the difference of {} and {}")),
    "multiply": ("Multiply two numbers", ("multiply {} by {}", "what is {} times {}", "{} * {}", "the product of {} and {}", "multiply {} and {}")),
    "divide": ("Divide two numbers", ("divide {} by {}", "what is {} divided by {}", "{} / {}", "the quotient of {} and {}")),
}  # fmt: skip
_OPERANDS = (("a", "b"), ("x", "y"), ("first", "second"), ("left", "right"), ("number_a", "number_b"))


@dataclass(frozen=True)
class Offer:
    """A tool with one way to ask for it and the call that this request wants."""

    tool: Tool
    request: str
    arguments: dict[str, Any]

    @property
    def thought(self) -> str:
        values = ", ".join(f"{name} = {value}" for name, value in self.arguments.items())
        return f"The tool {self.tool.name} fits: {values}." if values else f"The tool {self.tool.name} fits."

    def call(self) -> Message:
        return Message("assistant", "", self.thought, (ToolCall(self.tool.name, self.arguments),))


@dataclass(frozen=True)
class Device:
    """A tool that can be asked for again and again, each time in other words and with other values."""

    tool: Tool
    requests: tuple[str, ...]
    thing: str
    slots: tuple[tuple[str, Slot], ...]

    def ask(self, chance: Chance) -> Offer:
        """A request for it; the parameters are mentioned in any order, the call has the tool's."""
        arguments = {parameter: slot.value(chance) for parameter, slot in self.slots}
        request = varied(chance, chance.mine(self.requests).format(self.thing))
        for parameter, slot in chance.some(self.slots, len(self.slots)):
            if chance.chance(0.2):
                mention = chance.one(("with {name} {}", "{name}: {}", "and {name} {}"))
            else:
                mention = chance.mine(slot.mentions)
            request += " " + mention.format(arguments[parameter], name=parameter)
        return Offer(self.tool, request, arguments)


@dataclass(frozen=True)
class Calculator:
    """A tool that computes with the two numbers of a request."""

    tool: Tool
    requests: tuple[str, ...]

    def ask(self, chance: Chance) -> Offer:
        make = words.integer if chance.chance(0.8) else _decimal
        values = (make(chance), make(chance))
        arguments = dict(zip(self.tool.parameters, values, strict=True))
        return Offer(self.tool, chance.mine(self.requests).format(*values), arguments)


def _calculator(chance: Chance) -> Calculator:
    name = chance.one(tuple(_CALCULATIONS))
    description, requests = _CALCULATIONS[name]
    parameters = dict.fromkeys(chance.one(_OPERANDS), chance.one(("integer", "number", "number")))
    name = chance.one((name, name, f"{name}_numbers", f"calculator_{name}"))
    return Calculator(Tool(name, description + chance.one(("", ".")), parameters), requests)


def make_device(chance: Chance) -> Device | Calculator:
    """A random tool: an action, an object and zero to three parameters, or a calculation; objects are held out."""
    if chance.chance(0.06):
        return _calculator(chance)
    action = chance.one(_ACTIONS)
    thing = chance.mine(_OBJECTS) if chance.chance(0.6) else words.invented(chance)
    slots = {chance.one(slot.names): slot for slot in chance.some(_SLOTS, chance.one((0, 1, 1, 1, 2, 2, 3)))}
    verb = action.verb
    names = (f"{verb}_{thing}", f"{verb}_{thing}", f"{thing}_{verb}", f"{verb}{thing.capitalize()}", thing)
    known_by = " and ".join(slots)
    endings = ("", "", ".", ".", " by its details.", " for the user.")
    if slots:
        endings += (f" by {known_by}.", f" for a given {known_by}.", f" ({known_by}).")
    description = action.description.format(thing) + chance.one(endings)
    parameters = {parameter: slot.kind for parameter, slot in slots.items()}
    return Device(
        Tool(chance.one(names), description, parameters), action.requests, thing, tuple(slots.items())
    )


def make_devices(chance: Chance, count: int) -> list[Device | Calculator]:
    """So many tools of different names, none of which can be taken for another."""
    devices: dict[str, Device | Calculator] = {}
    while len(devices) < count:
        device = make_device(chance)
        same = device.thing if isinstance(device, Device) else device.tool.name
        devices.setdefault(same, device)
    return list(devices.values())


def _distinct(chance: Chance, count: int) -> list[Offer]:
    return [device.ask(chance) for device in make_devices(chance, count)]


def request_sentence(chance: Chance, request: str) -> str:
    text = chance.mine(_OPENINGS) + request
    text = text[0].upper() + text[1:] if chance.chance(0.8) else text
    return text + chance.one(("", ".", ".", "?"))


def _shuffled_tools(chance: Chance, offers: list[Offer]) -> tuple[Tool, ...]:
    return tuple(chance.some([offer.tool for offer in offers], len(offers)))


def make_result(chance: Chance) -> tuple[str, str]:
    """What a tool returned, and the sentence that tells it."""
    kind = chance.random.random()
    if kind < 0.15:
        text = words.phrase(chance)
        return json.dumps({"error": text}), f"The tool reported an error: {text}."
    if kind < 0.35:
        value: object = chance.one((words.phrase(chance), words.integer(chance)))
        return str(value), f"The result is {value}."
    keys = chance.some(_RESULT_KEYS, chance.number(1, 3))
    pairs = {key: chance.one((words.word(chance), words.integer(chance))) for key in keys}
    parts = [f"the {key} is {value}" for key, value in pairs.items()]
    told = parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
    return json.dumps(pairs), told[0].upper() + told[1:] + "."


def tool_choice(chance: Chance) -> Dialogue:
    """One request that one of the offered tools serves."""
    offers = _distinct(chance, chance.number(1, 5))
    messages = (Message("user", request_sentence(chance, offers[0].request)), offers[0].call())
    return Dialogue("tool call", messages, chance.chance(0.6), _shuffled_tools(chance, offers))


def tool_answer(chance: Chance) -> Dialogue:
    """The tool has answered; the model tells the result."""
    offers = _distinct(chance, chance.number(1, 3))
    result, told = make_result(chance)
    messages = (
        Message("user", request_sentence(chance, offers[0].request)),
        offers[0].call(),
        Message("tool", result),
        Message("assistant", told, f"The tool {offers[0].tool.name} has answered."),
    )
    return Dialogue("tool result", messages, chance.chance(0.6), _shuffled_tools(chance, offers))


def no_tool(chance: Chance) -> Dialogue:
    """Tools are offered, but none fits: another object is asked for, or it is only talk."""
    offers = _distinct(chance, chance.number(2, 4))
    asked, tools = offers[0], _shuffled_tools(chance, offers[1:])
    if chance.chance(0.5):
        question = request_sentence(chance, asked.request)
        answer = Message("assistant", NO_TOOL, "No tool fits this request.")
    else:
        plain = chance.one((smalltalk, outside, candlewick_question))(chance)
        question = plain.messages[0].content
        answer = Message("assistant", plain.answer.content, f"No tool is needed. {plain.answer.thinking}")
    accepted = (NO_TOOL, OUTSIDE_ANSWER)
    return Dialogue("no tool fits", (Message("user", question), answer), chance.chance(0.6), tools, accepted)


def two_calls(chance: Chance) -> Dialogue:
    """A request that needs two tools, one after the other; in training cut at any of the three assistant turns."""
    offers = _distinct(chance, chance.number(2, 4))
    first, second = offers[:2]
    joint = chance.mine(
        (" and then ", ", then ", " and ", ". After that ", ", and also ", ". Then ", " and after that ")
    )
    (result_a, told_a), (result_b, told_b) = make_result(chance), make_result(chance)
    messages = (
        Message("user", request_sentence(chance, first.request + joint + second.request)),
        first.call(),
        Message("tool", result_a),
        second.call(),
        Message("tool", result_b),
        Message("assistant", f"{told_a} {told_b}", "Both tools have answered."),
    )
    length = 6 if chance.split == "test" else chance.one((2, 4, 4, 6))
    return Dialogue("two tool calls", messages[:length], chance.chance(0.6), _shuffled_tools(chance, offers))
