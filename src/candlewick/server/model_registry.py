"""The models of one server by name: loaded when first asked for, kept while in use, unloaded when memory is wanted.

Belongs to one event loop. Knows no HTTP; what a model is loaded from is the business of its :class:`ModelSource`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, Self

from candlewick.chat.llm import AsyncLLM, Progress
from candlewick.core.errors import EngineOverloaded, InvalidRequestError, ModelLoadError, ModelNotFoundError
from candlewick.openai.adapter import OpenAIAdapter

logger = logging.getLogger(__name__)

ROOM_SECONDS = 30.0
"""How long a request waits for the memory of models that are in use."""

ModelState = Literal["unloaded", "loading", "ready", "failed", "closed"]


@dataclass(frozen=True)
class ModelSource:
    """A model that can be loaded, and the names under which clients may ask for it."""

    names: tuple[str, ...]
    """The first is the one that answers carry."""
    load: Callable[[Progress], AsyncLLM]
    """Loads the model, in a worker thread; an exception that the progress function raises ends it."""
    measure: Callable[[Progress], int]
    """Bytes of memory that the model will take, likewise in a worker thread."""


@dataclass(frozen=True)
class LoadedModel:
    """A model as requests use it."""

    names: tuple[str, ...]
    llm: AsyncLLM
    openai: OpenAIAdapter

    @property
    def name(self) -> str:
        return self.names[0]


@dataclass(frozen=True)
class ModelStatus:
    """What can be told of one model without loading it."""

    name: str
    state: ModelState
    users: int
    """Requests that have or want it."""
    memory_bytes: int | None
    """What it takes, or is expected to take; ``None`` while nobody knows."""
    stage: str | None = None
    """While it is loaded: what is being done, and how many bytes of how many are done."""
    done: int = 0
    total: int = 0
    error: str | None = None
    """Why it could not be loaded, or why its engine failed."""

    @property
    def progress(self) -> float | None:
        """From 0 to 1 while it is loaded."""
        return self.done / max(1, self.total) if self.state == "loading" else None


class LoadCancelled(Exception):
    """The server ends while a model is loaded."""


@dataclass(eq=False)
class _Entry:
    names: tuple[str, ...]
    source: ModelSource | None
    """``None``: somebody else's model, never unloaded and never closed."""
    loaded: LoadedModel | None = None
    loading: asyncio.Task[LoadedModel] | None = None
    progress: tuple[str, int, int] | None = None
    error: Exception | None = None
    users: int = 0
    last_used: float = 0.0
    memory_bytes: int | None = None


