"""What the model can do, measured on held-out phrasings, names and numbers.

    python training/evaluate.py                                # the file in the package, through
    Candlewick's engine
    python training/evaluate.py --run main                     # a checkpoint, through torch
    python training/evaluate.py --count 50 --mistakes 3        # fewer dialogues, and show some of what went
    wrong

Owns the judgement of an answer and the table. All answers are greedy.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import reply_writers
from corpus import arithmetic, candlewick_questions, memory, outside, smalltalk, tools, word_tasks
from corpus.chance import Chance
from corpus.dialogue import Dialogue
from reply_writers import Reply

BUILT_IN = Path(__file__).parents[1] / "src" / "candlewick" / "builtin" / "candlewick-tiny.gguf"


class ReplyWriter(Protocol):
    """Whatever answers a dialogue greedily."""

    def __call__(self, made: Dialogue) -> Reply: ...


@dataclass(frozen=True)
class Ability:
    """One row of the table: what makes its dialogues, and the share of right answers that is wanted."""

    name: str
    make: Callable[[Chance], Dialogue]
    target: float | None


def _sums(operations: str, think: bool) -> Callable[[Chance], Dialogue]:
    return lambda chance: arithmetic.arithmetic(chance, chance.one(operations), think)


ABILITIES = (
    Ability("greetings and identity", smalltalk.smalltalk, 0.95),
    Ability("questions about Candlewick", candlewick_questions.candlewick_question, 0.95),
    Ability("+ and -, thinking", _sums("+-", True), 0.97),
    Ability("x of 1 by 2 digits, thinking", _sums("*", True), 0.90),
    Ability("+ and -, no thinking", _sums("+-", False), None),
    Ability("x of 1 by 2 digits, no thinking", _sums("*", False), None),
    Ability("tool call, made tools", tools.made_tool_choice, 0.93),
    Ability("tool call, everyday tools in new words", tools.known_tool_choice, 0.93),
    Ability("tool call, everyday tools never seen", tools.everyday_tool_choice, 0.93),
    Ability("answer from a tool's result", tools.tool_answer, 0.95),
    Ability("no call when no tool fits", tools.no_tool, 0.90),
    Ability("no call when there are no tools", tools.without_tools, None),
    Ability("two calls in a row", tools.two_calls, 0.85),
    Ability("the first call feeds the second", tools.chained_calls, None),
    Ability("two values at once, or one more later", tools.again, None),
    Ability("uses what was said earlier", memory.recall, 0.90),
    Ability("says what is outside its world", outside.outside, 0.90),
    Ability("word tasks", word_tasks.word_task, None),
)


def obeys_mode(made: Dialogue, reply: Reply) -> bool:
    """Thinks in think mode, does not in no_think mode."""
    return bool(reply.thinking) == made.think


def is_right(made: Dialogue, reply: Reply) -> bool:
    """Whether the reply does what the dialogue asks for: the same calls, or the same answer."""
    expected = made.answer
    wanted = [(call.name, dict(call.arguments)) for call in expected.calls]
    if wanted or reply.calls:
        return [(name, _json_object(arguments)) for name, arguments in reply.calls] == wanted
    if made.ability in ("addition", "subtraction", "multiplication"):
        return _stated_number(reply.content) == _stated_number(expected.content)
    if made.ability == "no tool fits":
        return bool(reply.content)
    return reply.content in (expected.content, *made.accepted)


def _stated_number(text: str) -> str | None:
    """The number that one line ends with; None for anything else."""
    found = re.fullmatch(r"[^\n]*?(-?\d+)\.?", text)
    return found[1] if found else None


def _json_object(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


@dataclass
class Tally:
    right: int = 0
    total: int = 0

    def add(self, right: bool) -> None:
        self.right += right
        self.total += 1

    @property
    def share(self) -> float:
        return self.right / self.total if self.total else float("nan")


@dataclass
class Report:
    """The rows of the table and some mistakes to look at."""

    abilities: dict[str, Tally] = field(default_factory=dict)
    modes: dict[str, Tally] = field(
        default_factory=lambda: {"think thinks": Tally(), "no_think never thinks": Tally()}
    )
    valid_json: Tally = field(default_factory=Tally)
    mistakes: list[tuple[str, Dialogue, Reply]] = field(default_factory=list)

    def rows(self) -> Iterator[tuple[str, Tally, float | None]]:
        for ability in ABILITIES:
            yield ability.name, self.abilities[ability.name], ability.target
        yield "valid JSON in tool calls", self.valid_json, 0.99
        for name, tally in self.modes.items():
            yield name, tally, 1.0

    def table(self) -> str:
        """The table in Markdown."""
        lines = ["| ability | right | of | share | wanted |", "|---|---:|---:|---:|---:|"]
        for name, tally, target in self.rows():
            wanted = "" if target is None else f"{target:.0%}"
            lines.append(f"| {name} | {tally.right} | {tally.total} | {tally.share:.1%} | {wanted} |")
        return "\n".join(lines)


def turns(made: Dialogue) -> list[Dialogue]:
    """The dialogue cut after each of the assistant's turns when two calls in a row are asked for, else just
    itself."""
    if made.ability != "two tool calls":
        return [made]
    ends = [place + 1 for place, message in enumerate(made.messages) if message.role == "assistant"]
    return [replace(made, messages=made.messages[:end]) for end in ends]


def evaluate(write: ReplyWriter, count: int, seed: int = 0) -> Report:
    """Answer ``count`` held-out dialogues an ability and judge them."""
    report = Report()
    for ability in ABILITIES:
        chance, tally = Chance(seed, "test"), Tally()
        report.abilities[ability.name] = tally
        for _ in range(count):
            all_right = True
            for made in turns(ability.make(chance)):
                reply = write(made)
                right = is_right(made, reply)
                all_right &= right
                report.modes["think thinks" if made.think else "no_think never thinks"].add(
                    obeys_mode(made, reply)
                )
                for _, arguments in reply.calls:
                    report.valid_json.add(_json_object(arguments) is not None)
                if not right:
                    report.mistakes.append((ability.name, made, reply))
            tally.add(all_right)
    return report


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", help="evaluate this run's checkpoint through torch instead of the engine")
    parser.add_argument("--model", type=Path, default=BUILT_IN, help="a GGUF file for the engine")
    parser.add_argument("--count", type=int, default=200, help="dialogues an ability")
    parser.add_argument("--mistakes", type=int, default=0, help="mistakes to show for each ability")
    arguments = parser.parse_args()
    if arguments.run:
        write: ReplyWriter = reply_writers.CheckpointWriter(arguments.run)
    else:
        write = reply_writers.EngineWriter(arguments.model)
    report = evaluate(write, arguments.count)
    print(report.table())
    shown: dict[str, int] = {}
    for name, made, reply in report.mistakes:
        shown[name] = shown.get(name, 0) + 1
        if shown[name] <= arguments.mistakes:
            print(f"\n{name}: {made.messages[-2].content}\n  wanted: {made.answer}\n  got:    {reply}")


if __name__ == "__main__":
    main()
