"""The Chat Completions request: which fields there are, what each may hold, and what they mean to the engine.

Every field is honoured, known to be harmless, or refused by name: nothing that would change the answer is
dropped silently. Messages and tools are handed on as they came; :mod:`candlewick.chat.messages` reads them, and
:mod:`candlewick.openai.nested` knows which fields they may have.
Source: OpenAI's Chat Completions reference (``openai.types.chat.completion_create_params``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from candlewick.core.constraint import Constraint
from candlewick.core.errors import InvalidRequestError
from candlewick.core.params import MAX_TOP_LOGPROBS, GenerationParams
from candlewick.openai.nested import check_form, check_messages, check_tools
from candlewick.openai.sampling import SamplingRequest, StreamOptions
from candlewick.openai.types import JSONObject

Thinking = Literal["think", "no_think", "adaptive"]

REFUSED_FIELDS = {
    "audio": "answers are text",
    "function_call": "use 'tool_choice'",
    "functions": "use 'tools'",
    "moderation": "no moderation is run",
    "web_search_options": "no web search is run",
    "verbosity": "ask for it in a message",
}
"""Fields that would change the answer and that we can't honour; ``null`` is as good as absent."""


class ChatCompletionRequest(SamplingRequest):
    """One request as it came over the wire, its types checked; make it by :meth:`parse`."""

    refused: ClassVar[Mapping[str, str]] = REFUSED_FIELDS
    harmless: ClassVar[frozenset[str]] = frozenset(
        {
            *("user", "metadata", "store", "service_tier", "safety_identifier", "prediction"),
            *("prompt_cache_key", "prompt_cache_options", "prompt_cache_retention"),
        }
    )

    model: str
    messages: Annotated[list[JSONObject], Field(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=MAX_TOP_LOGPROBS)] | None = None
    response_format: JSONObject | None = None
    tools: list[JSONObject] | None = None
    tool_choice: str | JSONObject | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    modalities: list[str] | None = None

    # Our extensions, named as in other servers of open models.
    enable_thinking: bool | None = None
    chat_template_kwargs: JSONObject | None = None
    max_thinking_tokens: int | None = None

    # Harmless: they name, bill, store or speed up a request, and do not change its answer.
    user: str | None = None
    metadata: JSONObject | None = None
    store: bool | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: JSONObject | None = None
    prompt_cache_retention: str | None = None
    prediction: JSONObject | None = None

    def check(self) -> None:
        """Refuse what the fields ask for together, or ask of us and can't have.

        Raises:
            InvalidRequestError: ``parameter`` names the field.
        """
        if self.modalities is not None and self.modalities != ["text"]:
            raise InvalidRequestError(
                f"modalities can only be ['text'], got {self.modalities!r}", "modalities"
            )
        if self.stream_options is not None and not self.stream:
            raise InvalidRequestError("stream_options needs 'stream': true", "stream_options")
        if self.top_logprobs is not None and not self.logprobs:
            raise InvalidRequestError("top_logprobs needs 'logprobs': true", "top_logprobs")
        if None not in (self.max_tokens, self.max_completion_tokens) and (
            self.max_tokens != self.max_completion_tokens
        ):
            raise InvalidRequestError(
                f"max_tokens ({self.max_tokens}) and max_completion_tokens ({self.max_completion_tokens}) "
                "contradict each other; give one",
                "max_tokens",
            )
        check_messages(self.messages)
        check_tools(self.tools or ())
        self.thinking()
        self.generation_params()
        self.constraint()
        if self.chosen_tool() not in ("auto", "none") and not self.tools:
            raise InvalidRequestError(f"tool_choice {self.tool_choice!r} needs tools", "tool_choice")
        self.offered_tools()

    def generation_params(self) -> GenerationParams:
        """What the sampler is asked for; fields left out keep the library's defaults.

        Raises:
            InvalidRequestError: a value is out of its range.
        """
        return self.sampling(
            max_tokens=self.max_completion_tokens or self.max_tokens,
            logprobs=(self.top_logprobs or 0) if self.logprobs else None,
            max_thinking_tokens=self.max_thinking_tokens,
        )

    def chosen_tool(self) -> str:
        """``tool_choice`` as the library has it: ``auto``, ``none``, ``required`` or a function's name.

        Raises:
            InvalidRequestError: it is none of these.
        """
        choice = self.tool_choice
        if choice is None or isinstance(choice, str):
            if choice not in (None, "auto", "none", "required"):
                raise InvalidRequestError(
                    f"tool_choice must be 'auto', 'none', 'required' or name a function, got {choice!r}",
                    "tool_choice",
                )
            return choice or "auto"
        if choice.get("type") == "allowed_tools":
            mode = _object(choice.get("allowed_tools")).get("mode")
            if mode not in ("auto", "required"):
                raise InvalidRequestError(
                    f"tool_choice.allowed_tools.mode must be 'auto' or 'required', got {mode!r:.200}",
                    "tool_choice.allowed_tools.mode",
                )
            return str(mode)
        name = _object(choice.get("function")).get("name")
        if choice.get("type") != "function" or not isinstance(name, str):
            raise InvalidRequestError(
                "tool_choice as an object must be {'type': 'function', 'function': {'name': …}} or "
                "{'type': 'allowed_tools', 'allowed_tools': {'mode': …, 'tools': […]}}, got "
                f"{choice!r:.200}",
                "tool_choice",
            )
        return name

    def offered_tools(self) -> list[JSONObject] | None:
        """The tools that the model is told of: all, or those that ``tool_choice`` allows.

        Raises:
            InvalidRequestError: it allows one that is not among them, or none.
        """
        tools = self.tools or None
        if not isinstance(self.tool_choice, dict) or self.tool_choice.get("type") != "allowed_tools":
            return tools
        allowed = _object(self.tool_choice.get("allowed_tools")).get("tools")
        where = "tool_choice.allowed_tools.tools"
        if not isinstance(allowed, list) or not allowed:
            raise InvalidRequestError(
                f"{where} must be a list of tools, each by its name, got {allowed!r:.200}", where
            )
        names = [_function_name(tool) for tool in allowed]
        offered = [_function_name(tool) for tool in tools or ()]
        for index, name in enumerate(names):
            if name is None or name not in offered:
                raise InvalidRequestError(
                    f"{where}[{index}] must be {{'type': 'function', 'function': {{'name': …}}}} with the name of one "
                    f"of the tools, got {allowed[index]!r:.200}",
                    f"{where}[{index}]",
                )
        return [tool for tool in tools or () if _function_name(tool) in names]

    def constraint(self) -> Constraint | None:
        """The form of the answer that ``response_format`` asks for.

        Raises:
            InvalidRequestError: it is unknown, or has no schema.
        """
        form = self.response_format or {"type": "text"}
        check_form(form)
        match form.get("type"):
            case "text":
                return None
            case "json_object":
                return Constraint.json_schema({"type": "object"})
            case "json_schema":
                described = form.get("json_schema")
                schema = described.get("schema") if isinstance(described, dict) else None
                if not isinstance(schema, dict):
                    raise InvalidRequestError(
                        "response_format.json_schema.schema must be an object, the schema",
                        "response_format.json_schema.schema",
                    )
                return Constraint.json_schema(schema)
        raise InvalidRequestError(
            f"response_format.type must be 'text', 'json_object' or 'json_schema', got {form.get('type')!r}",
            "response_format.type",
        )

    def thinking(self) -> Thinking:
        """Whether to think, from ``enable_thinking``, ``chat_template_kwargs`` and ``reasoning_effort``.

        Raises:
            InvalidRequestError: they contradict each other.
        """
        wishes = {
            "enable_thinking": self.enable_thinking,
            "chat_template_kwargs": (self.chat_template_kwargs or {}).get("enable_thinking"),
            "reasoning_effort": None if self.reasoning_effort is None else self.reasoning_effort != "none",
        }
        given = {name: wish for name, wish in wishes.items() if wish is not None}
        for name, wish in given.items():
            if not isinstance(wish, bool):
                raise InvalidRequestError(f"enable_thinking must be true or false, got {wish!r}", name)
        if len(set(given.values())) > 1:
            raise InvalidRequestError(f"{' and '.join(given)} contradict each other", next(iter(given)))
        if not given:
            return "adaptive"
        return "think" if next(iter(given.values())) else "no_think"

    def template_variables(self) -> JSONObject:
        """Variables for the chat template, beyond those that ``thinking`` stands for."""
        variables = {k: v for k, v in (self.chat_template_kwargs or {}).items() if k != "enable_thinking"}
        if self.reasoning_effort not in (None, "none"):
            variables.setdefault("reasoning_effort", self.reasoning_effort)
        return variables


def _object(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _function_name(tool: object) -> str | None:
    name = _object(_object(tool).get("function")).get("name")
    return name if isinstance(name, str) else None
