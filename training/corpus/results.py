"""What tools return, and the sentences that tell it: a rule that goes by the result's text alone, one fact a sentence,
so that what comes next is seen from the place that is just told.

Owns how an answer repeats a result. Knows nothing of which tool returned it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from corpus import words
from corpus.chance import Chance

Makers = tuple[Callable[[Chance], object], ...]
_KEYS = (
    "temperature",
    "status",
    "price",
    "total",
    "time",
    "date",
    "result",
    "distance",
    "score",
    "length",
    "level",
    "state",
    "value",
    "balance",
    "wind",
    "rating",
    "duration",
    "size",
    "answer",
    "owner",
    "place",
    "title",
    "weight",
    "speed",
)
_TRUTHS = ("open", "active", "found", "success", "done", "enabled", "paid", "ready")


def told(result: str) -> str:
    """The answer that tells ``result``: JSON by its keys, sentences as they are, errors as errors."""
    text = result.strip()
    if not text:
        return "Done."
    if text.lower().startswith("error: "):
        return f"The tool reported an error: {text[len('error: ') :].rstrip('.')}."
    try:
        value = json.loads(text)
    except ValueError:
        return _told_text(text)
    if isinstance(value, dict):
        return _told_object(value)
    if isinstance(value, list):
        return f"The results are {_listed(value)}." if value else "The list is empty."
    return f"The result is {_plain(value)}."


def _told_text(text: str) -> str:
    if "\n" in text:
        return f"The result is:\n{text}"
    return text if text.endswith((".", "!", "?")) else f"The result is {text}."


def _told_object(value: dict[str, Any]) -> str:
    if isinstance(value.get("error"), str):
        return f"The tool reported an error: {value['error'].rstrip('.')}."
    facts = []
    for key, part in _leaves(value):
        name = key.replace("_", " ")
        if isinstance(part, list):
            facts.append(f"The {name} are {_listed(part)}.")
        else:
            facts.append(f"The {name} is {_plain(part)}.")
    return " ".join(facts) if facts else "Done."


def _leaves(value: dict[str, Any]) -> list[tuple[str, Any]]:
    """Keys and values, those of inner objects in their place."""
    found: list[tuple[str, Any]] = []
    for key, part in value.items():
        found += _leaves(part) if isinstance(part, dict) else [(key, part)]
    return found


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain(part)}" for key, part in value.items())
    return value if isinstance(value, str) else json.dumps(value)


def _listed(parts: list[Any]) -> str:
    return ", ".join(_plain(part) for part in parts)


def as_json(chance: Chance, value: Any) -> str:
    """``value`` as programs write it: mostly with blanks, sometimes tight or indented."""
    kind = chance.random.random()
    if kind < 0.12:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return json.dumps(value, ensure_ascii=False, indent=2 if kind < 0.2 else None)


def make_result(chance: Chance) -> str:
    """What some tool may have returned."""
    kind = chance.random.random()
    if kind < 0.12:
        text = words.phrase(chance)
        return as_json(chance, {"error": text}) if chance.chance(0.6) else f"Error: {text}"
    if kind < 0.28:
        return str(_value(chance, (words.phrase, words.integer, words.decimal)))
    if kind < 0.34:
        text = f"{words.phrase(chance, 7)} {words.word(chance)}."
        return text[0].upper() + text[1:]
    if kind < 0.39:
        return "\n".join(words.phrase(chance) for _ in range(chance.number(2, 4)))
    if kind < 0.46:
        makers: Makers = (words.word, words.integer, words.phrase)
        maker = chance.one(makers)
        return as_json(chance, [maker(chance) for _ in range(chance.number(1, 4))])
    return as_json(chance, _object(chance))


def _value(chance: Chance, makers: Makers) -> object:
    return chance.one(makers)(chance)


def _object(chance: Chance) -> dict[str, Any]:
    makers: Makers = (words.word, words.word, words.integer, words.integer, words.decimal, words.phrase)
    keys = chance.some(_KEYS, chance.number(1, 3))
    value: dict[str, Any] = {key: _value(chance, makers) for key in keys}
    kind = chance.random.random()
    if kind < 0.08:
        value[chance.one(_TRUTHS)] = chance.chance(0.5)
    elif kind < 0.14:
        value[words.word(chance) + "s"] = [words.word(chance) for _ in range(chance.number(1, 3))]
    elif kind < 0.2:
        value = {words.word(chance): words.word(chance), "current": value}
    elif kind < 0.3:
        value[f"{words.word(chance)}_{words.word(chance)}"] = words.integer(chance)
    return value
