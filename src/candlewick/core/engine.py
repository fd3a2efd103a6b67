"""The inference engine: tokens in, tokens out, many requests at once on one model.

Owns the user's side: loading, validation and the handles. The work is done by
:class:`~candlewick.core.engine_thread.EngineThread`. Knows no template, no message and no wire format.
"""

from __future__ import annotations

import asyncio
import secrets
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from functools import partial
from operator import index
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, get_args

import numpy as np

from candlewick.core.batch import BLOCK_SIZE
from candlewick.core.config import EngineConfig
from candlewick.core.embedding import EmbeddingRequest, Vectors
from candlewick.core.engine_stats import EngineHealth, EngineStats
from candlewick.core.engine_thread import EngineThread
from candlewick.core.errors import ContextOverflowError, InvalidRequestError
from candlewick.core.generation import ChoiceResult, Generation
from candlewick.core.grammar import Grammar, GrammarCompiler, SleepingGrammar
from candlewick.core.kv_file import read_kv_file, write_kv_file
from candlewick.core.model_config import Pooling
from candlewick.core.output_stream import FinishReason, Output
from candlewick.core.params import GenerationParams
from candlewick.core.pending_requests import AnswerObserver
from candlewick.core.request import Request
from candlewick.core.runner_protocol import ModelRunner

if TYPE_CHECKING:
    from candlewick.core.tokenizer import Tokenizer

__all__ = [
    "ChoiceResult",
    "EngineHealth",
    "EngineStats",
    "FinishReason",
    "Generation",
    "InferenceEngine",
    "Output",
]


