"""Gemma's calls: ``call:name{key:value,…}`` with strings between quotes of their own.

Gemma 4 writes ``<|tool_call>call:name{key:<|"|>text<|"|>}<tool_call|>``, FunctionGemma
``<start_function_call>call:name{key:<escape>text<escape>}<end_function_call>``. Keys are bare, or quoted in
the same way. An argument is passed on when its value is whole.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial

from candlewick.chat.messages import Tool
from candlewick.chat.tool_parsers.call_syntax import CallSyntax
from candlewick.chat.tool_parsers.json_text import is_scalar, scan_string
from candlewick.chat.tool_parsers.tool_format import (
    SPACE,
    CallReader,
    CallSink,
    MalformedCallError,
    Scan,
    ToolFormat,
    finish_text,
    read_until,
    scan_space,
    scan_text,
)
from candlewick.chat.tool_parsers.typed_text import ArgumentWriter

_MAX_DEPTH = 100
_WORDS = {"None": "null", "True": "true", "False": "false"}
"""Templates write Python's words for these now and then, and so do models."""


def _read(quote: str, closing: str, sink: CallSink, tools: Sequence[Tool]) -> CallReader:
    char = yield from scan_text((yield from scan_space((yield))), "call:")
    name = ""
    while char and char != "{":
        name += char
        char = yield
    if not name.strip() or not char:
        raise MalformedCallError("a call wants a name and arguments in braces")
    sink.start(name.strip())
    arguments = ArgumentWriter(sink, {})
    char = yield from scan_space((yield))
    is_first = True
    while char != "}":
        if not is_first:
            char = yield from scan_space((yield from scan_text(char, ",")))
        is_first = False
        found: list[str] = []
        char = yield from _read_entry(char, quote, found, 0)
        key, value = found
        arguments.json(key, value)
    arguments.close()
    sink.end()
    char = yield from scan_space((yield))
    if char:
        yield from finish_text(char, closing)


def _read_entry(char: str, quote: str, into: list[str], depth: int) -> Scan:
    """Read ``key:value``; the key goes into the list as it is, the value as JSON text."""
    if char == quote[0]:
        char = yield from read_until((yield from scan_text(char, quote)), quote, into)
        char = yield from scan_space(char)
    elif char == '"':
        texts: list[str] = []
        char = yield from scan_space((yield from scan_string(char, texts.append)))
        into.append(json.loads("".join(texts)))
    else:
        key = ""
        while char and char not in ":,{}[]":
            key += char
            char = yield
        if not key.strip():
            raise MalformedCallError("a value has no key")
        into.append(key.strip())
    char = yield from scan_space((yield from scan_text(char, ":")))
    return (yield from scan_space((yield from _read_value(char, quote, into, depth))))


def _read_value(char: str, quote: str, into: list[str], depth: int) -> Scan:
    if depth > _MAX_DEPTH:
        raise MalformedCallError(f"nested more than {_MAX_DEPTH} levels deep")
    if char == quote[0]:
        return (yield from _read_quoted((yield from scan_text(char, quote)), quote, into))
    if char in ("{", "["):
        return (yield from _read_items(char, quote, into, depth))
    if char == '"':
        texts: list[str] = []
        char = yield from scan_string(char, texts.append)
        into.append("".join(texts))
        return char
    word = ""
    while char and char not in ",}] \t\r\n":
        word += char
        char = yield
    into.append(_json_word(word))
    return char


def _read_quoted(char: str, quote: str, into: list[str]) -> Scan:
    """Read text up to the quote that ends it. Models write that quote for those within the text, too: it ends a value
    only where the next value, or the end of them all, comes after it.
    """
    text = ""
    while True:
        found: list[str] = []
        char = yield from read_until(char, quote, found)
        text += found[0]
        space = ""
        while char and char in SPACE:
            space += char
            char = yield
        if not char or char in ",}]":
            into.append(json.dumps(text, ensure_ascii=False))
            return char
        text += ('"' if '"' in quote else quote) + space


def _read_items(char: str, quote: str, into: list[str], depth: int) -> Scan:
    is_object = char == "{"
    closing = "}" if is_object else "]"
    items: list[str] = []
    char = yield from scan_space((yield))
    while char != closing:
        if items:
            char = yield from scan_space((yield from scan_text(char, ",")))
        found: list[str] = []
        if is_object:
            char = yield from _read_entry(char, quote, found, depth + 1)
            items.append(f"{json.dumps(found[0], ensure_ascii=False)}: {found[1]}")
        else:
            char = yield from scan_space((yield from _read_value(char, quote, found, depth + 1)))
            items.append(found[0])
    inner = ", ".join(items)
    into.append(f"{{{inner}}}" if is_object else f"[{inner}]")
    return (yield)


def _json_word(word: str) -> str:
    """A number, a truth value or null as JSON writes it."""
    text = _WORDS.get(word, word)
    if not is_scalar(text):
        raise MalformedCallError(f"{word!r} is no value")
    return text


def _new_format(name: str, quote: str, opening: str, closing: str) -> ToolFormat:
    return ToolFormat(
        name=name,
        markers=(opening,),
        read=partial(_read, quote, closing),
        signs=(opening,),
        tokens=(opening,),
        syntaxes=(CallSyntax(f"{opening}call:$name$arguments{closing}", between=""),),
    )


GEMMA_FORMAT = _new_format("gemma", '<|"|>', "<|tool_call>", "<tool_call|>")
FUNCTION_GEMMA_FORMAT = _new_format(
    "functiongemma", "<escape>", "<start_function_call>", "<end_function_call>"
)
