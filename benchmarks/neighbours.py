"""What other programs on the machine cost: the speed of one stream and of a prompt with busy processes beside it.

    python benchmarks/neighbours.py MODEL.gguf [--neighbours 0,1,2] [--peer llama.cpp]

Each neighbour is a process that never sleeps. What remains should be about the share of the cores that the system
gives; what is less was lost in waiting for threads without a core.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engines import Engine, Setup, open_engine

from candlewick.core.machine import available_cores

PROMPT = 64


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    time.sleep(0.5 if count else 0.0)  # they have started
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def speeds(engine: Engine, repeats: int) -> dict[str, float]:
    """Tokens a second, medians."""
    return {
        "prompt": statistics.median(engine.prefill(PROMPT).tokens_per_second for _ in range(repeats)),
        "1 stream": statistics.median(engine.decode(1).tokens_per_second for _ in range(repeats)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--neighbours", default="0,1,2")
    parser.add_argument("--peer", default="llama.cpp", help="as in compare.py")
    parser.add_argument("--alone", action="store_true", help="measure Candlewick only")
    parser.add_argument(
        "--no-repacking", action="store_true", help="llama.cpp with its weights as in the file"
    )
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=available_cores())
    arguments = parser.parse_args()
    setup = Setup(arguments.model, PROMPT, 1, arguments.threads, not arguments.no_repacking)
    names = ["candlewick"] if arguments.alone else ["candlewick", arguments.peer]
    engines = [open_engine(name, setup) for name in names]
    for count in map(int, arguments.neighbours.split(",")):
        with busy_processes(count):
            for engine in engines:
                figures = ", ".join(
                    f"{test} {speed:.4g} tokens/s"
                    for test, speed in speeds(engine, arguments.repeats).items()
                )
                print(f"{count} neighbours  {engine.name:<12} {figures}", flush=True)


if __name__ == "__main__":
    main()
