"""What a person does on the chat page, and what they wait for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from running_server import running

from candlewick.server import create_app

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page


@contextmanager
def serving(llm: Any, **options: Any) -> Iterator[str]:
    with running(create_app(llm, **options)) as address:
        yield address


def ask(page: Page, text: str) -> None:
    page.get_by_label("Message", exact=True).fill(text)
    page.keyboard.press("Enter")


def answers(page: Page) -> Locator:
    return page.locator(".entry.assistant")


def ended(page: Page, count: int = 1) -> None:
    """Wait until the page shows ``count`` answers, none of which is being written."""
    from playwright.sync_api import expect

    expect(answers(page)).to_have_count(count)
    expect(page.locator(".entry.assistant .actions")).to_have_count(count)
    expect(page.locator("#stop")).to_be_hidden()
