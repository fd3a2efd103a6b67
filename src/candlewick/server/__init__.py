"""HTTP on top of the parts below: an application to run or to mount; needs the ``server`` extra.

Names load on first use: the command line reads :mod:`candlewick.server.config` where the extra is not installed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from candlewick.server.app import create_app
    from candlewick.server.config import ServerConfig
    from candlewick.server.services import Services

__all__ = ["ServerConfig", "Services", "create_app"]

_HOMES = {"create_app": "app", "ServerConfig": "config", "Services": "services"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
