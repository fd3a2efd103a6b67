"""One record for every request: who asked for what, and how it went; and the request's id, in and out.

Says nothing of what was asked or answered. The records go to the logger ``candlewick.access``; whoever runs the server
decides where that leads.
"""

from __future__ import annotations

import json
import logging
import re
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from candlewick.server.config import AccessLogForm

LOGGER = logging.getLogger("candlewick.access")
REQUEST_ID = "x-request-id"

_ACCEPTABLE_ID = re.compile(r"[\w.:/+=-]{1,128}", re.ASCII)
"""What may go into logs and back to the client as it is."""


@dataclass(frozen=True)
class AccessRecord:
    """One request that has ended."""

    request_id: str
    client: str | None
    owner: str | None
    """Whose key it bore; ``None`` when it got no further than the door."""
    method: str
    path: str
    status: int | None
    """``None`` when nothing was answered."""
    milliseconds: float
    first_byte_milliseconds: float | None
    """Until the first byte of the answer's body."""
    bytes_sent: int


class AccessLog:
    """Gives every request an id and logs it at its end. The outermost layer, so that nothing escapes it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(REQUEST_ID, "")
        request_id = given if _ACCEPTABLE_ID.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        start = time.perf_counter()
        status: int | None = None
        first_byte: float | None = None
        bytes_sent = 0

        async def observe(message: Message) -> None:
            nonlocal status, first_byte, bytes_sent
            if message["type"] == "http.response.body":
                body = message.get("body", b"")
                if first_byte is None and body:
                    first_byte = time.perf_counter()
                bytes_sent += len(body)
            elif message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID] = request_id
            await send(message)

        try:
            await self._app(scope, receive, observe)
        finally:
            client = scope.get("client")
            record = AccessRecord(
                request_id=request_id,
                client=client[0] if client else None,
                owner=scope["state"].get("owner"),
                method=scope["method"],
                path=scope["path"],
                status=status,
                milliseconds=_milliseconds(start, time.perf_counter()),
                first_byte_milliseconds=None if first_byte is None else _milliseconds(start, first_byte),
                bytes_sent=bytes_sent,
            )
            LOGGER.info("%s", record)


class AccessFormatter(logging.Formatter):
    """Access records as lines of text or of JSON objects, with the time in UTC."""

    def __init__(self, form: AccessLogForm) -> None:
        super().__init__()
        self._render: Callable[[str, AccessRecord], str] = _as_json if form == "json" else _as_text

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        arguments = record.args
        assert isinstance(arguments, tuple)
        assert isinstance(arguments[0], AccessRecord)
        return self._render(moment, arguments[0])


def _as_json(moment: str, record: AccessRecord) -> str:
    return json.dumps({"time": moment} | asdict(record))


def _as_text(moment: str, record: AccessRecord) -> str:
    # The path is quoted as JSON: it is decoded from the request and may hold anything, line breaks included.
    return (
        f"{moment} {record.client or '-'} {record.owner or '-'} {record.method} {json.dumps(record.path)} "
        f"{record.status or '-'} {record.milliseconds:.1f} ms {record.bytes_sent} bytes {record.request_id}"
    )


def _milliseconds(start: float, end: float) -> float:
    return round((end - start) * 1000, 3)
