# ruff: noqa: E501, SIM905  (lists of words read better as text)
"""Made tools: an action and an object give the name, the description and the words of a request, so that the model
learns to match a request with a description that it has never seen. Objects are held out."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from corpus import words
from corpus.chance import Chance
from corpus.dialogue import Tool
from corpus.offers import Offer
from corpus.results import make_result
from corpus.variation import varied


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
    Action("get", "Get the {}", ("get the {}", "what is the {}", "tell me the {}", "I need the {}", "give me the {}", "show the {}", "let me see the {}", "fetch the {}", "what's the {}", "I'd like to see the {}", "read me the {}", "bring up the {}", "let me know the {}", "I want the {}", "could I have the {}", "may I see the {}", "report the {}", "which is the {}")),
    Action("find", "Find a {}", ("find a {}", "look for a {}", "find me a {}", "I am looking for a {}", "find some {}", "help me find a {}", "is there a {}", "where is a {}", "I need to find a {}", "locate a {}", "I'm trying to find a {}", "discover a {}", "show me where a {} is", "track down a {}", "any {}", "do you see a {}")),
    Action("search", "Search for a {}", ("search for a {}", "search a {}", "do a search for a {}", "run a search for the {}", "search all {}", "start a search for {}", "look up the {}", "look up a {}", "search the {}", "look through the {}", "query the {}", "hunt for a {}", "browse the {}", "I want to search for a {}", "google a {}", "look into the {}")),
    Action("create", "Create a {}", ("create a {}", "make a {}", "I need a new {}", "make me a {}", "add a new {}", "create one more {}", "set up a {}", "produce a {}", "start a new {}", "build a {}", "generate a {}", "I want a new {}", "write a new {}", "let's have a new {}", "please create my {}", "put together a {}", "there should be a new {}", "add another {}")),
    Action("send", "Send a {}", ("send a {}", "send the {}", "I want to send a {}", "please send my {}", "send off the {}", "send out a {}", "deliver the {}", "pass on the {}", "forward the {}", "mail the {}", "get the {} sent", "share the {}", "transmit the {}", "let the {} go out", "I'd like the {} to be sent", "hand over the {}")),
    Action("book", "Book a {}", ("book a {}", "reserve a {}", "I want to book a {}", "please book me a {}", "make a reservation for a {}", "make a booking for the {}", "I'd like to reserve a {}", "get me a {}", "book the {}", "order a {}", "hold a {} for me", "I want to reserve the {}", "arrange a {}", "sign me up for a {}", "secure a {}", "put me down for a {}")),
    Action("delete", "Delete a {}", ("delete the {}", "remove the {}", "please delete my {}", "get rid of the {}", "throw away the {}", "erase the {}", "drop the {}", "clear the {}", "discard the {}", "the {} can go", "I no longer need the {}", "cancel the {}", "wipe the {}", "take away the {}", "I want the {} gone", "destroy the {}", "get rid of my {}", "make the {} disappear", "cross out the {}")),
    Action("play", "Play a {}", ("play a {}", "play the {}", "please play my {}", "start the {}", "put on the {}", "let me hear the {}", "I want to hear the {}", "play me a {}", "run the {}", "begin the {}", "let the {} play", "start playing the {}", "I'd like to listen to the {}", "resume the {}", "turn on the {}", "play that {}")),
    Action("check", "Check the {}", ("check the {}", "how is the {}", "please check the {}", "what about the {}", "look at the {}", "take a look at the {}", "examine the {}", "inspect the {}", "is the {} all right", "verify the {}", "have a look at the {}", "see whether the {} is fine", "test the {}", "is everything well with the {}", "what is the state of the {}", "how does the {} look")),
    Action("set", "Set the {}", ("set the {}", "change the {}", "adjust the {}", "put the {}", "update the {}", "modify the {}", "edit the {}", "I want to change the {}", "fix the {}", "switch the {}", "reset the {}", "alter the {}", "correct the {}", "make a change to the {}", "I'd like to set the {}", "turn the {}", "move the {}")),
    Action("open", "Open the {}", ("open the {}", "please open the {}", "show me the {}", "open up the {}", "open my {}", "I want to open the {}", "let me into the {}", "launch the {}", "unlock the {}", "load the {}", "I'd like the {} opened", "go to the {}", "take me to the {}", "pull up the {}", "bring me to the {}")),
    Action("count", "Count the {}", ("count the {}", "how many of the {}", "give the count of the {}", "how many {} are there", "number of the {}", "count all {}", "what is the number of {}", "tell me how many {}", "how often is there a {}", "the total of the {}", "count up the {}", "I want to know how many {}", "how many {} do we have", "give me the number of {}", "add up the {}", "count my {}")),
)  # fmt: skip
_OBJECTS = (
    "weather forecast flight hotel recipe message email song playlist reminder alarm meeting invoice order package ticket photo "
    "document contact note task timer temperature light door calendar event price stock distance route translation definition "
    "restaurant table taxi train movie book article report file folder user account balance payment invoice project branch "
    "issue score game lesson course exam prescription appointment doctor room car bicycle garden pump sensor camera printer backup "
    "server database record survey poll vote coupon discount review rating recipe podcast radio channel video picture map address"
).split()


_SLOTS = (
    Slot(("city", "place", "location", "town"), "string", ("in {}", "for {}", "at {}", "near {}", "around {}", "from {}", "over in {}", "close to {}", "of {}", "within {}", "somewhere in {}"), words.city),
    Slot(("name", "person", "recipient", "user"), "string", ("to {}", "with {}", "by {}", "for the user {}", "and {name} is {}", "for {}", "of {}", "on behalf of {}", "together with {}", "from {}", "the {name} is {}"), words.person),
    Slot(("text", "title", "query", "message", "topic"), "string", ('"{}"', 'called "{}"', 'about "{}"', 'with the text "{}"', 'named "{}"', 'that says "{}"', 'with "{}"', 'on "{}"', 'saying "{}"', 'entitled "{}"', 'for "{}"'), words.phrase),
    Slot(("count", "amount", "number", "quantity"), "integer", ("with {0} items", "number {0}", "{0} times", "for {0} people", "{0} of them", "{0} in all", "with {0} pieces", "for {0} guests", "up to {0}", "and {0} in total"), words.integer),
    Slot(("id", "code"), "integer", ("with id {}", "id {}", "with the code {}", "no. {}", "code {}", "#{}", "whose id is {}", "that has the id {}", "known as {}", "with the identifier {}"), words.integer),
    Slot(("minutes", "hours", "days"), "integer", ("for {} {name}", "in {} {name}", "after {} {name}", "every {} {name}", "within {} {name}", "lasting {} {name}", "of {} {name}", "{} {name} long", "over {} {name}"), lambda chance: words.integer(chance, 2)),
    Slot(("price", "weight", "length", "value"), "number", ("of {name} {}", "with {name} {}", "with a {name} of {}", "whose {name} is {}", "at a {name} of {}", "for a {name} of {}", "the {name} is {}", "that has a {name} of {}"), words.decimal),
    Slot(("colour", "color"), "string", ("in the colour {}", "with the {name} {}", "coloured {}", "in {}", "that is {}", "painted {}", "of {name} {}", "in a {} tone"), lambda chance: chance.one(words.COLOURS)),
)  # fmt: skip

_CALCULATIONS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "add": (("Add two numbers", "Adds two numbers together", "Returns the sum of two numbers", "Add a and b"), ("add {} and {}", "what is {} plus {}", "add {1} to {0}", "{} + {}", "sum {} and {}", "the sum of {} and {}", "how much is {} + {}?", "What is {} + {}?", "use the tool to add {} and {}", "what's {} + {}")),
    "subtract": (("Subtract two numbers", "Returns the difference of two numbers", "Subtract b from a"), ("subtract {1} from {0}", "what is {} minus {}", "{} - {}", "take {1} from {0}", "the difference of {} and {}", "What is {} - {}?", "how much is {} - {}?")),
    "multiply": (("Multiply two numbers", "Multiplies two numbers", "Returns the product of two numbers"), ("multiply {} by {}", "what is {} times {}", "{} * {}", "the product of {} and {}", "multiply {} and {}", "What is {} * {}?", "how much is {} x {}?", "{} times {}")),
    "divide": (("Divide two numbers", "Divides one number by another", "Returns the quotient"), ("divide {} by {}", "what is {} divided by {}", "{} / {}", "the quotient of {} and {}", "What is {} / {}?", "how often does {1} go into {0}?")),
}  # fmt: skip
OPERATIONS = tuple(_CALCULATIONS)
_OPERANDS = (("a", "b"), ("x", "y"), ("first", "second"), ("left", "right"), ("number_a", "number_b"))


@dataclass(frozen=True)
class MadeDevice:
    """A made tool: ``slots`` are its parameters' names and kinds."""

    tool: Tool
    requests: tuple[str, ...]
    thing: str
    slots: tuple[tuple[str, Slot], ...]

    @property
    def tags(self) -> frozenset[str]:
        return frozenset((self.thing,))

    @property
    def avoids(self) -> frozenset[str]:
        return self.tags

    def concerns(self, question: str) -> bool:
        return self.thing in question.lower()

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
        return Offer(self.tool, request, arguments, make_result(chance))


