"""The tools of a request: functions that the client runs, MCP servers that we ask, and hosted ones that we don't have.

Owns reading and echoing them. Refuses to know who may use which server.
Source: ``openai.types.responses.tool`` and ``tool_choice_*``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from candlewick.chat.messages import Tool, parse_tools
from candlewick.core.errors import InvalidRequestError

OPTIONAL_TOOLS = (
    "web_search",
    "web_search_2025_08_26",
    "web_search_preview",
    "web_search_preview_2025_03_11",
    "image_generation",
)
"""Hosted tools that agents offer by habit. A model that has none of them answers without; they are echoed only."""

Rule = Literal["always", "never"]
_FUNCTION_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_FUNCTION_FIELDS = {
    "type", "name", "description", "parameters", "strict",
    "allowed_callers", "async", "defer_loading", "output_schema",
}  # fmt: skip
_SERVER_FIELDS = {
    "type", "server_label", "server_url", "server_description", "authorization", "headers", "allowed_tools",
    "require_approval", "allowed_callers", "defer_loading",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ServerRequest:
    """An MCP server that a request wants to use."""

    label: str
    url: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    """With the request's ``authorization`` among them."""
    allowed_tools: tuple[str, ...] | None = None
    approval: Rule | Mapping[str, Rule] = "always"
    """By the server's own names of its tools, ``"*"`` for those not named."""
    where: str = "tools"


@dataclass(frozen=True)
class ToolRequest:
    """The tools of one request, and the choice among them as ``AsyncLLM.chat`` takes it."""

    functions: tuple[Tool, ...] = ()
    servers: tuple[ServerRequest, ...] = ()
    echo: tuple[dict[str, Any], ...] = ()
    """The tools as the response tells them: every key present, secrets left out."""
    choice: str = "auto"
    choice_echo: Any = "auto"
    allowed: frozenset[str] | None = None
    """Names of the functions, and labels of the servers, among which a request's ``allowed_tools`` choose."""
    chosen_server: str | None = None
    """The server whose tool (``choice``) is forced."""


def read_tools(
    tools: Sequence[Mapping[str, Any]] | None, choice: str | Mapping[str, Any] | None
) -> ToolRequest:
    """The tools of a request.

    Raises:
        InvalidRequestError: a tool is malformed or of a kind that we don't have; its place is named.
    """
    functions: list[Tool] = []
    servers: list[ServerRequest] = []
    echo: list[dict[str, Any]] = []
    for index, tool in enumerate(tools or ()):
        where = f"tools[{index}]"
        kind = tool.get("type")
        if kind == "function":
            functions.append(_function(tool, where))
            echo.append(function_echo(functions[-1]))
        elif kind == "mcp":
            servers.append(_server(tool, where))
            echo.append(_server_echo(tool))
        elif kind in OPTIONAL_TOOLS:
            echo.append(dict(tool))
        else:
            raise InvalidRequestError(
                f"{where}.type must be 'function' or 'mcp': other tools are not run here, got {kind!r}",
                f"{where}.type",
            )
    parse_tools(functions)  # names are unique
    labels = [server.label for server in servers]
    for label in labels:
        if labels.count(label) > 1:
            raise InvalidRequestError(f"two tools have the server_label {label!r}", "tools")
    return _with_choice(ToolRequest(tuple(functions), tuple(servers), tuple(echo)), choice)


def _function(tool: Mapping[str, Any], where: str) -> Tool:
    _refuse_unknown(tool, _FUNCTION_FIELDS, where)
    if "name" not in tool and "function" in tool:
        raise InvalidRequestError(
            f"{where} is a function in the form of Chat Completions; here name and parameters stand in the tool "
            "itself",
            where,
        )
    name = tool.get("name")
    if isinstance(name, str) and not _FUNCTION_NAME.fullmatch(name):
        raise InvalidRequestError(
            f"{where}.name must be 1 to 64 letters, digits, '_' and '-', got {name!r:.80}", f"{where}.name"
        )
    definition = {name: tool.get(name) for name in ("name", "description", "parameters", "strict")}
    try:
        return parse_tools([{"type": "function", "function": definition}])[0]
    except InvalidRequestError as error:
        path = (error.parameter or "").replace("tools[0].function", where).replace("tools[0]", where)
        message = str(error).replace("tools[0].function", where).replace("tools[0]", where)
        raise InvalidRequestError(message, path) from None


def function_echo(tool: Tool) -> dict[str, Any]:
    """A function as a response tells it."""
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": dict(tool.parameters),
        "strict": bool(tool.strict),
    }


