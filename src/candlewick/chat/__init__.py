"""Text and meaning: conversations in, one stream of typed events out."""

from candlewick.chat.answer import ChatAnswer, Completion, fold_events
from candlewick.chat.events import (
    Complete,
    Error,
    Event,
    FinishReason,
    ResponseToken,
    Start,
    ThinkingEnd,
    ThinkingStart,
    ThinkingToken,
    TokenLogprob,
    ToolCallArguments,
    ToolCallEnd,
    ToolCallStart,
)
from candlewick.chat.llm import LLM, AsyncLLM
from candlewick.chat.messages import Message, Tool, ToolCall, parse_messages, parse_tools
from candlewick.chat.parser import OutputParser
from candlewick.chat.reasoning import ReasoningFormat, ThinkingMode
from candlewick.chat.template import ChatTemplate
from candlewick.chat.tool_parsers import TOOL_FORMATS, ToolFormat
from candlewick.chat.transcript import Transcript

__all__ = [
    "LLM",
    "TOOL_FORMATS",
    "AsyncLLM",
    "ChatAnswer",
    "ChatTemplate",
    "Complete",
    "Completion",
    "Error",
    "Event",
    "FinishReason",
    "Message",
    "OutputParser",
    "ReasoningFormat",
    "ResponseToken",
    "Start",
    "ThinkingEnd",
    "ThinkingMode",
    "ThinkingStart",
    "ThinkingToken",
    "TokenLogprob",
    "Tool",
    "ToolCall",
    "ToolCallArguments",
    "ToolCallEnd",
    "ToolCallStart",
    "ToolFormat",
    "Transcript",
    "fold_events",
    "parse_messages",
    "parse_tools",
]
