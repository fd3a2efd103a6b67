"""Makes the pictures of the chat page in docs/images: light, dark, phone.

Needs playwright and a Chromium: ``python docs/make_screenshots.py [path of chromium]``. The answers are scripted, so
that the pictures show what the page can do, not what a small model knows; the model is called that, and no speed is
made up for it.
"""

from __future__ import annotations

import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
sys.path[:0] = [str(REPOSITORY / "tests" / "server"), str(REPOSITORY / "tests" / "openai")]

from playwright.sync_api import Page, sync_playwright  # noqa: E402
from running_server import running  # noqa: E402
from scripted_llm import Call, Script, ScriptedLLM  # noqa: E402

from candlewick.chat.events import (  # noqa: E402
    Complete,
    ResponseToken,
    Start,
    ThinkingEnd,
    ThinkingStart,
    ThinkingToken,
)
from candlewick.core.usage import Timings, Usage  # noqa: E402
from candlewick.server import create_app  # noqa: E402

IMAGES = REPOSITORY / "docs" / "images"
MODEL = "scripted"
QUESTION = "How do I find the slowest step of my Python program?"
ANSWER = """Measure before you change anything. The standard library has what you need:

```python
import cProfile
import pstats

with cProfile.Profile() as profile:
    main()

pstats.Stats(profile).sort_stats("cumulative").print_stats(10)
```

What the columns mean:

| column | meaning |
|---|---|
| `ncalls` | how often it was called |
| `tottime` | seconds in the function itself |
| `cumtime` | seconds with all that it calls |

Look at **cumtime** first, and follow it down to the function whose *tottime* is large.
"""


def script(call: Call) -> Script:
    pieces = [ANSWER[i : i + 40] for i in range(0, len(ANSWER), 40)]
    usage = Usage(prompt_tokens=412, completion_tokens=236, reasoning_tokens=38, cached_tokens=384)
    return [
        Start("answer", MODEL),
        ThinkingStart(),
        ThinkingToken("They want to profile. cProfile is in the standard library."),
        ThinkingEnd(),
        *map(ResponseToken, pieces),
        Complete("stop", usage, Timings()),
    ]


def converse(page: Page, address: str, questions: list[str]) -> None:
    for question in questions:
        page.goto(address)
        page.fill("#message", question)
        page.keyboard.press("Enter")
        page.wait_for_selector(".entry.assistant .figures", state="attached")
    page.wait_for_timeout(500)  # the list of conversations follows a moment later


def main() -> None:
    chromium = sys.argv[1] if len(sys.argv) > 1 else "/usr/bin/chromium"
    IMAGES.mkdir(exist_ok=True)
    llm = ScriptedLLM(script, model_name=MODEL)
    with running(create_app(llm)) as address, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1180, "height": 820})
        page.set_default_timeout(120_000)
        converse(page, address, ["A walk along the river", "Explain batch invariance", QUESTION])
        page.screenshot(path=IMAGES / "chat-light.png", animations="disabled")
        page.emulate_media(color_scheme="dark")
        page.screenshot(path=IMAGES / "chat-dark.png", animations="disabled")
        page.set_viewport_size({"width": 390, "height": 780})
        page.wait_for_timeout(1000)  # the list of conversations slides away
        page.screenshot(path=IMAGES / "chat-phone.png", animations="disabled")
        browser.close()


if __name__ == "__main__":
    main()
