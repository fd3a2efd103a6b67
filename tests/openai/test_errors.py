"""Every error of ours has a status and a body in OpenAI's form."""

from __future__ import annotations

import inspect

import pytest

pytest.importorskip("pydantic", reason="needs the server extra")

from candlewick.core import errors
from candlewick.openai.errors import error_named, error_reply

CLASSES = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, errors.CandlewickError)
]

STATUS = {
    "InvalidRequestError": 400,
    "ContextOverflowError": 400,
    "TemplateError": 400,
    "ModelNotFoundError": 404,
    "EngineOverloaded": 429,
    "RequestTimeout": 504,
    "EngineClosed": 503,
    "EngineError": 503,
    "NotFoundError": 404,
    "PreviousResponseNotFound": 404,
    "SessionBusy": 409,
    "SessionNotFound": 404,
    "StoreError": 503,
}


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_class_has_its_status(kind: type[errors.CandlewickError]) -> None:
    arguments = ("what failed",)
    if issubclass(kind, errors.ModelLoadError):
        arguments = ("f.gguf", "header", "bad")
    elif issubclass(kind, errors.KvFileError):
        arguments = ("f.kv", "is cut off")
    error = kind(*arguments)
    reply = error_reply(error)
    assert reply.status == STATUS.get(kind.__name__, 500)
    assert reply.body["error"]["message"] == str(error)
    assert set(reply.body["error"]) == {"message", "type", "param", "code"}


def test_the_field_at_fault_is_named() -> None:
    assert error_reply(errors.InvalidRequestError("n must be …", "n")).body["error"]["param"] == "n"


def test_an_overload_says_when_to_come_back() -> None:
    assert error_reply(errors.EngineOverloaded("full")).headers == {"Retry-After": "1"}


def test_what_failed_for_good_is_not_tried_again() -> None:
    assert error_reply(errors.EngineFailed("broken")).headers == {"x-should-retry": "false"}


def test_foreign_errors_keep_their_text_to_themselves() -> None:
    reply = error_reply(RuntimeError("/home/me/secret"))
    assert reply.status == 500
    assert "secret" not in str(reply.body)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_an_error_event_becomes_an_exception_again(kind: type[errors.CandlewickError]) -> None:
    error = error_named(kind.__name__, "text")
    names_a_file = issubclass(kind, errors.ModelLoadError | errors.KvFileError)
    assert isinstance(error, errors.EngineError if names_a_file else kind)
    assert "text" in str(error)


def test_an_unknown_error_event_is_an_engine_error() -> None:
    assert isinstance(error_named("KeyError", "x"), errors.EngineError)
    assert isinstance(error_named("Path", "x"), errors.EngineError)