def _server(tool: Mapping[str, Any], where: str) -> ServerRequest:
    for name in ("connector_id", "tunnel_id"):
        if tool.get(name) is not None:
            raise InvalidRequestError(
                f"{where}.{name} is not supported: there are no connectors here", f"{where}.{name}"
            )
    _refuse_unknown(tool, _SERVER_FIELDS | {"connector_id", "tunnel_id"}, where)
    label = tool.get("server_label")
    if not isinstance(label, str) or not label:
        raise InvalidRequestError(
            f"{where}.server_label must be a non-empty text, got {label!r}", f"{where}.server_label"
        )
    url = tool.get("server_url")
    if url is not None and not isinstance(url, str):
        raise InvalidRequestError(f"{where}.server_url must be text, got {url!r}", f"{where}.server_url")
    headers = tool.get("headers") or {}
    if not isinstance(headers, Mapping) or not all(isinstance(value, str) for value in headers.values()):
        raise InvalidRequestError(f"{where}.headers must map names to text", f"{where}.headers")
    authorization = tool.get("authorization")
    if authorization is not None:
        headers = {**headers, "Authorization": f"Bearer {authorization}"}
    return ServerRequest(
        label=label,
        url=url,
        headers=dict(headers),
        allowed_tools=_tool_names(tool.get("allowed_tools"), f"{where}.allowed_tools"),
        approval=_approval(tool.get("require_approval"), f"{where}.require_approval"),
        where=where,
    )


def _server_echo(tool: Mapping[str, Any]) -> dict[str, Any]:
    hidden = ("authorization", "headers")
    echo = {name: value for name, value in tool.items() if name not in hidden}
    return (
        {"server_url": None, "server_description": None, "allowed_tools": None, "require_approval": "always"}
        | {name: value for name, value in echo.items() if value is not None}
        | ({"headers": dict.fromkeys(tool["headers"], "<hidden>")} if tool.get("headers") else {})
    )


def _tool_names(value: object, where: str) -> tuple[str, ...] | None:
    """Names of a list, or of a filter ``{"tool_names": …}``."""
    if value is None:
        return None
    if isinstance(value, Mapping):
        if value.get("read_only") is not None:
            raise InvalidRequestError(
                f"{where}.read_only is not supported: name the tools in tool_names", where
            )
        value = value.get("tool_names") or []
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise InvalidRequestError(f"{where} must be a list of names, got {value!r}", where)
    return tuple(value)


def _approval(value: object, where: str) -> Rule | dict[str, Rule]:
    if value is None or value == "always":
        return "always"
    if value == "never":
        return "never"
    if not isinstance(value, Mapping) or not set(value) <= {"always", "never"}:
        raise InvalidRequestError(
            f"{where} must be 'always', 'never' or {{'always': …, 'never': …}} with tool_names, got {value!r}",
            where,
        )
    rules: dict[str, Rule] = {"*": "always"}
    rules |= dict.fromkeys(_tool_names(value.get("never"), f"{where}.never") or (), "never")
    rules |= dict.fromkeys(_tool_names(value.get("always"), f"{where}.always") or (), "always")
    return rules


def _with_choice(request: ToolRequest, choice: str | Mapping[str, Any] | None) -> ToolRequest:
    if choice is None or choice in ("auto", "none", "required"):
        choice = choice or "auto"
        if choice == "required" and not (request.functions or request.servers):
            raise InvalidRequestError("tool_choice 'required' needs tools that can be called", "tool_choice")
        return replace(request, choice=choice, choice_echo=choice)
    kind = choice.get("type") if isinstance(choice, Mapping) else None
    if isinstance(choice, Mapping) and kind == "function":
        name = choice.get("name")
        if all(tool.name != name for tool in request.functions):
            raise InvalidRequestError(
                f"tool_choice names the function {name!r}, which is not among the tools", "tool_choice"
            )
        return replace(request, choice=str(name), choice_echo={"type": "function", "name": name})
    if isinstance(choice, Mapping) and kind == "mcp":
        label, name = choice.get("server_label"), choice.get("name")
        if all(server.label != label for server in request.servers):
            raise InvalidRequestError(
                f"tool_choice names the server {label!r}, which is not among the tools", "tool_choice"
            )
        return replace(request, choice=name or "required", chosen_server=label, choice_echo=dict(choice))
    if isinstance(choice, Mapping) and kind == "allowed_tools":
        return replace(
            request,
            choice="required" if choice.get("mode") == "required" else "auto",
            choice_echo={"type": kind, "mode": choice.get("mode", "auto"), "tools": choice.get("tools", [])},
            allowed=_allowed(request, choice.get("tools")),
        )
    raise InvalidRequestError(
        f"tool_choice must be 'auto', 'none', 'required', a function, an mcp tool or allowed_tools, got {choice!r}",
        "tool_choice",
    )


def _allowed(request: ToolRequest, tools: object) -> frozenset[str]:
    if not isinstance(tools, list) or not all(isinstance(tool, Mapping) for tool in tools):
        raise InvalidRequestError(f"tool_choice.tools must be a list of tools, got {tools!r}", "tool_choice")
    known = {tool.name for tool in request.functions} | {server.label for server in request.servers}
    names = {
        tool.get("name") if tool.get("type") == "function" else tool.get("server_label") for tool in tools
    }
    unknown = sorted(str(name) for name in names - known)
    if unknown:
        raise InvalidRequestError(
            f"tool_choice allows {', '.join(unknown)}, not among the tools", "tool_choice"
        )
    return frozenset(str(name) for name in names)


def _refuse_unknown(tool: Mapping[str, Any], known: set[str], where: str) -> None:
    for name in tool:
        if name not in known:
            raise InvalidRequestError(
                f"unknown field '{where}.{name}'; remove it or check its spelling", f"{where}.{name}"
            )
