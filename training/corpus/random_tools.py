# ruff: noqa: E501  (lists of words read better in long lines)
"""Tools of random words: nothing but a word in common tells which of them a request means.

A drill in the form of dialogues. Made tools and everyday ones can be told apart by what is usual for their subject; here a
request has some words of one tool's name or description, among others that none of them has, and its values stand
beside the parameters' names. For training only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from corpus import words
from corpus.chance import Chance
from corpus.dialogue import Tool
from corpus.everyday_tools import KINDS
from corpus.offers import Offer
from corpus.results import make_result

_LINKS = ("", "", "", "", "of the", "and", "for a", "with", "in the", "by", "of", "to the", "or", "on")
_STARTS = (
    "", "", "", "Get the", "The", "Returns the", "Use it for", "Tool for", "Make a", "Find", "Set the", "Any", "All about",
)  # fmt: skip
_OPENINGS = (
    "", "", "I need the", "what about", "give me", "how is", "tell me about", "start the", "I want", "do", "my", "where is the", "is there a", "show",
    "we should", "let us", "which", "change the", "I would like",
)  # fmt: skip
_MENTIONS = (
    "{} {}", "{} {}", "with {} {}", "with {} {}", "{}: {}", "{1} is the {0}", "the {} is {}", "for the {} {}", "{1} as {0}", "{} = {}", "and {} {}",
    "of {} {}", "where {} is {}", "{1} for {0}",
)  # fmt: skip
_VALUES = (
    "word", "word", "person", "city", "order", "email", "path", "url", "date", "topic", "words", "phrase", "small", "integer", "decimal", "hash", "colour",
    "clock", "version",
)  # fmt: skip
_QUOTED = ("topic", "words", "phrase")
"""Values of several words, whose end can't be seen without quotes."""


def _word(chance: Chance) -> str:
    return words.invented(chance) if chance.chance(0.3) else chance.mine(words.FOUND)


def _sentence(chance: Chance, start: str, said: list[str]) -> str:
    """The words with something between them."""
    text = start
    for place, word in enumerate(said):
        link = chance.one(_LINKS) if place else ""
        text = " ".join(part for part in (text, link, word) if part)
    return text[0].upper() + text[1:] if chance.chance(0.7) else text


@dataclass(frozen=True)
class RandomDevice:
    """``said`` are the words of its name and description, ``kinds`` maps a parameter to the kind of its values."""

    tool: Tool
    said: tuple[str, ...]
    kinds: Mapping[str, str]

    @property
    def tags(self) -> frozenset[str]:
        return frozenset(self.said)

    @property
    def avoids(self) -> frozenset[str]:
        return self.tags

    def concerns(self, question: str) -> bool:
        return not self.tags.isdisjoint(re.findall("[a-z]+", question.lower()))

    def ask(self, chance: Chance) -> Offer:
        """A request with one to three of its words; now and then a parameter is not named."""
        named = chance.some(self.said, min(len(self.said), chance.one((1, 1, 2, 2, 3))))
        other = [words.invented(chance) for _ in range(chance.one((0, 0, 1, 2)))]
        request = _sentence(chance, chance.one(_OPENINGS), chance.some(named + other, len(named + other)))
        values = {name: KINDS[kind][1](chance) for name, kind in self.kinds.items() if chance.chance(0.9)}
        for parameter in chance.some(list(values), len(values)):
            value = f'"{values[parameter]}"' if self.kinds[parameter] in _QUOTED else values[parameter]
            spoken = parameter.replace("_", " ") if chance.chance(0.7) else parameter
            request += chance.one((" ", " ", ", ")) + chance.one(_MENTIONS).format(spoken, value)
        return Offer(self.tool, request, values, make_result(chance))


def random_device(chance: Chance) -> RandomDevice:
    said = [_word(chance) for _ in range(chance.number(2, 7))]
    in_name = said[: chance.one((1, 2, 2, 3))]
    name = chance.one(("_", "_", "_", "-", ".", "__")).join(in_name)
    if chance.chance(0.2):
        name = in_name[0] + "".join(word.capitalize() for word in in_name[1:])
    described = said if chance.chance(0.6) else said[len(in_name) - 1 :]
    description = _sentence(chance, chance.one(_STARTS), chance.some(described, len(described)))
    kinds: dict[str, str] = {}
    for kind in [chance.one(_VALUES) for _ in range(chance.one((0, 1, 1, 1, 2, 2, 3)))]:
        kinds[_parameter(chance, {*kinds, *said})] = kind
    types: dict[str, str | list[str]] = {parameter: KINDS[kind][0] for parameter, kind in kinds.items()}
    return RandomDevice(Tool(name, description + chance.one(("", ".")), types), tuple(said), kinds)


def _parameter(chance: Chance, taken: set[str]) -> str:
    """A name of one word or two that is not ``taken``."""
    while True:
        name = "_".join(_word(chance) for _ in range(chance.one((1, 1, 1, 2))))
        if name not in taken:
            return name
