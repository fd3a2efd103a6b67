"""Whether answers really depend on nothing but their requests: the promise, tried on one model and machine.

The same random requests are answered under every condition that must not matter, through engines as any program
would use them, and the tokens and log-probabilities are compared to the bit. Knows no template and no wire
format; :mod:`candlewick.core.fingerprint` says of what model and machine the findings are.
"""

from __future__ import annotations

import hashlib
import random
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from typing import Self

from candlewick.core.batch import BLOCK_SIZE
from candlewick.core.config import EngineConfig
from candlewick.core.engine import ChoiceResult, Generation, InferenceEngine
from candlewick.core.gguf import GGUFFile
from candlewick.core.machine import choose_instruction_set
from candlewick.core.model_config import ModelConfig
from candlewick.core.params import GenerationParams

Bits = tuple[tuple[int, float, tuple[tuple[int, float], ...]], ...]
"""Of each token its id, log-probability, and the likeliest tokens with theirs."""

LoadEngine = Callable[[EngineConfig], InferenceEngine]

_SHORT_TOKENS = 4
"""What the slower instruction sets are asked for: the scalar one takes seconds for a token of a large model."""


@dataclass(frozen=True)
class AskedRequest:
    """A prompt and what to make of it."""

    prompt_ids: tuple[int, ...]
    params: GenerationParams


