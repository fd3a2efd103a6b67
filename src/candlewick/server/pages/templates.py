"""The pages' templates: MiniJinja, everything escaped that a template does not call safe."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from minijinja import Environment

from candlewick.server.pages.markdown import without_controls


class Templates:
    """The templates of this package."""

    def __init__(self) -> None:
        self._environment = Environment(
            loader=_load, auto_escape_callback=lambda name: "html", trim_blocks=True
        )
        self._environment.add_filter("duration", _duration)
        # Nothing may make a call look like another one to whoever approves it.
        self._environment.add_filter("plain", without_controls)

    def render(self, name: str, **values: Any) -> str:
        return self._environment.render_template(name, **values)


@cache
def _load(name: str) -> str:
    return (files("candlewick.server.pages") / "templates" / name).read_text("utf-8")


def _duration(seconds: float) -> str:
    """Short, and exact enough to compare."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
