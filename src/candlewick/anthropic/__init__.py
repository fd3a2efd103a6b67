"""Anthropic's Messages without a server: wire types, and the adapter to an ``AsyncLLM``; needs pydantic."""

from candlewick.anthropic.adapter import AnthropicAdapter
from candlewick.anthropic.errors import error_reply
from candlewick.anthropic.request import CountTokensRequest, MessagesRequest

__all__ = ["AnthropicAdapter", "CountTokensRequest", "MessagesRequest", "error_reply"]
