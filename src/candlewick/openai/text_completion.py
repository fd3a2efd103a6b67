"""Completions: prompts continued as they are, without a template.

Owns the request and its rendering, plain and in chunks. Knows no HTTP. Source: OpenAI's Completions reference
(``openai.types.completion_create_params``).
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal, Protocol, runtime_checkable

from pydantic import Field
from typing_extensions import TypedDict

from candlewick.chat.turn import token_logprob
from candlewick.core.errors import EngineClosed, InvalidRequestError
from candlewick.core.output_stream import Output
from candlewick.core.params import MAX_TOP_LOGPROBS, GenerationParams
from candlewick.core.tokenizer import Tokenizer
from candlewick.openai.completion import Heading, UsageSum
from candlewick.openai.merged import merged
from candlewick.openai.sampling import SamplingRequest, StreamOptions
from candlewick.openai.types import CompletionUsage

MAX_PROMPTS = 256
_DEFAULT_MAX_TOKENS = 16  # the protocol's own


class TextCompletionRequest(SamplingRequest):
    """One request as it came over the wire, its types checked; make it by :meth:`parse`."""

    refused: ClassVar[Mapping[str, str]] = {"suffix": "no text is put between a prompt and a suffix"}
    harmless: ClassVar[frozenset[str]] = frozenset({"user"})

    model: str
    prompt: str | list[str] | list[int] | list[list[int]]
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    best_of: Annotated[int, Field(ge=1)] | None = None
    """Only as many as are asked for: answers are not ranked."""
    echo: bool | None = None
    logprobs: Annotated[int, Field(ge=0, le=MAX_TOP_LOGPROBS)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: str | None = None

    def check(self) -> None:
        if not 1 <= len(self.prompts()) <= MAX_PROMPTS:
            raise InvalidRequestError(
                f"prompt must be one prompt or 1 to {MAX_PROMPTS} of them, got {len(self.prompts())}",
                "prompt",
            )
        if not all(self.prompts()):
            raise InvalidRequestError("prompt must not be empty: there is nothing to continue", "prompt")
        if self.stream_options is not None and not self.stream:
            raise InvalidRequestError("stream_options needs 'stream': true", "stream_options")
        if self.best_of not in (None, self.n or 1):
            raise InvalidRequestError(
                f"best_of must be n ({self.n or 1}), got {self.best_of}: answers are not ranked", "best_of"
            )
        if self.echo and self.logprobs is not None:
            raise InvalidRequestError(
                "echo and logprobs can't be had together: prompts' log-probabilities are not computed", "echo"
            )
        self.generation_params()

    def prompts(self) -> list[str] | list[list[int]]:
        """Every prompt, as text or as token ids."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        if self.prompt and isinstance(self.prompt[0], int):
            return [self.prompt]
        return self.prompt  # type: ignore[return-value]

    def generation_params(self) -> GenerationParams:
        """What the sampler is asked for.

        Raises:
            InvalidRequestError: a value is out of its range.
        """
        return self.sampling(max_tokens=self.max_tokens or _DEFAULT_MAX_TOKENS, logprobs=self.logprobs)


class TextLogprobs(TypedDict):
    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]
    text_offset: list[int]


class TextChoice(TypedDict):
    index: int
    text: str
    logprobs: TextLogprobs | None
    finish_reason: Literal["stop", "length"] | None


