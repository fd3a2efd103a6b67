"""Settings: dataclass fields with a help text, read from the command line, the environment or a TOML file.

A field is declared once, by :func:`setting`; its flag, its variable, its key and its documentation come from that.
Knows no particular setting and no command line library.
"""

from __future__ import annotations

import difflib
import re
import tomllib
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar

from candlewick.core.errors import InvalidRequestError

Settings = TypeVar("Settings")

PREFIX = "CANDLEWICK_"
DEFAULT = "default"
"""The source of a value that nobody gave."""

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([KMGT])(i?)B?|B)?", re.IGNORECASE)
_POWERS = {letter: power for power, letter in enumerate(("", "K", "M", "G", "T"))}
_BOOLEANS = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}


def setting(default: Any, help: str, *, flag: str | None = None, secret: bool = False) -> Any:
    """A field of a settings dataclass.

    Args:
        default: its default; a tuple makes it a setting that may be given several times.
        help: one sentence for whoever runs the program.
        flag: the command line's name without dashes, where it isn't the field's: the singular of several, say.
        secret: never shown.
    """
    return field(default=default, repr=not secret, metadata={"help": help, "flag": flag, "secret": secret})


@dataclass(frozen=True)
class Setting:
    """What can be known of one field."""

    name: str
    """In Python and in the TOML file."""
    flag: str
    """On the command line."""
    variable: str
    """In the environment; several values are separated by commas."""
    kind: type
    """``bool``, ``int``, ``float`` or ``str``: of each value, where there are several."""
    many: bool
    choices: tuple[str, ...]
    default: Any
    help: str
    secret: bool

    def parse(self, text: str, source: str) -> Any:
        """One value as text: sizes may have a unit (``512MiB``, ``8G``).

        Raises:
            InvalidRequestError: it is no such value; ``source`` says where it stood.
        """
        try:
            if self.kind is bool:
                return _BOOLEANS[text.strip().lower()]
            if self.name.endswith("_bytes"):
                return _parse_size(text)
            return self._checked(self.kind(text), source)
        except (ValueError, KeyError) as error:
            if isinstance(error, InvalidRequestError):
                raise
            raise self._wrong(source, text) from None

    def accept(self, value: Any, source: str) -> Any:
        """A value of a TOML file, in its own type or as text.

        Raises:
            InvalidRequestError: it is no such value.
        """
        if self.many:
            values = value if isinstance(value, list) else [value]
            return tuple(self._accept_one(each, source) for each in values)
        return self._accept_one(value, source)

    def _accept_one(self, value: Any, source: str) -> Any:
        if isinstance(value, str):
            return self.parse(value, source)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if self.kind is float and is_number:
            return float(value)
        if type(value) is not self.kind:
            raise self._wrong(source, value)
        return value

    def _checked(self, value: Any, source: str) -> Any:
        if self.choices and value not in self.choices:
            raise self._wrong(source, value)
        return value

    def _wrong(self, source: str, value: Any) -> InvalidRequestError:
        wanted = " or ".join(self.choices) or {
            bool: "true or false",
            int: "a whole number",
            float: "a number",
        }.get(self.kind, "text")
        if self.name.endswith("_bytes"):
            wanted = "a size such as 512MiB"
        return InvalidRequestError(f"{source}: {self.name} must be {wanted}, got {value!r}", self.name)


def settings_of(kind: type) -> list[Setting]:
    """The settings of a dataclass, in their order."""
    hints = typing.get_type_hints(kind)
    found = []
    for each in fields(kind):
        flag = each.metadata.get("flag") or each.name.replace("_", "-")
        value_kind, choices = _kind_of(hints[each.name])
        found.append(
            Setting(
                name=each.name,
                flag=f"--{flag}",
                variable=PREFIX + flag.upper().replace("-", "_"),
                kind=value_kind,
                many=isinstance(each.default, tuple),
                choices=choices,
                default=each.default,
                help=each.metadata["help"],
                secret=each.metadata["secret"],
            )
        )
    return found


def read_settings(
    kind: type[Settings], given: Mapping[str, Any], environment: Mapping[str, str], file: Path | None
) -> tuple[Settings, dict[str, str]]:
    """The settings as the nearest source has them: what was ``given`` by name (as text), the environment, the file.

    Returns the settings, and for each field where its value comes from.

    Raises:
        InvalidRequestError: a value is wrong, the file can't be read, or has a key that is no setting.
    """
    known = {each.name: each for each in settings_of(kind)}
    values: dict[str, Any] = {}
    sources = dict.fromkeys(known, DEFAULT)
    for name, value in _read_toml(file, known).items():
        source = str(file)
        values[name], sources[name] = known[name].accept(value, source), source
    for each in known.values():
        text = environment.get(each.variable)
        if text:
            parts = [part.strip() for part in text.split(",")] if each.many else [text]
            parsed = tuple(each.parse(part, each.variable) for part in parts if part)
            values[each.name], sources[each.name] = parsed if each.many else parsed[0], each.variable
    for name, value in given.items():
        each = known[name]
        texts = value if isinstance(value, list | tuple) else [value]
        parsed = tuple(text if isinstance(text, bool) else each.parse(text, each.flag) for text in texts)
        values[name], sources[name] = parsed if each.many else parsed[0], each.flag
    return kind(**values), sources


def show_settings(settings: Any, sources: Mapping[str, str]) -> str:
    """The settings as TOML, each with its source in a comment; secrets are not shown."""
    lines = []
    for each in settings_of(type(settings)):
        value = getattr(settings, each.name)
        if each.secret and value:
            value = [_HIDDEN] * len(value) if each.many else _HIDDEN
        shown = f"# {each.name} is not set" if value is None else f"{each.name} = {_as_toml(value)}"
        lines.append((shown, sources[each.name]))
    width = max(len(shown) for shown, _ in lines)
    return "\n".join(f"{shown:{width}}  # {source}" for shown, source in lines)


_HIDDEN = "(hidden)"


def _kind_of(hint: Any) -> tuple[type, tuple[str, ...]]:
    """The type of one value, and the texts that it may be, of ``X``, ``X | None`` or ``tuple[X, ...]``."""
    if isinstance(hint, UnionType):
        hint = next(part for part in typing.get_args(hint) if part is not type(None))
    if typing.get_origin(hint) is tuple:
        hint = typing.get_args(hint)[0]
    if typing.get_origin(hint) is Literal:
        return str, typing.get_args(hint)
    return hint, ()


def _read_toml(file: Path | None, known: Mapping[str, Setting]) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        with file.open("rb") as opened:
            values = tomllib.load(opened)
    except (OSError, ValueError) as error:
        raise InvalidRequestError(f"the configuration file {file} can't be read: {error}", "config") from None
    for name in values:
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise InvalidRequestError(f"{file}: there is no setting called {name!r}{hint}", name)
    return values


def _parse_size(text: str) -> int:
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(text)
    number, letter, binary = match.groups()
    return int(float(number) * (1024 if binary else 1000) ** _POWERS[(letter or "").upper()])


def _as_toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + "".join(_escaped(character) for character in value) + '"'
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_as_toml(each) for each in value) + "]"
    return repr(value)


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    return character if character.isprintable() else f"\\U{ord(character):08x}"
