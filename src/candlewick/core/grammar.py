"""Constraints compiled for one vocabulary: which tokens may follow, and which must.

Owns llguidance, which does the work: it is loaded with the first constraint, and so is the trie of the
vocabulary built. Refuses to know requests, samplers and threads of the engine.
Source: https://github.com/guidance-ai/llguidance (``_lib.pyi`` of the installed package).
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as ReadableSet
from concurrent.futures import Future
from functools import cache, lru_cache
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from candlewick.core.constraint import Constraint
from candlewick.core.errors import InvalidRequestError

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

TokenMask = npt.NDArray[np.uint32]
"""``[ceil(V / 32)]`` for V logits: bit ``i % 32`` of word ``i // 32`` says whether token ``i`` is allowed."""
TokenMasks = npt.NDArray[np.uint32]
"""Several of them, ``[R, ceil(V / 32)]``."""

MAX_GRAMMAR_CHARS = 2**18
"""A grammar, its schemas included, may be this long: the time and the stack to compile it grow with it."""

_MAX_CACHED = 32
_STACK_BYTES = 2**28  # address space: memory is taken as far as the stack grows
_stack_size_lock = threading.Lock()
Result = TypeVar("Result")
_LONGEST_SHOWN = 400


class GrammarError(Exception):
    """A grammar can't go on: a token is not allowed, or one place of an answer needs more work than is allowed."""


class GrammarTokenizer(Protocol):
    """What a grammar needs to know of the vocabulary."""

    @property
    def vocab_size(self) -> int: ...
    @property
    def bos_id(self) -> int | None: ...
    @property
    def eos_ids(self) -> ReadableSet[int]: ...
    @property
    def markers(self) -> Mapping[str, int]: ...
    def token_bytes(self, token_id: int) -> bytes: ...
    def encode_continuation(self, text: str) -> list[int]: ...


class Matcher(Protocol):
    """Where one answer stands in a grammar."""

    @property
    def is_free(self) -> bool:
        """Whether any token may follow, so that no mask is needed."""

    @property
    def is_accepting(self) -> bool:
        """Whether the text so far has the form that was asked for."""

    @property
    def is_complete(self) -> bool:
        """Whether it has and nothing may follow."""

    def accept(self, token_id: int) -> None:
        """Go on by a token that is allowed.

        Raises:
            GrammarError: it is not, or the grammar needs too much work here.
        """

    def retract(self, num_tokens: int) -> None:
        """Undo the latest tokens."""

    def forced_tokens(self) -> list[int]:
        """The tokens that must follow because only one text can: in the tokenizer's own division of that text,
        less those at its end that may join with what comes after.
        """

    def write_mask(self, mask: TokenMask) -> None:
        """Write which tokens may follow; end tokens may where the grammar accepts.

        Raises:
            GrammarError: the grammar needs too much work here.
        """


class Grammar:
    """A compiled constraint; every answer gets a matcher of its own."""

    def __init__(self, prototype: LLMatcher, vocab_size: int) -> None:
        self._prototype = prototype
        self._vocab_size = vocab_size

    def new_matcher(self) -> Matcher:
        return _LLGuidanceMatcher(self._prototype.deep_copy(), self._vocab_size)


class SleepingGrammar:
    """A constraint that may still be compiled while its answers are free; see :attr:`Constraint.wakes_at`."""

    def __init__(self, grammar: Future[Grammar], wakes_at: ReadableSet[int]) -> None:
        self._grammar = grammar
        self._wakes_at = wakes_at

    def new_matcher(self) -> Matcher:
        return SleepingMatcher(lambda: self._grammar.result().new_matcher(), self._wakes_at)


