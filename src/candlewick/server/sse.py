"""Server-sent events: framing, and a response that ends with its client.

Source: the HTML standard, section 9.2 (server-sent events).
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any, Self

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from candlewick.server.connection import while_connected

logger = logging.getLogger(__name__)

Frames = AsyncGenerator[bytes, None]


def frame(payload: Any, event: str | None = None) -> bytes:
    """One event with ``payload`` as JSON, which holds no line break: one data line is enough."""
    data = f"data: {json.dumps(payload, ensure_ascii=False, separators=(',', ':'))}\n\n"
    return (data if event is None else f"event: {event}\n{data}").encode()


class EventStream(Response):
    """Sends each frame in one write; closes the frames, and so what makes them, when the client goes away.

    Open it by :meth:`begin`, so that what fails before the first frame still gets its own HTTP status.
    """

    media_type = "text/event-stream"

    def __init__(self, first: bytes, rest: Frames, error_frame: Callable[[Exception], bytes]) -> None:
        self.status_code = 200
        self.background = None
        self.init_headers({"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._first = first
        self._rest = rest
        self._error_frame = error_frame

    @classmethod
    async def begin(cls, request: Request, frames: Frames, error_frame: Callable[[Exception], bytes]) -> Self:
        """Wait for the first frame.

        Args:
            request: whose client is watched; its body must have been read.
            frames: what to send.
            error_frame: the last frame of a stream that fails midway.

        Raises:
            ClientDisconnect: the client went away first.
            Exception: what ``frames`` raised before its first frame.
        """
        return cls(await while_connected(request.receive, _next(frames)), frames, error_frame)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._rest):
            try:
                await while_connected(receive, self._send_all(send))
            except ClientDisconnect:
                logger.info("the client went away; its answer is cancelled")

    async def _send_all(self, send: Send) -> None:
        async def write(body: bytes, *, more: bool = True) -> None:
            await send({"type": "http.response.body", "body": body, "more_body": more})

        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        try:
            await write(self._first)
            async for piece in self._rest:
                await write(piece)
        except OSError:
            raise ClientDisconnect from None
        except Exception as error:
            logger.exception("an answer failed midway")
            await write(self._error_frame(error))
        await write(b"", more=False)


async def _next(frames: Frames) -> bytes:
    return await anext(frames)
