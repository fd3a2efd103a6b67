# ruff: noqa: E501, SIM905  (lists of words read better as text)
"""Words and names that fill the grammar's gaps, real ones and invented ones.

Invented words teach copying: a model that has seen thousands of different names learns to copy a name, not to know it.
"""

from __future__ import annotations

import re
from pathlib import Path

from corpus.chance import Chance

PEOPLE = (
    "Anna Ben Clara David Emma Felix Grace Henry Iris Jack Kate Leo Maria Noah Olivia Paul Quinn Rosa Sam Tina Uma "
    "Victor Wendy Xavier Yara Zoe Alice Bob Carol Dan Eva Frank Gina Hugo Ivy Jonas Karl Lena Max Nina Oscar Petra "
    "Rita Sven Tom Ursula Vera Will Mia Lucas"
).split()
CITIES = (
    "Paris London Berlin Madrid Rome Vienna Oslo Lisbon Prague Dublin Athens Warsaw Zurich Geneva Boston Denver Seattle "
    "Chicago Austin Tokyo Osaka Delhi Mumbai Cairo Lagos Nairobi Sydney Perth Toronto Montreal Lima Quito Bogota Havana "
    "Hamburg Munich Porto Milan Turin Bergen"
).split()
COLOURS = "red blue green yellow purple orange pink brown black white grey teal violet silver gold".split()
ANIMALS = "cat dog horse parrot rabbit hamster turtle snake goat duck fox owl mouse pony goldfish".split()
FOODS = "pizza pasta soup salad rice curry bread cheese sushi pancakes tacos noodles apples cake stew".split()
JOBS = "teacher nurse baker pilot farmer painter lawyer driver doctor singer gardener carpenter cook writer".split()
NOUNS = (
    "house river stone table window garden forest mountain bottle letter paper engine bridge candle mirror basket "
    "button carpet hammer island jacket kitchen ladder market needle ocean pencil rocket saddle ticket valley wagon "
    "yard anchor blanket castle desert feather glove harbour lantern meadow orchard pillow ribbon shadow temple"
).split()
_WHO = (
    "I we you they he she dinner lunch the meeting the train my car the report our plan the party the dog everybody nobody".replace(
        "the ", "the_"
    )
    .replace("my ", "my_")
    .replace("our ", "our_")
    .split()
)
_DOES = (
    "will be late", "am late today", "is at {n}", "is ready", "starts at {n} pm", "need {n} more", "bought {n} tickets", "found the keys", "can come to the {w}",
    "cannot come", "will call back soon", "forgot the {w}", "like the new {w}", "must be in {c} by {n}", "is in {c}", "is not working", "has a problem with the {w}",
    "wants to see the {w}", "went home", "is very good", "should buy a {w}", "will arrive on Monday", "has moved to {c}", "says hello", "paid {n} euros",
)  # fmt: skip

_ONSETS = "b c d f g h j k l m n p r s t v w z br cl dr fl gr kr pl st tr sh th".split()
_VOWELS = "a e i o u ai ea ou".split()
_CODAS = ["", "", "", "n", "r", "l", "s", "m", "k", "t", "nd", "rt"]


def invented(chance: Chance, syllables: int | None = None) -> str:
    """A pronounceable word that means nothing, of this split."""

    def make() -> str:
        count = syllables or chance.number(2, 3)
        return "".join(chance.one(_ONSETS) + chance.one(_VOWELS) + chance.one(_CODAS) for _ in range(count))

    return chance.draw(make)


def person(chance: Chance) -> str:
    return chance.mine(PEOPLE) if chance.chance(0.5) else invented(chance, 2).capitalize()


def city(chance: Chance) -> str:
    return chance.mine(CITIES) if chance.chance(0.6) else invented(chance).capitalize()


def _found() -> tuple[str, ...]:
    """The longer words of the corpus's own files. Copied as values they can't be guessed by heart, as a short list can."""
    text = " ".join(Path(__file__).with_name(name).read_text(encoding="utf-8") for name in _FILES)
    words = set(re.findall(r"(?<![\w.])[a-z]{4,10}(?![\w(=.])", text))
    return tuple(sorted(words - set(_USUAL)))


_FILES = ("topics.toml", "everyday_tools.toml")
_USUAL = (
    "about again all also another answer answers anything asks been both call called can could does doing done each else every "
    "find from give gives given have here into just know like likes look make more most much name names need number other "
    "please said same says search send show some something such takes tell text than thank thanks that their them then there "
    "these they thing this those through today tomorrow urgent used user uses very want what when where which while will with "
    "word words would write your"
).split()
FOUND = _found()


def word(chance: Chance) -> str:
    """A word to copy: a plain noun, one of the corpus's own words, or an invented one."""
    kind = chance.random.random()
    if kind < 0.25:
        return chance.mine(NOUNS)
    return chance.mine(FOUND) if kind < 0.55 else invented(chance)


def phrase(chance: Chance, longest: int = 4) -> str:
    return " ".join(word(chance) for _ in range(chance.number(1, longest)))


def integer(chance: Chance, digits: int = 4) -> int:
    return chance.draw(lambda: chance.number(0, 10 ** chance.number(1, digits) - 1))


def decimal(chance: Chance) -> float:
    return chance.draw(lambda: round(chance.random.uniform(0.1, 99), chance.number(1, 2)))


def saying(chance: Chance) -> str:
    """A plain little sentence without a full stop, as people put into messages and notes."""
    text = f"{chance.mine(_WHO).replace('_', ' ')} {chance.mine(_DOES)}"
    text = text.format(n=integer(chance, 2), w=word(chance), c=city(chance))
    if chance.chance(0.2):
        text += chance.one((" and ", " but ", ", ")) + saying(chance)
    return text[0].upper() + text[1:] if chance.chance(0.2) else text