@dataclass(frozen=True)
class Workload:
    """Random requests, the same for the same numbers on every machine."""

    num_requests: int = 6
    num_neighbours: int = 32
    max_prompt_tokens: int = 80
    max_tokens: int = 32
    seed: int = 0

    def requests(self, engine: InferenceEngine) -> list[AskedRequest]:
        """Those whose answers are compared: greedy and drawn, short and long; every second one repeats itself, so
        that there is something for guesses to find. No two begin alike."""
        numbers = random.Random(self.seed)
        first_ids = numbers.sample(range(engine.vocab_size), self.num_requests)
        requests = []
        for i, first_id in enumerate(first_ids):
            # From a few tokens to the longest.
            length = 2 + (self._longest(engine) - 2) * i // max(1, self.num_requests - 1)
            prompt_ids = [first_id, *self._tokens(numbers, engine, length - 1)]
            if i % 2:
                prompt_ids = [first_id, *(prompt_ids[1:6] * length)][:length]
            requests.append(AskedRequest(tuple(prompt_ids), self._params(engine, i)))
        return requests

    def neighbours(self, engine: InferenceEngine, requests: Sequence[AskedRequest]) -> list[AskedRequest]:
        """Others that run beside them; every second one begins like one of them."""
        numbers = random.Random(self.seed + 1)
        neighbours = []
        for i in range(self.num_neighbours):
            shared = requests[i % len(requests)].prompt_ids if i % 2 else ()
            shared = shared[: numbers.randrange(self._longest(engine))]
            own = self._tokens(
                numbers, engine, max(1, numbers.randrange(self._longest(engine)) - len(shared))
            )
            neighbours.append(AskedRequest((*shared, *own), self._params(engine, i + 1)))
        return neighbours

    def _longest(self, engine: InferenceEngine) -> int:
        return max(3, min(self.max_prompt_tokens, engine.max_context // 2))

    def _params(self, engine: InferenceEngine, number: int) -> GenerationParams:
        return GenerationParams(
            max_tokens=max(1, min(self.max_tokens, engine.max_context // 2 - 1)),
            temperature=(0.0, 0.8, 1.2)[number % 3],
            top_p=0.95,
            repetition_penalty=1.1 if number % 2 else 1.0,
            seed=self.seed + number,
            logprobs=2,
            ignore_eos=True,
        )

    @staticmethod
    def _tokens(numbers: random.Random, engine: InferenceEngine, count: int) -> list[int]:
        return [numbers.randrange(engine.vocab_size) for _ in range(count)]


@dataclass(frozen=True)
class Check:
    """One condition and what came of it."""

    condition: str
    passed: bool
    finding: str
    """What was compared, or what was different."""
    seconds: float


class Verification:
    """Runs the checks of one model; read :meth:`run` to the end.

    ``load`` makes an engine of the model; ``config`` is how answers are computed that the others are compared
    with, ``block_bytes`` the size of one block of its keys and values.
    """

    def __init__(
        self,
        load: LoadEngine,
        config: EngineConfig,
        *,
        block_bytes: int,
        instruction_sets: Sequence[str] = (),
        workload: Workload | None = None,
    ) -> None:
        self._load = load
        self._config = config
        self._block_bytes = block_bytes
        self._instruction_sets = instruction_sets
        self._workload = workload or Workload()
        self._requests: list[AskedRequest] = []
        self._neighbours: list[AskedRequest] = []
        self._expected: list[Bits] = []

    @classmethod
    def of_file(cls, file: GGUFFile, config: EngineConfig, workload: Workload | None = None) -> Self:
        """The verification of a model file with this CPU's instruction sets; the file may be closed afterwards.

        Raises:
            ModelLoadError: the file does not hold a model that can be run.
            InvalidRequestError: ``config`` forces an instruction set that this CPU does not have.
        """
        # Here and not above: whoever brings engines needs no native module.
        from candlewick import _kernels
        from candlewick.core.native_runner import kv_block_bytes

        chosen = choose_instruction_set(config.isa)
        return cls(
            partial(InferenceEngine.load, file.path),
            config,
            block_bytes=kv_block_bytes(ModelConfig.from_file(file), config.kv_cache_type),
            instruction_sets=[name for name in _kernels.instruction_sets() if name != chosen],
            workload=workload,
        )

    @property
    def answers_sha256(self) -> str:
        """A digest of all answers to the bit: equal on machines that compute the same. Known after the first check."""
        digest = hashlib.sha256()
        for answer in self._expected:
            for token_id, logprob, top in answer:
                digest.update(struct.pack("<if", token_id, logprob))
                for pair in top:
                    digest.update(struct.pack("<if", *pair))
        return digest.hexdigest()

    def run(self) -> Iterator[Check]:
        """The checks, each as soon as it is done.

        Raises:
            CandlewickError: an engine could not be loaded, or failed.
        """
        with self._load(self._config) as engine:
            self._requests = self._workload.requests(engine)
            self._neighbours = self._workload.neighbours(engine, self._requests)
            yield self._check("alone, one after the other", engine, self._one_by_one)
            yield self._check("the same again, prefixes cached", engine, self._again)
            yield self._check(f"beside {len(self._neighbours)} others", engine, self._in_a_crowd)
            yield self._check("beside others that are cancelled", engine, self._beside_cancelled)
        for condition, config in self._other_settings():
            with self._load(config) as engine:
                yield self._check(condition, engine, self._together)
        with self._load(self._small_pool()) as engine:
            yield self._check("pausing for want of memory", engine, self._preempted)
        for isa in self._instruction_sets:
            with self._load(replace(self._config, isa=isa)) as engine:
                yield self._check(f"by the instruction set {isa}", engine, self._shortened)

    def _other_settings(self) -> Iterator[tuple[str, EngineConfig]]:
        config = self._config
        for num_tokens in (7, 33):
            yield f"in steps of at most {num_tokens} tokens", replace(config, max_step_tokens=num_tokens)
        for num_threads in (1, 2):
            if num_threads != config.num_threads:
                threads = "thread" if num_threads == 1 else "threads"
                yield f"by {num_threads} {threads}", replace(config, num_threads=num_threads)
        if config.speculation is None:
            yield "with guesses", replace(config, speculation="prompt_lookup")
        else:
            yield "without guesses", replace(config, speculation=None, draft_model=None)
            if config.draft_model is not None:
                yield "without a draft model", replace(config, draft_model=None)
        yield "with prompts unhindered by answers", replace(config, max_decode_slowdown=inf)

    def _small_pool(self) -> EngineConfig:
        """As few blocks as hold the longest of all requests: the others must give way to each other."""
        longest = max(
            len(asked.prompt_ids) + (asked.params.max_tokens or 0)
            for asked in (*self._requests, *self._neighbours)
        )
        num_blocks = -(-longest // BLOCK_SIZE)
        return replace(self._config, kv_cache_bytes=num_blocks * self._block_bytes)

    def _check(
        self,
        condition: str,
        engine: InferenceEngine,
        run: Callable[[InferenceEngine], tuple[list[Bits], str]],
    ) -> Check:
        started = time.perf_counter()
        answers, finding = run(engine)
        for i, (answer, expected) in enumerate(zip(answers, self._expected, strict=False)):
            expected = expected[: len(answer)]
            if answer != expected:
                finding = f"request {i}: {_first_difference(answer, expected)}"
                return Check(condition, False, finding, time.perf_counter() - started)
        num_tokens = sum(map(len, answers))
        finding = f"{num_tokens} tokens" + (f", {finding}" if finding else "")
        return Check(condition, True, finding, time.perf_counter() - started)

    def _one_by_one(self, engine: InferenceEngine) -> tuple[list[Bits], str]:
        self._expected = [_bits(_submit(engine, [asked])[0].result()[0]) for asked in self._requests]
        return self._expected, f"{engine.stats().accepted_draft_tokens} of them guessed"

    def _again(self, engine: InferenceEngine) -> tuple[list[Bits], str]:
        before = engine.stats().prefix_hit_tokens
        answers = [_bits(_submit(engine, [asked])[0].result()[0]) for asked in self._requests]
        return answers, f"{engine.stats().prefix_hit_tokens - before} of the prompts' found in the cache"

    def _together(self, engine: InferenceEngine) -> tuple[list[Bits], str]:
        return [_bits(generation.result()[0]) for generation in _submit(engine, self._requests)], ""

    def _in_a_crowd(self, engine: InferenceEngine) -> tuple[list[Bits], str]:
        before = engine.stats()
        others = _submit(engine, self._neighbours)
        answers, _ = self._together(engine)
        for other in others:
            other.result()
        after = engine.stats()
        num_tokens = after.generated_tokens - before.generated_tokens
        return answers, f"{num_tokens / (after.steps - before.steps):.1f} tokens a step"

    def _beside_cancelled(self, engine: InferenceEngine) -> tuple[list[Bits], str]:
        others = _submit(engine, self._neighbours)
        generations = _submit(engine, self._requests)
        for i, other in enumerate(others):
            for _ in zip(range(i % 5), other, strict=False):
                pass  # the first few tokens of it
            other.cancel()
        answers = [_bits(generation.result()[0]) for generation in generations]
        return answers, f"{engine.stats().requests_cancelled} cancelled"

    def _preempted(self, engine: InferenceEngine) -> tuple[list[Bits], str]:
        answers, _ = self._in_a_crowd(engine)
        return answers, f"{engine.stats().preemptions} pauses"

    def _shortened(self, engine: InferenceEngine) -> tuple[list[Bits], str]:
        asked = [
            replace(asked, params=replace(asked.params, max_tokens=min(_SHORT_TOKENS, len(expected))))
            for asked, expected in zip(self._requests[:2], self._expected, strict=False)
        ]
        return [_bits(generation.result()[0]) for generation in _submit(engine, asked)], ""


def _submit(engine: InferenceEngine, requests: Sequence[AskedRequest]) -> list[Generation]:
    return [engine.submit(asked.prompt_ids, asked.params) for asked in requests]


def _bits(choice: ChoiceResult) -> Bits:
    return tuple(
        (output.token_id, output.logprob, output.top_logprobs)
        for output in choice.outputs
        if output.token_id is not None and output.logprob is not None
    )


def _first_difference(answer: Bits, expected: Bits) -> str:
    for i, (mine, other) in enumerate(zip(answer, expected, strict=False)):
        if mine != other:
            return f"token {i} is {mine[0]} ({mine[1]!r}), not {other[0]} ({other[1]!r})"
    return f"{len(answer)} tokens, not {len(expected)}"
