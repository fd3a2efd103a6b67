"""What MCP servers say, in the loop's own values: tools and their results.

Owns the mapping of content blocks. Refuses to know connections.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import TYPE_CHECKING

from candlewick.chat.messages import Tool
from candlewick.responses.tools import Image, ToolResult

if TYPE_CHECKING:
    import mcp_types as types

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]")


def to_tool(tool: types.Tool) -> Tool:
    """What the model is told of a server's tool; characters that function names can't have become ``_``."""
    return Tool(
        name=_NOT_IN_NAMES.sub("_", tool.name)[:64],
        description=tool.description or tool.title,
        parameters=tool.input_schema,
    )


def to_result(result: types.CallToolResult) -> ToolResult:
    """A call's result: texts as they are, a line for everything that is no text."""
    texts: list[str] = []
    images: list[Image] = []
    for block in result.content:
        if block.type == "text":
            texts.append(block.text)
        elif block.type == "image":
            data = _decoded(block.data)
            images.append(Image(block.mime_type, data))
            texts.append(f"[image: {block.mime_type}, {len(data)} bytes]")
        elif block.type == "audio":
            texts.append(f"[audio: {block.mime_type}, {len(_decoded(block.data))} bytes]")
        elif block.type == "resource_link":
            texts.append(f"[resource: {block.uri} {block.name}]")
        else:
            resource = block.resource
            text = getattr(resource, "text", None)
            texts.append(f"[resource: {resource.uri}]" + (f"\n{text}" if text is not None else ""))
    structured = result.structured_content
    if not texts and structured is not None:
        texts.append(json.dumps(structured, ensure_ascii=False))
    return ToolResult(
        text="\n".join(texts),
        is_error=bool(result.is_error),
        structured=structured,
        images=tuple(images),
    )


def _decoded(data: str) -> bytes:
    try:
        return base64.b64decode(data, validate=False)
    except (binascii.Error, ValueError):
        return b""
