"""Tool-call formats, one module each, and finding the one that a model was taught."""

from __future__ import annotations

from collections.abc import Callable

from candlewick.chat.tool_parsers import (
    deepseek,
    functionary,
    gemma,
    glm,
    granite,
    harmony,
    hermes,
    invocations,
    kimi,
    llama3_json,
    mistral,
    phi4_mini,
    python_calls,
    qwen3_coder,
)
from candlewick.chat.tool_parsers.tool_format import ToolFormat
from candlewick.core.errors import InvalidRequestError

__all__ = ["TOOL_FORMATS", "ToolFormat", "find_tool_format", "tool_format_named"]

TOOL_FORMATS: dict[str, ToolFormat] = {
    tool_format.name: tool_format
    for tool_format in (
        glm.FORMAT,
        qwen3_coder.FORMAT,
        invocations.MINIMAX_FORMAT,
        invocations.DEEPSEEK_FORMAT,
        hermes.FORMAT,
        hermes.MINIMAX_FORMAT,
        mistral.FORMAT,
        deepseek.FORMAT,
        kimi.FORMAT,
        harmony.FORMAT,
        functionary.V32_FORMAT,
        functionary.V31_FORMAT,
        gemma.GEMMA_FORMAT,
        gemma.FUNCTION_GEMMA_FORMAT,
        phi4_mini.FORMAT,
        granite.FORMAT,
        python_calls.LIST_FORMAT,
        llama3_json.FORMAT,
        python_calls.CODE_FORMAT,
    )
}
"""All formats by name; where a template shows signs of several, the first counts."""


def find_tool_format(template_source: str, has_token: Callable[[str], bool]) -> ToolFormat:
    """The format that a template teaches, else one that the vocabulary speaks of, else Hermes'.

    Args:
        template_source: the chat template.
        has_token: whether the vocabulary has a token of exactly this text.
    """
    for tool_format in TOOL_FORMATS.values():
        if all(sign in template_source for sign in tool_format.signs):
            return tool_format
    for tool_format in TOOL_FORMATS.values():
        if any(map(has_token, tool_format.tokens)):
            return tool_format
    return hermes.FORMAT


def tool_format_named(name: str) -> ToolFormat:
    """The format of this name.

    Raises:
        InvalidRequestError: there is none.
    """
    if name not in TOOL_FORMATS:
        raise InvalidRequestError(
            f"tool_format must be one of {', '.join(TOOL_FORMATS)}, got {name!r}", "tool_format"
        )
    return TOOL_FORMATS[name]
