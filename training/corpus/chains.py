# ruff: noqa: E501  (lists of phrases read better in long lines)
"""Two calls of which the second needs what the first has returned. Chains with a held-out tool are held out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from corpus.chance import Chance, is_held_out
from corpus.everyday_tools import KINDS, TOOLS, everyday_device, fill, request_gaps
from corpus.made_tools import calculator
from corpus.offers import Device, Offer


@dataclass(frozen=True)
class Link:
    """A device and the call of it."""

    device: Device
    offer: Offer


@dataclass(frozen=True)
class Chain:
    """``gives`` are results of ``first`` in which "<link>" becomes the argument ``link`` of ``then``; ``fixed`` are
    arguments of ``then`` that follow from the request's words."""

    first: str
    then: str
    link: str
    gives: tuple[str, ...]
    asks: tuple[str, ...]
    fixed: Mapping[str, Any] = field(default_factory=dict)

    @property
    def held_out(self) -> bool:
        return is_held_out(self.first) or is_held_out(self.then)


_TEXTS = ("<link>", '{"text": "<link>"}', '{"content": "<link>"}')

CHAINS = (
    Chain("get_location", "get_weather", "city", ("<link>", '{"city": "<link>"}', '{"city": "<link>", "country": "<country>"}'),
        ("What's the weather where I am?", "How is the weather here?", "weather at my location", "Is it raining where I am?", "Find out where I am and tell me the weather there.", "What is the weather like at my place?")),
    Chain("get_location", "find_restaurant", "city", ("<link>", '{"city": "<link>"}'), ("Find a restaurant near me.", "Where can I eat {food} around here?", "restaurants near my location")),
    Chain("get_user", "send_email", "to", ('{"name": "<name>", "email": "<link>"}', '{"email": "<link>"}', '{"id": <integer>, "email": "<link>"}'),
        ('Look up the user {name} and email them: "{body}"', "Send the user {name} an email that says {body}", "Email the user {name} that {body}", "Find the email address of the user {name} and write: {body}")),
    Chain("get_contact", "send_email", "to", ('{"name": "<name>", "email": "<link>"}', '{"email": "<link>"}', "<link>"),
        ("Send an email to my contact {name}: {body}", 'Email {name} from my contacts with the text "{body}"', "Look up {name} in my contacts and mail them {body}")),
    Chain("list_directory", "read_file", "path", ('["<link>"]', "<link>", '{"files": ["<link>"]}'),
        ("Read the only file in {directory}.", "What does the file in {directory} say?", "Look into {directory} and read the file there.", "Open the file that is in the folder {directory}.", "read the file in {directory}")),
    Chain("find_files", "read_file", "path", ('["<link>"]', "<link>", '{"path": "<link>"}'),
        ("Find {pattern} and read it.", "Search for the file {pattern} and show me what it says.", "Read the file that matches {pattern}.", "Where is {pattern}? Read it to me.")),
    Chain("find_files", "delete_file", "path", ('["<link>"]', "<link>"), ("Find {pattern} and delete it.", "Delete the file that matches {pattern}.", "Search for {pattern} and remove it")),
    Chain("read_file", "translate", "text", _TEXTS, ("Translate the file {path} into {target_language}.", "Read {path} and translate it to {target_language}", "What does {path} say in {target_language}?")),
    Chain("read_file", "summarize", "text", _TEXTS, ("Summarize the file {path}.", "Read {path} and give me a summary.", "Give me the short version of {path}", "Make a summary of the file {path}")),
    Chain("fetch_url", "summarize", "text", _TEXTS, ("Summarize {url}", "Read the page {url} and make a summary.", "Give me a summary of the page {url}.")),
    Chain("search_notes", "send_message", "message", ('["<link>"]', "<link>", '{"note": "<link>"}'), ("Send {recipient} my note about {query}.", "Find my note on {query} and send it to {recipient}", "message {recipient} what I noted about {query}")),
    Chain("get_weather", "send_message", "message", ("<link>", '{"weather": "<link>"}'), ("Tell {recipient} what the weather in {city} is like.", "Send {recipient} the weather in {city}.", "Get the weather in {city} and message it to {recipient}.")),
    Chain("generate_password", "create_note", "text", ("<link>", '{"password": "<link>"}'), ("Generate a password with {length} characters and note it down.", "Make a password of {length} letters and save it as a note.")),
    Chain("get_date", "list_events", "date", ("<link>", '{"date": "<link>"}'), ("What is in my calendar today?", "Which meetings do I have today?", "Am I free today?", "calendar for today")),
    Chain("get_distance", "convert_units", "value", ("<link>", '{"km": <link>}', '{"distance": <link>, "unit": "km"}'), ("How many miles is it from {a} to {b}?", "What is the distance from {a} to {b} in miles?", "distance {a} to {b} in miles"), {"from_unit": "km", "to_unit": "miles"}),
    Chain("get_crypto_price", "convert_currency", "amount", ("<link>", '{"coin": "<coin>", "price": <link>}', '{"price": <link>, "currency": "USD"}'), ("What is one {coin} in {to}?", "Get the price of {coin} in USD and convert it to {to}.", "How many {to} is a {coin}?"), {"from": "USD"}),
    Chain("get_logs", "send_email", "body", _TEXTS, ("Email the logs of {service} to {to}.", "Send {to} the logs of {service}", "Get the log of {service} and mail it to {to}.")),
    Chain("define_word", "translate", "text", ("<link>", '{"definition": "<link>"}'), ("Translate the definition of {word} into {target_language}.", "Define {word} in {target_language}.", "Look up {word} and translate its meaning to {target_language}")),
    Chain("fetch_url", "write_file", "content", _TEXTS, ("Save the page {url} as {path}.", "Download {url} to {path}", "Fetch {url} and write it to {path}.")),
    Chain("get_balance", "transfer_money", "amount", ("<link>", '{"balance": <link>}'), ("Send all my money to {recipient}.", "Transfer my whole balance to {recipient}.")),
    Chain("run_command", "write_file", "content", ("<link>", '{"output": "<link>"}'), ("Run {command} and save the output in {path}.", "Write the output of {command} to {path}")),
    Chain("lookup_order", "send_message", "message", ("<link>", '{"status": "<link>"}'), ("Tell {recipient} the status of order {order_id}.", "Send {recipient} the status of my order {order_id}")),
    Chain("get_stock_price", "create_note", "text", ("<link>", '{"price": "<link>"}'), ("Note down the stock price of {symbol}.", "Get the price of {symbol} and save it as a note.")),
    Chain("read_file", "word_count", "text", _TEXTS, ("How many words are in the file {path}?", "Count the words of {path}.", "word count of the file {path}")),
)  # fmt: skip

