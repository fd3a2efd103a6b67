"""How a format's calls are written, as texts with places for names and arguments: the other side of reading.

From these the grammars of forced calls are made (:mod:`candlewick.chat.call_grammar`). What is written so must be
what the format's reader reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class CallSyntax:
    """One way of writing calls.

    In the texts, ``$name`` stands for the function and ``$arguments`` for its arguments; what is a marker of the
    vocabulary is that marker's token.
    """

    call: str
    begin: str = ""
    """Stands before the first call."""
    between: str | None = None
    """Stands between two calls; ``None`` if there can be only one."""
    end: str = ""
    """Stands after the last call."""
    arguments: Literal["json", "text", "python"] = "json"
    """A JSON object; each argument by itself, texts without quotes; Python's keyword arguments, separated by commas."""
    argument: str = ""
    """One of the arguments that stand by themselves, with ``$key`` and ``$value``."""
    needs: str = ""
    """A token without which a vocabulary is of another version of the format."""
