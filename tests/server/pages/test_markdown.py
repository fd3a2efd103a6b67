"""Markdown that grows ends as if it had come at once, and nothing but Markdown's own HTML is left of it."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hostile_texts import HOSTILE_TEXTS
from hypothesis import example, given, settings
from hypothesis import strategies as st

from candlewick.server.pages.markdown import PIECE_CHARACTERS, StreamedMarkdown, render_block

LINES = st.sampled_from(
    ["a *b* c", "", "```", "```python", "- item", "  more", "1. one", "> quoted", "| a | b |", "|---|---|", "# head",
     "---", "$$", "\\[", "\\]", "    code", "x = 1", "<b>", "[a](b)", "~~~", "===", "$a_1$ and $b_2$"]
)  # fmt: skip
TEXTS = st.lists(LINES, max_size=14).map("\n".join)


def whole(text: str) -> list[str]:
    markdown = StreamedMarkdown()
    markdown.update(text, 1, grows=False)
    return [block.html for block in markdown.blocks]


@given(text=TEXTS, cuts=st.lists(st.integers(0, 200), max_size=8))
@example(text="a\n$$\n\n$$", cuts=[7])
@example(text="$$\n# head\n$$", cuts=[10])
@example(text="# head\n\n\N{NO-BREAK SPACE}", cuts=[8, 9])
@example(text="1. one\n\n2. two", cuts=[9])
@example(text="- $$\n---\n$$", cuts=[9])
@settings(max_examples=150, deadline=None)
def test_a_text_in_pieces_is_shown_as_the_whole(text, cuts):
    markdown = StreamedMarkdown()
    for version, end in enumerate(sorted(cut for cut in cuts if cut < len(text))):
        markdown.update(text[:end], version)
    markdown.update(text, 100, grows=False)
    assert [block.html for block in markdown.blocks] == whole(text)


def test_blocks_that_do_not_change_keep_their_version():
    markdown = StreamedMarkdown()
    markdown.update("First.\n\nSecond", 1)
    markdown.update("First.\n\nSecond goes on.\n\nThird", 2)
    assert [block.version for block in markdown.blocks] == [1, 2, 2]


class Opened(HTMLParser):
    """Which elements a text opens, with their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.opened: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag, attrs):
        self.opened.append((tag, dict(attrs)))


def require_safe(html: str) -> None:
    parser = Opened()
    parser.feed(html)
    for tag, attributes in parser.opened:
        assert tag in [
            "a",
            "blockquote",
            "br",
            "button",
            "code",
            "del",
            "div",
            "em",
            "h1",
            "h2",
            "h3",
            "h4",
            "h5",
            "h6",
            "hr",
            "li",
            "ol",
            "p",
            "pre",
            "s",
            "span",
            "strong",
            "table",
            "tbody",
            "td",
            "th",
            "thead",
            "tr",
            "ul",
        ]
        for name, value in attributes.items():
            assert name in (
                "href",
                "title",
                "class",
                "type",
                "data-action",
                "tabindex",
                "start",
                "target",
                "rel",
            )
            assert name != "href" or not re.match(r"\s*(?!https?:|mailto:)[\w.+-]+:", value or "")
            assert name != "data-action" or value == "copy-code"


@pytest.mark.parametrize("text", HOSTILE_TEXTS, ids=range(len(HOSTILE_TEXTS)))
def test_hostile_texts_open_nothing_of_their_own(text):
    require_safe("".join(whole(text)))


@given(text=st.text(st.sampled_from("<>\"'&:/[]()!`*_$\\ \n-|#javscriptonerhf=\x00\x1b"), max_size=80))
@settings(max_examples=150, deadline=None)
def test_random_texts_open_nothing_of_their_own(text):
    require_safe(render_block(text))


def test_formulas_stay_as_they_are_written_and_prices_are_none():
    assert render_block("$a_1 * b_2 * c$") == '<p><span class="math">$a_1 * b_2 * c$</span></p>\n'
    assert "math" not in render_block("It costs $5 or $6.")


def test_a_formula_of_many_lines_has_no_empty_one():
    assert whole("$$\na_1\n# b\n$$\nThen") == [
        '<span class="math block">$$\na_1\n# b\n$$</span>',
        "<p>Then</p>\n",
    ]
    assert whole("$$\n\nIt *goes* on.\n\n$$") == [
        "<p>$$</p>\n",
        "<p>It <em>goes</em> on.</p>\n",
        "<p>$$</p>\n",
    ]


def test_a_fence_that_is_longer_than_a_piece_goes_on_as_code():
    code = "x = 1\n" * (PIECE_CHARACTERS // 3)
    blocks = whole(f"```python\n{code}```\n\nThe *end*.")
    assert len(blocks) > 2
    assert all(block.startswith('<div class="code">') for block in blocks[:-1])
    assert blocks[-1] == "<p>The <em>end</em>.</p>\n"
