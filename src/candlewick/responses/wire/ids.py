"""Identifiers of what the wire format names."""

from __future__ import annotations

import secrets

PREFIXES = {
    "response": "resp",
    "conversation": "conv",
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "function_call_output": "fco",
    "mcp_list_tools": "mcpl",
    "mcp_call": "mcp",
    "mcp_approval_request": "mcpr",
    "mcp_approval_response": "mcpa",
    "compaction": "cmp",
}


def new_id(kind: str) -> str:
    """A fresh identifier for a response, a conversation or an item of a type, such as ``msg_3f…``."""
    return f"{PREFIXES[kind]}_{secrets.token_hex(24)}"