@dataclass(frozen=True)
class Calculator:
    """A tool that computes with the two numbers of a request."""

    tool: Tool
    operation: str

    @property
    def tags(self) -> frozenset[str]:
        return frozenset((self.operation,))

    @property
    def avoids(self) -> frozenset[str]:
        return self.tags

    def concerns(self, question: str) -> bool:
        return any(letter.isdigit() for letter in question)

    def ask(self, chance: Chance) -> Offer:
        make = words.integer if chance.chance(0.8) else words.decimal
        values = (make(chance), make(chance))
        requests = _CALCULATIONS[self.operation][1]
        return self.offer(
            chance.mine(requests).format(*values), *values, result_key=chance.one(("", "", "result"))
        )

    def offer(self, request: str, a: float, b: float, result_key: str = "") -> Offer:
        """The call that computes with ``a`` and ``b``, and the true result."""
        result = compute(self.operation, a, b)
        text = (
            result if isinstance(result, str) else json.dumps({result_key: result} if result_key else result)
        )
        return Offer(self.tool, request, dict(zip(self.tool.parameters, (a, b), strict=True)), text)


def compute(operation: str, a: float, b: float) -> float | str:
    """What a calculator returns."""
    if operation == "divide" and b == 0:
        return "Error: division by zero"
    value = {"add": a + b, "subtract": a - b, "multiply": a * b, "divide": a / (b or 1)}[operation]
    return round(value, 2)


