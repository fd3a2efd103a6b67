"""Candlewick: the SQLite of LLM inference.

::

    from candlewick import LLM

    with LLM() as llm:
        for event in llm.chat([{"role": "user", "content": "Hello!"}]):
            print(event)

Names load on first use, so that ``import candlewick`` stays quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from candlewick.chat.answer import ChatAnswer, Completion, fold_events
    from candlewick.chat.embeddings import Embeddings
    from candlewick.chat.events import (
        Complete,
        Error,
        Event,
        ResponseToken,
        Start,
        ThinkingEnd,
        ThinkingStart,
        ThinkingToken,
        TokenLogprob,
        ToolCallArguments,
        ToolCallEnd,
        ToolCallStart,
    )
    from candlewick.chat.llm import LLM, AsyncLLM
    from candlewick.chat.messages import Message, Tool, ToolCall
    from candlewick.chat.transcript import Transcript
    from candlewick.core.config import EngineConfig
    from candlewick.core.constraint import Constraint
    from candlewick.core.engine import ChoiceResult, Generation, InferenceEngine, Output
    from candlewick.core.errors import (
        CandlewickError,
        ContextOverflowError,
        EngineClosed,
        EngineError,
        EngineFailed,
        EngineOverloaded,
        InvalidRequestError,
        KvFileError,
        ModelLoadError,
        ModelNotFoundError,
        NotFoundError,
        PreviousResponseNotFound,
        RequestTimeout,
        SessionBusy,
        SessionNotFound,
        StoreError,
        TemplateError,
        UnsupportedModelError,
    )
    from candlewick.core.params import GenerationParams
    from candlewick.core.usage import Timings, Usage

__version__ = "0.1.0"

_HOMES = {
    "candlewick.chat.answer": ("ChatAnswer", "Completion", "fold_events"),
    "candlewick.chat.embeddings": ("Embeddings",),
    "candlewick.chat.events": (
        "Complete",
        "Error",
        "Event",
        "ResponseToken",
        "Start",
        "ThinkingEnd",
        "ThinkingStart",
        "ThinkingToken",
        "TokenLogprob",
        "ToolCallArguments",
        "ToolCallEnd",
        "ToolCallStart",
    ),
    "candlewick.chat.llm": ("LLM", "AsyncLLM"),
    "candlewick.chat.messages": ("Message", "Tool", "ToolCall"),
    "candlewick.chat.transcript": ("Transcript",),
    "candlewick.core.config": ("EngineConfig",),
    "candlewick.core.constraint": ("Constraint",),
    "candlewick.core.engine": ("ChoiceResult", "Generation", "InferenceEngine", "Output"),
    "candlewick.core.errors": (
        "CandlewickError",
        "ContextOverflowError",
        "EngineClosed",
        "EngineError",
        "EngineFailed",
        "EngineOverloaded",
        "InvalidRequestError",
        "KvFileError",
        "ModelLoadError",
        "ModelNotFoundError",
        "NotFoundError",
        "PreviousResponseNotFound",
        "RequestTimeout",
        "SessionBusy",
        "SessionNotFound",
        "StoreError",
        "TemplateError",
        "UnsupportedModelError",
    ),
    "candlewick.core.params": ("GenerationParams",),
    "candlewick.core.usage": ("Timings", "Usage"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "LLM",
    "AsyncLLM",
    "CandlewickError",
    "ChatAnswer",
    "ChoiceResult",
    "Complete",
    "Completion",
    "Constraint",
    "ContextOverflowError",
    "Embeddings",
    "EngineClosed",
    "EngineConfig",
    "EngineError",
    "EngineFailed",
    "EngineOverloaded",
    "Error",
    "Event",
    "Generation",
    "GenerationParams",
    "InferenceEngine",
    "InvalidRequestError",
    "KvFileError",
    "Message",
    "ModelLoadError",
    "ModelNotFoundError",
    "NotFoundError",
    "Output",
    "PreviousResponseNotFound",
    "RequestTimeout",
    "ResponseToken",
    "SessionBusy",
    "SessionNotFound",
    "Start",
    "StoreError",
    "TemplateError",
    "ThinkingEnd",
    "ThinkingStart",
    "ThinkingToken",
    "Timings",
    "TokenLogprob",
    "Tool",
    "ToolCall",
    "ToolCallArguments",
    "ToolCallEnd",
    "ToolCallStart",
    "Transcript",
    "UnsupportedModelError",
    "Usage",
    "__version__",
    "fold_events",
]


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
