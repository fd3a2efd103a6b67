# ruff: noqa: E501  (lists of words read better as text)
"""Tools as people really write them; they stand in ``tool_tables``, whole tools are held out.

Owns the reading of those files, the spellings of names, and the values of parameters.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from corpus import words
from corpus.chance import Chance, is_held_out
from corpus.dialogue import Tool
from corpus.made_tools import OPERATIONS
from corpus.offers import Offer
from corpus.outside import SUBJECTS
from corpus.results import as_json
from corpus.variation import varied


def _choices(text: str) -> Callable[[Chance], str]:
    options = text.split()
    return lambda chance: chance.one(options)


def _email(chance: Chance) -> str:
    domain = chance.one(("example.com", "mail.org", f"{words.word(chance)}.com"))
    return f"{words.person(chance).lower()}@{domain}"


def _path(chance: Chance) -> str:
    name = words.word(chance) + chance.one((".txt", ".md", ".py", ".json", ".csv", ".log", ""))
    if chance.chance(0.3):
        name = f"{words.word(chance)}_{name}"
    return chance.one(("", "", "", "/tmp/", "src/", f"{words.word(chance)}/", "./", "/home/")) + (
        name if "." in name else name + ".txt"
    )


def _folder(chance: Chance) -> str:
    word = words.word(chance)
    return chance.one(
        (word, f"/{word}", f"{word}/{words.word(chance)}", f"./{word}", "/tmp", ".", f"~/{word}")
    )


def _command(chance: Chance) -> str:
    word = words.word(chance)
    return chance.one(
        (
            "ls -la",
            "pwd",
            f"cat {word}.txt",
            "git status",
            f"mkdir {word}",
            f"echo {word}",
            "df -h",
            f"python {word}.py",
            "whoami",
        )
    )


def _expression(chance: Chance) -> str:
    a, b, c = (words.integer(chance, 3) for _ in range(3))
    sign, other = chance.one("+-*/"), chance.one("+-*")
    return chance.one(
        (
            f"{a} {sign} {b}",
            f"{a} {sign} {b}",
            f"{a}{sign}{b}",
            f"({a} {sign} {b}) {other} {c}",
            f"{a} {sign} {b} {other} {c}",
        )
    )


def _sql(chance: Chance) -> str:
    table, column = words.word(chance), chance.one(("id", "name", "price", words.word(chance)))
    return chance.one(
        (
            f"SELECT * FROM {table}",
            f"SELECT {column} FROM {table}",
            f"SELECT COUNT(*) FROM {table}",
            f"select {column} from {table} where id = {words.integer(chance)}",
        )
    )


def _code(chance: Chance) -> str:
    return chance.one(
        (
            f"print({words.integer(chance)} + {words.integer(chance)})",
            f'print("{words.word(chance)}")',
            f"len('{words.word(chance)}')",
        )
    )


def _topic(chance: Chance) -> str:
    return chance.mine(SUBJECTS) if chance.chance(0.4) else chance.one((words.phrase, words.person))(chance)


def _hash(chance: Chance) -> str:
    return "".join(chance.one("0123456789abcdef") for _ in range(7))


def _order(chance: Chance) -> str:
    number = words.integer(chance, 5)
    return chance.one(
        (f"{number}", f"A{number}", f"A-{number}", f"ORD-{number}", f"{chance.one('BCDXZ')}{number}")
    )


def _sentence(chance: Chance) -> str:
    text = f"{words.phrase(chance, 6)} {words.word(chance)}."
    return text[0].upper() + text[1:]


def _amount(chance: Chance) -> float:
    return words.integer(chance, 3) if chance.chance(0.7) else words.decimal(chance)


KINDS: dict[str, tuple[str, Callable[[Chance], Any]]] = {
    "city": ("string", words.city),
    "person": ("string", words.person),
    "word": ("string", words.word),
    "thing": ("string", words.word),
    "phrase": ("string", lambda chance: words.phrase(chance, 3)),
    "words": ("string", lambda chance: words.saying(chance) if chance.chance(0.6) else words.phrase(chance, 7)),
    "sentence": ("string", _sentence),
    "topic": ("string", _topic),
    "email": ("string", _email),
    "path": ("string", _path),
    "folder": ("string", _folder),
    "pattern": ("string", lambda chance: chance.one(("*.py", "*.txt", "*.md", f"{words.word(chance)}*", f"{words.word(chance)}.txt"))),
    "url": ("string", lambda chance: f"https://{words.word(chance)}.{chance.one(('com', 'org'))}" + chance.one(("", f"/{words.word(chance)}"))),
    "command": ("string", _command),
    "code": ("string", _code),
    "sql": ("string", _sql),
    "expression": ("string", _expression),
    "hash": ("string", _hash),
    "order": ("string", _order),
    "repo": ("string", lambda chance: f"{words.word(chance)}/{words.word(chance)}" if chance.chance(0.6) else words.word(chance)),
    "ticker": ("string", lambda chance: chance.one(("AAPL", "MSFT", "TSLA", "GOOG", "NVDA", "AMZN", words.invented(chance, 2)[:4].upper()))),
    "coin": ("string", _choices("bitcoin ethereum solana dogecoin litecoin cardano")),
    "currency": ("string", _choices("USD EUR GBP JPY CHF SEK NOK INR CAD AUD PLN dollars euros pounds yen")),
    "language": ("string", _choices("German French Spanish Italian Polish Dutch Swedish Japanese Chinese Turkish Greek english Finnish")),
    "country": ("string", _choices("Norway France Spain Italy Japan Brazil Canada Kenya India Peru Egypt Chile")),
    "unit": ("string", _choices("km miles metres feet kg pounds grams litres gallons inches cm ounces")),
    "temperature_unit": ("string", _choices("celsius fahrenheit kelvin Celsius Fahrenheit")),
    "timezone": ("string", lambda chance: chance.one(("UTC", "Europe/Paris", "Asia/Tokyo", "America/Denver", words.city(chance), words.city(chance)))),
    "room": ("string", _choices("kitchen bedroom bathroom office garage hall cellar garden attic study")),
    "door": ("string", _choices("front back garage side cellar main")),
    "food": ("string", lambda chance: chance.one(words.FOODS)),
    "vehicle": ("string", _choices("car train bike bus foot")),
    "motor": ("string", _choices("car van truck motorbike bus camper scooter")),
    "monster": ("string", _choices("dragon troll goblin orc ogre skeleton wizard giant ghost golem")),
    "interval": ("string", _choices("daily weekly monthly yearly quarterly")),
    "difficulty": ("string", _choices("easy medium hard")),
    "hot_drink": ("string", _choices("coffee espresso cappuccino latte tea cocoa americano mocha")),
    "stage": ("string", _choices("production staging test dev")),
    "level": ("string", _choices("low normal high urgent")),
    "day": ("string", _choices("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")),
    "date": ("string", lambda chance: chance.one((f"2026-{chance.number(1, 12):02}-{chance.number(1, 28):02}", "tomorrow", f"{chance.number(1, 28)} May", "Friday", f"March {chance.number(1, 28)}"))),
    "clock": ("string", lambda chance: chance.one((f"{chance.number(0, 23):02}:{chance.number(0, 59):02}", f"{chance.number(1, 11)}:{chance.number(10, 59)}", f"{chance.number(1, 11)} am", f"{chance.number(1, 11)}pm"))),
    "sky": ("string", _choices("sunny cloudy rain snow windy foggy storm clear")),
    "state": ("string", _choices("open shipped pending delivered closed paid lost delayed waiting")),
    "letter": ("string", _choices(" ".join("abcdefghijklmnopqrstuvwxyz"))),
    "colour": ("string", lambda chance: chance.one(words.COLOURS)),
    "team_sport": ("string", _choices("football hockey rugby cricket basketball volleyball handball baseball")),
    "sport": ("string", _choices("football tennis golf hockey rugby cricket basketball swimming running cycling yoga boxing")),
    "animal": ("string", _choices("cat dog horse rabbit hamster parrot goat cow sheep hen fish turtle")),
    "plant": ("string", _choices("rose fern basil tomato cactus tulip mint lavender bamboo ivy orchid oak")),
    "drink": ("string", _choices("water tea coffee juice milk lemonade cocoa beer wine espresso")),
    "instrument": ("string", _choices("piano guitar violin drums flute trumpet cello harp organ")),
    "season": ("string", _choices("spring summer autumn winter")),
    "month": ("string", _choices("January February March April May June July August September October November December")),
    "year": ("integer", lambda chance: chance.number(1900, 2030)),
    "percent": ("integer", lambda chance: chance.number(0, 100)),
    "phone": ("string", lambda chance: f"+{chance.number(1, 99)} {chance.number(100, 999)} {chance.number(1000, 99999)}"),
    "flight": ("string", lambda chance: f"{chance.one(('LH', 'BA', 'AF', 'UA', 'SK', 'KL'))}{chance.number(10, 9999)}"),
    "version": ("string", lambda chance: f"{chance.number(0, 9)}.{chance.number(0, 20)}.{chance.number(0, 9)}"),
    "ip": ("string", lambda chance: f"{chance.one((10, 127, 192))}.{chance.number(0, 255)}.{chance.number(0, 9)}.{chance.number(1, 99)}"),
    "host": ("string", lambda chance: f"{words.word(chance)}.{chance.one(('com', 'org', 'net'))}"),
    "branch": ("string", lambda chance: chance.one(("main", "dev", f"fix-{words.word(chance)}", f"feature/{words.word(chance)}"))),
    "integer": ("integer", words.integer),
    "small": ("integer", lambda chance: words.integer(chance, 2)),
    "digit": ("integer", lambda chance: chance.number(1, 9)),
    "decimal": ("number", words.decimal),
    "amount": ("number", _amount),
    "onoff": ("boolean", lambda chance: chance.chance(0.5)),
    "numbers": ("array", lambda chance: [words.integer(chance, 3) for _ in range(chance.number(2, 4))]),
    "names": ("array", lambda chance: [words.person(chance) for _ in range(chance.number(1, 3))]),
}  # fmt: skip
"""Kinds of values: their JSON type and their maker."""

_SPELLINGS = {
    "city": "city city city location place town", "query": "query query q text search_query", "path": "path path file_path filename file",
    "to": "to to recipient to_email address", "text": "text text message input content", "symbol": "symbol symbol ticker",
    "name": "name name username full_name", "order_id": "order_id order_id id order order_number", "minutes": "minutes minutes duration",
    "command": "command command cmd", "expression": "expression expression expr formula", "sql": "sql sql query statement",
    "recipient": "recipient recipient to name", "timezone": "timezone timezone tz zone", "word": "word word term", "directory": "directory path dir folder",
    "number": "number number x n value", "numbers": "numbers numbers values list", "title": "title title name", "unit": "unit units",
}  # fmt: skip
_ALONE = {
    "city",
    "person",
    "word",
    "path",
    "folder",
    "ticker",
    "coin",
    "order",
    "url",
    "room",
    "small",
    "integer",
    "food",
    "timezone",
}
"""Kinds of which a request may name two ("Oslo and Rome"), or another one later ("and in Rome?")."""
_MORE = (
    "And {}?",
    "What about {}?",
    "and {}?",
    "how about {}",
    "Now {}.",
    "{}?",
    "The same for {}, please.",
    "and for {}",
    "Also {}",
    "what about {}?",
)
_BOTH = ("{} and {}", "{} and {}", "{} and also {}", "{} and then {}")


@dataclass(frozen=True)
class Everyday:
    """A table of the files."""

    key: str
    names: tuple[str, ...]
    server: str
    says: tuple[str, ...]
    takes: Mapping[str, str]
    may: Mapping[str, str]
    asks: tuple[str, ...]
    gives: tuple[str, ...]
    like: tuple[str, ...]
    general: bool
    computes: bool
    knowledge: bool
    usual: bool

    @cached_property
    def tags(self) -> frozenset[str]:
        """What tells that another tool may be meant: the words of ``like``, and the requests as they are without their
        values."""
        spoken = (re.sub(r"[^a-z{}]+", " ", re.sub(r"{\w+}", "{}", ask.lower())).strip() for ask in self.asks)
        return frozenset((*self.like, *(ask for ask in spoken if re.search("[a-z]", ask))))


def _read() -> dict[str, Everyday]:
    tables: dict[str, Any] = {}
    for file in sorted(Path(__file__).with_name("tool_tables").glob("*.toml")):
        found = tomllib.loads(file.read_text(encoding="utf-8"))
        if twice := tables.keys() & found.keys():
            raise ValueError(f"{file.name}: these tools stand in another file, too: {sorted(twice)}")
        tables |= {key: {**table, "usual": file.stem == "usual"} for key, table in found.items()}
    return {
        key: Everyday(
            key, tuple(t["names"]), t["server"], tuple(t["says"]), t["takes"], t.get("may", {}), tuple(t["asks"]),
            tuple(t["gives"]), tuple(t.get("like", [key])), t.get("general", False), t.get("computes", False), t.get("knowledge", False), t["usual"],
        )
        for key, t in tables.items()
    }  # fmt: skip


TOOLS = _read()
KEYS = tuple(TOOLS)
_LEARNED = KEYS + 3 * tuple(key for key, source in TOOLS.items() if source.usual)
"""What people offer most is learned more often than the rest."""


def _topics() -> dict[str, frozenset[str]]:
    """The words of each tool's requests that at most one tool in 24 has: what it is about."""
    most = len(TOOLS) // 24
    spoken = {key: frozenset(content_words(" ".join(source.asks))) for key, source in TOOLS.items()}
    common = Counter(word for found in spoken.values() for word in found)
    return {key: frozenset(word for word in found if common[word] <= most) for key, found in spoken.items()}


