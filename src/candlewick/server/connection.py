"""Work that ends when its client goes away, or when its time is over."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.types import Receive

from candlewick.core.errors import RequestTimeout

Result = TypeVar("Result")


def start_clock(request: HTTPConnection, max_seconds: float | None) -> None:
    """Let all that :func:`while_connected` does for ``request`` end ``max_seconds`` from now."""
    now = asyncio.get_running_loop().time()
    request.state.deadline = None if max_seconds is None else now + max_seconds


async def while_connected(request: Request, work: Coroutine[Any, Any, Result]) -> Result:
    """The result of ``work``, which is cancelled at once if the client goes away; the body must have been read.

    Raises:
        ClientDisconnect: the client went away first.
        RequestTimeout: the request's time was over first; see :func:`start_clock`.
    """
    deadline = getattr(request.state, "deadline", None)
    remaining = None if deadline is None else deadline - asyncio.get_running_loop().time()
    task = asyncio.create_task(work)
    watcher = asyncio.create_task(_disconnect(request.receive))
    try:
        await asyncio.wait((task, watcher), timeout=remaining, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        if watcher.done():
            raise ClientDisconnect
        raise RequestTimeout("the answer took longer than this server allows; ask for fewer tokens")
    finally:
        task.cancel()
        watcher.cancel()
        await asyncio.gather(task, watcher, return_exceptions=True)


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
