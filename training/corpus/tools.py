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
from corpus.chance import Chance
from corpus.dialogue import Dialogue, Message, Tool, ToolCall
from corpus.outside import ANSWER as OUTSIDE_ANSWER
from corpus.outside import outside
from corpus.smalltalk import smalltalk

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

_SLOTS = (
    Slot(("city", "place", "location", "town"), "string", ("in {}", "for {}", "at {}", "of {}"), words.city),
    Slot(("name", "person", "recipient", "user"), "string", ("for {}", "to {}", "with {}", "by {}"), words.person),
    Slot(("text", "title", "query", "message", "topic"), "string", ('"{}"', 'called "{}"', 'about "{}"', 'with the text "{}"'), words.phrase),
    Slot(("count", "amount", "number", "quantity"), "integer", ("with {0} items", "number {0}", "{0} times", "for {0} people"), words.integer),
    Slot(("id", "code"), "integer", ("with id {}", "id {}", "with the code {}", "no. {}"), words.integer),
    Slot(("minutes", "hours", "days"), "integer", ("for {} {name}", "in {} {name}", "of {} {name}"), lambda chance: words.integer(chance, 2)),
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


def make_offer(chance: Chance) -> Offer:
    """A random tool (action, object, zero to three parameters) and a request for it; objects are held out."""
    action = chance.one(_ACTIONS)
    thing = chance.mine(_OBJECTS) if chance.chance(0.6) else words.invented(chance)
    slots = chance.some(_SLOTS, chance.one((0, 1, 1, 1, 2, 2, 3)))
    name = chance.one(
        (
            f"{action.verb}_{thing}",
            f"{action.verb}_{thing}",
            f"{thing}_{action.verb}",
            f"{action.verb}{thing.capitalize()}",
            thing,
        )
    )
    request, arguments, kinds = chance.mine(action.requests).format(thing), {}, {}
    for slot in slots:
        parameter, value = chance.one(slot.names), slot.value(chance)
        arguments[parameter], kinds[parameter] = value, slot.kind
        if chance.chance(0.2):
            mention = chance.one(("with {name} {}", "{name}: {}", "and {name} {}"))
        else:
            mention = chance.mine(slot.mentions)
        request += " " + mention.format(value, name=parameter)
    description = action.description.format(thing) + chance.one(
        ("", ".", " by its details.", " for the user.")
    )
    return Offer(Tool(name, description, kinds), request, arguments)


def _distinct(chance: Chance, count: int) -> list[Offer]:
    offers: dict[str, Offer] = {}
    while len(offers) < count:
        offer = make_offer(chance)
        offers.setdefault(offer.tool.name, offer)
    return list(offers.values())


def _sentence(chance: Chance, request: str) -> str:
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
    messages = (Message("user", _sentence(chance, offers[0].request)), offers[0].call())
    return Dialogue("tool call", messages, chance.chance(0.6), _shuffled_tools(chance, offers))


def tool_answer(chance: Chance) -> Dialogue:
    """The tool has answered; the model tells the result."""
    offers = _distinct(chance, chance.number(1, 3))
    result, told = make_result(chance)
    messages = (
        Message("user", _sentence(chance, offers[0].request)),
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
        question = _sentence(chance, asked.request)
        answer = Message("assistant", NO_TOOL, "No tool fits this request.")
    else:
        plain = chance.one((smalltalk, outside))(chance)
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
        Message("user", _sentence(chance, first.request + joint + second.request)),
        first.call(),
        Message("tool", result_a),
        second.call(),
        Message("tool", result_b),
        Message("assistant", f"{told_a} {told_b}", "Both tools have answered."),
    )
    length = 6 if chance.split == "test" else chance.one((2, 4, 4, 6))
    return Dialogue("two tool calls", messages[:length], chance.chance(0.6), _shuffled_tools(chance, offers))
