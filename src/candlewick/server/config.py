"""What an application may be told: names, keys, limits. Frozen and complete; unknown names raise.

Knows no file, no environment variable and no command line; the command line derives those from the fields' names and
metadata.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from candlewick.core.errors import InvalidRequestError


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
    mcp_hosts: tuple[str, ...] = ()
    """Hosts, with a port where it is not the usual one, of MCP servers that requests may bring by URL; by default
    none."""
    max_body_bytes: int = 16 * 2**20
    """The largest request body that is read."""
    max_request_seconds: float | None = None
    """The longest that an answer may take, waiting included; ``None``: any time."""
    max_concurrent_per_key: int | None = None
    """Requests that each key may have running; ``None``: any number. Without keys all clients count as one."""
    max_requests_per_minute_per_key: int | None = None
    """Requests that each key may begin in a minute; ``None``: any number."""
    heartbeat_seconds: float = 15.0
    """A stream that has nothing to say for so long gets a comment, so that nobody takes it for dead."""

    def __post_init__(self) -> None:
        for option in fields(self):
            value = getattr(self, option.name)
            if isinstance(option.default, tuple):
                if isinstance(value, str) or not all(isinstance(item, str) for item in value):
                    raise InvalidRequestError(
                        f"{option.name} must be several texts, got {value!r}", option.name
                    )
                object.__setattr__(self, option.name, tuple(value))
            elif option.name.startswith(("max_", "heartbeat_")) and value is not None and not value > 0:
                raise InvalidRequestError(f"{option.name} must be more than 0, got {value!r}", option.name)
