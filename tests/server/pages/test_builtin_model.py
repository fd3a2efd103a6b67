"""The chat page on the built-in model: a person, a browser, HTTP, sessions, engine and kernels.

What the model says is its own business; that it says it, all of it and once, is what is tested.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import httpx
import pytest

pytest.importorskip("playwright.sync_api", reason="needs playwright")
pytest.importorskip("candlewick._kernels", reason="needs the native module")
pytest.importorskip("llguidance", reason="needs the structured extra")

from conversing import answers, ask, ended
from playwright.sync_api import Page, expect
from running_server import running

from candlewick.chat.events import Event
from candlewick.chat.llm import AsyncLLM
from candlewick.core.constraint import Constraint
from candlewick.responses.mcp.configuration import MCPServerConfiguration
from candlewick.server import create_app
from candlewick.server.model_registry import ModelRegistry
from candlewick.server.services import Services

pytestmark = pytest.mark.timeout(120)


WRITING_SECONDS = 0.02
"""Between two tokens of a long answer, as of a large model."""


class Led:
    """The model, led where it would go by chance only: to a call where one is wanted and only there, or to words
    without end.

    The grammar of the call or of the answer decides what may come; the model still writes every token.
    """

    def __init__(self, llm: AsyncLLM) -> None:
        self._llm = llm

    def __getattr__(self, name: str) -> Any:
        return getattr(self._llm, name)

    async def chat(self, messages: Sequence[Any], **options: Any) -> AsyncGenerator[Event, None]:
        said = messages[-1].content if messages[-1].role == "user" else ""
        if said.startswith("Call"):
            options["tool_choice"] = "required"
        else:
            options["tool_choice"] = "none"  # a call that nobody wants would wait for its approval
        has_no_end = said.startswith("Tell me everything")
        if has_no_end:
            options["constraint"] = Constraint.regex("[A-Za-z]+([ ][A-Za-z]{1,12}){2000}")
        async with aclosing(self._llm.chat(messages, **options)) as events:
            async for event in events:
                if has_no_end:
                    await asyncio.sleep(WRITING_SECONDS)
                yield event


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    numbers = MCPServerConfiguration(
        label="numbers",
        command=sys.executable,
        args=(str(Path(__file__).with_name("number_server.py")),),
        approval="always",
    )
    llm = AsyncLLM("builtin", num_threads=1)
    registry = ModelRegistry.of(Led(llm), ("builtin",))
    with running(create_app(Services(registry, mcp_servers=(numbers,)))) as base:
        yield base
    llm.engine.close()


def text_of(page: Page, address: str) -> str:
    """What the server keeps of the shown answer; read when the page says that it is complete."""
    session = httpx.get(f"{address}/v1/sessions/{page.url.rpartition('/')[2]}").json()
    return next(e for e in session["entries"] if e["id"] == session["head"])["parts"][-1]["text"]


def settings(page: Page, *, thinking: str, most_tokens: int) -> None:
    page.get_by_role("button", name="Settings").click()
    page.get_by_text(thinking, exact=True).click()
    page.get_by_label("Most tokens").fill(str(most_tokens))
    page.get_by_role("button", name="Save").click()
    expect(page.locator("dialog[open]")).to_have_count(0)


def begin(
    page: Page, address: str, text: str, *, thinking: str = "Don’t think", most_tokens: int = 60
) -> None:
    page.goto(address)
    settings(page, thinking=thinking, most_tokens=most_tokens)
    ask(page, text)


def require_shown_once(page: Page, address: str) -> None:
    """The words on the page are those of the server: none lost, none twice. Markdown's signs are left out."""
    shown = answers(page).locator(":scope > .prose").last.inner_text()
    words = re.findall(r"\w+", text_of(page, address))
    assert re.findall(r"\w+", shown) == words


def test_it_thinks_and_answers(page, address):
    begin(page, address, "What is 17 + 25?", thinking="Think", most_tokens=200)
    ended(page)
    expect(page.locator(".thinking summary")).to_contain_text("Thought for")
    page.locator(".thinking summary").click()
    expect(page.locator(".thinking .prose")).to_have_text(re.compile(r"\S"))
    expect(page.locator(".entry .figures")).to_contain_text("to first")
    expect(page.locator("#context")).to_have_text(re.compile(r"Context \d+ of [\d,]+ tokens"))


def test_it_is_stopped_in_the_middle_reloaded_and_seen_twice(page, address):
    begin(page, address, "Tell me everything.", most_tokens=1500)
    expect(answers(page).locator(".prose")).to_have_text(re.compile(r"\w+ \w+"))
    other = page.context.new_page()
    other.goto(page.url)
    page.reload()
    for tab in (page, other):
        expect(answers(tab)).to_have_count(1)
        expect(answers(tab).locator(".prose")).to_have_text(re.compile(r"\w+ \w+"))
    page.keyboard.press("Escape")
    for tab in (page, other):
        ended(tab)
        expect(tab.locator(".note")).to_have_text("Stopped")
        require_shown_once(tab, address)
    page.reload()
    ended(page)
    require_shown_once(page, address)


def test_it_answers_again_and_after_an_edit(page, address):
    begin(page, address, "Hello!", most_tokens=30)
    ended(page)
    page.get_by_role("button", name="Another answer").click()
    expect(page.locator(".entry.assistant .versions")).to_contain_text("2 / 2")
    ended(page)
    page.get_by_label("Message", exact=True).press("ArrowUp")
    page.get_by_label("Your message").fill("Good evening!")
    page.keyboard.press("Enter")
    expect(page.locator(".said")).to_have_text("Good evening!")
    expect(page.locator(".entry.user .versions")).to_contain_text("2 / 2")
    ended(page)
    require_shown_once(page, address)
    page.locator(".entry.user").get_by_role("button", name="Earlier version").click()
    expect(page.locator(".said")).to_have_text("Hello!")
    expect(page.locator(".entry.assistant .versions")).to_contain_text("2 / 2")


def test_its_call_of_a_tool_is_approved_and_made(page, address):
    begin(page, address, "Call the tool: add 2 and 3.", most_tokens=200)
    page.get_by_role("button", name="Approve").click(timeout=60_000)
    ended(page)
    expect(page.locator(".tool .tool-state").first).to_have_text(re.compile("done|failed"))
    expect(page.locator(".tool .tool-name").first).to_have_text("add")
    page.locator(".tool summary").first.click()
    expect(page.locator(".tool-body").first).to_contain_text(re.compile("is -?\\d+|Error|error"))


def test_a_question_that_is_too_long_is_an_error_that_can_be_tried_again(page, address):
    begin(page, address, "word " * 3000)
    alert = page.locator(".failure")
    expect(alert).to_contain_text("This answer failed.")
    expect(alert).to_contain_text(re.compile("context|token"))
    alert.get_by_role("button", name="Try again").click()
    expect(page.locator(".versions")).to_contain_text("2 / 2")
    page.locator(".entry.user").get_by_role("button", name="Edit").click()
    page.get_by_label("Your message").fill("Hello!")
    page.keyboard.press("Enter")
    ended(page)
    expect(page.locator(".failure")).to_have_count(0)


def test_on_a_phone(page, address):
    page.set_viewport_size({"width": 360, "height": 640})
    begin(page, address, "Hello!", most_tokens=30)
    ended(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.get_by_role("button", name="Conversations", exact=True).click()
    expect(page.locator("#sessions a").first).to_be_visible()
