"""A model to talk to: :class:`LLM` for threads, :class:`AsyncLLM` for event loops.

Owns the waiting for outputs and that a generation is cancelled when nobody wants it any more. What the two
have in common is :class:`~candlewick.chat.conversation_model.ConversationModel` and
:class:`~candlewick.chat.turn.Turn`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from candlewick.chat.answer import ChatAnswer, Completion, fold_events
from candlewick.chat.answer_grammar import ToolChoice
from candlewick.chat.conversation_model import ConversationModel, Messages, Tools
from candlewick.chat.embeddings import Embeddings, embedding_prompts, embedding_usage
from candlewick.chat.events import Event
from candlewick.chat.reasoning import ThinkingMode
from candlewick.chat.transcript import Transcript
from candlewick.chat.turn import Turn, token_logprob
from candlewick.core.config import EngineConfig
from candlewick.core.constraint import Constraint
from candlewick.core.engine import ChoiceResult, Generation, InferenceEngine
from candlewick.core.errors import InvalidRequestError
from candlewick.core.model_config import Pooling
from candlewick.core.output_stream import Output
from candlewick.core.params import GenerationParams
from candlewick.core.tokenizer import Tokenizer

Progress = Callable[[str, int, int], None]


def model_name_of(reference: str | Path) -> str:
    """What a model is called unless told otherwise: its file's name, or the reference itself."""
    path = Path(reference)
    return path.stem if path.suffix == ".gguf" else str(reference)


class _Model:
    """What both faces share: an engine, and how to talk to it."""

    def __init__(
        self,
        model: str | Path = "builtin",
        *,
        chat_template: str | None = None,
        tool_format: str | None = None,
        progress: Progress | None = None,
        **engine_config: Any,
    ) -> None:
        """Load a model.

        Args:
            model: a path, ``hf:owner/repo[:file or quantisation]`` or ``builtin``.
            chat_template: Jinja source, instead of the model's own template.
            tool_format: the name of a tool-call format (see ``chat.tool_parsers``), instead of the one found.
            progress: called as ``progress(what, bytes_done, bytes_total)`` while a file is fetched and while weights
                are loaded.
            engine_config: fields of :class:`~candlewick.core.config.EngineConfig`.

        Raises:
            ModelNotFoundError: ``model`` leads nowhere.
            ModelLoadError: the file can't be used, or memory does not suffice.
            InvalidRequestError: an option is out of its range, or there is no tool-call format of this name.
        """
        engine = InferenceEngine.load(model, EngineConfig(**engine_config), progress)
        self._use(engine, model_name_of(model), chat_template, tool_format)

    @classmethod
    def from_engine(
        cls,
        engine: InferenceEngine,
        model_name: str,
        *,
        chat_template: str | None = None,
        tool_format: str | None = None,
    ) -> Self:
        """Talk to a model that runs already; the engine is owned, and closed with this.

        Args:
            engine: the model.
            model_name: what events call it.
            chat_template, tool_format: as for a model that is loaded.

        Raises:
            InvalidRequestError: there is no tool-call format of this name.
        """
        model = cls.__new__(cls)
        model._use(engine, model_name, chat_template, tool_format)
        return model

    def _use(
        self, engine: InferenceEngine, name: str, chat_template: str | None, tool_format: str | None
    ) -> None:
        self.engine = engine
        self.conversation = ConversationModel(
            engine.tokenizer, name, chat_template=chat_template, tool_format=tool_format
        )

    @property
    def model_name(self) -> str:
        """What events call the model: unless told otherwise, its file's name or the reference to it."""
        return self.conversation.name

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's own."""
        return self.engine.tokenizer

    def count_tokens(self, text: str | Messages, tools: Tools | None = None) -> int:
        """Tokens of a text (without BOS), or of the prompt for a conversation.

        Raises:
            InvalidRequestError: a message or tool is wrong, or the template refuses the conversation.
        """
        return self.conversation.count_tokens(text, tools)

    def prompt_tokens(
        self,
        messages: Messages,
        tools: Tools | None = None,
        *,
        thinking: ThinkingMode = "adaptive",
        template_variables: Mapping[str, Any] | None = None,
    ) -> list[int]:
        """The token ids of the prompt that :meth:`chat` makes of these arguments.

        Raises:
            InvalidRequestError: a message or tool is wrong, or the template refuses the conversation.
        """
        return list(self.conversation.turn(messages, None, thinking, tools, template_variables).prompt_ids)

    def _prompt_ids(self, prompt: str | Sequence[int]) -> Sequence[int]:
        return self.tokenizer.encode(prompt, add_special=True) if isinstance(prompt, str) else prompt

    def _completion(self, choice: ChoiceResult) -> Completion:
        logprobs = [token_logprob(output, self.tokenizer) for output in choice.outputs]
        found = tuple(logprob for logprob in logprobs if logprob is not None)
        return Completion(
            text=choice.text,
            token_ids=choice.token_ids,
            finish_reason=choice.finish_reason,
            usage=choice.usage,
            timings=choice.timings,
            logprobs=found or None,
        )


