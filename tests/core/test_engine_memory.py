"""What an engine takes it gives back; and it runs in programs of every shape."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("candlewick._kernels", reason="the native module is not built")


def run_program(text: str, folder: Path) -> str:
    """Run a script of its own; what it prints."""
    script = folder / "program.py"
    script.write_text(text)
    finished = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


CYCLES = """
import gc, json, os, threading, time
from candlewick.core.config import EngineConfig
from candlewick.core.engine import InferenceEngine
from candlewick.core.params import GenerationParams

def resident_bytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

fewest = 1000

def num_threads():
    # A thread that was joined is counted by the system for another moment.
    global fewest
    until = time.monotonic() + 2
    while (count := len(os.listdir("/proc/self/task"))) > fewest and time.monotonic() < until:
        time.sleep(0.01)
    fewest = min(fewest, count)
    return count

samples = []
for cycle in range(20):
    engine = InferenceEngine.load("builtin", EngineConfig(num_threads=2, kv_cache_bytes=32 * 2**20))
    params = GenerationParams(max_tokens=4, temperature=0, ignore_eos=True)
    generations = [engine.submit([5 + i] * 100, params) for i in range(4)]
    for generation in generations:
        generation.result()
    if cycle % 2:
        engine.close()
    thread = engine._thread._thread
    del engine, generations, generation
    gc.collect()
    thread.join()
    del thread
    samples.append((resident_bytes(), len(os.listdir("/proc/self/fd")), num_threads()))
print(json.dumps(samples))
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no figures of the process here")
def test_twenty_engines_leave_nothing_behind(tmp_path: Path) -> None:
    """Closed and collected ones by turns."""
    samples = json.loads(run_program(CYCLES, tmp_path))
    settled, last = samples[4], samples[-1]
    assert last[0] < settled[0] + 6 * 2**20, "memory grows from engine to engine"
    assert last[1:] == settled[1:], "files or threads stay open"


SPAWN = """
import multiprocessing
multiprocessing.set_start_method("spawn")
from candlewick import LLM, GenerationParams
llm = LLM("builtin", num_threads=2)
print(llm.complete("Once", GenerationParams(max_tokens=3, temperature=0)).usage.completion_tokens)
"""


def test_a_script_without_a_main_guard_under_spawn(tmp_path: Path) -> None:
    assert run_program(SPAWN, tmp_path) == "3\n"


WORKERS = """
import multiprocessing

def work(seed):
    from candlewick import LLM, GenerationParams
    with LLM("builtin", num_threads=1) as llm:
        return llm.complete("Once", GenerationParams(max_tokens=8, seed=seed)).text

if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        first, second = pool.map(work, [1, 1])
    print(first == second == work(1))
"""


def test_an_engine_in_each_spawned_process(tmp_path: Path) -> None:
    assert run_program(WORKERS, tmp_path) == "True\n"