class GrammarCompiler:
    """Compiles constraints for one tokenizer; from any thread. The latest ones are kept."""

    def __init__(self, tokenizer: GrammarTokenizer) -> None:
        self._tokenizer = tokenizer
        self._lock = threading.Lock()
        # Held for a second, in which nobody should wait for what is known.
        self._vocabulary_lock = threading.Lock()
        self._vocabulary: LLTokenizer | None = None
        self._cache: OrderedDict[str, Grammar] = OrderedDict()

    def compile(self, constraint: Constraint, *, leading_space: bool = False) -> Grammar | SleepingGrammar:
        """Compile a constraint. Takes milliseconds, and seconds for the first one or a very large one; one that sleeps
        is compiled meanwhile.

        Args:
            leading_space: see :meth:`Constraint.grammar`.

        Raises:
            InvalidRequestError: it can't be followed (the message names the keyword or the place), or llguidance
                is not installed (it names the extra). If it sleeps, answers stay free instead.
        """
        text = constraint.grammar(leading_space=leading_space)
        known = self._known(text)
        if not constraint.wakes_at:
            return known or self._compiled(text, constraint)
        grammar: Future[Grammar] = Future()
        if known is not None:
            grammar.set_result(known)
        else:
            _start(grammar, lambda: self._compiled(text, constraint), "candlewick-grammars")
        return SleepingGrammar(grammar, constraint.wakes_at)

    def _known(self, text: str) -> Grammar | None:
        with self._lock:
            if text in self._cache:
                self._cache.move_to_end(text)
            return self._cache.get(text)

    def _compiled(self, text: str, constraint: Constraint) -> Grammar:
        with self._vocabulary_lock:
            if self._vocabulary is None:
                self._vocabulary = _new_vocabulary(self._tokenizer)
        grammar = _compile(self._vocabulary, text, constraint)
        with self._lock:
            self._cache[text] = grammar
            while len(self._cache) > _MAX_CACHED:
                self._cache.popitem(last=False)
        return grammar


@lru_cache(256)
def require_followable(constraint: Constraint) -> None:
    """Check a constraint without a vocabulary.

    Raises:
        InvalidRequestError: as :meth:`GrammarCompiler.compile` would.
    """
    text = constraint.grammar()
    _require_short(text, constraint)
    is_wrong, messages = _with_deep_stack(
        lambda: _llguidance().LLMatcher.validate_grammar_with_warnings(text)
    )
    if is_wrong:
        raise _refusal(constraint, messages[0])


@cache
def is_installed() -> bool:
    """Whether there is what compiles constraints: llguidance, which comes with an extra."""
    return find_spec("llguidance") is not None


def _llguidance() -> ModuleType:
    try:
        import llguidance
    except ImportError:
        raise InvalidRequestError(
            "structured output needs llguidance; install it with: pip install 'candlewick[structured]'",
            "constraint",
        ) from None
    return llguidance


def _new_vocabulary(tokenizer: GrammarTokenizer) -> LLTokenizer:
    module = _llguidance()
    wrapped = module.TokenizerWrapper(_Vocabulary(tokenizer))
    vocabulary: LLTokenizer = module.LLTokenizer(wrapped, eos_token=sorted(tokenizer.eos_ids))
    return vocabulary


class _Vocabulary:
    """A tokenizer as llguidance wants it. Markers match nothing but themselves: they structure an answer."""

    def __init__(self, tokenizer: GrammarTokenizer) -> None:
        self.eos_token_id = min(tokenizer.eos_ids, default=None)
        self.bos_token_id = tokenizer.bos_id
        self.tokens = [tokenizer.token_bytes(token_id) for token_id in range(tokenizer.vocab_size)]
        self.special_token_ids = sorted({*tokenizer.markers.values(), *tokenizer.eos_ids})
        self._tokenizer = tokenizer

    def __call__(self, text: str) -> list[int]:
        if not isinstance(text, str):
            raise TypeError("only whole characters are tokenized")
        return self._tokenizer.encode_continuation(text)


def _compile(vocabulary: LLTokenizer, text: str, constraint: Constraint) -> Grammar:
    _require_short(text, constraint)
    matcher: LLMatcher = _with_deep_stack(lambda: _llguidance().LLMatcher(vocabulary, text, log_level=0))
    if matcher.is_error():
        raise _refusal(constraint, matcher.get_error())
    return Grammar(matcher, vocabulary.vocab_size)


def _require_short(text: str, constraint: Constraint) -> None:
    if len(text) > MAX_GRAMMAR_CHARS:
        raise _refusal(
            constraint,
            f"it has {len(text)} characters, and more than {MAX_GRAMMAR_CHARS} are not compiled; make it smaller",
        )


def _refusal(constraint: Constraint, reason: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"the {_NAMES[constraint.kind]} can't be followed: {_shortened(reason)}", "constraint"
    )


_NAMES = {
    "json_schema": "JSON schema",
    "regex": "regular expression",
    "lark": "grammar",
    "choice": "list of choices",
}


