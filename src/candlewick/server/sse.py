"""Server-sent events: framing, and a response that ends with its client.

Source: the HTML standard, section 9.2 (server-sent events).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from typing import Any, Self

from pydantic_core import to_json
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from candlewick.core.errors import RequestTimeout
from candlewick.server.connection import while_connected

logger = logging.getLogger(__name__)

Frames = AsyncGenerator[bytes, None]

HEARTBEAT = b": still here\n\n"
"""A comment, which readers of events skip; proxies and clients see that the connection lives."""
DONE = b"data: [DONE]\n\n"
"""The end of OpenAI's streams, which is no JSON."""
GOODBYE_SECONDS = 5.0
"""How long a client whose time is over has to take the last frame."""
_MOST_WAITING_BYTES = 2**16
"""Frames that may wait to be sent; with more, whoever makes them waits for the client."""


def frame(payload: Any, event: str | None = None, id: str | None = None) -> bytes:
    """One event with ``payload`` as JSON, which holds no line break: one data line is enough.

    A client that comes back names the last ``id`` that it has seen.
    """
    name = "" if event is None else f"event: {event}\n"
    number = "" if id is None else f"id: {id}\n"
    # Pydantic's encoder takes a quarter of the standard library's time.
    return b"%b%bdata: %b\n\n" % (name.encode(), number.encode(), to_json(payload))


class EventStream(Response):
    """Sends each frame whole; closes the frames, and so what makes them, when the client goes away.

    A write has one frame, or all that came at once: where the loop lags behind the engine, they cost one write.
    Where nothing was sent for a while, a comment is. Open it by :meth:`begin`.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        request: Request,
        first: asyncio.Future[bytes],
        rest: Frames,
        error_frame: Callable[[Exception], bytes],
    ) -> None:
        self.status_code = 200
        self.background = None
        self.init_headers({"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._request = request
        self._first = first
        self._rest = rest
        self._error_frame = error_frame
        self._heartbeat_seconds = _heartbeat_seconds(request)

    @classmethod
    async def begin(cls, request: Request, frames: Frames, error_frame: Callable[[Exception], bytes]) -> Self:
        """Wait for the first frame, so that what fails before it still gets its own HTTP status.

        If it takes long (while a model is loaded, say) the stream begins without it, and such an error becomes its
        last frame.

        Args:
            request: whose client is watched; its body must have been read.
            frames: what to send.
            error_frame: the last frame of a stream that fails midway.

        Raises:
            ClientDisconnect: the client went away first.
            Exception: what ``frames`` raised before its first frame.
        """
        first = asyncio.ensure_future(_next(frames))
        try:
            await while_connected(request, _finish(first, _heartbeat_seconds(request)))
        except BaseException:
            first.cancel()
            raise
        if first.done() and (error := first.exception()) is not None:
            raise error
        return cls(request, first, frames, error_frame)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        writer = _Writer(send)
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        try:
            async with aclosing(self._rest):
                await while_connected(self._request, self._send_all(writer))
        except ClientDisconnect:
            logger.info("the client went away; its answer is cancelled")
        except RequestTimeout as error:
            with suppress(TimeoutError, OSError):
                async with asyncio.timeout(GOODBYE_SECONDS):
                    await writer.write(self._error_frame(error))
                    await writer.end()
        finally:
            await writer.close()

    async def _send_all(self, writer: _Writer) -> None:
        heart = asyncio.create_task(writer.keep_alive(self._heartbeat_seconds))
        try:
            await writer.write(await self._first)
            async for piece in self._rest:
                await writer.write(piece)
        except OSError:
            raise ClientDisconnect from None
        except Exception as error:
            logger.exception("an answer failed midway")
            await writer.write(self._error_frame(error))
        finally:
            heart.cancel()
            self._first.cancel()
            await asyncio.gather(heart, self._first, return_exceptions=True)
        try:
            await writer.end()
        except OSError:
            raise ClientDisconnect from None


class _Writer:
    """The body of a response. What is written before its task has to wait goes out as one piece."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._now = asyncio.get_running_loop().time
        self._written_at = self._now()
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._sending: asyncio.Task[None] | None = None

    async def write(self, body: bytes) -> None:
        """Send ``body`` soon; waits only when the client is slow to read.

        Raises:
            OSError: something before it could not be sent.
        """
        self._written_at = self._now()
        self._waiting.append(body)
        self._waiting_bytes += len(body)
        if self._sending is None or self._sending.done():
            if self._sending is not None:
                self._sending.result()
            self._sending = asyncio.create_task(self._send_waiting())
        if self._waiting_bytes > _MOST_WAITING_BYTES:
            # Whoever stops waiting here, since its time is over, must not stop what is being sent.
            await asyncio.shield(self._sending)

    async def end(self) -> None:
        """Send what waits, and the end of the body."""
        if self._sending is not None:
            await self._sending
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def close(self) -> None:
        """Send nothing more; what waits is dropped."""
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.gather(self._sending, return_exceptions=True)

    async def _send_waiting(self) -> None:
        while self._waiting:
            body = b"".join(self._waiting)
            self._waiting.clear()
            self._waiting_bytes = 0
            await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def keep_alive(self, seconds: float) -> None:
        """Write a comment whenever nothing was written for ``seconds``, until cancelled."""
        while True:
            quiet = self._now() - self._written_at
            if quiet >= seconds:
                await self.write(HEARTBEAT)
            else:
                await asyncio.sleep(seconds - quiet)


def _heartbeat_seconds(request: Request) -> float:
    seconds: float = request.app.state.services.config.heartbeat_seconds
    return seconds


async def _next(frames: Frames) -> bytes:
    return await anext(frames, b"")


async def _finish(future: asyncio.Future[bytes], seconds: float) -> None:
    await asyncio.wait((future,), timeout=seconds)
