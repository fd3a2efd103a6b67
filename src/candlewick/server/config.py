"""What an application may be told: names, keys, limits. Frozen and complete; unknown names raise.

Knows no file, no environment variable and no command line; the command line derives those from the fields' names and
metadata.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from candlewick.core.errors import InvalidRequestError

MAX_BODY_BYTES = 16 * 2**20


@dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """Settings of one application; sizes and times carry their unit in the name."""

    api_keys: tuple[str, ...] = field(default=(), repr=False)
    """When there are any, everything under ``/v1`` wants one of them as bearer token. Each is a key, or a name, a
    space and a key."""
    allowed_hosts: tuple[str, ...] = ()
    """Names, beyond ``localhost`` and IP addresses, that the Host header may hold; ``*`` for any."""
    allowed_origins: tuple[str, ...] = ()
    """Web pages that may call from a browser (CORS); by default none."""
    max_body_bytes: int = MAX_BODY_BYTES
    """The largest request body that is read."""

    def __post_init__(self) -> None:
        for option in fields(self):
            value = getattr(self, option.name)
            if isinstance(value, list):
                object.__setattr__(self, option.name, tuple(value))
            elif isinstance(value, str) and isinstance(option.default, tuple):
                raise InvalidRequestError(
                    f"{option.name} must be several texts, got one: {value!r}", option.name
                )
        if self.max_body_bytes < 1:
            raise InvalidRequestError(
                f"max_body_bytes must be at least 1, got {self.max_body_bytes!r}", "max_body_bytes"
            )
