"""The request of the Responses API: which fields there are, what each may hold, and what they mean.

Every field is honoured, known to be harmless, or refused by name. Items are read by ``items.py``, tools by
``tool_definitions.py``. Source: ``openai.types.responses.response_create_params``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from candlewick.chat.reasoning import ThinkingMode
from candlewick.core.errors import InvalidRequestError
from candlewick.core.params import MAX_TOP_LOGPROBS, GenerationParams
from candlewick.openai.fields import parse_fields
from candlewick.openai.sampling import sampling_params
from candlewick.openai.types import JSONObject
from candlewick.responses.wire.text_format import to_constraint

REFUSED_FIELDS = {
    "prompt": "there are no stored prompts",
    "moderation": "no moderation is run",
    "background_options": "background responses start at once",
    "context_management": "compact by POST /v1/responses/compact",
}
"""Fields that would change the answer and that we can't honour; ``null`` is as good as absent."""

INCLUDABLE = {
    "reasoning.encrypted_content",
    "message.output_text.logprobs",
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
}
"""All that clients may ask for; the latter are of items that never occur here."""

ShortText = Annotated[str, Field(max_length=64)]
ServiceTier = Literal["auto", "default", "flex", "scale", "priority", "fast", "ultrafast"]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
_STRICT = ConfigDict(extra="forbid", strict=True)


class StreamOptions(BaseModel):
    model_config = _STRICT

    include_obfuscation: bool | None = None
    """Accepted, without effect: it pads events against observers of the network."""


class Reasoning(BaseModel):
    model_config = _STRICT

    effort: Effort | None = None
    """``none`` switches thinking off, the others on, where a model can do both; templates are told which."""
    summary: Literal["auto", "concise", "detailed"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | None = None
    context: Literal["auto", "current_turn", "all_turns"] | None = None
    """``all_turns`` goes on from earlier answers as they were drawn, thinking included."""
    mode: Literal["standard"] | None = None


class TextConfig(BaseModel):
    model_config = _STRICT

    format: JSONObject | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class ConversationReference(BaseModel):
    model_config = _STRICT

    id: str


class InputFields(BaseModel):
    """What stands before the answer, in requests of every kind."""

    model_config = _STRICT

    model: str | None = None
    input: str | list[JSONObject] | None = None
    instructions: str | None = None
    previous_response_id: str | None = None
    conversation: str | ConversationReference | None = None
    tools: list[JSONObject] | None = None
    tool_choice: str | JSONObject | None = None
    parallel_tool_calls: bool | None = None
    reasoning: Reasoning | None = None
    text: TextConfig | None = None
    truncation: Literal["auto", "disabled"] | None = None

    @property
    def conversation_id(self) -> str | None:
        conversation = self.conversation
        return conversation.id if isinstance(conversation, ConversationReference) else conversation

    def check_input(self) -> None:
        """Refuse what the fields ask for together.

        Raises:
            InvalidRequestError: ``parameter`` names the field.
        """
        if self.conversation is not None and self.previous_response_id is not None:
            raise InvalidRequestError(
                "previous_response_id and conversation contradict each other; give one", "conversation"
            )


class ResponseRequest(InputFields):
    """One request to make a response, its types checked; make it by :meth:`parse`."""

    stream: bool | None = None
    stream_options: StreamOptions | None = None
    background: bool | None = None
    store: bool | None = None
    include: list[str] | None = None
    max_output_tokens: Annotated[int, Field(ge=1)] | None = None
    max_tool_calls: Annotated[int, Field(ge=0)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: float | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=MAX_TOP_LOGPROBS)] | None = None
    metadata: dict[str, str] | None = None

    # Our extensions, named as in Chat Completions and other servers of open models.
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    repetition_penalty: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    chat_template_kwargs: JSONObject | None = None

    # Harmless: they name, bill, place or speed up a request, and do not change its answer.
    prompt_cache_key: ShortText | None = None
    prompt_cache_options: JSONObject | None = None
    prompt_cache_retention: str | None = None
    safety_identifier: ShortText | None = None
    service_tier: ServiceTier | None = None
    user: str | None = None
    client_metadata: JSONObject | None = None
    access_programs: JSONObject | None = None
    image: JSONObject | None = None

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> ResponseRequest:
        """Check a request's fields.

        Raises:
            InvalidRequestError: a field is unknown, unsupported, contradicts another or holds a wrong value;
                ``parameter`` names it.
        """
        for name, reason in REFUSED_FIELDS.items():
            if body.get(name) is not None:
                raise InvalidRequestError(f"{name!r} is not supported: {reason}", name)
        request = parse_fields(cls, {key: body[key] for key in body if key not in REFUSED_FIELDS})
        request.check()
        return request

    def check(self) -> None:
        """As :meth:`check_input`, for all fields."""
        self.check_input()
        if self.input is None and self.previous_response_id is None and self.conversation is None:
            raise InvalidRequestError("the field 'input' is missing: what shall be answered?", "input")
        if self.background and self.store is False:
            raise InvalidRequestError("a background response has to be stored: leave 'store' out", "store")
        if self.conversation is not None and self.store is False:
            raise InvalidRequestError("what is said in a conversation is stored: leave 'store' out", "store")
        for name in self.include or ():
            if name not in INCLUDABLE:
                raise InvalidRequestError(
                    f"include can hold {', '.join(sorted(INCLUDABLE))}; got {name!r}", "include"
                )
        check_metadata(self.metadata)
        self.generation_params()

    @property
    def is_stored(self) -> bool:
        return self.store is not False

    def includes(self, name: str) -> bool:
        return name in (self.include or ())

    def generation_params(self) -> GenerationParams:
        """What the sampler is asked for; fields left out keep the library's defaults.

        Raises:
            InvalidRequestError: a value is out of its range.
        """
        wants_logprobs = self.top_logprobs is not None or self.includes("message.output_text.logprobs")
        return sampling_params(
            max_tokens=self.max_output_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            min_p=self.min_p,
            repetition_penalty=self.repetition_penalty,
            frequency_penalty=self.frequency_penalty,
            presence_penalty=self.presence_penalty,
            stop=self.stop,
            logprobs=(self.top_logprobs or 0) if wants_logprobs else None,
            constraint=to_constraint(self.text.format if self.text else None),
            seed=self.seed,
        )

    def thinking(self) -> ThinkingMode:
        """Whether to think."""
        effort = self.reasoning.effort if self.reasoning else None
        if effort is None:
            return "adaptive"
        return "no_think" if effort == "none" else "think"

    def template_variables(self) -> JSONObject | None:
        """Variables for the chat template."""
        variables = dict(self.chat_template_kwargs or {})
        effort = self.reasoning.effort if self.reasoning else None
        if effort not in (None, "none"):
            variables.setdefault("reasoning_effort", effort)
        return variables or None

    @property
    def wants_summary(self) -> bool:
        reasoning = self.reasoning
        return reasoning is not None and (reasoning.summary or reasoning.generate_summary) is not None

    @property
    def wants_reasoning_pieces(self) -> bool:
        """Whether it says something of reasoning: then its stream shows the model think."""
        reasoning = self.reasoning
        return reasoning is not None and (reasoning.effort is not None or self.wants_summary)

    @property
    def keeps_thinking(self) -> bool:
        return self.reasoning is not None and self.reasoning.context == "all_turns"


