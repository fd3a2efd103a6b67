"""Whatever people, models and tools write: it is shown, it never runs, and the page works on."""

from __future__ import annotations

import random
import time
import unicodedata
from itertools import cycle
from typing import Any

import httpx
import pytest

pytest.importorskip("playwright.sync_api", reason="needs playwright")

from conversing import answers, ask, ended, serving
from hostile_texts import HOSTILE_TEXTS
from playwright.sync_api import Page, expect
from scripted_llm import Call, ScriptedLLM, text_answer

from candlewick.chat.events import (
    Complete,
    Event,
    ResponseToken,
    Start,
    ThinkingEnd,
    ThinkingStart,
    ThinkingToken,
    ToolCallArguments,
    ToolCallEnd,
    ToolCallStart,
)
from candlewick.sessions import transcript

pytestmark = pytest.mark.timeout(240)

STRANGE = """() => {
  const strange = [];
  const allowed = /^(https?:|mailto:|blob:)/;
  const foreign = "script iframe img object embed style link meta base template math".split(" ");
  for (const element of document.querySelectorAll("#conversation *, #sessions *, .top *, dialog *")) {
    const tag = element.tagName.toLowerCase();
    if (foreign.includes(tag)) strange.push(tag);
    for (const { name, value } of element.attributes)
      if (name.startsWith("on") || name === "style" || name === "srcdoc" || name === "formaction")
        strange.push(`${tag} ${name}=${value}`);
    if (element.hasAttribute("href") && tag === "a" && !allowed.test(element.href))
      strange.push(`link to ${element.href}`);
    if (element.closest(".prose") && element.id && !/^entry_[a-z0-9]+\\.p\\d+(\\.b\\d+)?$/.test(element.id))
      strange.push(`id ${element.id}`);
  }
  return strange;
}"""


