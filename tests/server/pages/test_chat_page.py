"""The chat page in a real browser: what a person does, sees, and must never suffer."""

from __future__ import annotations

import re
import sys
import zlib
from pathlib import Path

import httpx
import pytest

pytest.importorskip("playwright.sync_api", reason="needs playwright")

from conversing import answers, ask, ended, serving
from playwright.sync_api import expect
from running_server import running
from scripted_llm import Gate, ScriptedLLM, text_answer, thinking_answer, tool_answer

from candlewick.chat.events import Complete, ResponseToken, Start, ThinkingStart, ThinkingToken
from candlewick.responses.mcp.configuration import MCPServerConfiguration
from candlewick.server import create_app
from candlewick.server.model_registry import ModelRegistry
from candlewick.server.services import Services

pytestmark = pytest.mark.timeout(120)

ANSWER = """Here is a **plan**:

| step | time |
|------|-----:|
| one  |    2 |

```python
print("hello")
```
"""


def test_a_thinking_answer_with_a_table_and_code(page):
    gate = Gate()
    begin, *rest = thinking_answer(["Let me", " see."], ANSWER)
    llm = ScriptedLLM(lambda call: [begin, ThinkingStart(), ThinkingToken("Let me"), gate, *rest[2:]])
    with serving(llm) as address:
        page.goto(address)
        expect(page.get_by_text("What is on your mind?")).to_be_visible()
        ask(page, "Make a plan")
        expect(page.locator(".thinking .alive")).to_be_visible()
        expect(page.locator(".thinking .elapsed")).to_have_text(re.compile(r"\d+ s"))
        gate.go_on.set()
        ended(page)
        expect(page.locator("summary")).to_contain_text("Thought for")
        expect(page.locator(".thinking .prose")).to_be_hidden()
        page.locator("summary").click()
        expect(page.locator(".thinking .prose")).to_have_text("Let me see.")
        expect(page.locator("td.right")).to_have_text("2")
        expect(page.locator(".code .nb")).to_have_text("print")
        page.get_by_role("button", name="Copy", exact=True).first.click()
        expect(page).to_have_url(re.compile(r"/chat/session_"))
        expect(page.locator("#sessions a")).to_have_text("Make a plan")


def test_nothing_is_typed_before_it_can_be_sent(page):
    seen = []

    def slow(route):
        message = page.get_by_label("Message", exact=True)
        send = page.get_by_role("button", name="Send", exact=True)
        seen.append((message.is_disabled(), send.is_disabled()))
        route.continue_()

    page.route("**/static/main.js", slow)
    with serving(ScriptedLLM(lambda call: text_answer("Welcome"))) as address:
        page.goto(address)
        expect(page.get_by_label("Message", exact=True)).to_be_focused()
        ask(page, "Hello")
        ended(page)
    assert seen == [(True, True)]


def test_stop_in_the_middle_and_another_answer(page):
    gate = Gate()
    scripts = iter([[Start("a", "m"), ResponseToken("Half an"), gate], text_answer("A whole answer")])
    llm = ScriptedLLM(lambda call: next(scripts))
    with serving(llm) as address:
        page.goto(address)
        ask(page, "Go")
        expect(answers(page)).to_contain_text("Half an")
        page.keyboard.press("Escape")
        ended(page)
        expect(page.locator(".note")).to_have_text("Stopped")
        assert llm.ended.wait(5)
        assert llm.cancelled == 1
        gate.go_on.set()  # the thread that waits there would keep the server from ending
        page.get_by_role("button", name="Another answer").click()
        expect(answers(page)).to_contain_text("A whole answer")
        expect(page.locator(".versions")).to_contain_text("2 / 2")
        page.get_by_role("button", name="Earlier version").click()
        expect(answers(page)).to_contain_text("Half an")


def test_reload_in_mid_answer_and_two_tabs_see_the_same(page):
    gate = Gate()
    pieces = [ResponseToken(f"{n} ") for n in range(40)]
    llm = ScriptedLLM(lambda call: [Start("a", "m"), *pieces[:20], gate, *pieces[20:], Complete("stop")])
    whole = " ".join(str(n) for n in range(40))
    with serving(llm) as address:
        page.goto(address)
        ask(page, "Count")
        expect(answers(page).locator(".prose")).to_contain_text("18 19")
        other = page.context.new_page()
        other.goto(page.url)
        expect(answers(other).locator(".prose")).to_contain_text("18 19")
        page.reload()
        expect(answers(page).locator(".prose")).to_contain_text("18 19")
        gate.go_on.set()
        for tab in (page, other):
            ended(tab)
            expect(answers(tab).locator(".prose")).to_have_text(whole)
            expect(answers(tab)).to_have_count(1)
        page.reload()
        expect(answers(page).locator(".prose")).to_have_text(whole)


def test_edit_makes_a_branch_that_both_ways_lead_to(page):
    llm = ScriptedLLM(lambda call: text_answer(f"About {call.messages[-1].content}"))
    with serving(llm) as address:
        page.goto(address)
        ask(page, "cats")
        expect(answers(page)).to_contain_text("About cats")
        ended(page)
        page.get_by_label("Message", exact=True).press("ArrowUp")
        page.get_by_label("Your message").fill("dogs")
        page.keyboard.press("Enter")
        expect(answers(page)).to_contain_text("About dogs")
        ended(page)
        page.locator(".entry.user").get_by_role("button", name="Earlier version").click()
        expect(answers(page)).to_contain_text("About cats")
        expect(page.locator(".said")).to_have_text("cats")
        page.keyboard.press("Control+k")
        expect(page.get_by_label("Search conversations")).to_be_focused()
        page.keyboard.type("nothing like this")
        expect(page.get_by_text("Nothing found")).to_be_visible()


