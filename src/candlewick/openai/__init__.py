"""OpenAI's protocol without a server: wire types, and the adapter to an ``AsyncLLM``; needs pydantic."""

from candlewick.openai.adapter import OpenAIAdapter
from candlewick.openai.errors import ErrorReply, error_reply
from candlewick.openai.request import ChatCompletionRequest

__all__ = ["ChatCompletionRequest", "ErrorReply", "OpenAIAdapter", "error_reply"]
