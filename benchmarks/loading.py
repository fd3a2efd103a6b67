"""How long a model takes to get ready, and what memory that needs at most, beside llama.cpp; each in a fresh process.

    python benchmarks/loading.py MODEL.gguf [--rounds 3] [--context 2048]

The file is read once beforehand, so that both find it in the page cache. Memory is the process's own at its highest
(anonymous pages) and, apart from it, all that it had mapped, the file's pages in the page cache included.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

from engines import Setup, open_engine

from candlewick.core.machine import available_cores

POLL_SECONDS = 0.01


class MemoryWatch(threading.Thread):
    """The highest anonymous memory of this process, from /proc."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.highest = 0
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(POLL_SECONDS):
            self.highest = max(self.highest, status("RssAnon"))

    def stop(self) -> int:
        self._over.set()
        self.join()
        return max(self.highest, status("RssAnon"))


def status(name: str) -> int:
    """Bytes of one line of /proc/self/status."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {name}")


def load_once(engine: str, setup: Setup) -> None:
    """In a process of its own: print the figures as JSON."""
    if engine == "llama.cpp":
        import llama_cpp

        llama_cpp.llama_backend_init()
    before = status("RssAnon")
    watch = MemoryWatch()
    watch.start()
    start = time.perf_counter()
    side = open_engine(engine, setup)
    seconds = time.perf_counter() - start
    first = side.prefill(1).seconds
    highest = watch.stop()
    print(
        json.dumps(
            {
                "seconds": seconds,
                "first_token_seconds": first,
                "own_bytes": highest - before,
                "all_bytes": status("VmHWM"),
            }
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--context", type=int, default=2048)
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--once", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    setup = Setup(arguments.model, arguments.context, 1, arguments.threads)
    if arguments.once:
        load_once(arguments.once, setup)
        return
    with arguments.model.open("rb") as file:
        while file.read(1 << 24):
            pass
    size = arguments.model.stat().st_size
    figures: dict[str, list[dict[str, float]]] = {"candlewick": [], "llama.cpp": []}
    for _ in range(arguments.rounds):
        for engine, taken in figures.items():
            command = [sys.executable, __file__, *sys.argv[1:], "--once", engine]
            taken.append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))
    print(f"{arguments.model.name}, {size / 1e9:.3f} GB, {arguments.threads} threads")
    for engine, taken in figures.items():
        middle = {name: statistics.median(one[name] for one in taken) for name in taken[0]}
        print(
            f"{engine:>12}: ready in {middle['seconds']:.2f} s, first step {middle['first_token_seconds']:.2f} s, "
            f"own memory {middle['own_bytes'] / 1e9:.3f} GB ({middle['own_bytes'] / size:.2f} x the file), "
            f"with mapped files {middle['all_bytes'] / 1e9:.3f} GB"
        )


if __name__ == "__main__":
    main()
