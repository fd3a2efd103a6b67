"""Which MCP servers there are and how to reach them, in Python or in the JSON that desktop tools share.

Owns the reading and checking of that JSON. Refuses to know the protocol.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NoReturn, Self, get_args

from candlewick.core.errors import InvalidRequestError
from candlewick.responses.approval import Approval, check_approval
from candlewick.responses.mcp.oauth import OAuth

logger = logging.getLogger(__name__)

Transport = Literal["stdio", "streamable-http", "sse"]

_TRANSPORT_NAMES: Mapping[str, Transport] = {
    "stdio": "stdio",
    "http": "streamable-http",
    "streamable-http": "streamable-http",
    "streamableHttp": "streamable-http",
    "streamable_http": "streamable-http",
    "sse": "sse",
}
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_VARIABLE = re.compile(r"\$\{(?:env:)?(\w+)(?::-([^}]*))?\}")
_KEYS = {
    "type", "transport", "command", "args", "env", "cwd", "url", "headers", "bearerToken", "oauth", "disabled",
    "allowedTools", "requireApproval", "autoApprove", "alwaysAllow", "timeout", "connectTimeout",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class MCPServerConfiguration:
    """One MCP server: a program that is started (``command``), or a URL.

    Args:
        label: what this server is called, and the prefix of its tools where names collide.
        command, args, env, cwd: the program; it gets a few safe variables and ``env``, not all of this
            process's.
        url: the endpoint, instead of a command.
        transport: ``None``: ``stdio`` for a command, ``streamable-http`` for a URL; ``sse`` is the older
            transport by URL.
        headers: sent with every request; ``bearer_token`` adds an ``Authorization`` header.
        oauth: how to sign in, where the server wants that.
        auth: an ``httpx2.Auth`` for every request, instead of ``oauth``.
        allowed_tools: names of the tools that may be used, as the server calls them; ``None``: all.
        approval: who must agree before a call, by the server's names; ``None``: it does not say.
        timeout: seconds for one call, where it is less than the conversation's own limit.
        connect_timeout: seconds for starting, connecting and listing the tools.
    """

    label: str
    command: str | None = None
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    cwd: str | None = None
    url: str | None = None
    transport: Transport | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    bearer_token: str | None = field(default=None, repr=False)
    oauth: OAuth | None = None
    auth: Any = field(default=None, repr=False)
    allowed_tools: Collection[str] | None = None
    approval: Approval | None = None
    timeout: float | None = None
    connect_timeout: float = 30.0

    def __post_init__(self) -> None:
        where = f"mcpServers[{self.label!r}]"
        if not _LABEL.fullmatch(self.label):
            raise InvalidRequestError(
                f"{where}: a label must be 1 to 64 letters, digits, '_', '.' and '-', and begin with a letter or digit",
                where,
            )
        if (self.command is None) == (self.url is None):
            raise InvalidRequestError(f"{where} must have either a command or a url", where)
        transport = self.transport or ("stdio" if self.command is not None else "streamable-http")
        if transport not in get_args(Transport):
            _refuse(f"{where}.transport", transport, f"one of {', '.join(get_args(Transport))}")
        if (transport == "stdio") != (self.command is not None):
            raise InvalidRequestError(
                f"{where}: the transport {transport!r} needs a {'command' if transport == 'stdio' else 'url'}",
                f"{where}.transport",
            )
        if self.url is not None and not self.url.startswith(("http://", "https://")):
            _refuse(f"{where}.url", self.url, "an http:// or https:// address")
        if isinstance(self.allowed_tools, str):
            _refuse(f"{where}.allowed_tools", self.allowed_tools, "a collection of names")
        for name, value in (("timeout", self.timeout), ("connect_timeout", self.connect_timeout)):
            if value is not None and not value > 0:
                _refuse(f"{where}.{name}", value, "more than 0 seconds")
        if self.oauth is not None and self.url is None:
            raise InvalidRequestError(f"{where}: only a server with a url can want oauth", f"{where}.oauth")
        if self.approval is not None:
            check_approval(self.approval, f"{where}.approval")
        object.__setattr__(self, "transport", transport)

    @property
    def http_headers(self) -> dict[str, str]:
        """All headers of a request."""
        token = {"Authorization": f"Bearer {self.bearer_token}"} if self.bearer_token else {}
        return {**token, **self.headers}


@dataclass(frozen=True)
class MCPConfiguration:
    """Servers by label, each label once."""

    servers: tuple[MCPServerConfiguration, ...] = ()

    def __post_init__(self) -> None:
        labels = [server.label for server in self.servers]
        for label in labels:
            if labels.count(label) > 1:
                raise InvalidRequestError(f"two MCP servers are called {label!r}; rename one", "mcpServers")

    @classmethod
    def load(cls, path: str | Path, *, environment: Mapping[str, str] | None = None) -> Self:
        """Read a file in the JSON form that desktop tools share.

        Raises:
            InvalidRequestError: the file can't be read, or says something wrong; the place is named.
        """
        try:
            value = json.loads(Path(path).expanduser().read_text("utf-8"))
        except OSError as error:
            raise InvalidRequestError(
                f"the MCP configuration {path} can't be read: {error.strerror}", "mcp_config"
            ) from error
        except (ValueError, RecursionError) as error:
            raise InvalidRequestError(
                f"the MCP configuration {path} is no JSON: {error}", "mcp_config"
            ) from error
        return cls.from_json(value, environment=environment)

    @classmethod
    def from_json(cls, value: object, *, environment: Mapping[str, str] | None = None) -> Self:
        """Read ``{"mcpServers": {label: {…}}}`` (or ``servers``, as some editors say).

        ``${NAME}``, ``${env:NAME}`` and ``${NAME:-default}`` stand for variables of ``environment`` (the
        process's own). Keys that mean nothing here are named in the log. Servers with ``"disabled": true``
        are left out.

        Raises:
            InvalidRequestError: the place at fault is named.
        """
        if not isinstance(value, Mapping):
            _refuse("the MCP configuration", value, "a JSON object with mcpServers")
        name = "mcpServers" if "mcpServers" in value or "servers" not in value else "servers"
        servers = value.get(name)
        if not isinstance(servers, Mapping):
            _refuse(name, servers, "an object of servers by label")
        variables = os.environ if environment is None else environment
        return cls(
            tuple(
                _read_server(label, _expand(server, variables, f"{name}[{label!r}]"), f"{name}[{label!r}]")
                for label, server in servers.items()
                if not (isinstance(server, Mapping) and server.get("disabled") is True)
            )
        )


def _read_server(label: str, value: Any, where: str) -> MCPServerConfiguration:
    if not isinstance(value, Mapping):
        _refuse(where, value, "an object with a command or a url")
    unknown = sorted(set(value) - _KEYS)
    if unknown:
        logger.warning("%s: these keys mean nothing here: %s", where, ", ".join(unknown))
    named = value.get("type", value.get("transport"))
    if named is not None and named not in _TRANSPORT_NAMES:
        _refuse(f"{where}.type", named, f"one of {', '.join(_TRANSPORT_NAMES)}")
    allowed = value.get("allowedTools")
    return MCPServerConfiguration(
        label=label,
        command=_text(value, "command", where),
        args=tuple(_texts(value.get("args", []), f"{where}.args")),
        env=_mapping(value.get("env", {}), f"{where}.env"),
        cwd=_text(value, "cwd", where),
        url=_text(value, "url", where),
        transport=_TRANSPORT_NAMES[named] if named is not None else None,
        headers=_mapping(value.get("headers", {}), f"{where}.headers"),
        bearer_token=_text(value, "bearerToken", where),
        oauth=_oauth(value.get("oauth"), f"{where}.oauth"),
        allowed_tools=None if allowed is None else frozenset(_texts(allowed, f"{where}.allowedTools")),
        approval=_approval(value, where),
        timeout=_seconds(value, "timeout", where),
        connect_timeout=_seconds(value, "connectTimeout", where) or 30.0,
    )


def _approval(value: Mapping[str, Any], where: str) -> Approval | None:
    """``requireApproval``, where ``autoApprove`` (or ``alwaysAllow``) exempts tools by name."""
    automatic = value.get("autoApprove", value.get("alwaysAllow"))
    required: Approval | None = value.get("requireApproval")
    if automatic is None:
        return required
    exempt = dict.fromkeys(_texts(automatic, f"{where}.autoApprove"), "never")
    return {"*": required if isinstance(required, str) else "always", **exempt}  # type: ignore[dict-item]


_OAUTH_KEYS = {"clientId", "clientSecret", "redirectPort"}


def _oauth(value: object, where: str) -> OAuth | None:
    """``true``, or an object that says more."""
    if value is None or value is False:
        return None
    if value is True:
        return OAuth()
    if not isinstance(value, Mapping) or not set(value) <= _OAUTH_KEYS:
        _refuse(where, value, f"true, or an object with {', '.join(sorted(_OAUTH_KEYS))}")
    port = value.get("redirectPort", 0)
    if isinstance(port, bool) or not isinstance(port, int):
        _refuse(f"{where}.redirectPort", port, "a port")
    return OAuth(
        client_id=_text(value, "clientId", where),
        client_secret=_text(value, "clientSecret", where),
        redirect_port=port,
    )


def _expand(value: Any, variables: Mapping[str, str], where: str) -> Any:
    if isinstance(value, Mapping):
        return {key: _expand(item, variables, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list):
        return [_expand(item, variables, f"{where}[{index}]") for index, item in enumerate(value)]
    if not isinstance(value, str):
        return value

    def replace(found: re.Match[str]) -> str:
        given = variables.get(found[1], found[2])
        if given is None:
            raise InvalidRequestError(
                f"{where} needs the environment variable {found[1]}, which is not set", where
            )
        return given

    return _VARIABLE.sub(replace, value)


def _text(value: Mapping[str, Any], key: str, where: str) -> str | None:
    found = value.get(key)
    if found is not None and not isinstance(found, str):
        _refuse(f"{where}.{key}", found, "text")
    return found


def _texts(value: object, where: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        _refuse(where, value, "a list of texts")
    return value


def _mapping(value: object, where: str) -> dict[str, str]:
    if not isinstance(value, Mapping) or not all(isinstance(item, str) for item in value.values()):
        _refuse(where, "values of it", "an object of texts")
    return dict(value)


def _seconds(value: Mapping[str, Any], key: str, where: str) -> float | None:
    found = value.get(key)
    if found is not None and (isinstance(found, bool) or not isinstance(found, int | float)):
        _refuse(f"{where}.{key}", found, "a number of seconds")
    return found


def _refuse(where: str, value: object, expected: str) -> NoReturn:
    raise InvalidRequestError(f"{where} must be {expected}, got {value!r:.200}", where)