class TokenCountRequest(InputFields):
    """A request to count the tokens of an input."""

    personality: str | None = None

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> TokenCountRequest:
        """As :meth:`ResponseRequest.parse`."""
        request = parse_fields(cls, body)
        request.check_input()
        return request


class CompactRequest(BaseModel):
    """A request to compact a conversation."""

    model_config = _STRICT

    model: str
    """Unlike elsewhere it has to be named: so the specification wants it."""
    input: str | list[JSONObject] | None = None
    instructions: str | None = None
    previous_response_id: str | None = None
    prompt_cache_key: ShortText | None = None
    prompt_cache_options: JSONObject | None = None
    prompt_cache_retention: str | None = None
    service_tier: ServiceTier | None = None
    image: JSONObject | None = None

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> CompactRequest:
        """As :meth:`ResponseRequest.parse`."""
        request = parse_fields(cls, body)
        if request.input is None and request.previous_response_id is None:
            raise InvalidRequestError(
                "give 'input' or 'previous_response_id': what shall be compacted?", "input"
            )
        return request


def check_metadata(metadata: Mapping[str, str] | None) -> None:
    """Refuse more, or longer, metadata than the protocol knows.

    Raises:
        InvalidRequestError: ``parameter`` is ``metadata``.
    """
    if metadata is None:
        return
    if len(metadata) > 16:
        raise InvalidRequestError(f"metadata can hold 16 entries, got {len(metadata)}", "metadata")
    for key, value in metadata.items():
        if len(key) > 64 or len(value) > 512:
            raise InvalidRequestError(
                f"metadata holds keys of up to 64 characters and values of up to 512; {key[:64]!r} is longer",
                "metadata",
            )
