"""Runs the snippets of one page in order: python in one shared namespace, commands in one folder."""

from __future__ import annotations

import contextlib
import doctest
import io
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from markdown_snippets import Snippet, commands

DOCUMENTED_PORT = "8000"
"""The port that pages speak of; a free one takes its place."""
START_SECONDS = 30
COMMAND_SECONDS = 60


class PageRun:
    """What the snippets of a page leave behind for each other.

    Args:
        name: the page's name, for error messages.
        folder: where files are and go; ``candlewick`` and ``python`` are those of this interpreter.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self._name = name
        self._folder = folder
        self._namespace: dict[str, Any] = {"__name__": "snippet"}
        self._port = _free_port()
        self._server: subprocess.Popen[bytes] | None = None
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        self._environment = os.environ | {"PATH": path, "CANDLEWICK_PORT": self._port, "COLUMNS": "80"}

    def run(self, snippet: Snippet) -> None:
        """Run one snippet.

        Raises:
            AssertionError: it printed something else than is shown, or a command failed.
            Exception: whatever a python snippet raises, with the page and the line in the traceback.
        """
        snippet = self._with_free_port(snippet)
        if snippet.mark == "syntax only":
            self._check_syntax(snippet)
        elif snippet.mark == "keeps running":
            self._serve(snippet)
        elif snippet.language == "python":
            self._check_output(snippet, snippet.output, self._run_python(snippet))
        elif snippet.language == "bash":
            self._run_shell(snippet, snippet.text)
        else:
            for command, shown in commands(snippet):
                self._check_output(snippet, shown or None, self._run_shell(snippet, command))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop_server()

    def _with_free_port(self, snippet: Snippet) -> Snippet:
        return Snippet(
            snippet.language,
            snippet.text.replace(DOCUMENTED_PORT, self._port),
            snippet.line,
            snippet.mark,
            snippet.output,
        )

    def _place(self, snippet: Snippet) -> str:
        return f"{self._name}, line {snippet.line}"

    def _check_syntax(self, snippet: Snippet) -> None:
        if snippet.language == "python":
            self._compile(snippet)
            return
        scripts = [snippet.text] if snippet.language == "bash" else [line for line, _ in commands(snippet)]
        for script in scripts:
            done = subprocess.run(["bash", "-n", "-c", script], capture_output=True, text=True)
            assert done.returncode == 0, f"{self._place(snippet)}: {done.stderr}"

    def _compile(self, snippet: Snippet) -> Any:
        # Empty lines before it, so that a traceback tells the line of the page.
        return compile("\n" * (snippet.line - 1) + snippet.text, self._name, "exec")

    def _run_python(self, snippet: Snippet) -> str:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.chdir(self._folder):
            exec(self._compile(snippet), self._namespace)
        return printed.getvalue()

    def _run_shell(self, snippet: Snippet, script: str) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_SECONDS,
        )
        assert done.returncode == 0, f"{self._place(snippet)}: status {done.returncode}\n{done.stdout}"
        return done.stdout

    def _check_output(self, snippet: Snippet, shown: str | None, printed: str) -> None:
        if shown is None or snippet.mark == "output varies":
            return
        checker, options = doctest.OutputChecker(), doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        assert checker.check_output(shown, printed, options), (
            f"{self._place(snippet)}: the page shows\n{shown}\nand the snippet prints\n{printed}"
        )

    def _serve(self, snippet: Snippet) -> None:
        self._stop_server()
        if snippet.language == "python":
            script = self._folder / "server.py"
            script.write_text(snippet.text, "utf-8")
            command = [sys.executable, str(script)]
        else:
            command = ["bash", "-c", "".join(f"exec {line}" for line, _ in commands(snippet))]
        log = self._folder / "server.log"
        with log.open("wb") as output:
            self._server = subprocess.Popen(
                command,
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            assert self._server.poll() is None, f"{self._place(snippet)}: it ended\n{log.read_text()}"
            assert time.monotonic() < deadline, f"{self._place(snippet)}: no answer\n{log.read_text()}"
            time.sleep(0.05)

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", int(self._port)), 1):
            return True
        return False

    def _stop_server(self) -> None:
        if self._server is not None:
            self._server.terminate()
            self._server.wait(START_SECONDS)
            self._server = None


def _free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return str(listener.getsockname()[1])
