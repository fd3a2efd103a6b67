"""What a model needs besides its engine to hold a conversation: template, reasoning markers, tool-call
format.

Owns the finding of these and the making of turns from messages. Refuses to know how answers are waited for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from candlewick.chat.addressed_parser import AddressedParser
from candlewick.chat.answer_grammar import ANY_CALLS, ToolChoice, answer_constraint
from candlewick.chat.messages import Message, Tool, parse_messages, parse_tools
from candlewick.chat.parser import OutputParser
from candlewick.chat.reasoning import ReasoningFormat, ThinkingMode, find_reasoning, template_switch
from candlewick.chat.template import CHATML, ChatTemplate
from candlewick.chat.tool_parsers import TOOL_FORMATS, ToolFormat, find_tool_format, tool_format_named
from candlewick.chat.transcript import Transcript, continue_transcript
from candlewick.chat.turn import AnswerParser, Turn
from candlewick.chat.user_text import Segments
from candlewick.core.errors import InvalidRequestError
from candlewick.core.params import GenerationParams
from candlewick.core.tokenizer import Tokenizer

Messages = Sequence[Message | Mapping[str, Any]]
Tools = Sequence[Tool | Mapping[str, Any]]

BANNED = -1e9
"""A bias by which a token is never drawn."""
_CHATML_END = "<|im_end|>"
_TOOL_TEMPLATE = "tool_use"
"""The name under which some models bring a second template, for requests with tools."""


class ConversationModel:
    """The conversational side of one model.

    Args:
        tokenizer: the model's own.
        name: what events call the model.
        chat_template: a template instead of the model's own.
        tool_format: the name of a tool-call format instead of the one found.

    Raises:
        InvalidRequestError: there is no tool-call format of this name.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        name: str,
        *,
        chat_template: str | None = None,
        tool_format: str | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.name = name
        self._given_template = chat_template
        self._given_format = tool_format_named(tool_format) if tool_format is not None else None

    @cached_property
    def template(self) -> ChatTemplate:
        """The chat template: the given one, the model's own, or ChatML.

        Raises:
            TemplateError: it is broken.
        """
        source = self._given_template if self._given_template is not None else self.tokenizer.chat_template
        return (
            self._new_template(CHATML, "chatml")
            if source is None
            else self._new_template(source, "chat_template")
        )

    @cached_property
    def tool_template(self) -> ChatTemplate:
        """The template for requests with tools: the model's ``tool_use`` variant if it has one."""
        variants = self.tokenizer.chat_template_variants
        if self._given_template is None and _TOOL_TEMPLATE in variants:
            return self._new_template(variants[_TOOL_TEMPLATE], f"chat_template.{_TOOL_TEMPLATE}")
        return self.template

    @cached_property
    def reasoning(self) -> ReasoningFormat | None:
        """The model's thinking markers."""
        return find_reasoning(self.template.source, self._has_token)

    @cached_property
    def tool_formats(self) -> tuple[ToolFormat, ...]:
        """How the model may call tools: as it was taught, and as the prompt says where the template says
        nothing.
        """
        if self._given_format is not None:
            return (self._given_format,)
        found = find_tool_format(self.tool_template.source, self._has_token)
        told = TOOL_FORMATS["hermes"]
        return (found,) if self.tool_template.capabilities.tools or found is told else (told, found)

    def turn(
        self,
        messages: Messages,
        params: GenerationParams | None,
        thinking: ThinkingMode,
        tools: Tools | None,
        template_variables: Mapping[str, Any] | None,
        transcript: Transcript | None = None,
        tool_choice: ToolChoice = ANY_CALLS,
    ) -> Turn:
        """Make a turn.

        Raises:
            InvalidRequestError: a message, a tool or an option is wrong, the template refuses the
            conversation, or the answer can't be bound to what is asked for.
        """
        parsed_tools = parse_tools(tools)
        params = params or GenerationParams()
        if tool_choice.mode == "none":
            # A model that does not know of the tools has no reason to call them; what calls begin with is banned,
            # because earlier calls of the conversation may be reason enough.
            params = self._without_calls(params)
            parsed_tools = []
        messages = parse_messages(messages)
        segments, reasoning = self._prompt(messages, thinking, parsed_tools, template_variables or {})
        params = replace(
            params,
            constraint=answer_constraint(
                self.tokenizer,
                reasoning=None if thinking == "no_think" else reasoning,
                tool_format=self.tool_formats[0],
                tools=parsed_tools,
                tool_choice=tool_choice,
                constraint=params.constraint,
                max_thinking_tokens=params.max_thinking_tokens,
            ),
            max_thinking_tokens=None,
        )
        if self.template.source == CHATML and not self._has_token(_CHATML_END):
            params = replace(params, stop=(*params.stop, _CHATML_END))
        parsers = [self._new_parser(reasoning, parsed_tools, choice) for choice in range(params.n)]
        prompt_ids = None
        if transcript is not None:
            past = None
            if transcript.keeps_thinking:
                said = messages[: transcript.num_messages]
                past = self._render(said, thinking, parsed_tools, template_variables or {}, is_whole=True)
            prompt_ids = continue_transcript(self.tokenizer, transcript, segments, past)
        if prompt_ids is None:
            prompt_ids = self.tokenizer.encode_segments(segments)
        return Turn(
            prompt_ids, params, parsers, self.tokenizer, self.name, parallel_calls=tool_choice.parallel
        )

    def count_tokens(self, text: str | Messages, tools: Tools | None = None) -> int:
        """Tokens of a text, or of the prompt for a conversation."""
        if isinstance(text, str):
            return len(self.tokenizer.encode(text))
        segments, _ = self._prompt(text, "adaptive", parse_tools(tools), {})
        return len(self.tokenizer.encode_segments(segments))

    def _without_calls(self, params: GenerationParams) -> GenerationParams:
        ids = [self.tokenizer.id_of(marker) for form in self.tool_formats for marker in form.markers]
        banned = {token_id: BANNED for token_id in ids if token_id is not None}
        return replace(params, logit_bias={**params.logit_bias, **banned})

    def _new_parser(
        self, reasoning: ReasoningFormat | None, tools: Sequence[Tool], choice: int
    ) -> AnswerParser:
        taught = self.tool_formats[-1]
        if taught.addressing is not None:
            return AddressedParser(taught, tools=tools, id_of=self.tokenizer.id_of, choice=choice)
        return OutputParser(
            reasoning=reasoning,
            tool_formats=self.tool_formats if tools else (),
            tools=tools,
            id_of=self.tokenizer.id_of,
            choice=choice,
        )

    def _prompt(
        self,
        messages: Messages,
        thinking: ThinkingMode,
        tools: Sequence[Tool],
        template_variables: Mapping[str, Any],
    ) -> tuple[Segments, ReasoningFormat | None]:
        segments = self._render(messages, thinking, tools, template_variables)
        reasoning = self.reasoning
        if reasoning is not None:
            text, is_trusted = segments[-1] if segments else ("", True)
            reasoning = reasoning.after_prompt(text if is_trusted else "")
            if reasoning.starts_open and thinking == "no_think":
                # The template has no switch of its own: close what it opened.
                segments = [*segments, (f"\n{reasoning.end}\n\n", True)]
                reasoning = replace(reasoning, starts_open=False)
        return segments, reasoning

    def _render(
        self,
        messages: Messages,
        thinking: ThinkingMode,
        tools: Sequence[Tool],
        template_variables: Mapping[str, Any],
        *,
        is_whole: bool = False,
    ) -> Segments:
        """The conversation by the template, with the beginning of an answer unless it ``is_whole``."""
        variables = dict(template_variables)
        switch = template_switch(thinking)
        given_switch = variables.pop("enable_thinking", None)
        if given_switch is not None and not isinstance(given_switch, bool):
            raise InvalidRequestError(
                f"enable_thinking must be true or false, got {given_switch!r}", "template_variables"
            )
        return (self.tool_template if tools else self.template).render(
            parse_messages(messages),
            tools=tools,
            enable_thinking=given_switch if switch is None else switch,
            add_generation_prompt=not is_whole,
            variables=variables,
        )

    def _new_template(self, source: str, name: str) -> ChatTemplate:
        tokenizer = self.tokenizer
        return ChatTemplate(
            source,
            control_tokens=list(tokenizer.markers),
            bos_token="" if tokenizer.bos_id is None else self._text_of(tokenizer.bos_id),
            eos_token="" if tokenizer.eos_id is None else self._text_of(tokenizer.eos_id),
            name=name,
        )

    def _text_of(self, token_id: int) -> str:
        return self.tokenizer.token_bytes(token_id).decode("utf-8", "replace")

    def _has_token(self, text: str) -> bool:
        return self.tokenizer.id_of(text) is not None
