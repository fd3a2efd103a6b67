"""Conversations that act: the agent loop over a model, Python functions and MCP servers, with no HTTP at all."""

from candlewick.responses.approval import Approval, ApprovalAnswer, ApprovalRequest, Approve
from candlewick.responses.conversation import Conversation
from candlewick.responses.events import (
    ApprovalAnswered,
    ApprovalRequested,
    ConversationComplete,
    ConversationEvent,
    ServerState,
    ToolExecutionEnd,
    ToolExecutionStart,
    ToolProgress,
    TurnStart,
)
from candlewick.responses.functions import function_tool
from candlewick.responses.mcp import MCPConfiguration, MCPServerConfiguration, OAuth
from candlewick.responses.options import ConversationOptions, ServerUse
from candlewick.responses.result import ConversationError, ConversationResult, ExecutedCall, StopReason
from candlewick.responses.session import ResponsesSession
from candlewick.responses.tools import ExecutableTool, Image, ToolContext, ToolError, ToolResult

__all__ = [
    "Approval",
    "ApprovalAnswer",
    "ApprovalAnswered",
    "ApprovalRequest",
    "ApprovalRequested",
    "Approve",
    "Conversation",
    "ConversationComplete",
    "ConversationError",
    "ConversationEvent",
    "ConversationOptions",
    "ConversationResult",
    "ExecutableTool",
    "ExecutedCall",
    "Image",
    "MCPConfiguration",
    "MCPServerConfiguration",
    "OAuth",
    "ResponsesSession",
    "ServerState",
    "ServerUse",
    "StopReason",
    "ToolContext",
    "ToolError",
    "ToolExecutionEnd",
    "ToolExecutionStart",
    "ToolProgress",
    "ToolResult",
    "TurnStart",
    "function_tool",
]
