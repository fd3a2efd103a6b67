"""The response object: every key that the specification wants, from the request and what came of it.

Source: ``openai.types.responses.Response`` and the published specification, in which every key is required.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Literal

from candlewick.core.params import GenerationParams
from candlewick.core.usage import Usage
from candlewick.responses.wire.ids import new_id
from candlewick.responses.wire.items import Item
from candlewick.responses.wire.request import ResponseRequest
from candlewick.responses.wire.tool_definitions import ToolRequest

Status = Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]
FINAL: tuple[Status, ...] = ("completed", "incomplete", "failed", "cancelled")


@dataclass
class ResponseState:
    """A response as it grows; :meth:`to_json` is what clients see at any moment.

    ``fields`` are those that never change, as :func:`settled_fields` makes them.
    """

    fields: dict[str, Any]
    status: Status = "in_progress"
    output: list[Item] = field(default_factory=list)
    error: dict[str, Any] | None = None
    incomplete_reason: str | None = None
    usage: Usage | None = None
    completed_at: int | None = None

    @property
    def id(self) -> str:
        return str(self.fields["id"])

    @property
    def is_final(self) -> bool:
        return self.status in FINAL

    def finish(self, status: Status) -> None:
        self.status = status
        if status == "completed":
            self.completed_at = int(time.time())

    def to_json(self) -> dict[str, Any]:
        return {
            **self.fields,
            "status": self.status,
            "completed_at": self.completed_at,
            "error": self.error,
            "incomplete_details": None
            if self.incomplete_reason is None
            else {"reason": self.incomplete_reason},
            "output": list(self.output),
            "usage": None if self.usage is None else usage_to_json(self.usage),
        }


def settled_fields(request: ResponseRequest, tools: ToolRequest, model: str) -> dict[str, Any]:
    """The fields of the response that are known from its request."""
    params = request.generation_params()
    reasoning, text = request.reasoning, request.text
    return {
        "id": new_id("response"),
        "object": "response",
        "created_at": int(time.time()),
        "background": bool(request.background),
        "conversation": None if request.conversation_id is None else {"id": request.conversation_id},
        "instructions": request.instructions,
        "max_output_tokens": request.max_output_tokens,
        "max_tool_calls": request.max_tool_calls,
        "metadata": request.metadata or {},
        "model": model,
        "parallel_tool_calls": request.parallel_tool_calls is not False,
        "previous_response_id": request.previous_response_id,
        "prompt_cache_key": request.prompt_cache_key,
        "reasoning": {
            "effort": reasoning.effort if reasoning else None,
            "summary": (reasoning.summary or reasoning.generate_summary) if reasoning else None,
        },
        "safety_identifier": request.safety_identifier,
        "service_tier": "default",
        "store": request.is_stored,
        "text": _text_config(text.format if text else None, text.verbosity if text else None),
        "tool_choice": tools.choice_echo,
        "tools": list(tools.echo),
        "truncation": request.truncation or "disabled",
        "user": request.user,
        "top_logprobs": request.top_logprobs or 0,
        **_sampling(params),
    }


def usage_to_json(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total_tokens,
    }


def _sampling(params: GenerationParams) -> dict[str, float]:
    """What the sampler really uses, defaults included."""
    return {
        "temperature": params.temperature,
        "top_p": params.top_p,
        "presence_penalty": params.presence_penalty,
        "frequency_penalty": params.frequency_penalty,
    }


def _text_config(text_format: dict[str, Any] | None, verbosity: str | None) -> dict[str, Any]:
    shown = dict(text_format or {"type": "text"})
    if shown["type"] == "json_schema":
        shown = {"description": None, "strict": False} | {k: v for k, v in shown.items() if v is not None}
    return {"format": shown, "verbosity": verbosity or "medium"}