class LLM(_Model):
    """A model to talk to from ordinary code, in any number of threads.

    ::

        with LLM("model.gguf") as llm:
            for event in llm.chat([{"role": "user", "content": "Hello"}]):
                ...

    Closing an iterator, or dropping it, cancels its generation.
    """

    def chat(
        self,
        messages: Messages,
        *,
        params: GenerationParams | None = None,
        thinking: ThinkingMode = "adaptive",
        tools: Tools | None = None,
        template_variables: Mapping[str, Any] | None = None,
        transcript: Transcript | None = None,
        tool_choice: str = "auto",
        parallel_tool_calls: bool = True,
        constraint: Constraint | None = None,
    ) -> Generator[Event, None, None]:
        """Answer a conversation, event by event; see :mod:`candlewick.chat.events` for their order.

        Args:
            messages: the conversation so far, as values or as OpenAI's dictionaries.
            params: how to draw, and for how long; ``None``: the defaults.
            thinking: ``think`` and ``no_think`` set the template's switch, ``adaptive`` leaves it alone.
            tools: functions that the model may call.
            template_variables: further variables for the chat template, plain JSON values.
            transcript: the tokens of an earlier turn of the conversation, to go on from.
            tool_choice: ``auto``; ``none``: no call; ``required``: at least one; or the name of the tool to call.
                Calls that are forced follow their tool's schema, and so do those of strict tools; others where that
                can be had (:attr:`Tool.strict`).
            parallel_tool_calls: whether there may be several calls.
            constraint: the form of the answer's text; the same as ``params.constraint``, so give one of them.
                Thinking comes first; if there are tools, an answer may be calls instead.

        Raises:
            InvalidRequestError: the request is wrong; at once, or with the first event where the engine says so.
            EngineOverloaded, EngineClosed, EngineFailed: the engine can't serve; with the first event.

        What fails after the first event is not raised: it is an ``Error`` event, the last of its choice.
        """
        turn = self.conversation.turn(
            messages,
            _with_constraint(params, constraint),
            thinking,
            tools,
            template_variables,
            transcript,
            ToolChoice(tool_choice, parallel_tool_calls),
        )
        return self._events(turn)

    def answer(
        self,
        messages: Messages,
        *,
        params: GenerationParams | None = None,
        thinking: ThinkingMode = "adaptive",
        tools: Tools | None = None,
        template_variables: Mapping[str, Any] | None = None,
        transcript: Transcript | None = None,
        tool_choice: str = "auto",
        parallel_tool_calls: bool = True,
        constraint: Constraint | None = None,
    ) -> ChatAnswer:
        """The whole answer at once, of the first choice; arguments and errors as for :meth:`chat`.

        Raises:
            EngineError: the answer failed midway.
        """
        return fold_events(
            self.chat(
                messages,
                params=params,
                thinking=thinking,
                tools=tools,
                template_variables=template_variables,
                transcript=transcript,
                tool_choice=tool_choice,
                parallel_tool_calls=parallel_tool_calls,
                constraint=constraint,
            )
        )

    def complete(self, prompt: str | Sequence[int], params: GenerationParams | None = None) -> Completion:
        """Continue a prompt as it is, without a template. Control tokens can be given as ids only.

        Raises:
            InvalidRequestError: the prompt is empty or too long, or more than one choice is asked for.
            EngineError: the engine can't serve, or failed midway.
        """
        _require_one_choice(params)
        with self.engine.submit(self._prompt_ids(prompt), params) as generation:
            return self._completion(generation.result()[0])

    def stream_complete(
        self, prompt: str | Sequence[int], params: GenerationParams | None = None
    ) -> Generator[Output, None, None]:
        """Continue a prompt, token by token, with any number of choices, which come interleaved.

        Raises:
            InvalidRequestError: the prompt is empty or too long; with the first token.
            EngineError: the engine can't serve, or failed midway.
        """
        with self.engine.submit(self._prompt_ids(prompt), params) as generation:
            yield from generation

    def embed(
        self, texts: Sequence[str], *, pooling: Pooling | None = None, normalize: bool = True
    ) -> Embeddings:
        """A vector of each text; see :meth:`InferenceEngine.submit_embedding`.

        Raises:
            InvalidRequestError: a text is empty or too long, or the model gives no vectors.
            EngineError: the engine can't serve, or failed midway.
        """
        prompts = embedding_prompts(texts, self.tokenizer)
        vectors = self.engine.embed(prompts, pooling=pooling, normalize=normalize)
        return Embeddings(vectors, embedding_usage(prompts))

    def close(self) -> None:
        """Stop all answers and free the model."""
        self.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _events(self, turn: Turn) -> Generator[Event, None, None]:
        with self.engine.submit(turn.prompt_ids, turn.params) as generation:
            yield from turn.begin()
            outputs = iter(generation)
            while True:
                try:
                    output = next(outputs)
                except StopIteration:
                    return
                except Exception as error:
                    yield from turn.fail(error)
                    return
                yield from turn.accept(output)


