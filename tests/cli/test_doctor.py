"""``candlewick doctor``: its findings hold against what others say of this machine."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from typing import Any

import numpy as np
import pytest
from scripted_llm import text_answer
from typer.testing import CliRunner

from candlewick.cli import doctor
from candlewick.cli.app import app
from candlewick.core.errors import ModelNotFoundError


@pytest.fixture(autouse=True)
def small_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.memory_bandwidth, "__defaults__", (2**20,))


def examine() -> tuple[int, str]:
    result = CliRunner(env={"COLUMNS": "150"}).invoke(app, ["doctor"])
    return result.exit_code, " ".join(result.stdout.split())


def test_it_tells_the_machine_and_that_the_model_works(play: Any) -> None:
    llm = play(text_answer("Hello"))
    code, told = examine()
    assert code == 0
    assert f"numpy │ {version('numpy')}" in told
    assert f"usable of {os.cpu_count()}" in told
    assert "passed: loaded in" in told
    assert llm.loaded == ("builtin", {})
    assert llm.calls[0].params.temperature == 0


def test_it_fails_when_the_model_does(play: Any) -> None:
    play([ModelNotFoundError("the built-in model is missing [/]")])
    code, told = examine()
    assert code == 1
    assert "failed: the built-in model is missing [/]" in told


@pytest.mark.skipif(sys.platform != "linux", reason="compares with /proc")
def test_the_cpu_is_the_systems(play: Any) -> None:
    play(text_answer("Hello"))
    with open("/proc/cpuinfo") as cpuinfo:
        names = {line.partition(":")[2].strip() for line in cpuinfo if line.startswith("model name")}
    if not names:
        pytest.skip("this system's /proc/cpuinfo names no CPU")
    assert any(f"CPU │ {' '.join(name.split())}" in examine()[1] for name in names)


def test_bandwidth_is_that_of_memory() -> None:
    """Within the order of what a copy by numpy, which reads and writes, moves here."""
    import time

    array = np.ones(2**23, dtype=np.int64)
    start = time.perf_counter()
    array.copy()
    copied = array.nbytes / (time.perf_counter() - start)
    assert copied / 20 < doctor.memory_bandwidth(1, array.nbytes) < copied * 200