def content_words(text: str) -> list[str]:
    return re.findall(r"[a-z]{3,}", re.sub(r"{\w+}", "", text.lower()))


_TOPICS = _topics()


@dataclass(frozen=True)
class EverydayDevice:
    """One of the tools as some program offers it: ``spelled`` maps a parameter to its name there."""

    source: Everyday
    tool: Tool
    spelled: Mapping[str, str]

    @property
    def tags(self) -> frozenset[str]:
        return self.source.tags

    @property
    def avoids(self) -> frozenset[str]:
        words_of_it = self.source.key.split("_")
        return self.source.tags.union(words_of_it, OPERATIONS if self.source.computes else ())

    def concerns(self, question: str) -> bool:
        return not _TOPICS[self.source.key].isdisjoint(content_words(question))

    def _fitting(self, chance: Chance) -> str:
        """A request that names only parameters which are listed."""
        listed = [ask for ask in self.source.asks if all(name in self.spelled for name in request_gaps(ask))]
        return chance.mine(tuple(listed))

    def _kind(self, name: str) -> str:
        return self.source.takes.get(name) or self.source.may[name]

    def ask(self, chance: Chance) -> Offer:
        text, _, implied = self._fitting(chance).partition(" | ")
        values: dict[str, Any] = {name: KINDS[self._kind(name)][1](chance) for name in request_gaps(text)}
        if implied:
            values |= json.loads(implied)
        if chance.chance(0.12):
            values = {
                name: value.lower() if isinstance(value, str) else value for name, value in values.items()
            }
        changed = varied(chance, text)
        if sorted(request_gaps(changed)) == sorted(request_gaps(text)) and _ends_in_gap(
            changed
        ) == _ends_in_gap(text):
            text = changed
        return self.offer(chance, text.format_map(_Spoken(values)), values)

    def offer(self, chance: Chance, request: str, values: Mapping[str, Any]) -> Offer:
        """The call with ``values``, in the tool's order, and what it returns."""
        listed = [name for name in self.spelled if name in values]
        arguments = {
            self.spelled[name]: _typed(self.tool, self.spelled[name], values[name]) for name in listed
        }
        pattern = chance.one(self.source.gives)
        known = {
            name: values[name] if name in values else KINDS[kind][1](chance)
            for name, kind in {**self.source.may, **self.source.takes}.items()
            if f"<{name}>" in pattern
        }
        return Offer(self.tool, request, arguments, fill(chance, pattern, known))

    def more(self, chance: Chance, count: int) -> tuple[list[Offer], str] | None:
        """``count`` calls that differ in one value, and a request that names both of two values; None where the tool
        takes no single value."""
        asks = tuple(
            ask for ask in self.source.asks
            if " | " not in ask and len(request_gaps(ask)) == 1 and request_gaps(ask)[0] in self.spelled and self._kind(request_gaps(ask)[0]) in _ALONE
        )  # fmt: skip
        if not asks or (chance.split == "train" and all(map(is_held_out, asks))):
            return None
        text = chance.mine(asks)
        name = request_gaps(text)[0]
        values: list[Any] = []
        while len(values) < count:
            value = KINDS[self._kind(name)][1](chance)
            values += [value] if value not in values else []
        offers = [self.offer(chance, text.format_map({name: value}), {name: value}) for value in values]
        offers[1:] = [
            Offer(offer.tool, chance.mine(_MORE).format(value), offer.arguments, offer.result)
            for offer, value in zip(offers[1:], values[1:], strict=True)
        ]
        return offers, text.format_map({name: chance.one(_BOTH).format(*values[:2])})


