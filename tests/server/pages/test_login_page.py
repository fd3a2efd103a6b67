"""The way in by a key, as a person takes it."""

from __future__ import annotations

import re

import httpx
import pytest

pytest.importorskip("playwright.sync_api", reason="needs playwright")

from conversing import answers, ask, ended, serving
from playwright.sync_api import Page, expect
from scripted_llm import ScriptedLLM, text_answer

pytestmark = pytest.mark.timeout(120)

KEYS = ("ada key-of-ada", "bob key-of-bob")


def sign_in(page: Page, key: str) -> None:
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Sign in").click()


def scripted() -> ScriptedLLM:
    return ScriptedLLM(lambda call: text_answer("Welcome"))


def test_a_wrong_key_is_refused_and_the_right_one_lets_in(page):
    with serving(scripted(), api_keys=KEYS) as address:
        page.goto(f"{address}/status")
        expect(page).to_have_url(f"{address}/login")
        expect(page.get_by_label("API key")).to_be_focused()
        sign_in(page, "key-of-eve")
        expect(page.get_by_role("alert")).to_have_text("This key is not known here.")
        sign_in(page, "key-of-ada")
        expect(page).to_have_url(f"{address}/")
        ask(page, "Hello")
        ended(page)
        expect(answers(page)).to_contain_text("Welcome")
        conversation = page.url

        page.get_by_role("button", name="Sign out").click()
        expect(page).to_have_url(f"{address}/login")
        page.goto(conversation)
        expect(page).to_have_url(f"{address}/login")


def test_the_cookie_is_no_key_and_out_of_reach_of_scripts(context, page):
    with serving(scripted(), api_keys=KEYS) as address:
        page.goto(address)
        sign_in(page, "key-of-ada")
        expect(page.get_by_label("Message", exact=True)).to_be_visible()
        (cookie,) = context.cookies()
        assert cookie["httpOnly"]
        assert cookie["sameSite"] == "Strict"
        assert "key-of-ada" not in cookie["value"]
        assert page.evaluate("document.cookie") == ""
        # Whoever alters it is nobody.
        altered = cookie["value"][:-1] + ("1" if cookie["value"].endswith("0") else "0")
        for value in (altered, "9999999999.626f62.", "", "…"):
            reply = httpx.get(f"{address}/", headers={"Cookie": f"{cookie['name']}={value}".encode()})
            assert reply.status_code == 303
        # The cookie alone, which another site could make a browser send, changes nothing.
        alone = {"Cookie": f"{cookie['name']}={cookie['value']}"}
        assert httpx.get(f"{address}/v1/sessions", headers=alone).status_code == 200
        assert httpx.post(f"{address}/v1/sessions", headers=alone, json={}).status_code == 403


def test_each_key_sees_its_own_conversations(browser, context, page):
    with serving(scripted(), api_keys=KEYS) as address:
        page.goto(address)
        sign_in(page, "key-of-ada")
        ask(page, "A secret")
        ended(page)
        expect(page.locator("#sessions a")).to_have_text("A secret")
        with browser.new_context() as of_bob:
            other = of_bob.new_page()
            other.goto(address)
            sign_in(other, "key-of-bob")
            expect(other.locator("#sessions")).to_have_text(re.compile("No conversations yet"))
            other.goto(page.url)
            expect(other.get_by_text("This conversation is not here")).to_be_visible()


def test_a_page_that_lost_its_cookie_leads_to_the_way_in(context, page):
    with serving(scripted(), api_keys=KEYS) as address:
        page.goto(address)
        sign_in(page, "key-of-ada")
        expect(page.get_by_label("Message", exact=True)).to_be_enabled()
        context.clear_cookies()
        ask(page, "Hello")
        expect(page).to_have_url(f"{address}/login")


def test_another_sites_form_signs_nobody_in():
    with serving(scripted(), api_keys=KEYS) as address:
        for origin in ("https://evil.example", "null"):
            reply = httpx.post(f"{address}/login", data={"key": "key-of-ada"}, headers={"Origin": origin})
            assert reply.status_code == 403
        assert httpx.post(f"{address}/login", data={"key": "x" * 20_000}).status_code == 413
