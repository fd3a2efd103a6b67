"""Signing in to an MCP server by OAuth, against a server of the SDK's with an authorization server of its own."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import subprocess
import sys
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

import httpx2
from mcp.shared.auth import OAuthClientInformationFull, OAuthToken


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
    assert {each.name for each in file.parent.iterdir()} == {"tokens.json", "tokens.json.lock"}
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
    def fail(*_: object) -> None:
        raise OSError("read-only")

    tokens = TokenFile(tmp_path / "tokens.json", "http://127.0.0.1:1/mcp")
    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="read-only"):
        asyncio.run(tokens.set_tokens(OAuthToken(access_token="secret")))
    assert [each.name for each in tmp_path.iterdir()] == ["tokens.json.lock"]


@pytest.mark.skipif(sys.platform == "win32", reason="no such lock there")
def test_of_two_programs_that_write_at_once_none_loses_its_tokens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "tokens.json"
    keep_other = f"""
import asyncio, pathlib
from mcp.shared.auth import OAuthToken
from candlewick.responses.mcp.oauth import TokenFile
print("ready", flush=True)
asyncio.run(TokenFile(pathlib.Path({str(file)!r}), "http://other").set_tokens(OAuthToken(access_token="other")))
"""
    with subprocess.Popen([sys.executable, "-c", keep_other], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        replace = os.replace

        def replace_late(*paths: Any) -> None:
            assert other.stdout is not None
            assert other.stdout.readline() == "ready\n"
            with pytest.raises(subprocess.TimeoutExpired):  # it has to wait for us
                other.wait(1)
            replace(*paths)

        monkeypatch.setattr("os.replace", replace_late)
        asyncio.run(TokenFile(file, "http://mine").set_tokens(OAuthToken(access_token="mine")))
        assert other.wait(20) == 0
    kept = {url: value["tokens"]["access_token"] for url, value in json.loads(file.read_text()).items()}
    assert kept == {"http://mine": "mine", "http://other": "other"}


@pytest.mark.parametrize("when", ["before", "meanwhile"])
async def test_tokens_that_another_program_has_renewed_are_taken_from_the_file(
    tmp_path: Path, when: str
) -> None:
    file, url = tmp_path / "tokens.json", "http://127.0.0.1:9/mcp"

    async def renew(name: str, seconds: int) -> None:
        tokens = OAuthToken(access_token=name, refresh_token=f"{name}-refresh", expires_in=seconds)
        await TokenFile(file, url).set_tokens(tokens)

    await TokenFile(file, url).set_client_info(OAuthClientInformationFull(client_id="me", redirect_uris=None))
    await renew("old", 60)
    provider = oauth_provider(url, OAuth(token_file=file))
    request = httpx2.Request("POST", url)
    flow = provider.async_auth_flow(request)
    assert (await anext(flow)).headers["Authorization"] == "Bearer old"
    await flow.aclose()
    await renew("old", -1)
    provider.context.token_expiry_time = 1.0
    flow = provider.async_auth_flow(request)
    if when == "before":
        await renew("new", 60)
        sent = await anext(flow)
    else:
        renewal = await anext(flow)
        assert b"old-refresh" in renewal.content
        await renew("new", 60)
        sent = await flow.asend(httpx2.Response(400, request=renewal))  # it is good for one renewal
    assert sent is request
    assert sent.headers["Authorization"] == "Bearer new"
    await flow.aclose()


@pytest.mark.parametrize("content", ["{", "[1]"])
def test_a_damaged_file_is_told(tmp_path: Path, content: str) -> None:
    file = tmp_path / "tokens.json"
    file.write_text(content)
    with pytest.raises(InvalidRequestError, match="sign in again"):
        TokenFile(file, "http://a")


@pytest.mark.parametrize("part", ["client", "tokens", "server", "expires_at"])
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
