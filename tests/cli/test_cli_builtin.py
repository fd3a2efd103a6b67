"""The commands on the built-in model, as processes: the newcomer's first minute."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("candlewick._kernels", reason="needs the native module")


def candlewick(*arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "candlewick", *arguments]
    return subprocess.run(command, input=typed, capture_output=True, text=True, check=False, timeout=120)


def test_it_thinks_and_answers() -> None:
    done = candlewick("run", "Hello!", "--think", "--temperature", "0", "--stats")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert "tokens/s" in done.stderr


def test_the_same_seed_gives_the_same_answer() -> None:
    arguments = ("run", "--seed", "5", "--temperature", "1", "--max-tokens", "24", "--no-think", "-")
    first, second = candlewick(*arguments, typed="Hello!"), candlewick(*arguments, typed="Hello!")
    assert first.stdout == second.stdout != ""


def test_a_conversation_goes_on() -> None:
    done = candlewick("chat", "--max-tokens", "30", typed="Hello!\nAnd you?\n/exit\n")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") >= 2


def test_it_describes_itself() -> None:
    done = candlewick("inspect", "builtin")
    assert done.returncode == 0, done.stderr
    assert "Candlewick can run this model." in done.stdout


def test_the_doctor_is_content() -> None:
    done = candlewick("doctor")
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout


def test_a_prompt_beyond_the_context_is_one_line() -> None:
    done = candlewick("run", "word " * 100, "--context", "32")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("candlewick: ")
    assert done.stderr.count("\n") == 1
