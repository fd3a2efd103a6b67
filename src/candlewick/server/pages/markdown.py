"""Markdown to safe HTML, block by block, so that of a growing text only the last block changes.

Three things keep what a model writes from ever running: raw HTML is text to the parser, the parser's output is
sanitised, and the page's content policy allows no script but its own.
"""

from __future__ import annotations

import html
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import nh3
from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

PIECE_CHARACTERS = 16_000
"""A block that grows longer than this is cut: the work for each update stays bounded."""
PLAIN_CHARACTERS = 3_000
"""Code that is still being written gets its colours only as long as it is shorter."""
LINE_CHARACTERS = 4_000
"""Pieces with longer lines are shown as they are."""

_TAGS = {
    "a", "blockquote", "br", "button", "code", "del", "div", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li",
    "ol", "p", "pre", "s", "span", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
_ATTRIBUTES = {
    "a": {"href", "title"},
    "button": {"type", "class", "data-action"},
    "code": {"class"},
    "div": {"class", "tabindex"},
    "ol": {"start"},
    "p": {"class"},
    "pre": {"tabindex"},
    "span": {"class"},
    "td": {"class"},
    "th": {"class"},
}
_SCHEMES = {"http", "https", "mailto"}
_FORMATTER = HtmlFormatter(nowrap=True)


@dataclass
class Block:
    """``version`` is the number of the event with which the HTML came to be as it is."""

    html: str
    version: int


class StreamedMarkdown:
    """A text that only grows, as blocks of HTML."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.grows = True
        self.length = 0
        """Characters of the text that the blocks show."""
        self._settled_blocks = 0
        self._settled_length = 0
        self._reopen = ""

    def update(self, text: str, version: int, *, grows: bool = True) -> None:
        """Bring the blocks up to date with ``text``, which begins with what it was before, and may grow on."""
        while len(text) - self._settled_length > PIECE_CHARACTERS:
            self._settle_piece(text, version)
        tail = text[self._settled_length :]
        blocks, starts, closed = _split(self._reopen + tail, grows=grows)
        self._show(blocks, version)
        if closed:
            self._settled_blocks += closed
            self._settled_length += starts[closed] - len(self._reopen)
            self._reopen = ""
        self.length = len(text)
        self.grows = grows

    def _settle_piece(self, text: str, version: int) -> None:
        piece = text[self._settled_length : self._settled_length + PIECE_CHARACTERS]
        end = max(piece.rfind("\n\n") + 2, piece.rfind("\n") + 1 if piece.rfind("\n\n") < 0 else 0)
        piece = piece[:end] if end > 1 else piece
        blocks, _, _ = _split(self._reopen + piece, grows=False)
        self._show(blocks, version)
        self._settled_blocks = len(self.blocks)
        self._settled_length += len(piece)
        self._reopen = _open_fence(self._reopen + piece)

    def _show(self, blocks: list[str], version: int) -> None:
        for number, html_text in enumerate(blocks, self._settled_blocks):
            if number == len(self.blocks):
                self.blocks.append(Block(html_text, version))
            elif self.blocks[number].html != html_text:
                self.blocks[number] = Block(html_text, version)
        del self.blocks[self._settled_blocks + len(blocks) :]


def _split(text: str, *, grows: bool) -> tuple[list[str], list[int], int]:
    """The top-level blocks of a text as HTML, where each begins, and how many are closed: whatever comes can't
    change them. Of a text that ``grows`` the last one is rendered at less cost while it is long."""
    text = without_controls(text)
    if not text.strip(" \t\n"):
        return [], [], 0
    lines = [f"{line}\n" for line in text.split("\n")]
    if max(map(len, lines)) > LINE_CHARACTERS:
        return [f'<p class="plain">{html.escape(text)}</p>'], [0], 0
    ranges = _block_lines(text)
    blocks, starts = [], []
    for first, last in ranges:
        source = "".join(lines[first:last])
        is_last = last == ranges[-1][1]
        blocks.append(render_block(source, grows and is_last and len(source) > PLAIN_CHARACTERS))
        starts.append(sum(map(len, lines[:first])))
    return blocks, starts, _closed(ranges, lines)


def _closed(ranges: list[tuple[int, int]], lines: list[str]) -> int:
    # The last block may go on; so may the one before, if what follows it is no whole line yet: a "2" that comes to
    # be "2. two" belongs to the list. All since the last empty line are in a formula if what comes ends it.
    last = len(lines) - 1
    open_blocks = 2 if ranges and ranges[-1][0] == last else 1
    empty = next((n for n in range(last - 1, -1, -1) if not lines[n].strip(" \t\n")), -1)
    return sum(end <= empty + 1 for _, end in ranges[:-open_blocks])


def _block_lines(text: str) -> list[tuple[int, int]]:
    tokens = _BLOCK_PARSER.parse(text)
    return [
        (token.map[0], token.map[1])
        for token in tokens
        if token.level == 0 and token.nesting >= 0 and token.map
    ]


def _open_fence(text: str) -> str:
    """The line that opens the fence in which ``text`` ends, or nothing."""
    tokens = _BLOCK_PARSER.parse(without_controls(text))
    if not tokens or tokens[-1].type != "fence":
        return ""
    fence, lines = tokens[-1], text.rstrip("\n").split("\n")
    is_closed = len(lines) > 1 and lines[-1].strip() == fence.markup
    return "" if is_closed else f"{fence.markup}{fence.info}\n"


@lru_cache(maxsize=4096)
def render_block(source: str, plain: bool = False) -> str:
    """Safe HTML for Markdown, with the code in it coloured unless ``plain``; who reads the same shares it."""
    return sanitise(str(_PARSER.render(without_controls(source), {"plain": plain})))


def sanitise(text: str) -> str:
    """Only what Markdown makes is left of ``text``."""
    return nh3.clean(
        text,
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        url_schemes=_SCHEMES,
        link_rel="noopener noreferrer nofollow",
        set_tag_attribute_values={"a": {"target": "_blank"}},
    )


def without_controls(text: str) -> str:
    """Control characters, and those that turn the direction of text, made visible; of the same length."""
    return text.translate(_VISIBLE)


_VISIBLE = {
    **dict.fromkeys((*range(0x20), *range(0x7F, 0xA0)), "\N{REPLACEMENT CHARACTER}"),
    **dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A)), "\N{REPLACEMENT CHARACTER}"),
    **dict.fromkeys((0x0B, 0x0C, 0x0D, 0x85), " "),
}
del _VISIBLE[0x09], _VISIBLE[0x0A]


def _fence(self: Any, tokens: list[Token], index: int, options: Any, env: Any) -> str:
    token = tokens[index]
    language = token.info.split()[0] if token.info.split() else ""
    code = html.escape(token.content) if env.get("plain") else _highlighted(token.content, language)
    return (
        f'<div class="code"><div class="code-head"><span>{html.escape(language)}</span>'
        '<button type="button" class="copy" data-action="copy-code">Copy</button></div>'
        f'<pre tabindex="0"><code>{code}</code></pre></div>\n'
    )


def _highlighted(code: str, language: str) -> str:
    try:
        lexer = get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return html.escape(code)
    return str(highlight(code, lexer, _FORMATTER))


def _image(self: Any, tokens: list[Token], index: int, options: Any, env: Any) -> str:
    # The page loads nothing from elsewhere: a picture's address could carry what was said to its server.
    token = tokens[index]
    address = html.escape(str(token.attrs.get("src", "")))
    return f'<a href="{address}">{html.escape(token.content or "picture")}</a>'


def _table_open(self: Any, tokens: list[Token], index: int, options: Any, env: Any) -> str:
    return '<div class="table" tabindex="0"><table>\n'


def _table_close(self: Any, tokens: list[Token], index: int, options: Any, env: Any) -> str:
    return "</table></div>\n"


def _cell_open(self: Any, tokens: list[Token], index: int, options: Any, env: Any) -> str:
    token = tokens[index]
    side = str(token.attrs.get("style", "")).removeprefix("text-align:")
    return f'<{token.tag} class="{side}">' if side else f"<{token.tag}>"


_MATH = (("$$", "$$"), ("\\[", "\\]"), ("\\(", "\\)"), ("$", "$"))


def _inline_math(state: StateInline, silent: bool) -> bool:
    """Formulas are left as they are written: asterisks and underscores mean something else in them."""
    for opening, closing in _MATH:
        if not state.src.startswith(opening, state.pos):
            continue
        start = state.pos + len(opening)
        end = state.src.find(closing, start, min(state.posMax, start + LINE_CHARACTERS))
        inside = state.src[start:end]
        if end < 0 or not inside.strip():
            continue
        follows = state.src[end + 1 : end + 2]
        if opening == "$" and (inside != inside.strip() or "\n" in inside or follows.isdigit()):
            continue  # prices, not formulas
        if not silent:
            token = state.push("math", "", 0)
            token.content = state.src[state.pos : end + len(closing)]
        state.pos = end + len(closing)
        return True
    return False


def _block_math(state: StateBlock, start_line: int, end_line: int, silent: bool) -> bool:
    line = state.src[state.bMarks[start_line] + state.tShift[start_line] : state.eMarks[start_line]].strip()
    closing = {"$$": "$$", "\\[": "\\]"}.get(line[:2])
    if closing is None or line[2:].strip():
        return False
    if silent:
        return True
    for number in range(start_line + 1, end_line):
        if state.isEmpty(number) or state.sCount[number] < state.blkIndent:
            return False  # as in TeX, no formula has an empty line; and none is longer than the list that it is in
        if state.src[state.bMarks[number] : state.eMarks[number]].strip() == closing:
            token = state.push("math", "", 0)
            token.block = True
            token.content = state.getLines(start_line, number + 1, state.blkIndent, False)
            token.map = [start_line, number + 1]
            state.line = number + 1
            return True
    return False


def _math(self: Any, tokens: list[Token], index: int, options: Any, env: Any) -> str:
    token = tokens[index]
    kind = "math block" if token.block else "math"
    return f'<span class="{kind}">{html.escape(token.content)}</span>'


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": 20}).enable(["table", "strikethrough"])
    parser.inline.ruler.before("escape", "math", _inline_math)
    parser.block.ruler.before("fence", "math", _block_math, {"alt": ["paragraph"]})
    for name, rule in {
        "fence": _fence,
        "code_block": _fence,
        "image": _image,
        "math": _math,
        "table_open": _table_open,
        "table_close": _table_close,
        "th_open": _cell_open,
        "td_open": _cell_open,
    }.items():
        parser.add_render_rule(name, rule)
    return parser


_PARSER = _parser()
_BLOCK_PARSER = _parser().disable("inline")
"""Finds where blocks begin and end, and does not look into them."""