class InferenceEngine:
    """One model, ready to continue prompts for any number of threads and event loops.

    Make one by :meth:`load`; the constructor is for those who bring a runner of their own. Use the engine as a context
    manager, or call :meth:`close`; dropping the last reference, or leaving the program, stops it too. Several engines
    in one process work side by side.

    An engine lives in the process that made it: after ``fork`` the child must make its own (``submit`` says
    so, and so do generations begun before), under ``spawn`` each process does so anyway.

    Args:
        runner: the model; the engine owns it from here on and closes it in the end.
        tokenizer: the model's.
        config: what it says of requests, steps and the prefix cache; memory and threads are the runner's affair.
        draft_runner: a smaller model whose guesses save steps of the other one; owned in the same way.

    Raises:
        InvalidRequestError: the draft model's vocabulary has another size.
    """

    def __init__(
        self,
        runner: ModelRunner,
        tokenizer: Tokenizer,
        config: EngineConfig | None = None,
        draft_runner: ModelRunner | None = None,
    ) -> None:
        if draft_runner is not None and draft_runner.vocab_size != runner.vocab_size:
            raise InvalidRequestError(
                f"a draft model needs the vocabulary of the model: it has {draft_runner.vocab_size} tokens, not "
                f"{runner.vocab_size}",
                "draft_model",
            )
        self.config = config or EngineConfig()
        self.tokenizer = tokenizer
        self.vocab_size = runner.vocab_size
        self.hidden_size = runner.hidden_size
        """Columns of an embedding."""
        self._pooling = runner.pooling
        limits = [runner.max_context, runner.num_blocks * BLOCK_SIZE, self.config.max_context]
        self.max_context = min(limit for limit in limits if limit is not None)
        """Most tokens, prompt and answer together, of one request."""
        self._grammars = GrammarCompiler(tokenizer)
        self._thread = EngineThread(runner, tokenizer, self.config, draft_runner)
        # Only asks the thread to stop: waiting for it here could block whatever code the collector
        # interrupts.
        weakref.finalize(self, self._thread.request_stop).atexit = False

    @classmethod
    def load(
        cls,
        reference: str | Path,
        config: EngineConfig | None = None,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> Self:
        """Load the model that ``reference`` names: a path, ``hf:owner/repo[:file or quantisation]`` or
        ``builtin``.

        ``progress(what, bytes_done, bytes_total)`` is called while a file is fetched and while weights are loaded.

        Raises:
            ModelNotFoundError: the reference leads nowhere.
            ModelLoadError: the file can't be used, memory does not suffice, or the draft model has another vocabulary.
            InvalidRequestError: this CPU can't run the instruction set that is asked for.
        """
        # Here and not above: whoever brings a runner needs neither files nor the native module.
        from candlewick.core.gguf import GGUFFile
        from candlewick.core.model_source import resolve_model
        from candlewick.core.native_runner import NativeRunner
        from candlewick.core.speculation.draft_file import load_draft_runner, require_same_vocabulary
        from candlewick.core.tokenizer import Tokenizer

        config = config or EngineConfig()
        with ExitStack() as files, ExitStack() as unfinished:
            file = files.enter_context(GGUFFile.open(resolve_model(reference, progress=progress)))
            draft_file = draft_runner = None
            if config.draft_model is not None:
                draft_path = resolve_model(config.draft_model, progress=progress)
                draft_file = files.enter_context(GGUFFile.open(draft_path))
                require_same_vocabulary(draft_file, file)
            tokenizer = Tokenizer.from_metadata(file.metadata, file.path)
            runner = NativeRunner.load(file, config, progress=progress)
            # Should anything fail from here on: whoever keeps the error would keep the weights by its trace.
            unfinished.callback(runner.close)
            if draft_file is not None:
                draft_runner = load_draft_runner(draft_file, config, runner, progress)
                unfinished.callback(draft_runner.close)
            engine = cls(runner, tokenizer, config, draft_runner)
            unfinished.pop_all()
        return engine

    def submit(self, prompt_ids: Sequence[int], params: GenerationParams | None = None) -> Generation:
        """Begin to continue ``prompt_ids``; from any thread. Returns at once, but a new constraint is compiled
        first, which may take a second: an event loop should submit such a request in a thread.

        Raises:
            InvalidRequestError: the prompt is empty, a token id is outside of the vocabulary, or the constraint
                can't be followed.
            ContextOverflowError: prompt and ``max_tokens`` exceed :attr:`max_context`, and the prompt may not be
                truncated.
            EngineOverloaded: ``max_waiting`` requests wait already. The generation raises it, too, if the
                request then waits for more than ``max_queue_seconds``.
            EngineClosed, EngineFailed: the engine takes no more requests.
        """
        self._thread.require_own_process()  # and not last: the grammars have a lock, too
        params = params or GenerationParams()
        given = self._valid_prompt(prompt_ids)
        self._require_in_vocabulary(params.logit_bias, "logit_bias")
        self._require_in_vocabulary(params.stop_token_ids, "stop_token_ids")
        prompt = self._fitting_prompt(given, params)
        request = Request(
            prompt_ids=prompt,
            params=params,
            seed=secrets.randbits(64) if params.seed is None else params.seed,
            max_tokens=self._max_tokens(len(prompt), params.max_tokens),
            submitted_at=time.perf_counter(),
            num_truncated=len(given) - len(prompt),
            grammar=self._grammar(params, prompt[-1]),
        )
        self._thread.submit(request)
        cancel = partial(self._thread.cancel, request)
        return Generation(request.stream, cancel, self._thread.require_own_process, self)

    def submit_embedding(
        self, prompts: Sequence[Sequence[int]], *, pooling: Pooling | None = None, normalize: bool = True
    ) -> Future[Vectors]:
        """Begin to make a vector of each prompt; returns at once, from any thread.

        The vectors ``[n, hidden]`` are those of the last hidden states, put together as the model's file says, which
        ``pooling`` overrides: their mean (also where the file says nothing), the first or the last one. Normalised
        vectors have length 1. Texts are computed beside everything else, and a vector does not depend on what that
        is. Cancelling the future gives the work up.

        Raises:
            InvalidRequestError: a prompt is empty, a token id is outside of the vocabulary, ``pooling`` is none of
                ``mean``, ``cls`` and ``last``, or the model ranks texts instead.
            ContextOverflowError: a prompt exceeds :attr:`max_context`.
            EngineOverloaded: ``max_waiting`` requests wait already.
            EngineClosed, EngineFailed: the engine takes no more requests.
        """
        pooling = pooling or self._pooling
        if pooling is None:
            raise InvalidRequestError(
                "this model ranks texts and gives no vectors; use an embedding model, or name a pooling",
                "pooling",
            )
        if pooling not in get_args(Pooling):
            raise InvalidRequestError(
                f"pooling must be one of {', '.join(get_args(Pooling))}, got {pooling!r}", "pooling"
            )
        valid = [self._valid_prompt(prompt) for prompt in prompts]
        longest = max(map(len, valid), default=0)
        if longest > self.max_context:
            raise ContextOverflowError(
                f"a text of {longest} tokens exceeds the context of {self.max_context}; split it, or raise "
                "max_context",
                "prompts",
            )
        request = EmbeddingRequest(valid, pooling, normalize, submitted_at=time.perf_counter())
        if not valid:
            request.future.set_result(np.zeros((0, self.hidden_size), dtype=np.float32))
            return request.future
        self._thread.submit(request)
        request.future.add_done_callback(partial(_cancel_if_wanted, self._thread, request))
        return request.future

    def embed(
        self, prompts: Sequence[Sequence[int]], *, pooling: Pooling | None = None, normalize: bool = True
    ) -> Vectors:
        """:meth:`submit_embedding`, waiting for the vectors ``[n, hidden]``; errors as there."""
        return self.submit_embedding(prompts, pooling=pooling, normalize=normalize).result()

    def save_kv(self, token_ids: Sequence[int], path: str | Path) -> int:
        """Write the keys and values of the beginning of ``token_ids``, as far as it is in the cache, to a file.

        Returns how many tokens that are: whole blocks of 16; if there is none, no file is written. Another
        engine with the same weights and type of cache can :meth:`load_kv` it and needs to compute only what
        follows.

        Raises:
            InvalidRequestError: ``token_ids`` is empty, or an id is outside of the vocabulary.
            ModelLoadError: the model's file has changed since it was loaded.
            EngineClosed, EngineFailed: the engine runs no more.
            OSError: the file can't be written.
        """
        prompt = self._valid_prompt(token_ids)
        blocks = self._thread.call(lambda store: store.blocks_of(prompt))
        return BLOCK_SIZE * write_kv_file(Path(path), self._thread.prefix_store.identity, blocks)

    def load_kv(self, path: str | Path) -> int:
        """Take the keys and values of a file into the prefix cache; returns how many tokens were new to it.

        Raises:
            KvFileError: the file is damaged, or belongs to another model, version or type of cache; nothing is taken.
            ModelLoadError: the model's file has changed since it was loaded.
            EngineClosed, EngineFailed: the engine runs no more.
            OSError: the file can't be read.
        """
        store = self._thread.prefix_store
        blocks = list(read_kv_file(Path(path), store.identity, store.block_bytes))
        return BLOCK_SIZE * self._thread.call(lambda store: store.insert(blocks))

    def stats(self) -> EngineStats:
        """The numbers as of the latest step, and what happened lately.

        Raises:
            EngineClosed: this is a forked child of the process that made the engine.
        """
        return self._thread.stats()

    def observe_answers(self, observer: AnswerObserver) -> None:
        """Have ``observer`` called with the last output of every answer, and what was asked for.

        That happens in the engine's thread, so it must be quick, but in the context (``contextvars``) of whoever
        submitted the request. There may be any number of observers.
        """
        self._thread.observe_answers(observer)

    def health(self) -> EngineHealth:
        """Whether the engine takes requests and, if a step failed, the error."""
        return self._thread.health

    def close(self) -> None:
        """Stop after the step in progress and free the model; pending requests raise ``EngineClosed``.

        May be called from any thread and more than once.
        """
        self._thread.stop()

    async def aclose(self) -> None:
        """:meth:`close`, without blocking the event loop meanwhile."""
        await asyncio.to_thread(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def _grammar(self, params: GenerationParams, last_prompt_id: int) -> Grammar | SleepingGrammar | None:
        if params.max_thinking_tokens is not None:
            raise InvalidRequestError(
                "max_thinking_tokens needs a conversation (LLM.chat): a bare prompt has no thinking",
                "max_thinking_tokens",
            )
        if params.constraint is None:
            return None
        tokenizer = self.tokenizer
        drops_space = tokenizer.adds_space_prefix and tokenizer.is_marker(last_prompt_id)
        return self._grammars.compile(params.constraint, leading_space=drops_space)

    def _valid_prompt(self, prompt_ids: Sequence[int]) -> list[int]:
        try:
            prompt = [index(token_id) for token_id in prompt_ids]
        except TypeError as error:
            raise InvalidRequestError(f"prompt_ids must be integers: {error}", "prompt_ids") from None
        if not prompt:
            raise InvalidRequestError("prompt_ids is empty; give at least one token", "prompt_ids")
        self._require_in_vocabulary(prompt, "prompt_ids")
        return prompt

    def _require_in_vocabulary(self, token_ids: Iterable[int], parameter: str) -> None:
        for token_id in token_ids:
            if not 0 <= token_id < self.vocab_size:
                raise InvalidRequestError(
                    f"{parameter} has token id {token_id}; the model's go from 0 to {self.vocab_size - 1}",
                    parameter,
                )

    def _fitting_prompt(self, prompt: list[int], params: GenerationParams) -> list[int]:
        """The prompt, or what is left of it if it is too long and may be truncated."""
        wanted = 1 if params.max_tokens is None else params.max_tokens
        if params.context_overflow == "error" or len(prompt) + wanted <= self.max_context:
            return prompt
        room = self.max_context - (params.max_tokens or max(1, self.max_context // 4))
        keeps_start = prompt[0] == self.tokenizer.bos_id
        if room < 1 + keeps_start:
            return prompt  # nothing of it would be left: an overflow after all
        return [*prompt[:keeps_start], *prompt[len(prompt) - room + keeps_start :]]

    def _max_tokens(self, num_prompt_tokens: int, max_tokens: int | None) -> int:
        room = self.max_context - num_prompt_tokens
        if room < 1:
            raise ContextOverflowError(
                f"the prompt has {num_prompt_tokens} tokens and leaves no room for an answer in a context of "
                f"{self.max_context}; shorten it, or raise max_context",
                "prompt_ids",
            )
        if max_tokens is None:
            return room
        if max_tokens > room:
            raise ContextOverflowError(
                f"the prompt's {num_prompt_tokens} tokens and max_tokens={max_tokens} exceed the context of "
                f"{self.max_context}; ask for at most {room}, or raise max_context",
                "max_tokens",
            )
        return max_tokens


def _cancel_if_wanted(thread: EngineThread, request: EmbeddingRequest, future: Future[Vectors]) -> None:
    if future.cancelled():
        thread.cancel(request)
