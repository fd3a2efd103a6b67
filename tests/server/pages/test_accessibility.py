"""What axe-core finds on the pages: nothing serious, by day and by night."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("playwright.sync_api", reason="needs playwright")
pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")

from axe_playwright_python.sync_playwright import Axe
from conversing import ask, ended, serving
from playwright.sync_api import Browser, Page, expect
from running_server import running
from scripted_llm import Call, Gate, Script, ScriptedLLM, text_answer, thinking_answer, tool_answer

from candlewick.chat.events import ResponseToken, Start
from candlewick.responses.mcp.configuration import MCPServerConfiguration
from candlewick.server import create_app
from candlewick.server.model_registry import ModelRegistry
from candlewick.server.services import Services

pytestmark = pytest.mark.timeout(240)

ANSWER = """# A heading

Some **bold** text with `code`, [a link](https://example.org) and $x^2$.

| a | b |
|---|--:|
| 1 | 2 |

```python
# a comment
@decorator
def f(x: int = 0x1F) -> str:
    return f"{x}" if x is not None else 'text'  # another
```

> quoted

1. one
2. two
"""
SERIOUS = ("serious", "critical")


@pytest.fixture
def looking(browser: Browser, scheme: str) -> Iterator[Page]:
    """A page without our content policy, which would keep axe-core from being put into it."""
    with browser.new_context(color_scheme=scheme, bypass_csp=True, reduced_motion="reduce") as context:
        yield context.new_page()


def require_no_serious_fault(page: Page) -> None:
    violations = Axe().run(page).response["violations"]
    assert violations == [] or {v["id"]: told(v) for v in violations if v["impact"] in SERIOUS} == {}


def told(violation: dict) -> list[str]:
    return [f"{node['target']}: {node['failureSummary']}" for node in violation["nodes"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_chat_page(looking, scheme):
    gate = Gate()

    def script(call: Call) -> Script:
        if call.messages[-1].role == "tool":
            return text_answer("The sum is 5.")
        match call.messages[-1].content:
            case "add":
                return tool_answer(("c1", "add", ['{"a": 2, "b": 3}']))
            case "fail":
                return [Start("a1", "m"), ResponseToken("So far"), RuntimeError()]
            case "wait":
                return [Start("a1", "m"), gate]
        return thinking_answer(["Let me see."], ANSWER)

    numbers = MCPServerConfiguration(
        label="numbers",
        command=sys.executable,
        args=(str(Path(__file__).with_name("number_server.py")),),
        approval="always",
    )
    services = Services(ModelRegistry.of(ScriptedLLM(script), ("scripted",)), mcp_servers=(numbers,))
    with running(create_app(services)) as address:
        page = looking
        page.goto(address)
        require_no_serious_fault(page)
        ask(page, "Tell me")
        ended(page, 1)
        ask(page, "add")
        page.get_by_role("button", name="Approve").click(timeout=60_000)
        ended(page, 2)
        ask(page, "fail")
        ended(page, 3)
        page.evaluate("document.querySelectorAll('details').forEach((details) => { details.open = true; })")
        ask(page, "wait")
        expect(page.locator("#stop")).to_be_visible()
        require_no_serious_fault(page)
        page.keyboard.press("Escape")
        gate.go_on.set()
        ended(page, 4)
        page.get_by_role("button", name="Settings").click()
        require_no_serious_fault(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_other_pages(looking, scheme):
    page = looking
    with serving(ScriptedLLM(lambda call: text_answer("Fine"))) as address:
        page.goto(f"{address}/status")
        expect(page.get_by_text("ready").first).to_be_visible()
        require_no_serious_fault(page)
        page.goto(f"{address}/chat/session_of_nobody")
        require_no_serious_fault(page)
    with serving(ScriptedLLM(lambda call: []), api_keys=("key",)) as address:
        page.goto(address)
        page.get_by_label("API key").fill("wrong")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_be_visible()
        require_no_serious_fault(page)
