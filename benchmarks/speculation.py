"""What speculative decoding gains, and what it costs where there is nothing to gain, in one run: A B A B.

    python benchmarks/speculation.py [MODEL.gguf] [--tokens 200] [--rounds 5] [--streams 1] [--json]
                                     [--draft SMALL.gguf --draft-accuracy 0.7]

A model that edits, extracts or reports repeats its input; one with random weights, or a tiny one, does not. So the
answers are written down: every step is computed as ever, by the model that is named, and then the next token of the
written answer stands for the one drawn. Times are the model's, acceptance is that of an answer as a capable model would
give it. The answers come from files of this repository and the tables below; the last one has nothing to do with its
prompt and shows what guessing costs. A draft model is measured in the same way: every guess is computed by the model
that is named, and then it is right in so many cases as ``--draft-accuracy`` says.

Both engines hold the same file and take turns, so that a machine whose speed wanders treats both alike; what counts is
the median of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from candlewick.core.config import EngineConfig, Speculation
from candlewick.core.engine import InferenceEngine
from candlewick.core.gguf import GGUFFile
from candlewick.core.model_source import resolve_model
from candlewick.core.native_runner import NativeRunner
from candlewick.core.params import GenerationParams
from candlewick.core.sampling import Sample
from candlewick.core.speculation.draft_file import load_draft_runner
from candlewick.core.tokenizer import Tokenizer

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Task:
    name: str
    prompt: str
    answer: str


def tasks() -> list[Task]:
    source = (ROOT / "src/candlewick/core/speculation/draft_lengths.py").read_text()
    readings = [
        {"station": name, "temperature": 11.5 + 2 * i, "wind": f"{3 * i + 4} km/h", "sky": sky}
        for i, (name, sky) in enumerate(
            [("Harbour", "cloudy"), ("Old Mill", "light rain"), ("Observatory", "clear"), ("Ferry", "fog")]
        )
    ]
    report = "\n".join(
        f"At {r['station']} it is {r['temperature']} degrees, the wind is {r['wind']} and the sky: {r['sky']}."
        for r in readings
    )
    names = [line.split("`")[1] for line in (ROOT / "CHANGELOG.md").read_text().splitlines() if "`" in line]
    log = (ROOT / "CHANGELOG.md").read_text()
    return [
        Task("editing", f"Rename chances to odds:\n{source}\n", source.replace("chances", "odds")),
        Task(
            "extraction", f"{log}\nList all names in code type.\n", "\n".join(f"- {name}" for name in names)
        ),
        Task("tool result", f"{json.dumps(readings)}\nDescribe the weather.\n", report),
        Task("plain", "Explain the key-value cache.\n", (ROOT / "benchmarks/compare.py").read_text()[60:]),
    ]


class WrittenAnswers:
    """A runner whose steps are a model's and whose tokens are those of ``answer_ids``, or so many of them."""

    def __init__(self, runner: NativeRunner, accuracy: float = 1.0) -> None:
        self._runner = runner
        self._accuracy = accuracy
        self.answer_ids: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runner, name)

    def sample(self, samplers: Sequence[Any], rows: Sequence[int], allowed: None = None) -> list[Sample]:
        self._runner.sample(samplers, rows, allowed)
        return [Sample(self._token_id(sampler.num_accepted), 0.0) for sampler in samplers]

    def _token_id(self, index: int) -> int:
        token_id = self.answer_ids[min(index, len(self.answer_ids) - 1)]
        is_right = random.Random(index).random() < self._accuracy  # the same in every round
        return token_id if is_right else (token_id + 1) % self._runner.vocab_size