def pieces(text: str) -> list[str]:
    """As tokens come: in small pieces, cut anywhere."""
    chance = random.Random(len(text))
    cut = []
    while text:
        length = chance.randint(1, max(3, len(text) // 8))
        cut.append(text[:length])
        text = text[length:]
    return cut


def echo(call: Call) -> list[Event]:
    """Think, say and call what was said."""
    said = call.messages[-1].content
    if call.messages[-1].role == "tool":
        return text_answer("No such tool: ", said)
    return [
        Start("a1", said[:80]),
        ThinkingStart(),
        *map(ThinkingToken, pieces(said)),
        ThinkingEnd(),
        *map(ResponseToken, pieces(said)),
        ToolCallStart(0, said, said),
        *(ToolCallArguments(0, piece) for piece in pieces(said)),
        ToolCallEnd(0, said, said, said),
        Complete("tool_calls"),
    ]


def require_harmless(page: Page) -> None:
    """Open all that is folded, and look for what only hostile text could have put there."""
    page.evaluate("document.querySelectorAll('details').forEach((details) => { details.open = true; })")
    assert page.evaluate(STRANGE) == []
    assert page.evaluate("typeof window.pwned") == "undefined"


def require_working(page: Page, address: str) -> None:
    """The page still does what it is for."""
    before = answers(page).count()
    ask(page, "still here")
    ended(page, before + 1)
    expect(answers(page).last).to_contain_text("still here")
    expect(page.get_by_role("button", name="Settings")).to_be_visible()
    expect(page.get_by_label("Search conversations")).to_be_visible()
    assert page.url.startswith(f"{address}/chat/session_")


def test_what_people_and_models_write_is_shown_and_never_runs(page):
    with serving(ScriptedLLM(echo)) as address:
        page.goto(address)
        ask(page, "begin")
        ended(page)
        session = page.url.rpartition("/")[2]
        with httpx.Client(base_url=address, timeout=60) as other:
            # From another client, while the page looks on.
            for text in HOSTILE_TEXTS:
                other.post(f"/v1/sessions/{session}/messages", json={"text": text}).raise_for_status()
                while other.get("/v1/sessions", params={"limit": 1}).json()["data"][0]["writing"]:
                    pass
        count = len(HOSTILE_TEXTS) + 1
        ended(page, count)
        require_harmless(page)
        said = page.locator(".said").all_text_contents()
        assert said[1:] == [as_shown(text) for text in HOSTILE_TEXTS]
        require_working(page, address)
        page.reload()
        ended(page, count + 1)
        require_harmless(page)


def as_shown(text: str) -> str:
    """HTML has no null, and its line ends are line feeds."""
    return text.replace("\x00", "").replace("\r\n", "\n").replace("\r", "\n")


def printable(text: str) -> str:
    """Without the characters that are replaced by visible ones, and those that they are replaced by."""
    return "".join(
        c
        for c in text
        if c not in " \r\N{REPLACEMENT CHARACTER}" and unicodedata.category(c) not in ("Cc", "Cf")
    )


def test_what_is_typed_makes_a_harmless_title_and_question(page):
    text = " ".join(HOSTILE_TEXTS[:3])
    with serving(ScriptedLLM(echo)) as address:
        page.goto(address)
        ask(page, text)
        ended(page)
        expect(page.locator(".said")).to_have_text(text)
        expect(page.locator("#title")).to_contain_text("<script>pwned()</script>")
        expect(page.locator("#sessions a")).to_contain_text("<script>pwned()</script>")
        page.get_by_role("button", name="Settings").click()
        expect(page.get_by_label("Title")).to_have_value(page.locator("#title").text_content())
        page.keyboard.press("Escape")
        page.get_by_label("Search conversations").fill("<img src=x onerror=pwned()>\"'&%_")
        expect(page.get_by_text("Nothing found")).to_be_visible()
        require_harmless(page)
        require_working(page, address)


def test_tools_results_titles_and_errors_never_run(page):
    states = cycle(["done", "failed", "refused"])

    def hostile_tool(text: str) -> dict[str, Any]:
        names = dict.fromkeys(("call_id", "name", "arguments", "server", "result"), text)
        return {"kind": "tool", "state": next(states), "seconds": 0.5, **names}

    conversation = {
        "format": transcript.FORMAT,
        "version": 1,
        "title": HOSTILE_TEXTS[0] + HOSTILE_TEXTS[3] + "\x07\u202e",
        "settings": {"system_prompt": "</textarea>" + "".join(HOSTILE_TEXTS[:6])},
        "head": None,
        "entries": [
            {
                "id": "entry_0",
                "parent_id": None,
                "role": "assistant",
                "state": "failed",
                "model": HOSTILE_TEXTS[0],
                "error": " ".join(HOSTILE_TEXTS[:10]),
                "parts": [hostile_tool(text) for text in HOSTILE_TEXTS],
            }
        ],
    }
    with serving(ScriptedLLM(lambda call: text_answer("still here"))) as address:
        imported = httpx.post(f"{address}/v1/sessions/import", json=conversation).raise_for_status().json()
        page.goto(f"{address}/chat/{imported['id']}")
        expect(page.locator(".tool")).to_have_count(len(HOSTILE_TEXTS))
        require_harmless(page)
        expect(page.locator("#title")).to_have_text("<script>pwned()</script><img src=x onerror=pwned()>")
        results = page.locator(".tool-body pre:nth-of-type(2)").all_text_contents()
        assert list(map(printable, results)) == list(map(printable, HOSTILE_TEXTS))
        # What turns the direction of text could make a call look like another one.
        assert not any(c in text for text in results for c in "\u202e\u2066\x1b\x07")
        require_working(page, address)


LONG = 1_000_000
USABLE_SECONDS = 8.0
"""Far more than a person should wait, and far less than it takes where work grows with the square of a line."""


def paste(page: Page, text: str) -> None:
    page.get_by_label("Message", exact=True).evaluate(
        """(field, text) => {
          const clipboardData = new DataTransfer();
          clipboardData.setData("text/plain", text);
          field.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true }));
        }""",
        text,
    )


@pytest.mark.parametrize("unit", ["x", "<b>& a\u0301"])
def test_a_line_of_a_million_characters_is_sent_shown_and_left_behind(page, unit):
    line = (unit * LONG)[:LONG]
    chunks = [line[i : i + 20_000] for i in range(0, LONG, 20_000)]

    def script(call: Call) -> list[Event]:
        if len(call.messages[-1].content) < LONG / 2:
            return text_answer("still here")
        return [Start("a1", "m"), *map(ResponseToken, chunks), Complete("stop")]

    with serving(ScriptedLLM(script)) as address:
        page.goto(address)
        begun = time.monotonic()
        paste(page, line)
        expect(page.locator("#attachments")).to_contain_text("1,000,000 characters")
        page.get_by_label("Message", exact=True).press("Enter")
        expect(page.locator("#attachments")).to_be_hidden()
        ended(page)
        assert time.monotonic() - begun < 4 * USABLE_SECONDS
        shown = page.locator(".entry.assistant .prose").evaluate("(prose) => prose.textContent.length")
        assert shown >= len(line.strip())
        page.get_by_role("button", name="Copy", exact=True).first.wait_for()

        for count in (2, 3):
            begun = time.monotonic()
            ask(page, "are you")
            ended(page, count)
            expect(answers(page).last).to_contain_text("still here")
            page.locator("#scroll").evaluate("(scroller) => { scroller.scrollTop = 0; }")
            page.locator("#scroll").evaluate("(scroller) => { scroller.scrollTop = scroller.scrollHeight; }")
            assert time.monotonic() - begun < USABLE_SECONDS
            page.reload()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
