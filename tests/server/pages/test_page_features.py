"""What the chat page offers besides talking: copies, files, other models, speech, order in the list."""

from __future__ import annotations

import json
import re
import threading

import pytest

pytest.importorskip("playwright.sync_api", reason="needs playwright")

from conversing import answers, ask, ended, serving
from playwright.sync_api import expect
from running_server import running
from scripted_llm import ScriptedLLM, text_answer

from candlewick.server import create_app
from candlewick.server.model_registry import ModelRegistry, ModelSource
from candlewick.server.services import Services

pytestmark = pytest.mark.timeout(120)

ANSWER = "Like *this*:\n\n```python\nprint(1)\n```"


def echo() -> ScriptedLLM:
    return ScriptedLLM(lambda call: text_answer(f"About {call.messages[-1].content}"))


def test_copies_and_a_conversation_that_goes_on_in_a_copy(context, page):
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    with serving(ScriptedLLM(lambda call: text_answer(ANSWER))) as address:
        page.goto(address)
        ask(page, "How?")
        ended(page)
        answers(page).get_by_role("button", name="Copy", exact=True).last.click()
        expect(page.locator(".copied")).to_be_attached()
        assert page.evaluate("navigator.clipboard.readText()") == ANSWER
        page.locator(".code .copy").click()
        expect(page.locator(".copy.copied")).to_be_attached()
        assert page.evaluate("navigator.clipboard.readText()") == "print(1)\n"

        original = page.url
        page.get_by_role("button", name="Go on in a copy").click()
        expect(page).not_to_have_url(original)
        ended(page)
        ask(page, "And then?")
        ended(page, 2)
        page.goto(original)
        ended(page, 1)


def test_a_conversation_is_exported_deleted_and_imported(page, tmp_path):
    with serving(echo()) as address:
        page.goto(address)
        ask(page, "cats")
        ended(page)
        files = {}
        for kind in ("Markdown", "JSON"):
            page.get_by_role("button", name="Settings").click()
            with page.expect_download() as download:
                page.get_by_role("button", name=f"Export {kind}").click()
            files[kind] = tmp_path / download.value.suggested_filename
            download.value.save_as(files[kind])
            page.keyboard.press("Escape")
        assert files["Markdown"].read_text(
            "utf-8"
        ) == "# cats\n\n## You\n\ncats\n\n## a1\n\nAbout cats\n".replace("## a1", "## scripted")
        assert json.loads(files["JSON"].read_text("utf-8"))["title"] == "cats"

        page.locator("#sessions li").last.hover()
        page.get_by_role("button", name="Delete cats").click()
        page.get_by_role("button", name="Cancel").click()
        expect(page.locator("#sessions a")).to_have_text("cats")
        page.get_by_role("button", name="Delete cats").click()
        page.locator("#confirm").get_by_role("button", name="Delete").click()
        expect(page).to_have_url(f"{address}/")
        expect(page.locator("#sessions")).to_contain_text("No conversations yet")
        expect(page.get_by_label("Message", exact=True)).to_be_enabled()

        page.locator("#import-file").set_input_files(files["JSON"])
        expect(page).to_have_url(re.compile("/chat/session_"))
        ended(page)
        expect(answers(page)).to_contain_text("About cats")


def test_a_file_goes_along_with_a_message(page, tmp_path):
    (tmp_path / "notes.txt").write_text("remember the milk", "utf-8")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\0\0")
    llm = echo()
    with serving(llm) as address:
        page.goto(address)
        page.locator("#attach-file").set_input_files([tmp_path / "notes.txt", tmp_path / "picture.png"])
        expect(page.locator("#attachments")).to_contain_text("notes.txt 17 characters")
        expect(page.get_by_role("alert")).to_contain_text("“picture.png” is no text.")
        ask(page, "What was it?")
        ended(page)
        expect(page.locator("#attachments")).to_be_hidden()
    assert llm.calls[0].messages[-1].content == "notes.txt:\n\nremember the milk\n\nWhat was it?"


def test_another_model_is_chosen_and_its_loading_is_seen(page):
    go_on = threading.Event()

    def load(progress):
        progress("reading", 30, 60)
        assert go_on.wait(60)
        return ScriptedLLM(lambda call: text_answer("From the large one"), model_name="large")

    small = ModelSource(("small",), lambda progress: echo(), lambda progress: 1)
    large = ModelSource(("large",), load, lambda progress: 1)
    services = Services(ModelRegistry([small, large]))
    with running(create_app(services)) as address:
        page.goto(address)
        page.get_by_label("Model", exact=True).select_option("large")
        ask(page, "Hello")
        expect(page.locator(".waiting-text")).to_have_text("Loading large · 50 %")
        expect(page.locator(".waiting progress")).to_have_js_property("value", 0.5)
        go_on.set()
        ended(page)
        expect(answers(page)).to_contain_text("From the large one")
        page.get_by_label("Model", exact=True).select_option("small")
        expect(page.get_by_label("Model", exact=True)).to_have_value("small")
        ask(page, "cats")
        ended(page, 2)
        expect(answers(page).last).to_contain_text("About cats")


def test_thinking_is_chosen_beside_the_message(page):
    llm = echo()
    with serving(llm) as address:
        page.goto(address)
        page.get_by_label("Thinking", exact=True).select_option("think")
        ask(page, "one")
        ended(page)
        page.get_by_label("Thinking", exact=True).select_option("no_think")
        page.get_by_role("button", name="Settings").click()
        expect(page.get_by_role("radio", name="Don’t think")).to_be_checked()
        page.keyboard.press("Escape")
        ask(page, "two")
        ended(page, 2)
    assert [call.thinking for call in llm.calls] == ["think", "no_think"]


@pytest.mark.parametrize("can_listen", [True, False])
def test_speech_is_offered_where_the_browser_listens(page, can_listen):
    listening = "class { addEventListener() {} start() {} stop() {} }" if can_listen else "undefined"
    page.add_init_script(f"window.SpeechRecognition = window.webkitSpeechRecognition = {listening};")
    with serving(echo()) as address:
        page.goto(address)
        button = page.locator("#voice")
        expect(button).to_be_visible() if can_listen else expect(button).to_be_hidden()
        expect(page.get_by_label("Message", exact=True)).to_be_focused()
        if can_listen:
            button.click()
            expect(button).to_have_attribute("aria-pressed", "true")
