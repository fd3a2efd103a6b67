"""Loading a model under a progress bar."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

if TYPE_CHECKING:
    from candlewick.chat.llm import LLM, AsyncLLM, Progress
    from candlewick.core.config import EngineConfig


class LoadingBar:
    """A bar on standard error for each stage, gone at the end; nothing where that is no terminal."""

    def __init__(self) -> None:
        self._progress = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TimeRemainingColumn(),
            console=Console(file=sys.stderr),
            transient=True,
            disable=not sys.stderr.isatty(),
        )
        self._stages: dict[str, TaskID] = {}

    def update(self, stage: str, done: int, total: int) -> None:
        """``done`` of ``total`` bytes of ``stage`` are there."""
        if stage not in self._stages:
            self._stages[stage] = self._progress.add_task(stage, total=total)
        self._progress.update(self._stages[stage], completed=done, total=total)

    def stop(self) -> None:
        """Take the bar away; it may be called again."""
        self._progress.stop()

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def load_llm(
    reference: str,
    *,
    threads: int | None = None,
    context: int | None = None,
    draft_model: str | None = None,
) -> LLM:
    """The model that ``reference`` means; ``context`` in tokens, ``draft_model`` a reference like the first.

    Raises:
        ModelNotFoundError: the reference leads nowhere.
        ModelLoadError: the model can't be loaded.
        InvalidRequestError: a setting is out of its range.
    """
    from candlewick.chat.llm import LLM

    with LoadingBar() as bar:
        return LLM(
            reference,
            progress=bar.update,
            num_threads=threads,
            max_context=context,
            draft_model=draft_model,
        )


def load_async_llm(reference: str, engine: EngineConfig, progress: Progress) -> AsyncLLM:
    """The model that ``reference`` means, for an event loop; see :func:`load_llm` for errors."""
    from candlewick.chat.llm import AsyncLLM

    return AsyncLLM(reference, progress=progress, **vars(engine))


def load_model_for_tools(
    reference: str,
    *,
    threads: int | None = None,
    context: int | None = None,
    draft_model: str | None = None,
) -> AsyncLLM:
    """As :func:`load_llm`, for a command whose tools run in an event loop."""
    from candlewick.core.config import EngineConfig

    with LoadingBar() as bar:
        config = EngineConfig(num_threads=threads, max_context=context, draft_model=draft_model)
        return load_async_llm(reference, config, bar.update)