class AsyncLLM(_Model):
    """A model to talk to from an event loop; everything as in :class:`LLM`.

    Cancelling a task that reads an answer cancels the generation. Prompts are made in a thread, so the loop
    stays free.
    """

    async def chat(
        self,
        messages: Messages,
        *,
        params: GenerationParams | None = None,
        thinking: ThinkingMode = "adaptive",
        tools: Tools | None = None,
        template_variables: Mapping[str, Any] | None = None,
        transcript: Transcript | None = None,
        tool_choice: str = "auto",
        parallel_tool_calls: bool = True,
        constraint: Constraint | None = None,
    ) -> AsyncGenerator[Event, None]:
        """As :meth:`LLM.chat`; all errors of the request come with the first event."""
        turn = await asyncio.to_thread(
            self.conversation.turn,
            messages,
            _with_constraint(params, constraint),
            thinking,
            tools,
            template_variables,
            transcript,
            ToolChoice(tool_choice, parallel_tool_calls),
        )
        async with await self._submit(turn.prompt_ids, turn.params) as generation:
            for event in turn.begin():
                yield event
            outputs = aiter(generation)
            while True:
                try:
                    output = await anext(outputs)
                except StopAsyncIteration:
                    return
                except Exception as error:
                    for event in turn.fail(error):
                        yield event
                    return
                for event in turn.accept(output):
                    yield event

    async def answer(
        self,
        messages: Messages,
        *,
        params: GenerationParams | None = None,
        thinking: ThinkingMode = "adaptive",
        tools: Tools | None = None,
        template_variables: Mapping[str, Any] | None = None,
        transcript: Transcript | None = None,
        tool_choice: str = "auto",
        parallel_tool_calls: bool = True,
        constraint: Constraint | None = None,
    ) -> ChatAnswer:
        """As :meth:`LLM.answer`."""
        events = self.chat(
            messages,
            params=params,
            thinking=thinking,
            tools=tools,
            template_variables=template_variables,
            transcript=transcript,
            tool_choice=tool_choice,
            parallel_tool_calls=parallel_tool_calls,
            constraint=constraint,
        )
        return fold_events([event async for event in events])

    async def complete(
        self, prompt: str | Sequence[int], params: GenerationParams | None = None
    ) -> Completion:
        """As :meth:`LLM.complete`."""
        _require_one_choice(params)
        prompt_ids = await asyncio.to_thread(self._prompt_ids, prompt)
        async with await self._submit(prompt_ids, params) as generation:
            return self._completion((await generation)[0])

    async def stream_complete(
        self, prompt: str | Sequence[int], params: GenerationParams | None = None
    ) -> AsyncGenerator[Output, None]:
        """As :meth:`LLM.stream_complete`."""
        prompt_ids = await asyncio.to_thread(self._prompt_ids, prompt)
        async with await self._submit(prompt_ids, params) as generation:
            async for output in generation:
                yield output

    async def embed(
        self, texts: Sequence[str], *, pooling: Pooling | None = None, normalize: bool = True
    ) -> Embeddings:
        """As :meth:`LLM.embed`."""
        prompts = await asyncio.to_thread(embedding_prompts, texts, self.tokenizer)
        future = self.engine.submit_embedding(prompts, pooling=pooling, normalize=normalize)
        return Embeddings(await asyncio.wrap_future(future), embedding_usage(prompts))

    async def _submit(self, prompt_ids: Sequence[int], params: GenerationParams | None) -> Generation:
        if params is None or params.constraint is None:
            return self.engine.submit(prompt_ids, params)
        return await asyncio.to_thread(self.engine.submit, prompt_ids, params)

    async def close(self) -> None:
        """Stop all answers and free the model."""
        await self.engine.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()


def _with_constraint(
    params: GenerationParams | None, constraint: Constraint | None
) -> GenerationParams | None:
    if constraint is None:
        return params
    if params is not None and params.constraint is not None:
        raise InvalidRequestError("constraint is given twice, once in params; give it once", "constraint")
    return replace(params or GenerationParams(), constraint=constraint)


def _require_one_choice(params: GenerationParams | None) -> None:
    if params is not None and params.n != 1:
        raise InvalidRequestError(
            f"n must be 1 for a whole completion, got {params.n}; read several choices from stream_complete",
            "n",
        )