class Contestant:
    def __init__(
        self,
        path: Path,
        speculation: Speculation | None,
        threads: int | None,
        draft: Path | None = None,
        draft_accuracy: float = 1.0,
    ) -> None:
        config = EngineConfig(
            speculation=speculation, max_context=4096, kv_cache_bytes=1 << 30, num_threads=threads
        )
        self._draft_answers = None
        with GGUFFile.open(path) as file:
            self.tokenizer = Tokenizer.from_metadata(file.metadata, path)
            self._answers = WrittenAnswers(NativeRunner.load(file, config))
        if draft is not None:
            with GGUFFile.open(draft) as draft_file:
                small = load_draft_runner(draft_file, config, self._answers)
            self._draft_answers = WrittenAnswers(small, draft_accuracy)
        self.engine = InferenceEngine(self._answers, self.tokenizer, config, self._draft_answers)  # type: ignore[arg-type]

    def run(self, task: Task, num_tokens: int, num_streams: int) -> tuple[float, int]:
        """Seconds of decoding, and tokens decoded."""
        prompt_ids = self.tokenizer.encode(task.prompt)[-(self.engine.max_context - num_tokens - 1) :]
        self._answers.answer_ids = self.tokenizer.encode(task.answer)
        if self._draft_answers is not None:
            self._draft_answers.answer_ids = self._answers.answer_ids
        count = min(num_tokens, len(self._answers.answer_ids))
        params = GenerationParams(max_tokens=count, temperature=0, ignore_eos=True)
        self.engine.embed([[1]])  # the threads are awake
        generations = [self.engine.submit(prompt_ids, params) for _ in range(num_streams)]
        for generation in generations:
            next(generation)
        start = time.perf_counter()
        for generation in generations:
            for _ in generation:
                pass
        return time.perf_counter() - start, num_streams * (count - 1)


@dataclass(frozen=True)
class Result:
    task: str
    plain_tokens_per_second: float
    tokens_per_second: float
    gain: float
    """Median over the rounds of the ratio of both speeds."""
    accepted_share: float
    """Of the guesses computed."""


def measure(
    plain: Contestant, guessing: Contestant, num_tokens: int, num_rounds: int, num_streams: int
) -> list[Result]:
    results = []
    for task in tasks():
        for contestant in (plain, guessing):  # prompts get into the prefix cache, costs become known
            contestant.run(task, num_tokens, num_streams)
        before = guessing.engine.stats()
        speeds = []
        for _ in range(num_rounds):
            rates = []
            for contestant in (plain, guessing):
                seconds, count = contestant.run(task, num_tokens, num_streams)
                rates.append(count / seconds)
            speeds.append(rates)
        after = guessing.engine.stats()
        num_drafts = after.draft_tokens - before.draft_tokens
        num_accepted = after.accepted_draft_tokens - before.accepted_draft_tokens
        results.append(
            Result(
                task.name,
                statistics.median(rates[0] for rates in speeds),
                statistics.median(rates[1] for rates in speeds),
                statistics.median(rates[1] / rates[0] for rates in speeds),
                num_accepted / num_drafts if num_drafts else 0.0,
            )
        )
    plain.engine.close()
    guessing.engine.close()
    return results


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", nargs="?", default="builtin")
    parser.add_argument("--tokens", type=int, default=200, help="tokens of each answer")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--streams", type=int, default=1, help="answers at the same time")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--draft", help="a smaller model with the same vocabulary")
    parser.add_argument("--draft-accuracy", type=float, default=0.7, help="how often its guesses are right")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    path = resolve_model(arguments.model)
    results = measure(
        Contestant(path, None, arguments.threads),
        Contestant(
            path,
            "prompt_lookup",
            arguments.threads,
            None if arguments.draft is None else resolve_model(arguments.draft),
            arguments.draft_accuracy,
        ),
        arguments.tokens,
        arguments.rounds,
        arguments.streams,
    )
    if arguments.json:
        print(json.dumps([asdict(result) for result in results], indent=2))
        return
    print(f"{'task':12} {'plain tok/s':>12} {'guessing':>12} {'gain':>8} {'accepted':>9}")
    for result in results:
        print(
            f"{result.task:12} {result.plain_tokens_per_second:12.1f} {result.tokens_per_second:12.1f} "
            f"{result.gain:7.2f}x {result.accepted_share:8.0%}"
        )


if __name__ == "__main__":
    main()
