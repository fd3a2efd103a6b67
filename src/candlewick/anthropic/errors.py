"""What a client of Messages is told when something fails: the same statuses as elsewhere, in Anthropic's form.

Source: Anthropic's error reference (``anthropic.types.shared.error_type``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from typing_extensions import TypedDict

from candlewick.openai import errors as openai_errors

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


class ErrorDetail(TypedDict):
    type: str
    message: str


class ErrorBody(TypedDict):
    type: Literal["error"]
    error: ErrorDetail


@dataclass(frozen=True)
class ErrorReply:
    """An HTTP status, its extra headers and an error body in Anthropic's form."""

    status: int
    body: ErrorBody
    headers: dict[str, str]


def error_reply(error: Exception) -> ErrorReply:
    """How ``error`` is told to a client; the field at fault is named in the message."""
    reply = openai_errors.error_reply(error)
    detail = reply.body["error"]
    message = detail["message"]
    if detail["param"] is not None and detail["param"] not in message:
        message = f"{detail['param']}: {message}"
    return ErrorReply(reply.status, error_body(reply.status, message), reply.headers)


def error_body(status: int, message: str) -> ErrorBody:
    """An error body for an HTTP status."""
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
    return {"type": "error", "error": {"type": kind, "message": message}}
