"""What a client is told when something fails: one table from our exceptions to OpenAI's error form.

Source: OpenAI's error reference; the official clients retry 408, 409, 429 and 5xx unless ``x-should-retry``
says no.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil

from candlewick.core import errors
from candlewick.openai.types import ErrorBody


@dataclass(frozen=True)
class ErrorReply:
    """An HTTP status, its extra headers and an error body in OpenAI's form."""

    status: int
    body: ErrorBody
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Row:
    status: int
    type: str
    code: str | None
    headers: tuple[tuple[str, str], ...] = ()


_DO_NOT_RETRY = (("x-should-retry", "false"),)

# The nearest class in an exception's ancestry wins, so that every error of ours has a row.
_TABLE: dict[type[Exception], _Row] = {
    errors.InvalidRequestError: _Row(400, "invalid_request_error", "invalid_value"),
    errors.ContextOverflowError: _Row(400, "invalid_request_error", "context_length_exceeded"),
    errors.NotFoundError: _Row(404, "invalid_request_error", "not_found"),
    errors.PreviousResponseNotFound: _Row(404, "invalid_request_error", "previous_response_not_found"),
    errors.TemplateError: _Row(400, "invalid_request_error", "chat_template_error"),
    errors.ModelNotFoundError: _Row(404, "invalid_request_error", "model_not_found"),
    errors.ModelLoadError: _Row(500, "server_error", "model_load_error", _DO_NOT_RETRY),
    errors.EngineOverloaded: _Row(429, "rate_limit_error", "engine_overloaded"),
    errors.RequestTimeout: _Row(504, "server_error", "request_timeout", _DO_NOT_RETRY),
    errors.EngineClosed: _Row(503, "server_error", "engine_closed", (("Retry-After", "5"),)),
    errors.EngineFailed: _Row(500, "server_error", "engine_failed", _DO_NOT_RETRY),
    errors.EngineError: _Row(503, "server_error", "engine_error"),
    errors.SessionNotFound: _Row(404, "invalid_request_error", "session_not_found"),
    errors.SessionBusy: _Row(409, "invalid_request_error", "session_busy", _DO_NOT_RETRY),
    errors.StoreError: _Row(503, "server_error", "store_error"),
    errors.CandlewickError: _Row(500, "server_error", "internal_error", _DO_NOT_RETRY),
    Exception: _Row(500, "server_error", "internal_error", _DO_NOT_RETRY),
}


def error_reply(error: Exception) -> ErrorReply:
    """How ``error`` is told to a client.

    The text of an exception that is not ours stays on this side: it may hold paths or prompts.
    """
    row = next(_TABLE[kind] for kind in type(error).__mro__ if kind in _TABLE)
    is_ours = isinstance(error, errors.CandlewickError)
    headers = dict(row.headers)
    if isinstance(error, errors.EngineOverloaded):
        headers["Retry-After"] = str(ceil(error.retry_after_seconds))
    return ErrorReply(
        status=row.status,
        headers=headers,
        body=error_body(
            str(error) if is_ours else "internal error; the server's log has the details",
            type=row.type,
            parameter=getattr(error, "parameter", None) if is_ours else None,
            code=row.code,
        ),
    )


def error_body(
    message: str, *, type: str, parameter: str | None = None, code: str | None = None
) -> ErrorBody:
    """An error body in OpenAI's form."""
    return {"error": {"message": message, "type": type, "param": parameter, "code": code}}


def error_named(class_name: str, message: str) -> errors.CandlewickError:
    """The exception that an ``Error`` event speaks of, to be raised again on this side of the stream."""
    kind = getattr(errors, class_name, None)
    if (
        isinstance(kind, type)
        and issubclass(kind, errors.CandlewickError)
        and not issubclass(kind, errors.ModelLoadError | errors.KvFileError)  # those name a file
    ):
        return kind(message)
    return errors.EngineError(f"{class_name}: {message}")
