"""The snippets of a Markdown page: its code blocks, how they are marked, and the output that is shown for them.

A mark is a comment on the line before a block, which readers of the rendered page don't see::

    <!-- snippet: syntax only: downloads a model -->

- ``syntax only: REASON``: checked for its syntax, and not run because of the reason.
- ``output varies``: run; the output that is shown is an example.
- ``keeps running``: a server; it runs until the page ends or the next one starts.

A block without a mark is run, and the output shown for it must be what it prints: what follows a ``$ command`` in a
``console`` block, or an ``output`` block right after a ``python`` one. ``...`` stands for anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

LANGUAGES = ("python", "bash", "console")
MARKS = ("syntax only", "output varies", "keeps running")

_BLOCK = re.compile(
    r"(?:^<!-- snippet: (?P<mark>.*?) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Snippet:
    """A code block; ``line`` is that of its first line of code, counted from 1."""

    language: str
    text: str
    line: int
    mark: str | None = None
    output: str | None = None


def read_snippets(page: str) -> list[Snippet]:
    """The blocks of a page in the languages that can be run.

    Raises:
        ValueError: a mark is unknown, gives no reason, or stands before nothing that it could mean.
    """
    snippets: list[Snippet] = []
    for match in _BLOCK.finditer(page):
        line = page.count("\n", 0, match.start("text")) + 1
        language, text = match["language"], match["text"]
        if language == "output":
            if not snippets or snippets[-1].language != "python" or snippets[-1].output is not None:
                raise ValueError(f"line {line}: output belongs right after a python block")
            snippets[-1] = replace(snippets[-1], output=text)
        elif language in LANGUAGES:
            snippets.append(Snippet(language, text, line, _known_mark(match["mark"], line)))
        elif match["mark"] is not None:
            raise ValueError(f"line {line}: a block of {language or 'plain text'} is no snippet")
    if len(re.findall(r"<!-- snippet:", page)) != sum(snippet.mark is not None for snippet in snippets):
        raise ValueError("a mark does not stand right before a block")
    return snippets


def commands(snippet: Snippet) -> Iterator[tuple[str, str]]:
    """The commands of a ``console`` block, each with the output that is shown for it."""
    assert snippet.language == "console"
    before, *pieces = re.split(r"^\$ ", snippet.text, flags=re.MULTILINE)
    if before or not pieces:
        raise ValueError(f"line {snippet.line}: a console block begins with '$ ' and a command")
    for piece in pieces:
        command, _, output = piece.partition("\n")
        yield command, output


def _known_mark(mark: str | None, line: int) -> str | None:
    if mark is None:
        return None
    name, _, reason = mark.partition(": ")
    if name not in MARKS:
        raise ValueError(f"line {line}: the mark {mark!r} is none of {', '.join(MARKS)}")
    if bool(reason) != (name == "syntax only"):
        raise ValueError(f"line {line}: 'syntax only' gives a reason, other marks do not, got {mark!r}")
    return name
