"""Every snippet of the documentation runs, offline and with the built-in model, and prints what the page shows."""

from __future__ import annotations

from pathlib import Path

import pytest
from markdown_snippets import Snippet, commands, read_snippets
from page_run import PageRun

from candlewick.core.model_source import resolve_model

for extra in ("fastapi", "uvicorn", "typer", "rich", "openai", "anthropic"):
    pytest.importorskip(extra, reason="the pages show the server, the command line and the official client")
pytest.importorskip("candlewick._kernels", reason="the native module is not built")

REPOSITORY = Path(__file__).parents[2]
PAGES = (
    "README.md",
    "ARCHITECTURE.md",
    "LIBRARY_API.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "docs/COMMAND_LINE.md",
    "docs/DEPENDENCIES.md",
    "docs/RESPONSES.md",
    "docs/SERVER.md",
    "docs/TOOL_CALLING.md",
    "docs/UNDER_LOAD.md",
)


@pytest.mark.parametrize("name", PAGES)
def test_page(name: str, tmp_path: Path) -> None:
    (tmp_path / "model.gguf").symlink_to(resolve_model("builtin"))
    with PageRun(name, tmp_path) as page:
        for snippet in read_snippets((REPOSITORY / name).read_text("utf-8")):
            page.run(snippet)


def run(text: str, folder: Path) -> None:
    with PageRun("page", folder) as page:
        for snippet in read_snippets(text):
            page.run(snippet)


def block(language: str, text: str, mark: str | None = None) -> str:
    comment = f"<!-- snippet: {mark} -->\n" if mark else ""
    return f"{comment}```{language}\n{text}\n```\n"


def test_blocks_share_a_namespace_and_a_folder(tmp_path: Path) -> None:
    run(
        block("bash", "echo there > file.txt")
        + block("python", "text = open('file.txt').read()")
        + block("python", "print(text)\nprint('more')")
        + block("output", "there\n...")
        + block("console", "$ cat file.txt\nthere"),
        tmp_path,
    )


@pytest.mark.parametrize(
    "text",
    [
        block("python", "print(1)") + block("output", "2"),
        block("console", "$ echo 1\n2"),
        block("console", "$ false"),
        block("bash", "false\ntrue"),
        block("bash", "if", "syntax only: it is wrong"),
    ],
)
def test_wrong_pages_fail(text: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"page, line [23]"):
        run(text, tmp_path)


def test_marks_are_obeyed(tmp_path: Path) -> None:
    run(
        block("console", "$ echo 1\n2", "output varies")
        + block("python", "raise SystemExit", "syntax only: it would end everything"),
        tmp_path,
    )
    with pytest.raises(SyntaxError):
        run(block("python", "print(", "syntax only: it is wrong"), tmp_path)
    with pytest.raises(AssertionError, match="it ended"):
        run(block("python", "raise SystemExit", "keeps running"), tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (block("python", "pass", "sintax only: x"), "none of"),
        (block("python", "pass", "syntax only"), "gives a reason"),
        (block("python", "pass", "output varies: often"), "other marks do not"),
        (block("json", "{}", "output varies"), "no snippet"),
        ("<!-- snippet: output varies -->\n\n" + block("python", "pass"), "right before"),
        (block("output", "1"), "after a python block"),
    ],
)
def test_wrong_marks_are_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_snippets(text)


def test_what_is_read() -> None:
    page = (
        "a\n"
        + block("python", "x = 1")
        + block("json", "{}")
        + block("console", "$ a\nb\n$ c", "output varies")
    )
    python, console = read_snippets(page)
    assert python == Snippet("python", "x = 1\n", 3)
    assert (console.line, console.mark) == (10, "output varies")
    assert list(commands(console)) == [("a", "b\n"), ("c", "")]