@dataclass(eq=False)
class ModelRegistry:
    """Names and their models.

    Args:
        sources: what can be served; the first is what requests that name no model get.
        memory_limit_bytes: what all loaded models together may take. Another is then unloaded first: the one that
            was used longest ago, never one in use.
        on_progress: told of loading in worker threads, besides :meth:`statuses`.
    """

    sources: Sequence[ModelSource] = ()
    memory_limit_bytes: int | None = None
    on_progress: Progress | None = None
    _entries: list[_Entry] = field(default_factory=list, init=False)
    _by_name: dict[str, _Entry] = field(default_factory=dict, init=False)
    _load_lock: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)
    _released: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _observers: list[Callable[[LoadedModel], None]] = field(default_factory=list, init=False)
    _closed: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        for source in self.sources:
            self._add(_Entry(source.names, source))

    @classmethod
    def of(cls, llm: AsyncLLM, names: Sequence[str] = ()) -> Self:
        """A registry of one model that is loaded already, and that the caller keeps and closes."""
        registry = cls()
        entry = _Entry(tuple(names) or (llm.model_name,), None)
        entry.loaded = _loaded(entry.names, llm)
        registry._add(entry)
        return registry

    @property
    def names(self) -> tuple[str, ...]:
        """Every name under which a model can be asked for."""
        return tuple(self._by_name)

    @asynccontextmanager
    async def using(self, name: str | None = None) -> AsyncIterator[LoadedModel]:
        """The model called ``name``, loaded first if need be; it stays while the block runs.

        ``None`` means the first model.

        Raises:
            ModelNotFoundError: no model has this name.
            ModelLoadError: it can't be loaded, or needs more memory than the limit.
            EngineOverloaded: its memory is taken by models in use.
        """
        entry = self._entry(name)
        entry.users += 1
        try:
            yield entry.loaded or await self._load(entry)
        finally:
            entry.users -= 1
            entry.last_used = time.monotonic()
            self._released.set()

    async def load(self, name: str | None = None) -> None:
        """Load the model called ``name`` before anybody asks for it; errors as for :meth:`using`."""
        async with self.using(name):
            pass

    def statuses(self) -> list[ModelStatus]:
        """Every model's status, in the order of the sources."""
        return [_status(entry) for entry in self._entries]

    def status(self, name: str) -> ModelStatus:
        """The status of the model called ``name``.

        Raises:
            ModelNotFoundError: no model has this name.
        """
        return _status(self._entry(name))

    def watch(self, observer: Callable[[LoadedModel], None]) -> None:
        """Have ``observer`` told of every model that is loaded, now and later."""
        self._observers.append(observer)
        for model in self.loaded():
            observer(model)

    def loaded(self) -> list[LoadedModel]:
        """The models that are loaded at present."""
        return [entry.loaded for entry in self._entries if entry.loaded is not None]

    async def close(self) -> None:
        """End loading and close the models that were loaded here."""
        self._closed = True
        for entry in self._entries:
            if entry.loading is not None:
                await asyncio.wait((entry.loading,))
        for entry in self._entries:
            if entry.source is not None:
                await self._unload(entry)

    def _add(self, entry: _Entry) -> None:
        if not entry.names:
            raise InvalidRequestError("a model needs a name", "names")
        for name in entry.names:
            if name in self._by_name:
                raise InvalidRequestError(f"two models are called {name!r}; give one another name", "names")
            self._by_name[name] = entry
        self._entries.append(entry)

    def _entry(self, name: str | None) -> _Entry:
        if name is None:
            return self._entries[0]
        if name not in self._by_name:
            raise ModelNotFoundError(
                f"the model {name!r} is not served here; there is: {', '.join(self._by_name)}"
            )
        return self._by_name[name]

    async def _load(self, entry: _Entry) -> LoadedModel:
        if entry.loading is None:
            entry.loading = asyncio.create_task(self._load_in_turn(entry))
            entry.loading.add_done_callback(partial(_end_of_loading, entry))
        # Others may wait for the same task, so it is no part of the request that began it.
        return await asyncio.shield(entry.loading)

    async def _load_in_turn(self, entry: _Entry) -> LoadedModel:
        source = entry.source
        assert source is not None, "a model of somebody else's is always loaded"
        entry.error = None
        async with self._load_lock:
            await self._make_room(entry, source)
            llm = await asyncio.to_thread(source.load, partial(self._report, entry))
        entry.loaded = _loaded(entry.names, llm)
        for observer in self._observers:
            observer(entry.loaded)
        return entry.loaded

    def _report(self, entry: _Entry, stage: str, done: int, total: int) -> None:
        if self._closed:
            raise LoadCancelled("the server ends")
        entry.progress = (stage, done, total)
        if self.on_progress is not None:
            self.on_progress(stage, done, total)

    async def _make_room(self, entry: _Entry, source: ModelSource) -> None:
        limit = self.memory_limit_bytes
        if limit is None:
            return
        entry.memory_bytes = needed = await asyncio.to_thread(source.measure, partial(self._report, entry))
        if needed > limit:
            raise ModelLoadError(
                entry.names[0], "memory", f"needs {needed} bytes, and all models together may take {limit}"
            )
        deadline = asyncio.get_running_loop().time() + ROOM_SECONDS
        while sum(other.memory_bytes or 0 for other in self._entries if other.loaded) + needed > limit:
            idle = [other for other in self._entries if other.loaded and other.source and not other.users]
            if idle:
                await self._unload(min(idle, key=lambda other: other.last_used))
                continue
            self._released.clear()
            try:
                async with asyncio.timeout_at(deadline):
                    await self._released.wait()
            except TimeoutError:
                raise EngineOverloaded(
                    f"the model {entry.names[0]!r} needs memory that models in use have; try again later"
                ) from None

    async def _unload(self, entry: _Entry) -> None:
        loaded, entry.loaded = entry.loaded, None
        if loaded is not None:
            logger.info("unloading %s", entry.names[0])
            await loaded.llm.close()


def _loaded(names: tuple[str, ...], llm: AsyncLLM) -> LoadedModel:
    return LoadedModel(names, llm, OpenAIAdapter(llm, model_names=names))


def _end_of_loading(entry: _Entry, task: asyncio.Task[LoadedModel]) -> None:
    entry.loading = entry.progress = None
    error = None if task.cancelled() else task.exception()
    if isinstance(error, Exception):
        entry.error = error
        if not isinstance(error, LoadCancelled):
            logger.error("the model %s can't be loaded: %s", entry.names[0], error)


def _status(entry: _Entry) -> ModelStatus:
    state: ModelState = "unloaded"
    error = entry.error
    if entry.loaded is not None:
        health = entry.loaded.llm.engine.health()
        state = health.status
        error = health.error if isinstance(health.error, Exception) else None
    elif entry.loading is not None:
        state = "loading"
    elif error is not None:
        state = "failed"
    stage, done, total = entry.progress or (None, 0, 0)
    return ModelStatus(
        name=entry.names[0],
        state=state,
        users=entry.users,
        memory_bytes=entry.memory_bytes,
        stage=stage,
        done=done,
        total=total,
        error=None if error is None else str(error),
    )
