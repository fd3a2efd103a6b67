"""Tokenize and detokenize: what a text or a conversation costs, and which tokens it is made of.

Not part of OpenAI's protocol; the names are those of vLLM's server.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol, runtime_checkable

from pydantic import Field
from typing_extensions import TypedDict

from candlewick.core.errors import InvalidRequestError
from candlewick.core.tokenizer import Tokenizer
from candlewick.openai.fields import WireRequest
from candlewick.openai.request import Thinking
from candlewick.openai.types import JSONObject


class TokenizeRequest(WireRequest):
    """``prompt``, or ``messages`` with ``tools`` as for a chat."""

    refused: ClassVar[Mapping[str, str]] = {
        "chat_template": "a request brings no template of its own",
        "continue_final_message": "messages are followed by a new answer",
    }

    model: str | None = None
    prompt: str | None = None
    messages: list[JSONObject] | None = None
    tools: list[JSONObject] | None = None
    thinking: Thinking = "adaptive"
    chat_template_kwargs: JSONObject | None = None
    add_special_tokens: bool = True
    """Whether a prompt gets what the model wants at the beginning of a text."""
    return_token_strs: bool = False

    def check(self) -> None:
        if (self.prompt is None) == (self.messages is None):
            raise InvalidRequestError("give either prompt or messages", "prompt")
        if self.prompt is not None and (self.tools or self.chat_template_kwargs):
            raise InvalidRequestError("tools and chat_template_kwargs belong to messages", "tools")


class DetokenizeRequest(WireRequest):
    model: str | None = None
    tokens: list[int] = Field(max_length=2**20)


class Tokens(TypedDict):
    count: int
    max_model_len: int
    tokens: list[int]
    token_strs: list[str] | None


class Text(TypedDict):
    prompt: str


class Engine(Protocol):
    @property
    def max_context(self) -> int: ...


@runtime_checkable
class TokenizingModel(Protocol):
    """What tokenizing needs of :class:`~candlewick.chat.llm.AsyncLLM`."""

    @property
    def engine(self) -> Engine: ...

    @property
    def tokenizer(self) -> Tokenizer: ...

    def prompt_tokens(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None,
        *,
        thinking: Thinking = "adaptive",
        template_variables: Mapping[str, Any] | None = None,
    ) -> list[int]: ...


def tokenize(llm: TokenizingModel, request: TokenizeRequest) -> Tokens:
    """The tokens of a text or a conversation; may take seconds: call it outside the event loop.

    Raises:
        InvalidRequestError: a message or a tool is wrong.
    """
    if request.messages is not None:
        tokens = llm.prompt_tokens(
            request.messages,
            request.tools,
            thinking=request.thinking,
            template_variables=request.chat_template_kwargs,
        )
    else:
        tokens = llm.tokenizer.encode(request.prompt or "", add_special=request.add_special_tokens)
    texts = [llm.tokenizer.token_bytes(token_id).decode("utf-8", "replace") for token_id in tokens]
    return {
        "count": len(tokens),
        "max_model_len": llm.engine.max_context,
        "tokens": tokens,
        "token_strs": texts if request.return_token_strs else None,
    }


def detokenize(llm: TokenizingModel, request: DetokenizeRequest) -> Text:
    """The text of some tokens, markers included.

    Raises:
        InvalidRequestError: there is no token of an id.
    """
    size = llm.tokenizer.vocab_size
    for place, token_id in enumerate(request.tokens):
        if not 0 <= token_id < size:
            raise InvalidRequestError(
                f"token ids go from 0 to {size - 1}, got {token_id}", f"tokens[{place}]"
            )
    return {"prompt": llm.tokenizer.decode(request.tokens)}
