"""Any server with OpenAI's Completions: requests over HTTP, timed here.

A prompt's time is the wait for its first token; an answer's is that between its first and its last one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from typing import Any

import httpx

from engines import HISTORY, STEPS, Setup, Work

ANSWER = 8 * STEPS


@dataclass(frozen=True)
class _Answer:
    prompt_tokens: int
    tokens: int
    asked_at: float
    first_at: float
    last_at: float


class OpenAIEndpoint:
    def __init__(self, address: str, setup: Setup) -> None:
        self.name = address
        self._model = setup.endpoint_model
        self._numbers = count(1)
        self._client = httpx.Client(
            base_url=address.rstrip("/") + "/",
            timeout=600,
            limits=httpx.Limits(max_connections=setup.most_streams),
        )

    def prefill(self, num_tokens: int) -> Work:
        answer = self._ask(num_tokens, 1)
        return Work(answer.prompt_tokens, answer.first_at - answer.asked_at)

    def decode(self, num_streams: int) -> Work:
        with ThreadPoolExecutor(num_streams) as pool:
            answers = list(pool.map(lambda _: self._ask(HISTORY, ANSWER), range(num_streams)))
        seconds = max(answer.last_at for answer in answers) - min(answer.first_at for answer in answers)
        return Work(sum(answer.tokens - 1 for answer in answers), seconds)

    def _ask(self, num_tokens: int, max_tokens: int) -> _Answer:
        request = {
            "model": self._model,
            "prompt": f"{next(self._numbers)} " + "one " * num_tokens,
            "max_tokens": max_tokens,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        asked_at = time.perf_counter()
        times: list[float] = []
        usage: dict[str, int] = {}
        with self._client.stream("POST", "completions", json=request) as response:
            if response.is_error:
                raise RuntimeError(
                    f"{self.name} answered {response.status_code}: {response.read().decode()[:500]}"
                )
            for chunk in _events(response):
                if chunk.get("choices"):
                    times.append(time.perf_counter())
                usage = chunk.get("usage") or usage
        if not times or not usage:
            raise RuntimeError(f"{self.name} streamed no text or no usage")
        return _Answer(usage["prompt_tokens"], usage["completion_tokens"], asked_at, times[0], times[-1])


def _events(response: httpx.Response) -> Iterator[dict[str, Any]]:
    for line in response.iter_lines():
        if line.startswith("data:") and line != "data: [DONE]":
            yield json.loads(line.removeprefix("data:"))
