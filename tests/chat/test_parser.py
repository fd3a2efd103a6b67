"""Thinking, text and markers; calls stand in test_tool_parsers."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from output_streams import OPEN_THINK, THINK, as_text, as_tokens, new_parser, parse, plain

from candlewick.chat.events import (
    ResponseToken,
    ThinkingEnd,
    ThinkingStart,
    ThinkingToken,
    ToolCallArguments,
    ToolCallEnd,
    ToolCallStart,
)
from candlewick.chat.parser import merge_events
from candlewick.chat.tool_parsers import TOOL_FORMATS

CASES = [
    ("Hello", ["Hello"]),
    ("<think>\nHm.\n</think>\n\nYes.\n", ["[", ("thinks", "Hm."), "]", "Yes.\n"]),
    ("<think>a\n\nb</think>c", ["[", ("thinks", "a\n\nb"), "]", "c"]),
    ("<think>\n\n</think>\n\nYes", ["[", "]", "Yes"]),
    ("\n<think>a</think>b", ["[", ("thinks", "a"), "]", "b"]),
    ("<think>cut off", ["[", ("thinks", "cut off"), "]"]),
    ("<think>cut </thi", ["[", ("thinks", "cut </thi"), "]"]),
    ("</think>late", ["[", "]", "late"]),
    ("a < b <thin", ["a < b <thin"]),
    ("  indented", ["  indented"]),
    ("\n", ["\n"]),
    ("", []),
    ("<think>a <think> b</think>c", ["[", ("thinks", "a <think> b"), "]", "c"]),
    ("<think>a</think>\n\n    code", ["[", ("thinks", "a"), "]", "    code"]),
]


@pytest.mark.parametrize("by_id", [False, True], ids=["by text", "by id"])
@pytest.mark.parametrize(("text", "expected"), CASES, ids=[text for text, _ in CASES])
def test_thinking_and_text(text, expected, by_id):
    pieces = as_tokens(text, random.Random(0)) if by_id else as_text(text)
    assert plain(parse(new_parser(ids=by_id), pieces)) == expected


def test_open_prompt_begins_with_thinking():
    assert plain(parse(new_parser(reasoning=OPEN_THINK), as_text("\nHm.\n</think>\n\nYes"))) == [
        "[",
        ("thinks", "Hm."),
        "]",
        "Yes",
    ]
    assert plain(parse(new_parser(reasoning=OPEN_THINK), as_text("</think>Yes"))) == ["[", "]", "Yes"]
    assert parse(new_parser(reasoning=OPEN_THINK), []) == []


def test_a_marker_spelled_in_the_middle_of_an_answer_is_text():
    text = "Write <think> and </think>."
    assert plain(parse(new_parser(), as_text(text))) == [text]


def test_a_marker_of_the_vocabulary_counts_only_as_its_token():
    spelled = [(100, "<th"), (100, "ink>x"), (100, "</think>")]
    assert plain(parse(new_parser(ids=True), spelled)) == ["<think>x</think>"]
    generated = [(100, "So "), (1, "<think>"), (100, "x"), (2, "</think>"), (100, "y")]
    assert plain(parse(new_parser(ids=True), generated)) == ["So ", "[", ("thinks", "x"), "]", "y"]


def test_a_marker_whose_text_comes_late_still_counts():
    """Stop strings hold text back, so the text of a token may come with a later one."""
    pieces = [(1, ""), (100, "<think>a"), (2, "</thi"), (100, "nk>b")]
    assert plain(parse(new_parser(ids=True), pieces)) == ["[", ("thinks", "a"), "]", "b"]


def test_text_streams_without_delay():
    parser = new_parser()
    assert plain(parser.push(None, "Hel")) == ["Hel"]
    assert plain(parser.push(None, "lo <")) == ["lo "]
    assert plain(parser.push(None, "b>")) == ["<b>"]


def test_a_model_that_does_not_think_may_write_anything():
    text = "<think>a</think>b"
    assert plain(parse(new_parser(reasoning=None), as_text(text))) == [text]


def test_whether_it_is_thinking_is_known_between_tokens():
    parser = new_parser(reasoning=OPEN_THINK)
    assert parser.is_thinking
    parser.push(None, "a</think>")
    assert not parser.is_thinking


FRAGMENTS = st.sampled_from(
    [
        *(
            "<think>",
            "</think>",
            "\n",
            " ",
            "a",
            "<",
            "</",
            "<tool_call>",
            "</tool_call>",
            "{",
            "}",
            "[",
            "]",
            '"',
        ),
        *(
            '{"name": "get_weather"',
            ', "arguments": ',
            '{"place": "Rome"}',
            '{"name": "now"}',
            "null",
            ",",
            ";",
            ":",
        ),
        *(
            "<function=now>",
            "</function>",
            "<parameter=place>",
            "</parameter>",
            "[TOOL_CALLS]",
            "now",
            "[ARGS]",
        ),
        *(
            "<|tool_call|>",
            "<|python_tag|>",
            "<code>",
            "</code>",
            "now()",
            'get_weather("Rome", days=2)',
            "```json",
        ),
        *(
            "<｜tool▁calls▁begin｜>",
            "<｜tool▁call▁begin｜>",
            "<｜tool▁sep｜>",
            "<｜tool▁call▁end｜>",
            "\\",
            "é😀",
        ),
        *("<｜tool▁calls▁end｜>", "function", "1e5", "-", "\\u00e9", "#"),
    ]
)
OUTPUTS = st.lists(FRAGMENTS | st.text(max_size=4), max_size=14).map("".join)
FORMATS = st.sampled_from(
    [(), *((name,) for name in TOOL_FORMATS), ("hermes", "deepseek"), ("mistral", "pythonic")]
)


@settings(max_examples=200, deadline=None)
@given(
    OUTPUTS, FORMATS, st.sampled_from([None, THINK, OPEN_THINK]), st.lists(st.integers(0, 200), max_size=12)
)
def test_any_split_of_a_text_gives_the_same_events(text, formats, reasoning, cuts):
    whole = parse(new_parser(formats, reasoning), as_text(text))
    assert parse(new_parser(formats, reasoning), as_text(text, cuts)) == whole
    assert parse(new_parser(formats, reasoning), as_text(text, range(len(text)))) == whole


@settings(max_examples=150, deadline=None)
@given(OUTPUTS, FORMATS, st.sampled_from([None, THINK, OPEN_THINK]), st.integers(), st.integers())
def test_any_split_into_tokens_gives_the_same_events(text, formats, reasoning, first, second):
    one = parse(new_parser(formats, reasoning, ids=True), as_tokens(text, random.Random(first)))
    assert one == parse(new_parser(formats, reasoning, ids=True), as_tokens(text, random.Random(second)))


@settings(max_examples=200, deadline=None)
@given(OUTPUTS, FORMATS, st.sampled_from([None, THINK, OPEN_THINK]))
def test_nothing_is_lost_and_events_are_well_formed(text, formats, reasoning):
    events = parse(new_parser(formats, reasoning), as_text(text))
    check_order(events)
    position = 0
    for event in events:  # every visible text stands in the output, in order
        if isinstance(event, ThinkingToken | ResponseToken):
            for line in event.text.split():
                position = text.index(line, position) + len(line)
    if not any(isinstance(event, ToolCallEnd) for event in events):
        seen = "".join(event.text for event in events if isinstance(event, ThinkingToken | ResponseToken))
        left = "".join(text.split())
        for marker in ("<think>", "</think>") if reasoning else ():
            left, seen = left.replace(marker, ""), seen.replace(marker, "")
        assert "".join(seen.split()) == left


def check_order(events):
    thinking, call = False, None
    assert events == merge_events(events)
    for event in events:
        match event:
            case ThinkingStart():
                assert not thinking
                thinking, call = True, None
            case ThinkingEnd():
                assert thinking
                thinking = False
            case ThinkingToken():
                assert thinking
                assert event.text
            case ResponseToken():
                assert not thinking
                assert event.text
            case ToolCallStart():
                assert not thinking
                call = (event.index, event.id, event.name, "")
            case ToolCallArguments():
                assert call
                assert call[0] == event.index
                call = (*call[:3], call[3] + event.text)
            case ToolCallEnd():
                assert call == (event.index, event.id, event.name, event.arguments)
    assert not thinking
