"""Signing in to an MCP server by OAuth, against a server of the SDK's with an authorization server of its own."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from running_mcp import free_port, guarded_server
from scripted_llm import ScriptedLLM, text_answer, tool_answer

from candlewick.core.errors import InvalidRequestError
from candlewick.responses import MCPConfiguration, MCPServerConfiguration, OAuth, ResponsesSession
from candlewick.responses.mcp.oauth import LoopbackRedirect, TokenFile, oauth_provider

pytest.importorskip("mcp", reason="needs the responses extra")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with guarded_server(3600) as url:
        yield url


class Browser:
    """A person who opens what is shown, and is sent on."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    async def __call__(self, address: str) -> None:
        self.seen.append(address)
        async with httpx.AsyncClient(follow_redirects=True) as browser:
            assert "close this page" in (await browser.get(address)).text


async def ask(url: str, oauth: OAuth) -> tuple[str, str | None]:
    """How the server was reached, as its tool tells it; else the state's error."""
    llm_calls = iter([tool_answer(("c1", "whoami", ["{}"])), text_answer("So.")])
    llm = ScriptedLLM(lambda call: next(llm_calls) if call.tools else text_answer("No tools."))
    server = MCPServerConfiguration(label="guarded", url=url, oauth=oauth, connect_timeout=60)
    async with ResponsesSession(llm, mcp_servers=[server]) as session:
        result = await session.run_conversation([{"role": "user", "content": "Who am I?"}])
        (state,) = session.servers.states
        return (result.tool_calls_executed[0].result.text if result.tool_calls_executed else "", state.error)


async def test_signing_in_once_is_enough(url: str, tmp_path: Path) -> None:
    file, browser = tmp_path / "private" / "tokens.json", Browser()
    assert await ask(url, OAuth(sign_in=browser, token_file=file)) == ("granted", None)
    assert len(browser.seen) == 1
    assert "code_challenge_method=S256" in browser.seen[0]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert list(file.parent.iterdir()) == [file]
    assert await ask(url, OAuth(token_file=file)) == ("granted", None)  # nobody can be asked any more


async def test_tokens_are_renewed_after_a_restart(url: str, tmp_path: Path) -> None:
    file, browser = tmp_path / "tokens.json", Browser()
    await ask(url, OAuth(sign_in=browser, token_file=file))
    kept = json.loads(file.read_text())
    kept[url]["expires_at"] = 1.0  # as if it had run out since
    file.write_text(json.dumps(kept))
    assert await ask(url, OAuth(token_file=file)) == ("renewed", None)
    assert json.loads(file.read_text())[url]["expires_at"] > 1.0
    assert len(browser.seen) == 1


async def test_where_nobody_can_be_asked_the_server_is_told_to_have_failed(url: str, tmp_path: Path) -> None:
    said, error = await ask(url, OAuth(token_file=tmp_path / "tokens.json"))
    assert said == ""
    assert error is not None
    assert "wants somebody to sign in" in error


async def test_a_refusal_is_told(tmp_path: Path) -> None:
    with guarded_server(3600, "refuse") as url:
        _, error = await ask(url, OAuth(sign_in=Browser(), token_file=tmp_path / "tokens.json"))
    assert error is not None
    assert "not you" in error


async def test_the_page_takes_nothing_but_an_answer() -> None:
    redirect = LoopbackRedirect(free_port())
    await redirect.open()
    async with httpx.AsyncClient() as browser:
        root = redirect.url.removesuffix("/callback")
        for wrong in ("/", "/favicon.ico", "/callback", "/callbackx?code=a"):
            assert (await browser.get(root + wrong)).status_code == 404
        assert (await browser.post(redirect.url + "?code=a")).status_code == 404
        assert (await browser.get(redirect.url + "?code=a&state=b")).status_code == 200
    answer = await redirect.answer()
    assert (answer.code, answer.state) == ("a", "b")
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", urlsplit(redirect.url).port)


async def test_where_the_address_cant_be_shown_nobody_listens_any_more(url: str, tmp_path: Path) -> None:
    port = free_port()

    async def fail(address: str) -> None:
        assert f"127.0.0.1%3A{port}" in address
        await asyncio.open_connection("127.0.0.1", port)  # somebody listens
        raise OSError("there is no browser")

    _, error = await ask(url, OAuth(sign_in=fail, redirect_port=port, token_file=tmp_path / "tokens.json"))
    assert error is not None
    assert "no browser" in error
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


def test_what_cant_be_kept_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mcp.shared.auth import OAuthToken

    def fail(*_: object) -> None:
        raise OSError("read-only")

    tokens = TokenFile(tmp_path / "tokens.json", "http://127.0.0.1:1/mcp")
    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="read-only"):
        asyncio.run(tokens.set_tokens(OAuthToken(access_token="secret")))
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    file = tmp_path / "tokens.json"
    file.write_text("{")
    with pytest.raises(InvalidRequestError, match="sign in again"):
        TokenFile(file, "http://a")


@pytest.mark.parametrize("part", ["client", "tokens", "server"])
@pytest.mark.parametrize("value", ["a text", [1], {"redirect_uris": 3, "access_token": None, "issuer": {}}])
async def test_a_damaged_part_of_the_file_is_told(tmp_path: Path, part: str, value: object) -> None:
    file = tmp_path / "tokens.json"
    url = "http://127.0.0.1:9/mcp"
    file.write_text(json.dumps({url: {part: value}}))
    with pytest.raises(InvalidRequestError, match=r"tokens\.json can't be read: (?s:.*); remove it"):
        await oauth_provider(url, OAuth(token_file=file)).context.storage.get_tokens()


@pytest.mark.parametrize(
    ("oauth", "expected"),
    [
        (True, OAuth()),
        (False, None),
        (
            {"clientId": "me", "clientSecret": "x", "redirectPort": 8400},
            OAuth(client_id="me", client_secret="x", redirect_port=8400),
        ),
    ],
)
def test_configuration(oauth: Any, expected: OAuth | None) -> None:
    read = MCPConfiguration.from_json({"mcpServers": {"a": {"url": "https://example.org", "oauth": oauth}}})
    assert read.servers[0].oauth == expected
    assert "clientSecret" not in repr(read)


@pytest.mark.parametrize(
    "make",
    [
        lambda: MCPConfiguration.from_json({"mcpServers": {"a": {"url": "http://a", "oauth": {"id": 1}}}}),
        lambda: MCPConfiguration.from_json({"mcpServers": {"a": {"command": "a", "oauth": True}}}),
        lambda: OAuth(client_id="me"),
        lambda: OAuth(redirect_port=70000),
    ],
)
def test_what_makes_no_sense_is_refused(make: Callable[[], object]) -> None:
    with pytest.raises(InvalidRequestError):
        make()
