"""A process that serves: models from their references, the application, uvicorn around it, and an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import re
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, TextIO

import uvicorn

from candlewick.chat.llm import AsyncLLM, Progress, model_name_of
from candlewick.core.config import EngineConfig
from candlewick.core.errors import InvalidRequestError
from candlewick.core.memory_needs import memory_needs
from candlewick.server.access_log import LOGGER as ACCESS_LOGGER
from candlewick.server.access_log import AccessFormatter
from candlewick.server.app import create_app, needing_otel
from candlewick.server.config import ServeConfig
from candlewick.server.model_registry import ModelRegistry, ModelSource
from candlewick.server.services import Services

if TYPE_CHECKING:
    from candlewick.store.database import Database

logger = logging.getLogger(__name__)

LoadModel = Callable[[str, EngineConfig, Progress], AsyncLLM]

_NAMED_MODEL = re.compile(r"([\w.:+-]+)=(.+)")


def load_model(reference: str, engine: EngineConfig, progress: Progress) -> AsyncLLM:
    """The model that ``reference`` means; see :class:`~candlewick.chat.llm.AsyncLLM` for errors."""
    return AsyncLLM(reference, progress=progress, **vars(engine))


def make_services(
    config: ServeConfig, *, load: LoadModel = load_model, on_progress: Progress | None = None
) -> Services:
    """The services that ``config`` describes; the caller closes them.

    Raises:
        InvalidRequestError: two models have one name, an engine's setting is out of range, or a key is none.
        StoreError: the database can't be opened.
    """
    if config.traces:
        _export_traces()
    registry = ModelRegistry(model_sources(config, load), config.model_memory_bytes, on_progress)
    return Services(registry, _with_keys_of_file(config), _open_database(config.database))


def model_sources(config: ServeConfig, load: LoadModel = load_model) -> list[ModelSource]:
    """The models that ``config`` names, as they can be loaded."""
    engine = EngineConfig(
        max_context=config.context,
        kv_cache_bytes=config.kv_cache_bytes,
        max_running=config.max_running,
        max_waiting=config.max_waiting,
        num_threads=config.threads,
    )
    sources = []
    for number, text in enumerate(config.models):
        match = _NAMED_MODEL.fullmatch(text)
        name, reference = match.groups() if match else (model_name_of(text), text)
        names = config.names if config.names and number == 0 else (name,)
        draft_model = config.draft_model if number == 0 else None
        engine = dataclasses.replace(engine, draft_model=draft_model)
        sources.append(
            ModelSource(names, partial(load, reference, engine), partial(memory_needs, reference, engine))
        )
    return sources


async def serve(
    services: Services, config: ServeConfig, listener: socket.socket, ready: Callable[[], None] = lambda: None
) -> None:
    """Answer on ``listener`` until SIGINT or SIGTERM; the first model is loaded meanwhile, and then ``ready`` called.

    The server answers from the start: requests wait for their model, and ``/health`` tells how far it is. At the end
    running answers may go on for ``config.shutdown_seconds``; the services are closed.

    Raises:
        CandlewickError: the first model can't be loaded.
    """
    server = _Server(
        uvicorn.Config(
            create_app(services),
            log_config=None,
            access_log=False,
            loop="asyncio",
            timeout_graceful_shutdown=config.shutdown_seconds,
        )
    )
    with _stopping_on_signals(server):
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        loading = asyncio.create_task(services.models.load())
        try:
            await asyncio.wait((serving, loading), return_when=asyncio.FIRST_COMPLETED)
            if loading.done():
                loading.result()
                ready()
            await serving
        finally:
            server.should_exit = True
            loading.cancel()
            await asyncio.gather(serving, loading, return_exceptions=True)
            await services.close()


def log_to_standard_error(config: ServeConfig) -> None:
    """Lead what the server says, and its record of requests, to standard error."""
    handler = _StandardError()
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    for name, level in (("candlewick", logging.INFO), ("uvicorn", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.setLevel(level)
        logger.handlers = [handler]
        logger.propagate = False
    requests = _StandardError()
    requests.setFormatter(AccessFormatter(config.access_log))
    ACCESS_LOGGER.handlers = [] if config.access_log == "off" else [requests]
    ACCESS_LOGGER.disabled = config.access_log == "off"
    ACCESS_LOGGER.propagate = False


class _StandardError(logging.StreamHandler[TextIO]):
    """Writes to what standard error is at the time: a progress bar puts something before it while it is shown."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


class _Server(uvicorn.Server):
    """Leaves signals to whoever runs it: uvicorn would send them again after its own end, before ours."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if not self.should_exit:
            seconds = self.config.timeout_graceful_shutdown
            logger.info("stopping; running answers may go on for %s s, another Ctrl-C ends them", seconds)
        super().handle_exit(sig, frame)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.contextmanager
def _stopping_on_signals(server: uvicorn.Server) -> Iterator[None]:
    before = {number: signal.signal(number, server.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _with_keys_of_file(config: ServeConfig) -> ServeConfig:
    if config.api_key_file is None:
        return config
    try:
        lines = Path(config.api_key_file).read_text("utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise InvalidRequestError(f"the API keys can't be read: {error}", "api_key_file") from None
    keys = tuple(text for line in lines if (text := line.partition("#")[0].strip()))
    if not keys:
        raise InvalidRequestError(f"{config.api_key_file} holds no API key", "api_key_file")
    return dataclasses.replace(config, api_keys=config.api_keys + keys)


def _export_traces() -> None:
    with needing_otel():
        from candlewick.server.tracing import export_traces

        export_traces()


def _open_database(url: str | None) -> Database | None:
    if url is None:
        return None
    from candlewick.store.database import Database

    return Database.open(url)