class _Spoken(dict[str, Any]):
    """Values as a sentence says them."""

    def __getitem__(self, name: str) -> str:
        value = super().__getitem__(name)
        if isinstance(value, list):
            return ", ".join(map(str, value[:-1])) + f" and {value[-1]}" if len(value) > 1 else str(value[0])
        return str(value)


def _ends_in_gap(text: str) -> bool:
    """Whether a value stands last, so that a word behind it would seem to belong to it."""
    return re.search(r"}[.?!]*$", text) is not None


def request_gaps(text: str) -> list[str]:
    return re.findall(r"{(\w+)}", text.partition(" | ")[0])


def _typed(tool: Tool, parameter: str, value: Any) -> Any:
    """An id may be a number or a text, as the tool wants it."""
    if tool.parameters[parameter] == "string" and not isinstance(value, str):
        return json.dumps(value)
    return value


def fill(chance: Chance, pattern: str, values: Mapping[str, Any]) -> str:
    """A result: each gap is the one of ``values`` with that name or a new value of that kind."""

    def value(gap: re.Match[str]) -> str:
        name = gap[1]
        found = values[name] if name in values else KINDS[name][1](chance)
        return found if isinstance(found, str) else json.dumps(found)

    if pattern.startswith(("{", "[")):
        filled = re.sub(r"<(\w+)>", lambda gap: json.dumps(value(gap))[1:-1], pattern)
        return as_json(chance, json.loads(filled))
    filled = re.sub(r"<(\w+)>", value, pattern)
    return filled[0].upper() + filled[1:] if filled.endswith(".") else filled


