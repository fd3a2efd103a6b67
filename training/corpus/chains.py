# ruff: noqa: E501  (lists of phrases read better in long lines)
"""Two calls of which the second needs what the first has returned; the chains stand in ``chains.toml``. Those with a
held-out tool are held out."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
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


def _read() -> tuple[Chain, ...]:
    file = Path(__file__).with_name("chains.toml")
    tables: list[dict[str, Any]] = tomllib.loads(file.read_text(encoding="utf-8"))["chain"]
    return tuple(
        Chain(t["first"], t["then"], t["link"], tuple(t["gives"]), tuple(t["asks"]), t.get("fixed", {}))
        for t in tables
    )


CHAINS = _read()

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