@pytest.mark.parametrize("verdict", ["Approve", "Refuse"])
def test_a_tool_call_over_mcp_waits_for_approval(page, verdict):
    pytest.importorskip("mcp", reason="needs the responses extra")

    def script(call):
        if call.messages[-1].role == "tool":
            return text_answer(f"Heard: {call.messages[-1].content}")
        return tool_answer(("c1", "add", ['{"a": 2, ', '"b": 3}']))

    numbers = MCPServerConfiguration(
        label="numbers",
        command=sys.executable,
        args=(str(Path(__file__).with_name("number_server.py")),),
        approval="always",
    )
    llm = ScriptedLLM(script)
    with running(
        create_app(Services(ModelRegistry.of(llm, ("scripted",)), mcp_servers=(numbers,)))
    ) as address:
        page.goto(address)
        ask(page, "Add")
        button = page.get_by_role("button", name=verdict)
        button.wait_for(timeout=60_000)
        expect(page.locator(".tool-body")).to_contain_text('"b": 3')
        button.click()
        ended(page)
        if verdict == "Approve":
            expect(page.locator(".tool.done .tool-state")).to_contain_text("done")
            expect(answers(page)).to_contain_text("Heard: 2 + 3 is 5 <b>&</b>")
        else:
            expect(page.locator(".tool.refused .tool-state")).to_contain_text("refused")
            expect(answers(page)).to_contain_text("Heard:")


def test_an_error_is_told_and_can_be_tried_again(page):
    scripts = iter(
        [[Start("a", "m"), ResponseToken("So f"), RuntimeError("secret path")], text_answer("Fine")]
    )
    with serving(ScriptedLLM(lambda call: next(scripts))) as address:
        page.goto(address)
        ask(page, "Go")
        expect(page.get_by_role("alert")).to_contain_text("This answer failed. internal error")
        expect(answers(page)).to_contain_text("So f")
        page.get_by_role("button", name="Try again").click()
        expect(answers(page)).to_contain_text("Fine")
        expect(page.get_by_text("secret")).to_have_count(0)


def test_a_phone_shows_everything_without_scrolling_sideways(page):
    page.set_viewport_size({"width": 360, "height": 640})
    llm = ScriptedLLM(lambda call: text_answer(ANSWER, "x" * 500))
    with serving(llm) as address:
        page.goto(address)
        expect(page.locator("#sidebar")).to_be_hidden()
        ask(page, "a" * 300)
        ended(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        assert page.evaluate("document.querySelector('#scroll').scrollWidth") <= 360
        page.get_by_role("button", name="Conversations").click()
        expect(page.locator("#sidebar")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.locator("#sidebar")).to_be_hidden()
        page.get_by_role("button", name="Settings").click()
        page.get_by_label("Temperature").fill("0.2")
        page.get_by_text("Don’t think").click()
        page.get_by_role("button", name="Save").click()
        expect(page.locator("dialog[open]")).to_have_count(0)
        ask(page, "again")
        ended(page, 2)
    assert [(call.thinking, call.params.temperature) for call in llm.calls] == [
        ("adaptive", 0.7),
        ("no_think", 0.2),
    ]


def test_a_tab_that_nobody_looked_at_catches_up(page):
    llm = ScriptedLLM(lambda call: text_answer(f"About {call.messages[-1].content}"))
    with serving(llm) as address:
        page.clock.install()
        page.goto(address)
        ask(page, "cats")
        ended(page)
        page.evaluate(VISIBILITY, True)
        page.clock.fast_forward(60_000)
        session = page.url.rpartition("/")[2]
        httpx.post(f"{address}/v1/sessions/{session}/messages", json={"text": "dogs"}).raise_for_status()
        page.evaluate(VISIBILITY, False)
        page.clock.run_for(3000)
        ended(page, 2)
        expect(answers(page).last).to_contain_text("About dogs")


VISIBILITY = """(hidden) => {
  Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


def test_a_slow_connection_carries_what_is_new_only(serve):
    """Blocks are sent whole whenever they have grown; what a page has already must cost next to nothing."""
    code = "".join(f"value_{n} = compute({n * n % 97}, 'text {n}')\n" for n in range(250))
    pieces = [code[i : i + 40] for i in range(0, len(code), 40)]
    gates = [Gate() for _ in range(20)]
    script: list[object] = [Start("a", "m"), ResponseToken("```python\n")]
    for number, piece in enumerate(pieces):
        script.append(ResponseToken(piece))
        if number % 10 == 9 and gates:
            script.append(gates.pop())
    waiting = [step for step in script if isinstance(step, Gate)]
    address = serve(ScriptedLLM(lambda call: [*script, Complete("stop")]))
    with httpx.Client(base_url=address, timeout=30) as client:
        session = client.post("/v1/sessions", json={}).json()["id"]
        client.post(f"/v1/sessions/{session}/messages", json={"text": "Go"}).raise_for_status()
        with client.stream("GET", f"/chat/{session}/view", headers={"Accept-Encoding": "gzip"}) as view:
            inflate = zlib.decompressobj(31)
            sent, told = 0, b""
            for raw in view.iter_raw():
                sent += len(raw)
                told += inflate.decompress(raw)
                if waiting and waiting[0].reached.is_set():
                    waiting.pop(0).go_on.set()
                elif b'"state":"complete"' in told or b"Another answer" in told:
                    break
    assert len(told) > 20 * len(code)
    assert sent < len(told) / 15