class TextCompletion(TypedDict, total=False):
    """A plain answer or, with the same fields, one chunk of a stream."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[TextChoice]
    usage: CompletionUsage | None
    """In a stream only when ``stream_options.include_usage`` asks for it: null but for the last chunk."""


@runtime_checkable
class TextModel(Protocol):
    """What completions need of :class:`~candlewick.chat.llm.AsyncLLM`."""

    @property
    def tokenizer(self) -> Tokenizer: ...

    def stream_complete(
        self, prompt: str | Sequence[int], params: GenerationParams | None = None
    ) -> AsyncGenerator[Output, None]: ...


class TextWriter:
    """Renders outputs as choices, each a piece of its answer."""

    def __init__(self, tokenizer: Tokenizer, num_choices: int) -> None:
        self._tokenizer = tokenizer
        self._num_choices = num_choices
        self._offsets: dict[int, int] = {}
        self._usage: dict[int, UsageSum] = {}

    def echo(self, prompts: Sequence[str | Sequence[int]]) -> list[TextChoice]:
        """The prompts as the beginnings of their answers."""
        choices: list[TextChoice] = []
        for place, prompt in enumerate(prompts):
            text = prompt if isinstance(prompt, str) else self._tokenizer.decode(prompt)
            for choice in range(self._num_choices):
                index = place * self._num_choices + choice
                choices.append({"index": index, "text": text, "logprobs": None, "finish_reason": None})
        return choices

    def write(self, place: int, output: Output) -> TextChoice | None:
        """What an output of the prompt number ``place`` adds; ``None`` if that is nothing to tell.

        Raises:
            EngineClosed: somebody other than the client cancelled the answer.
        """
        if output.finish_reason == "cancelled":
            raise EngineClosed("the answer was cancelled before it was complete; send the request again")
        if output.usage is not None:
            self._usage.setdefault(place, UsageSum()).add(output.usage)
        index = place * self._num_choices + output.index
        logprobs = self._logprobs(index, output)
        if not (output.text or logprobs or output.finish_reason):
            return None
        return {
            "index": index,
            "text": output.text,
            "logprobs": logprobs,
            "finish_reason": output.finish_reason,
        }

    def usage(self) -> CompletionUsage:
        """Over all prompts and choices."""
        return UsageSum.total(self._usage.values())

    def _logprobs(self, index: int, output: Output) -> TextLogprobs | None:
        logprob = token_logprob(output, self._tokenizer)
        if logprob is None:
            return None
        offset = self._offsets.get(index, 0)
        self._offsets[index] = offset + len(logprob.text)
        return {
            "tokens": [logprob.text],
            "token_logprobs": [logprob.logprob],
            "top_logprobs": [{other.text: other.logprob for other in logprob.top}],
            "text_offset": [offset],
        }


@dataclass
class _Answer:
    """One choice as it grows."""

    text: list[str] = field(default_factory=list)
    logprobs: TextLogprobs | None = None
    finish_reason: Literal["stop", "length"] | None = None

    def add(self, piece: TextChoice) -> None:
        self.text.append(piece["text"])
        self.finish_reason = piece["finish_reason"] or self.finish_reason
        if (more := piece["logprobs"]) is None:
            return
        if self.logprobs is None:
            self.logprobs = {"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []}
        self.logprobs["tokens"] += more["tokens"]
        self.logprobs["token_logprobs"] += more["token_logprobs"]
        self.logprobs["top_logprobs"] += more["top_logprobs"]
        self.logprobs["text_offset"] += more["text_offset"]


async def text_completion(llm: TextModel, request: TextCompletionRequest, heading: Heading) -> TextCompletion:
    """The whole answer; cancelling the task stops the generation.

    Raises:
        InvalidRequestError: a prompt is too long, or a token id is none.
        EngineError: the engine can't serve at present.
    """
    answers: dict[int, _Answer] = {}
    writer = TextWriter(llm.tokenizer, request.n or 1)
    async with aclosing(_pieces(llm, request, writer)) as pieces:
        async for piece in pieces:
            answers.setdefault(piece["index"], _Answer()).add(piece)
    choices: list[TextChoice] = [
        {
            "index": index,
            "text": "".join(answer.text),
            "logprobs": answer.logprobs,
            "finish_reason": answer.finish_reason,
        }
        for index, answer in sorted(answers.items())
    ]
    return {**_envelope(heading, choices), "usage": writer.usage()}


async def text_completion_chunks(
    llm: TextModel, request: TextCompletionRequest, heading: Heading
) -> AsyncGenerator[TextCompletion, None]:
    """The answer in chunks; closing the generator, or cancelling the task in it, stops the generation."""
    writer = TextWriter(llm.tokenizer, request.n or 1)
    wants_usage = request.stream_options is not None and request.stream_options.include_usage
    async with aclosing(_pieces(llm, request, writer)) as pieces:
        async for piece in pieces:
            chunk = _envelope(heading, [piece])
            if wants_usage:
                chunk["usage"] = None
            yield chunk
    if wants_usage:
        yield {**_envelope(heading, []), "usage": writer.usage()}


def new_heading(model: str, fingerprint: str) -> Heading:
    """What the objects of one answer repeat."""
    return Heading(model, fingerprint, f"cmpl-{uuid.uuid4().hex}", int(time.time()))


async def _pieces(
    llm: TextModel, request: TextCompletionRequest, writer: TextWriter
) -> AsyncGenerator[TextChoice, None]:
    prompts = request.prompts()
    if request.echo:
        for choice in await asyncio.to_thread(writer.echo, prompts):
            yield choice
    params = request.generation_params()
    streams = [llm.stream_complete(prompt, params) for prompt in prompts]
    async with aclosing(merged(streams)) as outputs:
        async for place, output in outputs:
            piece = writer.write(place, output)
            if piece is not None:
                yield piece


def _envelope(heading: Heading, choices: list[TextChoice]) -> TextCompletion:
    return {
        "id": heading.id,
        "object": "text_completion",
        "created": heading.created,
        "model": heading.model,
        "system_fingerprint": heading.system_fingerprint,
        "choices": choices,
    }