def calculator(chance: Chance, operation: str | None = None) -> Calculator:
    operation = operation or chance.one(OPERATIONS)
    description = chance.one(_CALCULATIONS[operation][0])
    parameters: dict[str, str | list[str]] = dict.fromkeys(
        chance.one(_OPERANDS), chance.one(("integer", "number", "number"))
    )
    name = chance.one(
        (
            operation,
            operation,
            operation,
            f"{operation}_numbers",
            f"calculator_{operation}",
            f"math__{operation}",
        )
    )
    return Calculator(Tool(name, description + chance.one(("", ".")), parameters), operation)


def made_device(chance: Chance) -> MadeDevice:
    """A random tool: an action, an object and zero to three parameters; objects are held out."""
    action = chance.one(_ACTIONS)
    thing = chance.mine(_OBJECTS) if chance.chance(0.6) else words.invented(chance)
    slots = {chance.one(slot.names): slot for slot in chance.some(_SLOTS, chance.one((0, 1, 1, 1, 2, 2, 3)))}
    verb = action.verb
    names = (f"{verb}_{thing}", f"{verb}_{thing}", f"{thing}_{verb}", f"{verb}{thing.capitalize()}", thing)
    known_by = " and ".join(slots)
    endings: tuple[str, ...] = ("", "", ".", ".", " by its details.", " for the user.")
    if slots:
        endings += (f" by {known_by}.", f" for a given {known_by}.", f" ({known_by}).")
    description = action.description.format(thing) + chance.one(endings)
    parameters: dict[str, str | list[str]] = {parameter: slot.kind for parameter, slot in slots.items()}
    return MadeDevice(
        Tool(chance.one(names), description, parameters), action.requests, thing, tuple(slots.items())
    )
