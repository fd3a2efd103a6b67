"""Events compressed one by one: what a page is told again with a few words more costs the few words.

A block of an answer is sent anew whenever it has grown, and within the window of the compression the older one still
lies: on a slow connection that is the difference between a page that keeps up and one that does not.
"""

from __future__ import annotations

import zlib

from starlette.datastructures import MutableHeaders
from starlette.types import Message, Receive, Scope, Send

from candlewick.server.sse import EventStream

_LEVEL = 4
_GZIP = 31
"""zlib's sign for gzip with the largest window."""


class CompressedEventStream(EventStream):
    """An event stream as gzip, for clients that take it; what has been written is never held back."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if "gzip" not in self._request.headers.get("accept-encoding", ""):
            await super().__call__(scope, receive, send)
            return
        compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)

        async def send_compressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(raw=message["headers"])["Content-Encoding"] = "gzip"
            else:
                end = zlib.Z_SYNC_FLUSH if message.get("more_body") else zlib.Z_FINISH
                body = compressor.compress(message.get("body", b"")) + compressor.flush(end)
                message = {**message, "body": body}
            await send(message)

        await super().__call__(scope, receive, send_compressed)
