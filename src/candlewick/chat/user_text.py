"""Keeps text that users supplied apart from the control tokens that a template writes.

Owns the marking of user text before a template runs and the splitting of what it rendered. Refuses to know
what a template does with the text in between.

The idea: a control token such as ``<|im_start|>`` in a rendered prompt is genuine only if no character of it
came from a user. So, before rendering, the punctuation that control tokens are made of is replaced in every
user-supplied text by private-use characters, one for one. Text keeps its length, words and whitespace, so
templates may trim, search and cut it. After rendering, what still reads as a control token was written by the
template; the private-use characters are turned back, and a stretch that reads as a control token only now was
supplied (or assembled: ``<|im_/thinkstart|>`` in a template that removes ``/think``) by a user.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Any

Segments = list[tuple[str, bool]]
"""Pieces of a rendered prompt; ``True`` where control tokens may be recognised."""

_PRIVATE_USE = range(0xF0000, 0x10FFFE)  # planes 15 and 16
_NEVER_MARKED = frozenset('_/"\\')
"""Punctuation that has a meaning of its own: ``/no_think``, and what JSON escapes."""

_SCHEMA_KEYWORDS = frozenset({"type", "properties", "required", "items", "enum", "description", "default"})
"""Keys by which templates read the schema of a tool."""

_QUOTED = r"""(?P<quote>['"])(?P<text>(?:(?!(?P=quote))[^\\\n])+)(?P=quote)"""
_INSPECTIONS = (
    re.compile(_QUOTED + r"\s+(?:not\s+)?in\b"),
    re.compile(r"\.(?:startswith|endswith|split|find|replace)\(\s*" + _QUOTED),
)


class UserTextGuard:
    """Marks user text for one template and one vocabulary.

    Args:
        control_tokens: every text that the tokenizer would turn into a control token. template_source: the
        template; texts that it searches for in messages stay as they are where that is safe.
    """

    def __init__(self, control_tokens: Collection[str], template_source: str) -> None:
        tokens = sorted(
            {token for token in control_tokens if token.strip()}, key=lambda token: (-len(token), token)
        )
        self._tokens = re.compile("|".join(map(re.escape, tokens)) or r"(?!)")
        self._words = frozenset(word.lower() for token in tokens for word in _words_of(token))
        marked = {char for token in tokens for char in token if _is_markable(char)}
        # A token without any such punctuation is betrayed by its first character.
        marked |= {token[0] for token in tokens if not any(map(_is_markable, token))}
        self.marked = re.compile(f"[{re.escape(''.join(sorted(marked)))}]" if marked else r"(?!)")
        """Matches a character that is replaced wherever it stands."""
        searched = _searched_texts(template_source)
        self._searched_words = frozenset(searched)
        self._searched = tuple(
            text
            for text in searched
            if any(map(_is_markable, text)) and not any(_may_overlap(text, token) for token in tokens)
        )
        self._template_source = template_source

    def marking(self, texts: Iterable[str]) -> Marking:
        """The marks for one rendering: private-use characters that occur in none of its inputs ``texts``."""
        return Marking(self, set(self._template_source).union(*texts))

    def is_word_of_token(self, text: str) -> bool:
        """Whether a template could make a token of this text by setting it between brackets: "<" ~ text ~
        ">".

        Texts that the template searches for (``/think``) are left alone: marking them would blind it.
        """
        word = text.strip()
        return word.lower() in self._words and word not in self._searched_words

    def kept_texts(self) -> tuple[str, ...]:
        """Texts that the template searches for and that no token can hide in."""
        return self._searched

    def split(self, rendered: str, originals: dict[int, str]) -> Segments:
        """The segments of a rendering in which ``originals`` maps private-use characters back."""
        genuine = [match.span() for match in self._tokens.finditer(rendered)]
        segments: Segments = []
        before = (0, 0)
        for token in [*genuine, (len(rendered), len(rendered))]:
            stretch = rendered[before[1] : token[0]].translate(originals)
            surrounded = rendered[before[0] : before[1]] + stretch + rendered[token[0] : token[1]]
            found = [match.group() for match in self._tokens.finditer(surrounded)]
            around = [rendered[start:end] for start, end in (before, token) if end > start]
            _append(segments, stretch, found == around)
            _append(segments, rendered[token[0] : token[1]], True)
            before = token
        return segments


class Marking:
    """The private-use characters of one rendering; none of them is among the ``taken`` ones."""

    def __init__(self, guard: UserTextGuard, taken: Collection[str]) -> None:
        self._guard = guard
        self._free = (chr(code) for code in _PRIVATE_USE if chr(code) not in taken)
        self._placeholders: dict[str, str] = {}

    def text(self, text: str, kept: Collection[str] = ()) -> str:
        """``text`` with its control punctuation replaced, except in the texts that are ``kept``."""
        if self._guard.is_word_of_token(text):
            start = len(text) - len(text.lstrip())
            return text[:start] + self._placeholder(text[start]) + self._replaced(text[start + 1 :])
        kept = [fragment for fragment in (*self._guard.kept_texts(), *kept) if fragment in text]
        if not kept:
            return self._replaced(text)
        fragments = re.split(f"({'|'.join(map(re.escape, sorted(kept, key=len, reverse=True)))})", text)
        return "".join(
            fragment if index % 2 else self._replaced(fragment) for index, fragment in enumerate(fragments)
        )

    def value(self, value: Any) -> Any:
        """A JSON value with every text in it marked, keys included."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {
                key if key in _SCHEMA_KEYWORDS else self.text(key): self.value(item)
                for key, item in value.items()
            }
        if isinstance(value, list):
            return [self.value(item) for item in value]
        return value

    def split(self, rendered: str) -> Segments:
        """The segments of a rendering of marked texts, with the original characters put back."""
        originals = {ord(placeholder): char for char, placeholder in self._placeholders.items()}
        return self._guard.split(rendered, originals)

    def _replaced(self, text: str) -> str:
        return self._guard.marked.sub(lambda match: self._placeholder(match[0]), text)

    def _placeholder(self, char: str) -> str:
        if char not in self._placeholders:
            self._placeholders[char] = next(self._free)
        return self._placeholders[char]


def _append(segments: Segments, text: str, trusted: bool) -> None:
    if not text:
        return
    if segments and segments[-1][1] == trusted:
        text = segments.pop()[0] + text
    segments.append((text, trusted))


def _is_markable(char: str) -> bool:
    return not (char.isalnum() or char.isspace() or char in _NEVER_MARKED)


def _words_of(token: str) -> set[str]:
    """The token without the punctuation around it: ``</think>`` is made of ``/think`` as well as of
    ``think``.
    """
    words = {
        token.strip("".join(filter(_is_markable, token))),
        token.strip("".join(char for char in token if not char.isalnum())),
    }
    return words - {"", token}


def _searched_texts(source: str) -> list[str]:
    return sorted({match["text"] for pattern in _INSPECTIONS for match in pattern.finditer(source)})


def _may_overlap(text: str, token: str) -> bool:
    if text in token or token in text:
        return True
    lengths = range(1, min(len(text), len(token)))
    return any(text[-length:] == token[:length] or token[-length:] == text[:length] for length in lengths)
