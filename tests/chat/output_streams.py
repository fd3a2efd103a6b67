"""Feeding texts to an output parser in pieces, and reading its events back as plain values."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from typing import Any

from candlewick.chat.addressed_parser import AddressedParser
from candlewick.chat.events import (
    Event,
    ResponseToken,
    ThinkingEnd,
    ThinkingStart,
    ThinkingToken,
    ToolCallArguments,
    ToolCallEnd,
    ToolCallStart,
)
from candlewick.chat.messages import Tool
from candlewick.chat.parser import OutputParser, merge_events
from candlewick.chat.reasoning import ReasoningFormat
from candlewick.chat.tool_parsers import tool_format_named
from candlewick.chat.turn import AnswerParser

THINK = ReasoningFormat("<think>", "</think>")
OPEN_THINK = ReasoningFormat("<think>", "</think>", starts_open=True)
MARKERS = (
    *("<think>", "</think>", "<tool_call>", "[TOOL_CALLS]", "<｜tool▁calls▁begin｜>", "<|tool_call|>"),
    *("<|tool_calls_section_begin|>", "<minimax:tool_call>", "<|tool_call>", "<start_function_call>"),
    *("<|start|>", "<|channel|>", "<|message|>", "<|end|>", "<|call|>", "<|return|>", "<|python_tag|>"),
)
MARKER_IDS = {marker: token_id for token_id, marker in enumerate(MARKERS, 1)}
WEATHER = Tool(
    name="get_weather",
    description="The weather",
    parameters={
        "type": "object",
        "properties": {
            "place": {"type": "string"},
            "days": {"type": "integer"},
            "metric": {"type": "boolean"},
            "more": {"type": "object"},
        },
    },
)
NOW = Tool(name="now")


def new_parser(
    formats: Sequence[str] = (), reasoning: ReasoningFormat | None = THINK, ids: bool = False
) -> AnswerParser:
    counter = itertools.count()
    id_of = MARKER_IDS.get if ids else lambda text: None
    if len(formats) == 1 and tool_format_named(formats[0]).addressing:
        return AddressedParser(
            tool_format_named(formats[0]),
            tools=[WEATHER, NOW],
            id_of=id_of,
            new_id=lambda: f"id{next(counter)}",
        )
    return OutputParser(
        reasoning=reasoning,
        tool_formats=[tool_format_named(name) for name in formats],
        tools=[WEATHER, NOW] if formats else [],
        id_of=id_of,
        new_id=lambda: f"id{next(counter)}",
    )


def parse(parser: AnswerParser, pieces: Sequence[tuple[int | None, str]]) -> list[Event]:
    events: list[Event] = []
    for token_id, text in pieces:
        events += parser.push(token_id, text)
    return merge_events(events + parser.finish())


def as_text(text: str, cuts: Sequence[int] = ()) -> list[tuple[None, str]]:
    """The text cut at these places."""
    places = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    return [(None, text[start:end]) for start, end in itertools.pairwise(places)]


def as_tokens(text: str, chance: random.Random) -> list[tuple[int | None, str]]:
    """The text as tokens: markers of the vocabulary are one each, the rest is cut anywhere."""
    pieces: list[tuple[int | None, str]] = []
    while text:
        marker = next((marker for marker in MARKER_IDS if text.startswith(marker)), None)
        if marker:
            pieces.append((MARKER_IDS[marker], marker))
            text = text[len(marker) :]
            continue
        ends = [found for marker in MARKER_IDS if (found := text.find(marker)) > 0]
        end = chance.randint(1, min([len(text), 7, *ends]))
        pieces.append((100, text[:end]))
        text = text[end:]
    return pieces


def plain(events: Sequence[Event]) -> list[Any]:
    """Events as short values: texts, and calls as (name, arguments)."""
    values: list[Any] = []
    for event in events:
        match event:
            case ThinkingStart():
                values.append("[")
            case ThinkingEnd():
                values.append("]")
            case ThinkingToken():
                values.append(("thinks", event.text))
            case ResponseToken():
                values.append(event.text)
            case ToolCallEnd():
                values.append((event.name, event.arguments))
            case ToolCallStart() | ToolCallArguments():
                pass
            case _:
                raise AssertionError(f"a parser makes no {event}")
    return values
