# ruff: noqa: E501  (lists of phrases read better in long lines)
"""Sums, differences and products, worked out column by column in the thinking, or told at once without it.

The working is made so that a tiny model can be exact: operands are padded to one width, every column is a line of fixed
length that starts from the units, and the result is read off the lines.
"""

from __future__ import annotations

from corpus.chance import Chance
from corpus.dialogue import Dialogue, Message

WIDTH = 3

_FRAMES = (
    "What is {}?", "{}", "{} = ?", "{}=", "Compute {}.", "Calculate {}", "How much is {}?", "What's {}?", "Can you work out {}?",
    "Please compute {}.", "Solve {}", "Tell me {}", "what is {}", "I need the result of {}.", "Give me {}.", "Work out {} for me.",
    "Could you calculate {}?", "how much is {}", "Find {}", "What does {} make?", "Please solve {}.", "Quick: {}?", "Evaluate {}",
    "And {}?", "and {}", "what about {}?", "Now {}", "Then what is {}?", "And what is {}?", "ok and {}?", "Can you tell me what {} is?", "What do you get for {}?", "Let's do some maths: {}", "Do you know {}?", "Please tell me {}",
    "Please calculate {}", "Please work out {}.", "please compute {}", "Compute {} for me.", "compute {}", "calculate {} please", "Calculate {} for me.",
    "Work out {}.", "work out {}", "Work {} out, please.", "Would you work out {}?", "Help me with {}.", "Help me work out {}.", "I want to know {}.", "I want you to compute {}.",
    "I'd like to know {}.", "Let me know {}.", "How much does {} make?", "How much do I get for {}?", "What comes out of {}?", "What do I get if I compute {}?",
    "what does {} equal", "What does {} equal?", "{} equals what?", "{} is what?", "{} is how much?", "{}, please.", "{} please", "Do {} for me.", "Do the sum: {}",
    "Hi, what is {}?", "Hello, please calculate {}.", "Hey, how much is {}?", "OK, compute {}.", "Now please compute {}!", "Next: {}", "Next one: {}?", "And now {}?",
    "Say {}", "Show me {}.", "Show me how to get {}.", "Can you do {}?", "Can you calculate {} for me?", "Could you please compute {}?", "Could you tell me {}?", "Would you please tell me what {} is?",
    "I have to find {}.", "I need {}.", "Is {} hard? What is it?", "Think about {}.", "Think: {}", "Step by step: {}", "Add it up: {}", "A small sum: {}", "Homework: {}",
    "My homework says {}", "The teacher asks: {}?", "In my head I can't do {}. Can you?", "what would {} be", "What would {} be?", "The result of {}?", "the value of {}", "What is the value of {}?",
    "Evaluate {} for me", "evaluate {}.", "Figure out {}.", "Please figure out {}", "Resolve {}", "Count {}.", "Determine {}.", "Get me {}.", "Write down what {} is.",
)  # fmt: skip
_SYMBOLS = {
    "+": ("{} + {}", "{}+{}", "{} plus {}", "{} + {}", "the sum of {} and {}"),
    "-": ("{} - {}", "{}-{}", "{} minus {}", "{} - {}", "the difference {} - {}"),
    "*": ("{} * {}", "{}*{}", "{} times {}", "{} x {}", "the product of {} and {}", "{} × {}"),
}


def add_columns(a: int, b: int) -> str:
    """``347 + 085`` / ``7+5+0=12`` / ``4+8+1=13`` / ``3+0+1=04`` / ``0432``: units first, the carry third."""
    lines = [f"{a:0{WIDTH}} + {b:0{WIDTH}}"]
    carry = 0
    for x, y in zip(reversed(f"{a:0{WIDTH}}"), reversed(f"{b:0{WIDTH}}"), strict=True):
        total = int(x) + int(y) + carry
        lines.append(f"{x}+{y}+{carry}={total:02}")
        carry = total // 10
    return "\n".join([*lines, f"{a + b:0{WIDTH + 1}}"])


def subtract_columns(a: int, b: int) -> str:
    """Like :func:`add_columns` for ``a >= b``; each line ends with the digit and what it borrows."""
    lines = [f"{a:0{WIDTH}} - {b:0{WIDTH}}"]
    borrow = 0
    for x, y in zip(reversed(f"{a:0{WIDTH}}"), reversed(f"{b:0{WIDTH}}"), strict=True):
        digit = int(x) - int(y) - borrow
        lines.append(f"{x}-{y}-{borrow}={digit % 10} borrow {int(digit < 0)}")
        borrow = int(digit < 0)
    return "\n".join([*lines, f"{a - b:0{WIDTH}}"])


def multiply_columns(a: int, b: int) -> str:
    """One digit ``a`` times two digits ``b``: ``7 * 46`` / ``7*6+0=42`` / ``7*4+4=32`` / ``322``."""
    units, tens = b % 10, b // 10
    carry = a * units // 10
    lines = [f"{a} * {b:02}", f"{a}*{units}+0={a * units:02}", f"{a}*{tens}+{carry}={a * tens + carry:02}"]
    return "\n".join([*lines, f"{a * b:03}"])


def working(a: int, operation: str, b: int) -> str:
    """The visible thinking for ``a operation b``."""
    if operation == "+":
        return add_columns(a, b)
    if operation == "-":
        if a < b:
            return f"{a:0{WIDTH}} < {b:0{WIDTH}}, so negative\n" + subtract_columns(b, a)
        return f"{a:0{WIDTH}} >= {b:0{WIDTH}}\n" + subtract_columns(a, b)
    digit, other = (a, b) if a < 10 else (b, a)
    return multiply_columns(digit, other)


def _operands(chance: Chance, operation: str) -> tuple[int, int]:
    if operation == "*":
        pair = (
            chance.number(0 if chance.chance(0.1) else 2, 9),
            chance.number(0 if chance.chance(0.1) else 10, 99),
        )
        return pair if chance.chance(0.7) else (pair[1], pair[0])
    if chance.chance(0.5):
        return chance.number(100, 999), chance.number(100, 999)
    return chance.number(0, 10 ** chance.number(1, 3) - 1), chance.number(0, 10 ** chance.number(1, 3) - 1)


def arithmetic(chance: Chance, operation: str | None = None, think: bool | None = None) -> Dialogue:
    """One question; pairs of operands are held out."""
    operation = operation or chance.one("++--***")
    think = chance.chance(0.9) if think is None else think
    a, b = chance.draw(lambda: _operands(chance, operation))
    value = {"+": a + b, "-": a - b, "*": a * b}[operation]
    question = chance.mine(_FRAMES).format(chance.one(_SYMBOLS[operation]).format(a, b))
    answer = Message(
        "assistant", f"{a} {operation} {b} = {value}", working(a, operation, b) if think else None
    )
    name = {"+": "addition", "-": "subtraction", "*": "multiplication"}[operation]
    return Dialogue(name, (Message("user", question), answer), think)