def _with_deep_stack(function: Callable[[], Result]) -> Result:
    """Call ``function`` on a thread of its own. llguidance walks chains of references by recursion, and a stack
    that overflows ends the process; this one holds the longest chain that a grammar has room for.
    """
    future: Future[Result] = Future()
    with _stack_size_lock:
        previous = threading.stack_size(_STACK_BYTES)
        try:
            _start(future, function, "candlewick-grammar")
        finally:
            threading.stack_size(previous)
    return future.result()


def _start(future: Future[Result], function: Callable[[], Result], name: str) -> None:
    """Have ``function`` called on a thread of its own, and ``future`` told what came of it. A program that ends waits
    for it: a thread that is stopped inside llguidance would end the process with an error.
    """

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name=name).start()


_PLACE = re.compile(r"^(at )?\d+\(\d+\): ")
_PICTURE = re.compile(r"\d+ \||<backtrace>|<state>")


def _shortened(message: str) -> str:
    """An error of llguidance without places and pictures of them: they are those of a text that we wrote."""
    lines = [line.strip() for line in message.splitlines()]
    picture = next((i for i, line in enumerate(lines) if _PICTURE.match(line)), len(lines))
    text = _PLACE.sub("", " ".join(lines[:picture]))
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…"


class SleepingMatcher:
    """:class:`Matcher` that lets an answer be free until it wakes; see :attr:`Constraint.wakes_at`."""

    def __init__(self, new_matcher: Callable[[], Matcher], wakes_at: ReadableSet[int]) -> None:
        self._matcher: Matcher | None = None
        self._new_matcher = new_matcher
        self._wakes_at = wakes_at
        self._token_ids: list[int] = []

    @property
    def is_free(self) -> bool:
        return self._matcher is None

    @property
    def is_accepting(self) -> bool:
        return self._matcher is None or self._matcher.is_accepting

    @property
    def is_complete(self) -> bool:
        return self._matcher is not None and self._matcher.is_complete

    def accept(self, token_id: int) -> None:
        if self._matcher is not None:
            self._matcher.accept(token_id)
        elif self._wakes_at:
            self._token_ids.append(token_id)
            if token_id in self._wakes_at:
                self._wake()

    def _wake(self) -> None:
        try:
            matcher = self._new_matcher()
            for token_id in self._token_ids:
                matcher.accept(token_id)
        except (GrammarError, InvalidRequestError):
            self._wakes_at = frozenset()  # free to the end
        else:
            self._matcher = matcher

    def retract(self, num_tokens: int) -> None:
        assert self._matcher is not None, "only forced tokens are undone, and none is forced in sleep"
        self._matcher.retract(num_tokens)

    def forced_tokens(self) -> list[int]:
        return [] if self._matcher is None else self._matcher.forced_tokens()

    def write_mask(self, mask: TokenMask) -> None:
        if self._matcher is None:
            mask[:] = ~np.uint32(0)
        else:
            self._matcher.write_mask(mask)


class _LLGuidanceMatcher:
    """:class:`Matcher` by llguidance, whose methods never raise but leave the matcher in an error state."""

    is_free = False

    def __init__(self, matcher: LLMatcher, vocab_size: int) -> None:
        self._matcher = matcher
        self._num_words = -(-vocab_size // 32)

    @property
    def is_accepting(self) -> bool:
        return self._matcher.is_accepting()

    @property
    def is_complete(self) -> bool:
        return self._matcher.is_stopped() and not self._matcher.is_error()

    def accept(self, token_id: int) -> None:
        if not self._matcher.consume_token(token_id):
            raise self._error()

    def retract(self, num_tokens: int) -> None:
        if not self._matcher.rollback(num_tokens):
            raise self._error()

    def forced_tokens(self) -> list[int]:
        return self._matcher.compute_ff_tokens()

    def write_mask(self, mask: TokenMask) -> None:
        known = mask[: self._num_words]  # a model may have more logits than its vocabulary has tokens
        self._matcher.unsafe_compute_mask_ptr(known.ctypes.data, known.nbytes)
        if self._matcher.is_error():
            raise self._error()

    def _error(self) -> GrammarError:
        return GrammarError(f"the constraint can't go on: {_shortened(self._matcher.get_error())}")


def set_allowed(mask: TokenMask, token_ids: Iterable[int], is_allowed: bool) -> None:
    """Allow or forbid some tokens in a mask."""
    for token_id in token_ids:
        bit = np.uint32(1 << (token_id % 32))
        if is_allowed:
            mask[token_id // 32] |= bit
        else:
            mask[token_id // 32] &= ~bit
