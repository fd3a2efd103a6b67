"""The pages in a real browser, which must be Debian's Chromium or one that ``CANDLEWICK_CHROMIUM`` names."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

SECONDS = 1000
CHROMIUM = (
    os.environ.get("CANDLEWICK_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    driver = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    if CHROMIUM is None:
        pytest.skip("needs chromium: make browser, or name one in CANDLEWICK_CHROMIUM")
    driver.expect.set_options(timeout=40 * SECONDS)
    with driver.sync_playwright() as playwright:
        # Root, who runs continuous integration, can't have Chromium's sandbox.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A person's browser, whose pages must not report any error and must ask nobody but our server."""
    context = browser.new_context(viewport={"width": 1200, "height": 800})
    context.set_default_timeout(40 * SECONDS)
    complaints: list[str] = []
    context.on("page", lambda page: _listen(page, complaints))
    yield context
    context.close()
    assert complaints == []


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


def _listen(page: Page, complaints: list[str]) -> None:
    """Note what no page of ours may do: fail, break its content policy, call other servers, open a dialog."""

    def hear(message: object) -> None:
        # Refused requests are what some tests are about.
        text = message.text  # type: ignore[attr-defined]
        if message.type == "error" and "Failed to load resource" not in text:  # type: ignore[attr-defined]
            complaints.append(text)

    def look(url: str) -> None:
        if not url.startswith(("http://127.0.0.1:", "blob:")):
            complaints.append(f"asked for {url}")

    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", hear)
    page.on("request", lambda request: look(request.url))
    page.on("dialog", lambda dialog: (complaints.append(f"dialog {dialog.message}"), dialog.dismiss()))
