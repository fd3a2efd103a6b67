"""Every error that Candlewick raises on purpose.

::

    CandlewickError
    ├── ModelLoadError              a file, a tensor or its metadata is wrong (names file, place, reason)
    │   └── UnsupportedModelError   the file is sound, but this architecture or type is not known
    ├── ModelNotFoundError          a model reference leads nowhere (path, hub, offline)
    ├── InvalidRequestError         a request can't be honoured as asked (names the parameter); also a ValueError
    │   ├── ContextOverflowError    prompt and max_tokens do not fit into the context
    │   ├── NotFoundError           nothing is stored under the id that it names
    │   │   └── PreviousResponseNotFound    the response to go on from is not there any more
    │   └── TemplateError           the chat template refused the messages, or is itself broken
    ├── EngineError                 the engine can't serve at present
    │   ├── EngineOverloaded        the waiting queue is full or the wait was too long
    │   ├── RequestTimeout          the answer took longer than it was allowed
    │   ├── EngineClosed            the engine was closed, or closed while the request ran
    │   └── EngineFailed            a step, or this request alone, failed for good; ``__cause__`` tells why
    ├── KvFileError                 a file of keys and values is damaged, or of another model
    ├── StoreError                  the database can't be opened, is of a newer version, or fails
    ├── SessionNotFound             there is no such session, or it is somebody else's
    └── SessionBusy                 the session's answer must end before this can be done

Every message says what failed, the value seen and what to do.
"""

from __future__ import annotations

from pathlib import Path


class CandlewickError(Exception):
    """Base of all errors raised on purpose."""


class ModelLoadError(CandlewickError):
    """A model file can't be loaded.

    ``path`` is the file, ``where`` the place in it (a metadata key, a tensor's name, a byte offset) and ``reason``
    what is wrong there.
    """

    def __init__(self, path: str | Path, where: str, reason: str) -> None:
        self.path = Path(path)
        self.where = where
        self.reason = reason
        super().__init__(f"{path}: {where}: {reason}")


class UnsupportedModelError(ModelLoadError):
    """The file is sound, but its architecture, tokenizer or tensor type is not supported."""


class ModelNotFoundError(CandlewickError):
    """A model reference (path, ``hf:owner/repo``, built-in name) leads nowhere."""

    parameter = "model"


class InvalidRequestError(CandlewickError, ValueError):
    """A request can't be honoured as asked; ``parameter`` names the field at fault."""

    def __init__(self, message: str, parameter: str | None = None) -> None:
        self.parameter = parameter
        super().__init__(message)


class ContextOverflowError(InvalidRequestError):
    """The prompt, or the prompt and ``max_tokens``, exceed the context."""


class NotFoundError(InvalidRequestError):
    """Nothing is stored under an id, or it is somebody else's."""


class PreviousResponseNotFound(NotFoundError):
    """The response that a request goes on from is not there any more; clients may send all of it again."""


class TemplateError(InvalidRequestError):
    """The chat template refused the messages, used up its fuel, or is itself broken."""


class EngineError(CandlewickError):
    """The engine can't serve at present."""


class EngineOverloaded(EngineError):
    """The waiting queue is full, or the request waited longer than allowed.

    ``retry_after_seconds`` is when another attempt may have better luck, as far as can be told.
    """

    def __init__(self, message: str, retry_after_seconds: float = 1.0) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(message)


class RequestTimeout(EngineError):
    """The answer took longer than it was allowed."""


class EngineClosed(EngineError):
    """The engine is closed."""


class EngineFailed(EngineError):
    """A step failed for good, which all pending requests receive, or what belongs to one request did, which that one
    receives. ``__cause__`` tells why."""


class KvFileError(CandlewickError):
    """A file of keys and values can't be used: it is damaged, or belongs to another model. What it would have saved
    must be computed again; no answer is wrong for it."""

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(f"{path} {reason}; delete it, or have it written anew")
        self.path = Path(path)
        self.reason = reason


class StoreError(CandlewickError):
    """The database can't be opened, holds tables of a newer version, or fails."""


class SessionNotFound(CandlewickError):
    """There is no such session, or it is somebody else's."""


class SessionBusy(CandlewickError):
    """The session's answer must end before this can be done."""
