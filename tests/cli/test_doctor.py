"""``candlewick doctor``: its findings hold against what others say of this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from typing import Any

import numpy as np
import pytest
from scripted_llm import text_answer
from typer.testing import CliRunner

from candlewick import _kernels
from candlewick.cli import machine_limits
from candlewick.cli.app import app
from candlewick.core.errors import ModelNotFoundError
from candlewick.core.tensor_types import TensorType


@pytest.fixture(autouse=True)
def small_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_limits.memory_bandwidth, "__defaults__", (2**20,))


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
    assert copied / 20 < machine_limits.memory_bandwidth(_kernels.ThreadPool(1), array.nbytes) < copied * 200


def test_no_product_is_faster_than_the_peak() -> None:
    """What a matrix in the caches reaches stays below, but within the order of it, for every instruction set."""
    import time

    threads = _kernels.ThreadPool(1)
    rows, columns, tokens = 64, 256, 64
    matrix = _kernels.PackedMatrix.pack(
        TensorType.Q4_0, np.zeros(rows * columns // 32 * 18, np.uint8), rows, columns, threads
    )
    x = np.ones((tokens, columns), np.float32)
    for isa in _kernels.instruction_sets():
        if isa == "amx":
            continue  # tiles are faster than what is measured
        best = 0.0
        for _ in range(20):
            start = time.perf_counter()
            matrix.multiply(x, threads, isa)
            best = max(best, rows * columns * tokens / (time.perf_counter() - start))
        peak = machine_limits.product_peak(threads, isa)
        assert best < 1.2 * peak, isa
        assert peak < 2e12, isa


def test_nothing_to_read_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one line"):
        _kernels.measure_reads(_kernels.ThreadPool(1), np.zeros(63, np.uint8))
    with pytest.raises(ValueError, match="can't run the instruction set 'abacus'"):
        _kernels.measure_products(_kernels.ThreadPool(1), "abacus")


def test_it_runs_without_the_native_module_and_says_so() -> None:
    program = (
        "import sys; sys.modules['candlewick._kernels'] = None; "
        "from candlewick.cli.app import app; app(['doctor'])"
    )
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert "missing" in finished.stdout, finished.stderr
