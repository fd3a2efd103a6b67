"""``POST /v1/events/chat``: our own typed events as server-sent events, each under its own name."""

from __future__ import annotations

from contextlib import aclosing
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from candlewick.chat.events import Error
from candlewick.core.constraint import Constraint
from candlewick.core.errors import InvalidRequestError
from candlewick.core.params import GenerationParams
from candlewick.openai.errors import error_reply
from candlewick.openai.fields import parse_fields
from candlewick.openai.request import Thinking
from candlewick.openai.sampling import token_biases
from candlewick.openai.types import JSONObject
from candlewick.server.json_body import read_json_object
from candlewick.server.model_registry import ModelRegistry
from candlewick.server.openapi import json_body
from candlewick.server.services import Services
from candlewick.server.sse import EventStream, Frames, frame


class SamplingFields(BaseModel):
    """The fields of :class:`~candlewick.core.params.GenerationParams`; those left out keep its defaults."""

    model_config = ConfigDict(extra="forbid", strict=True)

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    stop: list[str] | None = None
    stop_token_ids: list[int] | None = None
    ignore_eos: bool | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: int | None = None
    seed: int | None = None
    n: int | None = None
    max_thinking_tokens: int | None = None

    def to_params(self) -> GenerationParams:
        given: dict[str, Any] = self.model_dump(exclude_none=True)
        for name in ("stop", "stop_token_ids"):
            if name in given:
                given[name] = tuple(given[name])
        if self.logit_bias is not None:
            given["logit_bias"] = token_biases(self.logit_bias)
        return GenerationParams(**given)


class EventsRequest(BaseModel):
    """What :meth:`candlewick.chat.llm.AsyncLLM.chat` takes, and the model's name where there are several."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: str | None = None

    messages: Annotated[list[JSONObject], Field(min_length=1)]
    tools: list[JSONObject] | None = None
    thinking: Thinking = "adaptive"
    params: SamplingFields = SamplingFields()
    template_variables: JSONObject | None = None
    tool_choice: str = "auto"
    parallel_tool_calls: bool = True
    json_schema: JSONObject | None = None
    """The form of the answer's text; ``regex`` and ``choice`` are others. One of the three at most."""
    regex: str | None = None
    choice: list[str] | None = None

    def constraint(self) -> Constraint | None:
        """The form that was asked for.

        Raises:
            InvalidRequestError: there are several.
        """
        made: list[Constraint] = []
        if self.json_schema is not None:
            made.append(Constraint.json_schema(self.json_schema))
        if self.regex is not None:
            made.append(Constraint.regex(self.regex))
        if self.choice is not None:
            made.append(Constraint.choice(self.choice))
        if len(made) > 1:
            raise InvalidRequestError("give one of json_schema, regex and choice", "json_schema")
        return made[0] if made else None


def routes(services: Services) -> APIRouter:
    router = APIRouter(tags=["events"])

    @router.post(
        "/events/chat",
        responses={200: {"description": "The events.", "content": {"text/event-stream": {}}}},
        response_class=Response,
        openapi_extra=json_body(EventsRequest),
    )
    async def chat_events(request: Request) -> Response:
        """One answer as typed events: start, thinking, text, tool calls, complete or error."""
        fields = await read_json_object(request, services.config.max_body_bytes)
        body = parse_fields(EventsRequest, fields)
        return await EventStream.begin(request, _frames(services.models, body), _error_frame)

    return router


async def _frames(models: ModelRegistry, body: EventsRequest) -> Frames:
    async with models.using(body.model) as model:
        answer = model.llm.chat(
            body.messages,
            params=body.params.to_params(),
            thinking=body.thinking,
            tools=body.tools,
            template_variables=body.template_variables,
            tool_choice=body.tool_choice,
            parallel_tool_calls=body.parallel_tool_calls,
            constraint=body.constraint(),
        )
        async with aclosing(answer) as events:
            async for event in events:
                yield frame(event.to_json(), event.sse_name)


def _error_frame(error: Exception) -> bytes:
    event = Error(error_reply(error).body["error"]["message"], type(error).__name__)
    return frame(event.to_json(), event.sse_name)
