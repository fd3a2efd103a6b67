"""Reading a request's JSON body, strictly and within a size."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from starlette.exceptions import HTTPException
from starlette.requests import Request

from candlewick.core.errors import InvalidRequestError


async def read_json_object(request: Request, max_bytes: int) -> dict[str, Any]:
    """The body as a JSON object.

    Raises:
        InvalidRequestError: it is not JSON in UTF-8, or no object.
        HTTPException: 413, it is larger than ``max_bytes``.
    """
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > max_bytes:
            raise HTTPException(413, f"the request body is larger than {max_bytes} bytes")
    return parse_json_object(bytes(body))


def parse_json_object(body: bytes) -> dict[str, Any]:
    """``body`` as a JSON object (RFC 8259), whose strings can all be written as UTF-8 again.

    Raises:
        InvalidRequestError: it is not JSON in UTF-8, or no object.
    """
    try:
        text = body.decode("utf-8")
        value = json.loads(text, parse_constant=_refuse_constant)
        if "\\ud" in text or "\\uD" in text:
            # An escaped half of a surrogate pair passes the parser, but is no text.
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except RecursionError:
        raise InvalidRequestError("the request body is nested too deeply") from None
    except ValueError as error:  # of the decoder, the parser, the encoder or a number of too many digits
        raise InvalidRequestError(f"the request body is not JSON in UTF-8: {error}") from None
    if not isinstance(value, dict):
        raise InvalidRequestError(f"the request body must be a JSON object, got {type(value).__name__}")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")
