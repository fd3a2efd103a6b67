"""MCP configuration in the JSON that desktop tools share."""

from __future__ import annotations

import json
import logging

import pytest

from candlewick.core.errors import InvalidRequestError
from candlewick.responses import MCPConfiguration, MCPServerConfiguration

SHARED = {
    "mcpServers": {
        "files": {
            "command": "npx",
            "args": ["-y", "server-filesystem", "${HOME}/notes"],
            "env": {"TOKEN": "${env:SECRET}", "MODE": "${MODE:-quiet}"},
            "autoApprove": ["read_file"],
        },
        "web": {
            "type": "http",
            "url": "https://example.org/mcp",
            "headers": {"X-Key": "k"},
            "allowedTools": ["search"],
            "requireApproval": "always",
            "timeout": 5,
        },
        "old": {"transport": "sse", "url": "http://localhost:8000/sse", "bearerToken": "t"},
        "off": {"command": "nothing", "disabled": True, "env": {"X": "${NOT_SET}"}},
    }
}
ENVIRONMENT = {"HOME": "/home/me", "SECRET": "s3cret"}


def test_the_shared_form():
    files, web, old = MCPConfiguration.from_json(SHARED, environment=ENVIRONMENT).servers
    assert files.command == "npx"
    assert files.args == ("-y", "server-filesystem", "/home/me/notes")
    assert files.env == {"TOKEN": "s3cret", "MODE": "quiet"}
    assert files.approval == {"*": "always", "read_file": "never"}
    assert files.transport == "stdio"
    assert (web.transport, web.timeout, web.approval) == ("streamable-http", 5, "always")
    assert web.allowed_tools == {"search"}
    assert old.transport == "sse"
    assert old.http_headers == {"Authorization": "Bearer t"}
    assert "s3cret" not in repr(files)


def test_a_file(tmp_path):
    path = tmp_path / "mcp.json"
    path.write_text(json.dumps({"servers": {"a": {"command": "x"}}}))
    assert [server.label for server in MCPConfiguration.load(path).servers] == ["a"]
    with pytest.raises(InvalidRequestError, match="can't be read: No such file"):
        MCPConfiguration.load(tmp_path / "missing.json")
    path.write_text("{")
    with pytest.raises(InvalidRequestError, match="is no JSON"):
        MCPConfiguration.load(path)


def test_keys_without_a_meaning_are_named_in_the_log(caplog):
    with caplog.at_level(logging.WARNING):
        MCPConfiguration.from_json({"mcpServers": {"a": {"command": "x", "icon": "🕯", "gallery": True}}})
    assert "mcpServers['a']: these keys mean nothing here: gallery, icon" in caplog.text


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "the MCP configuration must be a JSON object"),
        ({}, "mcpServers must be an object of servers by label, got None"),
        ({"mcpServers": {"a": []}}, r"mcpServers\['a'\] must be an object"),
        ({"mcpServers": {"a": {}}}, "must have either a command or a url"),
        ({"mcpServers": {"a": {"command": "x", "url": "http://y"}}}, "must have either a command or a url"),
        ({"mcpServers": {"a": {"command": 1}}}, r"mcpServers\['a'\].command must be text, got 1"),
        ({"mcpServers": {"a": {"command": "x", "args": "y"}}}, "args must be a list of texts"),
        ({"mcpServers": {"a": {"command": "x", "env": {"N": 1}}}}, "env must be an object of texts"),
        ({"mcpServers": {"a": {"command": "x", "type": "http"}}}, "'streamable-http' needs a url"),
        ({"mcpServers": {"a": {"url": "http://x", "type": "carrier pigeon"}}}, "type must be one of"),
        ({"mcpServers": {"a": {"url": "file:///etc/passwd"}}}, "must be an http:// or https:// address"),
        ({"mcpServers": {"a": {"url": "http://x", "timeout": -1}}}, "more than 0 seconds"),
        ({"mcpServers": {"a": {"url": "http://x", "timeout": "1"}}}, "a number of seconds"),
        ({"mcpServers": {"a": {"url": "http://x", "requireApproval": "maybe"}}}, "'always' or 'never'"),
        ({"mcpServers": {"a b": {"url": "http://x"}}}, "a label must be"),
        ({"mcpServers": {"a": {"command": "${NOT_SET}"}}}, r"\.command needs the environment variable NOT_SET"),
    ],
)  # fmt: skip
def test_mistakes_are_named(value, message):
    with pytest.raises(InvalidRequestError, match=message):
        MCPConfiguration.from_json(value, environment={})


def test_labels_are_unique():
    server = MCPServerConfiguration(label="a", command="x")
    with pytest.raises(InvalidRequestError, match="two MCP servers are called 'a'"):
        MCPConfiguration((server, server))
