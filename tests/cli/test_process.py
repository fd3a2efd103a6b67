"""The command as the user's shell runs it: as a process, on a terminal, and without its extras."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

FAKES = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1] / "openai")])
PROGRAM = """
import os, signal, sys
sys.path[:0] = sys.argv.pop(1).split(os.pathsep)
from scripted_chat import ScriptedChat
from scripted_llm import text_answer, thinking_answer
from candlewick.chat.events import ResponseToken, Start
from candlewick.cli import loading, main

# As a person's shell has it: whoever runs the tests in the background ignores it, and so would this program.
signal.signal(signal.SIGINT, signal.default_int_handler)

def interrupted():
    yield Start("a", "m")
    yield ResponseToken("Hel")
    os.kill(os.getpid(), signal.SIGINT)
    yield ResponseToken("never")

scripts = {
    "think": [thinking_answer(["hm"], "Hello")],
    "interrupted": [interrupted(), text_answer("ok")],
    "flood": [text_answer(*["x" * 1000 + "\\n"] * 1000)],
}
loading.load_llm = lambda reference, **options: ScriptedChat(scripts[reference])
main()
"""


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-c", PROGRAM, FAKES, *arguments]


def test_in_a_pipe_there_is_text_and_nothing_else() -> None:
    done = subprocess.run(command("run", "-m", "think"), input=b"hi", capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"Hello\n", b"hm\n")


def test_a_reader_that_leaves_ends_it_quietly() -> None:
    with subprocess.Popen(
        command("run", "-m", "flood", "hi"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(20) == 1


def on_terminal(arguments: list[str], typed: str) -> tuple[str, int]:
    """What a terminal shows of a command that is typed to, and its exit status."""
    pty = pytest.importorskip("pty", reason="needs a POSIX terminal")
    controller, terminal = pty.openpty()
    environment: Any = os.environ | {"TERM": "xterm", "COLUMNS": "80"}
    process = subprocess.Popen(
        arguments, stdin=terminal, stdout=terminal, stderr=terminal, env=environment, start_new_session=True
    )
    os.close(terminal)
    os.write(controller, typed.encode())
    shown = b""
    while True:
        try:
            piece = os.read(controller, 4096)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        shown += piece
    os.close(controller)
    return shown.decode(), process.wait(20)


def test_on_a_terminal_thinking_is_dim() -> None:
    shown, status = on_terminal(command("run", "-m", "think", "hi"), "")
    assert (shown, status) == ("\x1b[2mhm\x1b[0m\r\nHello\r\n", 0)


def test_ctrl_c_stops_the_answer_but_not_the_talk() -> None:
    shown, status = on_terminal(command("chat", "-m", "interrupted"), "hi\nagain\n/exit\n")
    assert status == 0
    assert "Hel\r\n" in shown
    assert "[stopped]" in shown
    assert "ok\r\n" in shown
    assert "never" not in shown


def test_without_its_extra_the_command_says_what_to_install() -> None:
    program = "import sys; sys.modules['typer'] = None; from candlewick.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "candlewick: the command line needs typer: pip install 'candlewick[cli]'\n"


def test_it_tells_its_version() -> None:
    pytest.importorskip("candlewick._kernels", reason="needs an installation")
    done = subprocess.run(
        [sys.executable, "-m", "candlewick", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == version("candlewick") + "\n"


def test_the_module_can_be_run() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "candlewick", "--help"], capture_output=True, text=True, check=True
    )
    assert all(name in done.stdout for name in ("run", "chat", "serve", "inspect", "doctor"))
