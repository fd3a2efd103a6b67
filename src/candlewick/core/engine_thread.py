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
from concurrent.futures import Future
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

from candlewick.core.admission import Admission
from candlewick.core.choice import EngineTokenizer
from candlewick.core.config import EngineConfig
from candlewick.core.embedding import EmbeddingRequest, EmbeddingWork, fail
from candlewick.core.engine_stats import EngineHealth, EngineStats
from candlewick.core.errors import EngineClosed, EngineFailed, KvFileError, ModelLoadError
from candlewick.core.kv_file import read_kv_file, write_kv_file
from candlewick.core.pending_requests import AnswerObserver, PendingRequests
from candlewick.core.prefix_store import PrefixStore
from candlewick.core.request import Request
from candlewick.core.runner_protocol import ModelRunner
from candlewick.core.scheduler import Scheduler
from candlewick.core.speculation.draft_model import DraftModel
from candlewick.core.speculation.speculator import Speculator
from candlewick.core.step_pacer import StepPacer
from candlewick.core.step_runner import StepRunner

logger = logging.getLogger(__name__)
Result = TypeVar("Result")


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
    """Runs ``runner`` for the requests given to :meth:`submit` until :meth:`request_stop`, then closes it, and
    ``draft_runner`` too.

    The thread is a daemon and is stopped when the interpreter exits, so a program ends cleanly whether or not
    it closes its engines.
    """

    def __init__(
        self,
        runner: ModelRunner,
        tokenizer: EngineTokenizer,
        config: EngineConfig,
        draft_runner: ModelRunner | None = None,
    ) -> None:
        self._stats = EngineStats(blocks_free=runner.num_blocks)
        self.health = EngineHealth("ready")
        self._runner = runner
        self._draft_runner = draft_runner
        self._scheduler = Scheduler(
            runner.num_blocks,
            max_running=config.max_running,
            max_step_tokens=config.max_step_tokens,
            pacer=StepPacer(config.max_decode_slowdown),
        )
        # Whoever submits and whoever shuts down: a request comes in before the end or is refused.
        self._health_lock = threading.Lock()
        self._admission: Admission[Request | EmbeddingRequest] = Admission(
            config.max_waiting, config.max_queue_seconds, self._scheduler.max_running
        )
        self._speculator = None
        if config.speculation is not None:
            self._speculator = Speculator(
                None
                if draft_runner is None
                else DraftModel(draft_runner, max_step_tokens=config.max_step_tokens)
            )
        self._pending = PendingRequests(runner, tokenizer, self._scheduler, self._admission, self._speculator)
        self._embedding = EmbeddingWork(self._scheduler, runner.hidden_size)
        self._steps = StepRunner(
            runner, self._scheduler, self._pending, self._embedding, self._admission, self._speculator
        )
        self.prefix_store = PrefixStore(self._scheduler.blocks, runner)
        self._kv_cache_path = None if config.kv_cache_path is None else Path(config.kv_cache_path)
        # A SimpleQueue, because a handle's __del__ puts into it and may run at any point of any thread, this
        # one's included: its put() takes no lock that the interrupted code could hold.
        self._inbox: SimpleQueue[Request | EmbeddingRequest | _Cancel | _Call | _Stop] = SimpleQueue()
        self._num_arrivals = 0

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
        self.require_own_process()
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
        self.require_own_process()
        call = _Call(function, Future())
        with self._health_lock:
            self._require_ready()
            self._inbox.put(call)
        result: Result = call.future.result()
        return result

    def require_own_process(self) -> None:
        """Refuse what a forked child asks, before any lock: it may have got that one as somebody held it, for ever.

        Raises:
            EngineClosed: this is another process than the one that made the engine.
        """
        if os.getpid() != self._process_id:
            raise EngineClosed(
                f"this engine belongs to process {self._process_id} and its thread did not survive the fork "
                f"into process {os.getpid()}; create an engine in each process, or start processes by 'spawn'"
            )

    def _require_ready(self) -> None:
        if self.health.status != "ready":
            raise self._refusal()

    def stats(self) -> EngineStats:
        """The present numbers; from any thread.

        Raises:
            EngineClosed: this is a forked child.
        """
        self.require_own_process()
        return replace(self._stats, recent=self._steps.log.recent(time.perf_counter()))

    def observe_answers(self, observer: AnswerObserver) -> None:
        """Have ``observer`` told the last output of every answer, on this thread."""
        self._pending.observers.append(observer)

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
                    step = self._steps.begin()
                    if self._has_moved():
                        self._count_free_places()
                        self._publish()
                    self._steps.run(step)
                    self._count_free_places()
                    self._publish()
                    self._deliver()
        except BaseException as error:
            logger.exception("the engine failed")
            self._shut_down(EngineHealth("failed", error))
        else:
            self._shut_down(EngineHealth("closed"))
            self._save()
        finally:
            self._steps.close()
            self._runner.close()
            if self._draft_runner is not None:
                self._draft_runner.close()

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
            self._take(message)
        self._refuse_overdue()
        if not self._scheduler.has_work:
            self._count_free_places()
            self._publish()
        self._deliver()
        return True

    def _take(self, message: Request | EmbeddingRequest | _Cancel | _Call | _Stop) -> None:
        if isinstance(message, _Cancel):
            self._give_up(message.request)
        elif isinstance(message, Request):
            self._pending.begin(message, self._num_arrivals)
            self._num_arrivals += message.params.n
        elif isinstance(message, _Call):
            message.run(self.prefix_store)
        elif isinstance(message, EmbeddingRequest) and not message.future.done():
            self._embedding.begin(message, self._num_arrivals)
            self._num_arrivals += len(message.prompts)
        self._publish()

    def _give_up(self, request: Request | EmbeddingRequest) -> None:
        if isinstance(request, EmbeddingRequest):
            self._admission.leave(request)
            self._embedding.give_up(request)
        else:
            self._pending.give_up(request, time.perf_counter())

    def _refuse_overdue(self) -> None:
        """End the requests that have waited too long to be begun."""
        for request, error in self._admission.overdue(time.perf_counter()):
            if isinstance(request, EmbeddingRequest):
                self._give_up(request)
                fail(request, error)
            else:
                self._pending.end(request, "refused", error)
            self._publish()

    def _publish(self) -> None:
        """Let others see the present numbers; always before readers are woken, who may look at them."""
        scheduler, blocks = self._scheduler, self._scheduler.blocks
        steps, ended = self._steps, self._pending.num_ended
        self._stats = EngineStats(
            requests_finished=ended["finished"],
            requests_cancelled=ended["cancelled"],
            requests_failed=ended["failed"],
            requests_refused=ended["refused"] + self._admission.num_refused,
            running=len(scheduler.running),
            waiting=len(scheduler.waiting),
            blocks_used=blocks.num_held,
            blocks_cached=blocks.num_cached,
            blocks_free=blocks.num_free,
            steps=steps.log.num_steps,
            step_seconds=steps.log.seconds,
            preemptions=scheduler.num_preemptions,
            prompt_tokens=scheduler.num_prompt_tokens,
            prefix_hit_tokens=scheduler.num_prefix_hit_tokens,
            computed_prompt_tokens=steps.log.num_prompt_tokens,
            generated_tokens=self._pending.num_generated_tokens,
            draft_tokens=steps.num_drafts,
            accepted_draft_tokens=steps.num_accepted_drafts,
        )

    def _has_moved(self) -> bool:
        """Whether somebody began, or gave way, since the numbers were last published."""
        seen = self._stats
        return (seen.running, seen.waiting) != (len(self._scheduler.running), len(self._scheduler.waiting))

    def _count_free_places(self) -> None:
        """See how many requests could begin at once and so would not have to wait.

        Not after merely reading the inbox: whoever came in by it has not had the chance to begin yet.
        """
        scheduler = self._scheduler
        self._admission.set_free_places(
            0 if scheduler.waiting else scheduler.max_running - len(scheduler.running)
        )

    def _deliver(self) -> None:
        """Hand over all that was put since the last time."""
        self._pending.deliver()
        self._embedding.deliver()

    def _shut_down(self, health: EngineHealth) -> None:
        """Take no more requests and end those that are pending."""
        with self._health_lock:
            self.health = health
        while not self._inbox.empty():
            message = self._inbox.get()
            if isinstance(message, Request):
                if not message.stream.ended:
                    self._pending.end(message, "failed", self._refusal())
            elif isinstance(message, EmbeddingRequest):
                fail(message, self._refusal())
            elif isinstance(message, _Call):
                message.future.set_exception(self._refusal())
        self._embedding.fail_all(self._refusal())
        self._pending.fail_all(self._refusal)
        self._publish()
        self._deliver()

    def _refusal(self) -> Exception:
        if self.health.error is None:
            return EngineClosed("the engine is closed; create another one")
        error = EngineFailed(f"the engine failed and must be created anew: {self.health.error!r}")
        error.__cause__ = self.health.error
        return error


_all_threads: weakref.WeakSet[EngineThread] = weakref.WeakSet()


@atexit.register
def _stop_all_threads() -> None:
    # A daemon thread that is inside native code while the interpreter is taken down can crash the process.
    for thread in list(_all_threads):
        thread.stop()
