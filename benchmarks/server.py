"""What HTTP costs: tokens a second of many streams through the server, beside the same answers in process.

    python benchmarks/server.py [--model builtin] [--streams 32] [--tokens 256] [--rounds 5] [--json]

Each round measures both sides one after the other, because the machine's speed wanders; what counts is the median of
the rounds' ratios. The server and its client are processes of their own. The client reads raw bytes: what clients do
with them is not the server's cost. On a machine of few cores the client's reading still takes its share of the time;
therefore processor time is told too, of the server alone, beside that of the same answers in process.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from candlewick import AsyncLLM, GenerationParams, ResponseToken, ThinkingToken
from candlewick.core.machine import available_cores

QUESTION = [{"role": "user", "content": "Count from one to one thousand, in words."}]


async def in_process(llm: AsyncLLM, streams: int, tokens: int) -> float:
    """Tokens a second of ``streams`` answers, read event by event."""

    async def read(seed: int) -> None:
        params = GenerationParams(max_tokens=tokens, ignore_eos=True, seed=seed)
        events = llm.chat(QUESTION, params=params)
        count = sum([isinstance(event, ResponseToken | ThinkingToken) async for event in events])
        assert count > 0, "the answer is empty"

    start = time.perf_counter()
    await asyncio.gather(*[read(seed) for seed in range(streams)])
    return streams * tokens / (time.perf_counter() - start)


async def through_http(address: str, model: str, streams: int, tokens: int) -> float:
    """The same through Chat Completions."""
    parts = urlsplit(address)

    async def read(seed: int) -> None:
        body = json.dumps(
            {
                "model": model,
                "messages": QUESTION,
                "stream": True,
                "max_tokens": tokens,
                "ignore_eos": True,
                "seed": seed,
            }
        ).encode()
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: {parts.netloc}\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(head.encode() + body)
        answer = bytearray()
        while piece := await reader.read(2**16):
            answer += piece
        writer.close()
        assert b"data: [DONE]" in answer, answer[:300]

    start = time.perf_counter()
    await asyncio.gather(*[read(seed) for seed in range(streams)])
    return streams * tokens / (time.perf_counter() - start)


def processor_seconds(process_id: int) -> float:
    """What a process has used of all cores so far, of users' and the kernel's time (proc(5))."""
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def serving(model: str, threads: int) -> Iterator[tuple[str, int]]:
    """A server in a process of its own; gives its address and the process' id."""
    command = [
        sys.executable,
        "-m",
        "candlewick",
        "serve",
        "--port",
        "0",
        "--model",
        model,
        "--threads",
        str(threads),
        "--access-log",
        "off",
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        told = ""
        while "is ready after" not in told:
            line = process.stderr.readline()
            assert line, told
            told += line
        found = re.search(r"http://[\d.]+:\d+", told)
        assert found, told
        try:
            yield found[0], process.pid
        finally:
            process.terminate()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="builtin")
    parser.add_argument("--streams", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=256, help="in each answer")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()

    rounds = []
    size = arguments.streams, arguments.tokens
    microseconds = 1e6 / (size[0] * size[1])
    llm = AsyncLLM(arguments.model, num_threads=arguments.threads)
    with serving(arguments.model, arguments.threads) as (address, server):
        for number in range(arguments.rounds + 1):
            own = processor_seconds(os.getpid())
            inside = asyncio.run(in_process(llm, *size))
            own, its = processor_seconds(os.getpid()) - own, processor_seconds(server)
            outside = asyncio.run(through_http(address, arguments.model, *size))
            its = processor_seconds(server) - its
            if number:  # the first warms both up
                rounds.append(
                    {
                        "in_process": inside,
                        "http": outside,
                        "share": outside / inside,
                        "in_process_microseconds": own * microseconds,
                        "http_microseconds": its * microseconds,
                        "processor_share": own / its,
                    }
                )
    asyncio.run(llm.close())
    median = {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}
    if arguments.json:
        print(json.dumps({"streams": size[0], "tokens": size[1], "rounds": rounds, "median": median}))
    else:
        print("             tokens/s   processor us/token")
        print(f"in process {median['in_process']:10.0f} {median['in_process_microseconds']:20.0f}")
        print(f"HTTP       {median['http']:10.0f} {median['http_microseconds']:20.0f}")
        print(f"share      {median['share']:10.0%} {median['processor_share']:20.0%}")


if __name__ == "__main__":
    main()