def spelled_name(chance: Chance, source: Everyday) -> str:
    """A tool's name as programs, servers and clients write it."""
    name = chance.one(source.names)
    camel = re.sub(r"_(\w)", lambda letter: letter[1].upper(), name)
    kind = chance.random.random()
    for share, spelling in (
        (0.58, name), (0.10, camel), (0.02, camel[0].upper() + camel[1:]), (0.10, f"{source.server}__{name}"),
        (0.06, f"mcp_{source.server}_{name}"), (0.04, f"mcp__{source.server}__{name}"), (0.05, f"{source.server}.{name}"),
        (0.05, f"{source.server}_{name}"),
    ):  # fmt: skip
        kind -= share
        if kind < 0:
            return spelling
    return name.replace("_", "-")


def everyday_device(chance: Chance, key: str | None = None, listed: tuple[str, ...] = ()) -> EverydayDevice:
    """A tool of this split, or that of ``key``, spelled and described in one of its ways; the optional parameters
    ``listed`` are there."""
    source = TOOLS[key or chance.mine(KEYS if chance.split == "test" else _LEARNED)]
    names = [*source.takes, *(name for name in source.may if name in listed or chance.chance(0.3))]
    spelled: dict[str, str] = {}
    for name in names:
        spelling = chance.one(_SPELLINGS.get(name, name).split())
        spelled[name] = spelling if spelling not in (*spelled.values(), *names) else name
    parameters: dict[str, str | list[str]] = {
        spelled[name]: _kind_written(
            chance, KINDS[source.takes.get(name) or source.may[name]][0], name in source.takes
        )
        for name in names
    }
    return EverydayDevice(
        source, Tool(spelled_name(chance, source), _description(chance, source, spelled), parameters), spelled
    )


def _kind_written(chance: Chance, kind: str, required: bool) -> str | list[str]:
    """The type as schemas write it: optional ones are a list of types, or behind ``anyOf`` and so "any"."""
    if not required and chance.chance(0.5):
        return [kind, "null"] if chance.chance(0.5) else "any"
    return chance.one(("integer", "number")) if kind == "integer" else kind


def _description(chance: Chance, source: Everyday, spelled: Mapping[str, str]) -> str:
    text = chance.one(source.says)
    kind = chance.random.random()
    if kind < 0.06:
        return ""
    if kind < 0.12 and spelled:
        return f"{text}\n\nArgs:\n" + "\n".join(
            f"    {name}: The {name.replace('_', ' ')}." for name in spelled.values()
        )
    if kind < 0.2:
        return f"{text} " + chance.one(
            (
                "Use it when the user asks for it.",
                "Call this when needed.",
                f"Part of {source.server}.",
                "Needs no key.",
            )
        )
    return text