_SUMS = {
    ("add", "multiply"): ("Add {a} and {b} and multiply the result by {c}", "What is the sum of {a} and {b}, times {c}?", "({a} + {b}) * {c}", "add {a} to {b}, then multiply by {c}"),
    ("multiply", "add"): ("Multiply {a} by {b} and add {c}", "What is {a} times {b}, plus {c}?", "{a} * {b} + {c}", "{a} times {b} and then plus {c}"),
    ("add", "subtract"): ("Add {a} and {b} and subtract {c}", "What is {a} plus {b} minus {c}?", "{a} + {b} - {c}"),
    ("multiply", "subtract"): ("Multiply {a} by {b} and subtract {c}", "{a} * {b} - {c}", "What is {a} times {b}, minus {c}?"),
    ("subtract", "multiply"): ("Subtract {b} from {a} and multiply the result by {c}", "({a} - {b}) * {c}"),
}  # fmt: skip


def chain(chance: Chance) -> tuple[Link, Link]:
    """The first call with the whole request, and the second call, whose own request is empty."""
    if chance.chance(0.25):
        return _sums(chance)
    made = chance.one([one for one in CHAINS if one.held_out == (chance.split == "test")])
    text = chance.one(made.asks) if chance.split == "test" else chance.mine(made.asks)
    kinds = {
        **TOOLS[made.then].may,
        **TOOLS[made.then].takes,
        **TOOLS[made.first].may,
        **TOOLS[made.first].takes,
    }
    values = {name: KINDS[kinds[name]][1](chance) for name in request_gaps(text)}
    first = everyday_device(chance, made.first, tuple(values))
    then = everyday_device(chance, made.then, tuple(values))
    kind = {**TOOLS[made.then].may, **TOOLS[made.then].takes}[made.link]
    link = KINDS[kind][1](chance)
    pattern = chance.one(made.gives)
    result = fill(chance, pattern, {**values, "link": link})
    one = first.offer(
        chance,
        text.format_map(values),
        {name: value for name, value in values.items() if name in first.spelled},
    )
    wanted = {
        **{name: value for name, value in values.items() if name in then.spelled},
        **made.fixed,
        made.link: link,
    }
    return Link(first, replace(one, result=result)), Link(then, then.offer(chance, "", wanted))


def _sums(chance: Chance) -> tuple[Link, Link]:
    operations = chance.one(tuple(_SUMS))
    text = chance.mine(_SUMS[operations])
    a, b, c = (chance.number(1, 99) for _ in range(3))
    first, then = (calculator(chance, operation) for operation in operations)
    one = first.offer(text.format(a=a, b=b, c=c), a, b)
    return Link(first, one), Link(then, then.offer("", int(one.result), c))
