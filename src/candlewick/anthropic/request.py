"""The Messages request: which fields there are, what each may hold, and what they mean to the engine.

Every field is honoured, known to be harmless, or refused by name. Source: Anthropic's Messages reference
(``anthropic.types.message_create_params``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from candlewick.anthropic.blocks import (
    MessageParam,
    TextBlock,
    ToolResultBlock,
    ToolUseBlock,
    text_of,
    to_messages,
)
from candlewick.chat.messages import Message, Tool
from candlewick.core.constraint import Constraint
from candlewick.core.errors import InvalidRequestError
from candlewick.core.params import GenerationParams
from candlewick.openai.fields import WireRequest
from candlewick.openai.request import Thinking
from candlewick.openai.sampling import sampling_params
from candlewick.openai.types import JSONObject

_NO_SERVER_TOOLS = "no tools run on this server for Messages"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class ToolParam(_Part):
    type: Literal["custom"] | None = None
    name: Annotated[str, Field(min_length=1)]
    description: str | None = None
    input_schema: JSONObject
    strict: bool | None = None
    cache_control: JSONObject | None = None
    eager_input_streaming: bool | None = None
    """Accepted, without effect: a call is told when it is whole."""

    def to_tool(self) -> Tool:
        return Tool(
            name=self.name,
            description=self.description,
            parameters=self.input_schema,
            strict=self.strict,
        )


class ToolChoice(_Part):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class ThinkingConfig(_Part):
    type: Literal["enabled", "disabled", "adaptive"]
    budget_tokens: Annotated[int, Field(ge=1)] | None = None
    display: Literal["summarized"] | None = None
    """Accepted, without effect: thinking is always told in full."""


class OutputFormat(_Part):
    type: Literal["json_schema"]
    schema_: Annotated[JSONObject, Field(alias="schema")]


class OutputConfig(_Part):
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: OutputFormat | None = None


class _Conversation(WireRequest):
    """What a message and the counting of its tokens have in common."""

    refused: ClassVar[Mapping[str, str]] = {
        "prefill": "answers are not begun by the client",
        "container": _NO_SERVER_TOOLS,
        "mcp_servers": _NO_SERVER_TOOLS,
        "context_management": "conversations are never cut",
        "compaction": "conversations are never cut",
        "fallbacks": "the model that is asked answers",
        "thread": "conversations are not kept for Messages (the client's tool runner takes thread=False)",
    }
    harmless: ClassVar[frozenset[str]] = frozenset(
        {"cache_control", "speed", "user_profile_id", "workspace_id"}
    )

    model: str
    messages: Annotated[list[MessageParam], Field(min_length=1)]
    system: str | list[TextBlock] | None = None
    tools: list[ToolParam] | None = None
    tool_choice: ToolChoice | None = None
    thinking: ThinkingConfig | None = None
    output_config: OutputConfig | None = None

    cache_control: JSONObject | None = None
    speed: str | None = None
    user_profile_id: str | None = None
    workspace_id: str | None = None

    def check(self) -> None:
        for place, message in enumerate(self.messages):
            for block in message.blocks():
                if isinstance(block, ToolUseBlock) and message.role != "assistant":
                    raise InvalidRequestError("only an assistant uses tools", f"messages[{place}].content")
                if isinstance(block, ToolResultBlock) and message.role != "user":
                    raise InvalidRequestError("results are a user's message", f"messages[{place}].content")
        if self.messages[-1].role == "assistant":
            raise InvalidRequestError(
                "the last message must not be an assistant's: answers are not begun by the client", "messages"
            )
        choice = self.tool_choice
        if choice is not None:
            names = [tool.name for tool in self.tools or ()]
            if (choice.type == "tool") != (choice.name is not None):
                raise InvalidRequestError("tool_choice.name belongs to type 'tool'", "tool_choice.name")
            if choice.type == "any" and not names:
                raise InvalidRequestError("tool_choice 'any' needs tools", "tool_choice.type")
            if choice.name is not None and choice.name not in names:
                raise InvalidRequestError(f"there is no tool {choice.name!r}", "tool_choice.name")
        if self.thinking is not None and (self.thinking.type == "enabled") != (
            self.thinking.budget_tokens is not None
        ):
            raise InvalidRequestError(
                "thinking.budget_tokens belongs to type 'enabled'", "thinking.budget_tokens"
            )

    def conversation(self) -> list[Message]:
        """The messages, the system's first."""
        return to_messages(self.messages, text_of(self.system))

    def offered_tools(self) -> list[Tool] | None:
        """The tools that the model may call."""
        return [tool.to_tool() for tool in self.tools or ()] or None

    def chosen_tool(self) -> str:
        """``tool_choice`` as the library has it: ``auto``, ``none``, ``required`` or a tool's name."""
        if self.tool_choice is None:
            return "auto"
        if self.tool_choice.type == "any":
            return "required"
        return self.tool_choice.name or self.tool_choice.type

    def constraint(self) -> Constraint | None:
        """The form of the answer that ``output_config.format`` asks for."""
        form = self.output_config.format if self.output_config else None
        return None if form is None else Constraint.json_schema(form.schema_)

    def allows_several_calls(self) -> bool:
        """Whether an answer may hold more than one call."""
        return not (self.tool_choice and self.tool_choice.disable_parallel_tool_use)

    def thinking_mode(self) -> Thinking:
        """As in the protocol, a model thinks when it is asked to."""
        if self.thinking is None:
            return "no_think"
        modes: dict[str, Thinking] = {"enabled": "think", "disabled": "no_think", "adaptive": "adaptive"}
        return modes[self.thinking.type]

    def template_variables(self) -> JSONObject:
        """Variables for the chat template."""
        effort = self.output_config.effort if self.output_config else None
        return {} if effort is None else {"reasoning_effort": effort}


class CountTokensRequest(_Conversation):
    """A request for a count of tokens; make it by :meth:`parse`."""


class MessagesRequest(_Conversation):
    """One request as it came over the wire, its types checked; make it by :meth:`parse`."""

    harmless: ClassVar[frozenset[str]] = _Conversation.harmless | {
        "metadata",
        "service_tier",
        "inference_geo",
        "diagnostics",
    }

    max_tokens: Annotated[int, Field(ge=1)]
    stream: bool | None = None
    stop_sequences: list[str] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: float | None = None
    top_k: int | None = None

    metadata: JSONObject | None = None
    service_tier: str | None = None
    inference_geo: str | None = None
    diagnostics: JSONObject | None = None

    def check(self) -> None:
        super().check()
        self.generation_params()
        self.constraint()

    def generation_params(self) -> GenerationParams:
        """What the sampler is asked for; fields left out keep the library's defaults.

        Raises:
            InvalidRequestError: a value is out of its range.
        """
        return sampling_params(
            max_tokens=self.max_tokens,
            stop=self.stop_sequences,
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            max_thinking_tokens=self.thinking.budget_tokens if self.thinking else None,
        )
