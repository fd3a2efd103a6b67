"""The thread that owns an engine's scheduler and runner and does all the work.

Others talk to it through an inbox and hear from it through output streams; it waits for nobody and sleeps
when there is nothing to do. It knows no files, no models and no handle of the user's: a handle that is
dropped must be able to stop it.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable
from collections.abc import Sequence as ReadableSequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

from candlewick.core.admission import Admission
from candlewick.core.choice import Choice, EngineTokenizer
from candlewick.core.config import EngineConfig
from candlewick.core.embedding import EmbeddingRequest, EmbeddingWork, fail
from candlewick.core.engine_stats import EngineHealth, EngineStats, StepLog
from candlewick.core.errors import EngineClosed, EngineFailed, KvFileError, ModelLoadError
from candlewick.core.guide import Allowed, Guide, MaskWriter
from candlewick.core.kv_file import read_kv_file, write_kv_file
from candlewick.core.output_stream import Output, Waiter, wake
from candlewick.core.prefix_store import PrefixStore
from candlewick.core.request import Request
from candlewick.core.runner_protocol import ModelRunner
from candlewick.core.sampling import Sample
from candlewick.core.scheduler import ScheduledChunk, Scheduler
from candlewick.core.sequence import Sequence, SequenceState
from candlewick.core.speculation.speculator import Speculator
from candlewick.core.step_pacer import StepPacer

logger = logging.getLogger(__name__)
Result = TypeVar("Result")


@dataclass
class _Drawing:
    """A choice that draws from a row of logits in a step, and from the next ones as its guesses turn out right."""

    chunk: ScheduledChunk
    first_row: int
    request: Request
    choice: Choice
    num_right: int = 0


@dataclass(frozen=True)
class _Cancel:
    request: Request | EmbeddingRequest


@dataclass(frozen=True)
class _Call:
    function: Callable[[PrefixStore], object]
    future: Future[Any]

    def run(self, store: PrefixStore) -> None:
        try:
            self.future.set_result(self.function(store))
        except Exception as error:
            self.future.set_exception(error)


class _Stop(Enum):
    STOP = "stop"


class EngineThread:
    """Runs ``runner`` for the requests given to :meth:`submit` until :meth:`request_stop`, then closes it.

    The thread is a daemon and is stopped when the interpreter exits, so a program ends cleanly whether or not
    it closes its engines.
    """

    def __init__(self, runner: ModelRunner, tokenizer: EngineTokenizer, config: EngineConfig) -> None:
        self._stats = EngineStats(blocks_free=runner.num_blocks)
        self.health = EngineHealth("ready")
        self._runner = runner
        self._tokenizer = tokenizer
        self._pacer = StepPacer(config.max_decode_slowdown)
        self._scheduler = Scheduler(
            runner.num_blocks,
            max_running=config.max_running,
            max_step_tokens=config.max_step_tokens,
            pacer=self._pacer,
        )
        self.prefix_store = PrefixStore(self._scheduler.blocks, runner)
        self._kv_cache_path = None if config.kv_cache_path is None else Path(config.kv_cache_path)
        self._embedding = EmbeddingWork(self._scheduler, runner.hidden_size)
        self._speculator = Speculator() if config.speculation is not None else None
        # A SimpleQueue, because a handle's __del__ puts into it and may run at any point of any thread, this
        # one's included: its put() takes no lock that the interrupted code could hold.
        self._inbox: SimpleQueue[Request | EmbeddingRequest | _Cancel | _Call | _Stop] = SimpleQueue()
        self._requests: set[Request] = set()
        self._choice_of: dict[Sequence, tuple[Request, Choice]] = {}
        self._mask_writer = MaskWriter(runner.vocab_size)
        self._num_arrivals = 0
        self._step_log = StepLog()
        self._num_generated_tokens = 0
        self._num_requests = dict.fromkeys(("finished", "cancelled", "failed", "refused"), 0)
        self._num_drafts = 0
        self._num_accepted_drafts = 0
        self._waiters: list[Waiter] = []
        self.on_answer: Callable[[Output], None] | None = None

        # Whoever submits and whoever shuts down: a request comes in before the end or is refused.
        self._health_lock = threading.Lock()
        self._admission: Admission[Request | EmbeddingRequest] = Admission(
            config.max_waiting, config.max_queue_seconds, self._scheduler.max_running
        )

        self._process_id = os.getpid()
        self._thread = threading.Thread(target=self._run, name="candlewick-engine", daemon=True)
        _all_threads.add(self)
        self._thread.start()

    def submit(self, request: Request | EmbeddingRequest) -> None:
        """Hand a request over; from any thread.

        Raises:
            EngineOverloaded: as many requests as allowed wait already.
            EngineClosed, EngineFailed: the engine takes no more requests.
        """
        with self._health_lock:
            self._require_ready()
            self._admission.enter(request)
            self._inbox.put(request)

    def call(self, function: Callable[[PrefixStore], Result]) -> Result:
        """Have ``function`` run on the engine's thread, between two steps, and wait for its result.

        Raises:
            EngineClosed, EngineFailed: the engine runs no more.
            Exception: what the function raises.
        """
        call = _Call(function, Future())
        with self._health_lock:
            self._require_ready()
            self._inbox.put(call)
        result: Result = call.future.result()
        return result

    def _require_ready(self) -> None:
        if os.getpid() != self._process_id:
            raise EngineClosed(
                f"this engine belongs to process {self._process_id} and its thread did not survive the fork "
                f"into process {os.getpid()}; create an engine in each process, or start processes by 'spawn'"
            )
        if self.health.status != "ready":
            raise self._refusal()

    def stats(self) -> EngineStats:
        """The present numbers; from any thread."""
        return replace(self._stats, recent=self._step_log.recent(time.perf_counter()))

    def cancel(self, request: Request | EmbeddingRequest) -> None:
        """Give a request up, at the latest after the present step; from anywhere, ``__del__`` included."""
        self._inbox.put(_Cancel(request))

    def request_stop(self) -> None:
        """Let the thread end after the step in progress; from anywhere, ``__del__`` included."""
        self._inbox.put(_Stop.STOP)

    def stop(self) -> None:
        """:meth:`request_stop` and wait until the thread has ended and the runner is closed."""
        self.request_stop()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        try:
            self._restore()
            while self._take_messages():
                if self._scheduler.has_work:
                    self._step()
                    self._deliver()
        except BaseException as error:
            logger.exception("the engine failed")
            self._shut_down(EngineHealth("failed", error))
        else:
            self._shut_down(EngineHealth("closed"))
            self._save()
        finally:
            self._mask_writer.close()
            self._runner.close()

    def _restore(self) -> None:
        """Take in what an earlier engine left; whatever is wrong with it only costs the time to compute it again."""
        path = self._kv_cache_path
        if path is None or not path.exists():
            return
        store = self.prefix_store
        try:
            store.insert(read_kv_file(path, store.identity, store.block_bytes))
        except (KvFileError, ModelLoadError, OSError) as error:
            logger.warning("the prefix cache starts without what was saved: %s", error)

    def _save(self) -> None:
        if self._kv_cache_path is not None:
            try:
                write_kv_file(self._kv_cache_path, self.prefix_store.identity, self.prefix_store.all_blocks())
            except (ModelLoadError, OSError) as error:
                logger.warning("the prefix cache could not be saved: %s", error)

    def _take_messages(self) -> bool:
        """Read the inbox, sleeping on it while there is nothing else to do; false when asked to stop."""
        may_sleep = not self._scheduler.has_work
        while may_sleep or not self._inbox.empty():
            message = self._inbox.get()
            may_sleep = False
            if message is _Stop.STOP:
                return False
            if isinstance(message, _Cancel):
                self._give_up(message.request)
            elif isinstance(message, Request):
                self._begin(message)
            elif isinstance(message, _Call):
                message.run(self.prefix_store)
            elif isinstance(message, EmbeddingRequest) and not message.future.done():
                self._embedding.begin(message, self._num_arrivals)
                self._num_arrivals += len(message.prompts)
        self._refuse_overdue()
        if not self._scheduler.has_work:
            self._count_free_places()
        self._publish()
        self._deliver()
        return True

    def _begin(self, request: Request) -> None:
        if request.stream.ended:
            return  # overdue before it was read
        self._requests.add(request)
        params = request.params
        try:
            samplers = [
                self._runner.new_sampler(params, request.seed, index, request.prompt_ids)
                for index in range(params.n)
            ]
            for index, sampler in enumerate(samplers):
                sequence = Sequence(request.prompt_ids, self._num_arrivals, params.priority)
                self._num_arrivals += 1
                choice = Choice(
                    index,
                    sequence,
                    sampler,
                    params,
                    self._tokenizer,
                    max_tokens=request.max_tokens,
                    submitted_at=request.submitted_at,
                    num_truncated=request.num_truncated,
                    guide=self._new_guide(request),
                )
                request.choices.append(choice)
                self._choice_of[sequence] = request, choice
                self._scheduler.add(sequence)
        except Exception as error:
            self._fail_request(request, error)

    def _new_guide(self, request: Request) -> Guide | None:
        if request.grammar is None:
            return None
        params, eos_ids = request.params, self._tokenizer.eos_ids
        return Guide(
            request.grammar.new_matcher(),
            stop_ids=set(params.stop_token_ids),
            banned_ids=set(eos_ids) - set(params.stop_token_ids) if params.ignore_eos else frozenset(),
        )

    def _give_up(self, request: Request | EmbeddingRequest) -> None:
        """Cancel what is unfinished of a request; one that has ended is left alone."""
        if isinstance(request, EmbeddingRequest):
            self._admission.leave(request)
            self._embedding.give_up(request)
            return
        if request not in self._requests:
            return
        now = time.perf_counter()
        for choice in request.choices:
            self._put(request, [choice.cancel(now)])
        self._end_request(request, "cancelled")

    def _refuse_overdue(self) -> None:
        """End the requests that have waited too long to be begun."""
        for request, error in self._admission.overdue(time.perf_counter()):
            if isinstance(request, EmbeddingRequest):
                self._give_up(request)
                fail(request, error)
            else:
                self._end_request(request, "refused", error)

    def _step(self) -> None:
        step = self._scheduler.schedule(self._drafts())
        now = time.perf_counter()
        for chunk in step.chunks:
            if chunk.sequence.wants_hidden:
                self._admission.begin(self._embedding.request_of(chunk.sequence), now)
                continue
            request, choice = self._choice_of[chunk.sequence]
            choice.start(now)
            self._admission.begin(request, now)
        self._count_free_places()
        self._publish()

        batch = step.to_batch()
        drawing = [
            _Drawing(chunk, row, *self._choice_of[chunk.sequence]) for chunk, row in step.sampled_chunks()
        ]
        masks = self._mask_writer.begin([each.choice.guide for each in drawing])
        # The thread's own time: how long others had the processor says nothing about the step.
        started_at = time.thread_time()
        self._runner.execute(batch)
        seconds = time.thread_time() - started_at
        self._pacer.record(step.num_decodes, step.num_prompt_tokens, seconds)
        if self._speculator is not None and batch.num_tokens == len(batch.logit_rows):
            self._speculator.observe(batch.num_tokens, seconds)
        self._num_drafts += sum(len(each.chunk.draft_ids) for each in drawing)
        self._scheduler.complete(step)
        if len(batch.hidden_rows):
            self._embedding.take(step, self._runner.hidden_states())
        num_generated_before = self._num_generated_tokens
        while drawing:
            drawing = self._draw(drawing, masks)
            masks = self._mask_writer.begin([each.choice.guide for each in drawing])
        ended_at = time.perf_counter()
        self._step_log.record(
            ended_at,
            ended_at - now,
            self._num_generated_tokens - num_generated_before,
            step.num_prompt_tokens,
        )
        self._count_free_places()
        self._publish()

    def _drafts(self) -> dict[Sequence, list[int]]:
        if self._speculator is None:
            return {}
        return self._speculator.propose(
            (sequence, self._choice_of[sequence][1].num_remaining)
            for sequence in self._scheduler.running
            if sequence.decodes
        )

    def _draw(self, drawing: list[_Drawing], masks: Future[Allowed] | None) -> list[_Drawing]:
        """Draw a token for each; those whose guesses turn out right can draw again from a row behind them."""
        samples = self._sample(drawing, masks)
        now = time.perf_counter()
        again = []
        for each, sample in zip(drawing, samples, strict=True):
            sequence = each.chunk.sequence
            num_tokens = sequence.num_tokens
            self._accept(each.request, each.choice, sample, now)
            if sequence.state is not SequenceState.RUNNING:
                continue
            token_ids = sequence.token_ids[num_tokens:]
            num_right = _num_equal(token_ids, each.chunk.draft_ids[each.num_right :])
            for _ in range(num_right):
                self._scheduler.accept_draft(sequence)
            self._num_accepted_drafts += num_right
            if num_right == len(token_ids):
                each.num_right += num_right
                again.append(each)
        # A choice that fails takes its request's others along.
        return [each for each in again if each.chunk.sequence in self._choice_of]

    def _sample(self, drawing: list[_Drawing], masks: Future[Allowed] | None) -> list[Sample | Exception]:
        samplers = [each.choice.sampler for each in drawing]
        rows = [each.first_row + each.num_right for each in drawing]
        if masks is None:
            return list(self._runner.sample(samplers, rows))
        allowed = masks.result()
        drawn = self._runner.sample(samplers, rows, allowed.masks)
        return [allowed.errors.get(i, sample) for i, sample in enumerate(drawn)]

    def _accept(self, request: Request, choice: Choice, sample: Sample | Exception, now: float) -> None:
        if request not in self._requests:
            return  # another choice of it failed in this very step
        if isinstance(sample, Exception):
            self._fail_request(request, sample)
            return
        try:
            outputs = choice.accept(sample, now)
        except Exception as error:
            self._fail_request(request, error)
            return
        self._num_generated_tokens += len(outputs)
        self._put(request, outputs)
        if outputs[-1].finish_reason is not None:
            self._end_choice(request, choice)

    def _put(self, request: Request, outputs: list[Output]) -> None:
        self._waiters += request.stream.put(outputs)
        if self.on_answer is not None and outputs[-1].finish_reason is not None:
            try:
                self.on_answer(outputs[-1])
            except Exception:
                logger.exception("whoever counts answers failed")

    def _end_choice(self, request: Request, choice: Choice) -> None:
        self._forget_choice(choice)
        request.choices.remove(choice)
        if not request.choices:
            self._end_request(request, "finished")

    def _fail_request(self, request: Request, cause: Exception) -> None:
        """End one request whose own sampler, decoder or the like failed; the engine goes on."""
        error = EngineFailed(f"this request failed, others go on: {cause!r}")
        error.__cause__ = cause
        self._end_request(request, "failed", error)

    def _forget_choice(self, choice: Choice) -> None:
        self._choice_of.pop(choice.sequence, None)
        if self._speculator is not None:
            self._speculator.forget(choice.sequence)
        self._scheduler.finish(choice.sequence)

    def _end_request(self, request: Request, how: str, error: Exception | None = None) -> None:
        for choice in request.choices:
            self._forget_choice(choice)
        request.choices.clear()
        self._admission.leave(request)
        self._requests.discard(request)
        self._num_requests[how] += 1
        self._waiters += request.stream.end(error)

    def _publish(self) -> None:
        """Let others see the present numbers; always before readers are woken, who may look at them."""
        scheduler, blocks = self._scheduler, self._scheduler.blocks
        self._stats = EngineStats(
            requests_finished=self._num_requests["finished"],
            requests_cancelled=self._num_requests["cancelled"],
            requests_failed=self._num_requests["failed"],
            requests_refused=self._num_requests["refused"] + self._admission.num_refused,
            running=len(scheduler.running),
            waiting=len(scheduler.waiting),
            blocks_used=blocks.num_held,
            blocks_cached=blocks.num_cached,
            blocks_free=blocks.num_free,
            steps=self._step_log.num_steps,
            step_seconds=self._step_log.seconds,
            preemptions=scheduler.num_preemptions,
            prompt_tokens=scheduler.num_prompt_tokens,
            prefix_hit_tokens=scheduler.num_prefix_hit_tokens,
            computed_prompt_tokens=self._step_log.num_prompt_tokens,
            generated_tokens=self._num_generated_tokens,
            draft_tokens=self._num_drafts,
            accepted_draft_tokens=self._num_accepted_drafts,
        )

    def _count_free_places(self) -> None:
        """See how many requests could begin at once and so would not have to wait.

        Not after merely reading the inbox: whoever came in by it has not had the chance to begin yet.
        """
        scheduler = self._scheduler
        self._admission.set_free_places(
            0 if scheduler.waiting else scheduler.max_running - len(scheduler.running)
        )

    def _deliver(self) -> None:
        """Wake the readers of all that was put since the last time."""
        waiters, self._waiters = self._waiters, []
        wake(waiters)
        self._embedding.deliver()

    def _shut_down(self, health: EngineHealth) -> None:
        """Take no more requests and end those that are pending."""
        with self._health_lock:
            self.health = health
        while not self._inbox.empty():
            message = self._inbox.get()
            if isinstance(message, Request):
                self._requests.add(message)
            elif isinstance(message, EmbeddingRequest):
                fail(message, self._refusal())
            elif isinstance(message, _Call):
                message.future.set_exception(self._refusal())
        self._embedding.fail_all(self._refusal())
        for request in list(self._requests):
            self._end_request(request, "failed", self._refusal())
        self._publish()
        self._deliver()

    def _refusal(self) -> Exception:
        if self.health.error is None:
            return EngineClosed("the engine is closed; create another one")
        error = EngineFailed(f"the engine failed and must be created anew: {self.health.error!r}")
        error.__cause__ = self.health.error
        return error


def _num_equal(token_ids: ReadableSequence[int], others: ReadableSequence[int]) -> int:
    """Length of the common beginning."""
    return next(
        (i for i, (a, b) in enumerate(zip(token_ids, others, strict=False)) if a != b),
        min(len(token_ids), len(others)),
    )


_all_threads: weakref.WeakSet[EngineThread] = weakref.WeakSet()


@atexit.register
def _stop_all_threads() -> None:
    # A daemon thread that is inside native code while the interpreter is taken down can crash the process.
    for thread in list(_all_threads):
        thread.stop()
