# ruff: noqa: E501  (lists of phrases read better in long lines)
"""Small disturbances of training questions, so that the model goes by their content and not by their exact form.

Held-out questions stay as they are, and no disturbance turns a training question into one of them.
"""

from __future__ import annotations

from corpus.chance import Chance, is_held_out

_BEFORE = (
    "Please ", "Hey, ", "So, ", "Now ", "Well, ", "OK, ", "Hi, ", "Candlewick, ", "One more question: ", "Sorry, ", "Hmm, ", "And ",
    "But ", "Good. ", "Thanks. ", "Next: ", "Tell me, ", "Say, ", "Also, ", "Listen, ", "Quick question: ", "Um, ", "Hello. ",
)  # fmt: skip
_AFTER = (
    " please",
    " now",
    " then",
    " again",
    " for me",
    " today",
    " exactly",
    ", please",
    " really",
    " my friend",
    " quickly",
    ", thanks",
)
_SWAPS = {
    "I": ("we", "one", "you"), "my": ("our", "the", "a"), "a": ("the", "some", "my"), "the": ("a", "this", "my"), "do": ("would", "can"),
    "can": ("could", "do"), "What": ("what", "Which"), "Tell": ("tell", "Show"), "is": ("was", "are"), "me": ("us",), "you": ("u", "ye"),
}  # fmt: skip


def varied(chance: Chance, question: str) -> str:
    """``question``, in half of the training dialogues with other case, punctuation, fillers, a lost word or a slip."""
    if chance.split == "test" or chance.chance(0.5):
        return question
    changed = question
    for change in chance.some(_CHANGES, chance.number(1, 2)):
        changed = change(chance, changed)
    return question if is_held_out(changed) else changed


def _plain(chance: Chance, text: str) -> str:
    return text.rstrip(".?!").lower()


def _louder(chance: Chance, text: str) -> str:
    return text.rstrip(".?!") + chance.one(("", "?", "!", "??", "...", " ?"))


def _before(chance: Chance, text: str) -> str:
    return chance.one(_BEFORE) + (text if chance.chance(0.3) else text[0].lower() + text[1:])


def _after(chance: Chance, text: str) -> str:
    return text.rstrip(".?!") + chance.one(_AFTER) + chance.one(("", "?", "."))


def _swapped(chance: Chance, text: str) -> str:
    return " ".join(chance.one(_SWAPS[word]) if word in _SWAPS else word for word in text.split(" "))


def _shorter(chance: Chance, text: str) -> str:
    parts = text.split(" ")
    if len(parts) > 3:
        del parts[chance.number(0, len(parts) - 2)]
    return " ".join(parts)


def _slip(chance: Chance, text: str) -> str:
    place = chance.number(0, max(0, len(text) - 2))
    return text[:place] + text[place + 1 : place + 2] + text[place : place + 1] + text[place + 2 :]


_CHANGES = (_plain, _plain, _louder, _before, _before, _after, _swapped, _shorter, _slip)
