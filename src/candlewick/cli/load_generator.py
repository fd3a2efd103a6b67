"""Requests to any server with OpenAI's Chat Completions, begun at moments that do not depend on its answers.

An open loop: users do not wait for each other, so a server that falls behind is asked on, and its queue shows in the
figures. Arrivals, prompts and lengths come from a seed alone. The client is a few lines of HTTP/1.1 of our own, so
that what it costs is small beside what it measures. Knows no terminal and no command line.
"""

from __future__ import annotations

import asyncio
import json
import random
import ssl
import statistics
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from candlewick.core.errors import InvalidRequestError

PERCENTILES = (50, 90, 95, 99)
_WORDS = (
    "river",
    "stone",
    "lamp",
    "winter",
    "garden",
    "letter",
    "window",
    "orange",
    "silver",
    "morning",
    "street",
    "paper",
)


@dataclass(frozen=True, kw_only=True)
class Load:
    """What is asked of a server."""

    url: str
    """Of the API, ``/v1`` included."""
    model: str
    requests: int
    rate: float
    """Requests a second, on average: the times between them are exponentially distributed."""
    prompt_words: int
    max_tokens: int
    ignore_eos: bool = True
    """Answers of a fixed length; servers that don't know the field refuse it."""
    api_key: str | None = None
    seed: int = 0
    timeout_seconds: float = 300.0


@dataclass
class Answer:
    """What one request met with; moments in seconds from its own begin."""

    begun_at: float
    """Seconds from the begin of the run."""
    pieces: list[float] = field(default_factory=list)
    """When each piece of text came."""
    ended: float = 0.0
    tokens: int = 0
    """As the server counts them; else the pieces."""
    error: str | None = None


@dataclass(frozen=True)
class Spread:
    """A figure over all requests, in seconds."""

    mean: float
    percentiles: Mapping[int, float]
    values: Sequence[float] = field(repr=False)
    """All of them, ascending."""

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread | None:
        """``None`` where there is nothing to measure."""
        if not values:
            return None
        ordered = sorted(values)
        return cls(statistics.fmean(ordered), {p: _percentile(ordered, p) for p in PERCENTILES}, ordered)


@dataclass(frozen=True)
class Report:
    """How a server did."""

    load: Load
    seconds: float
    answers: Sequence[Answer]

    @property
    def failures(self) -> list[str]:
        return [answer.error for answer in self.answers if answer.error is not None]

    @property
    def tokens_per_second(self) -> float:
        return sum(answer.tokens for answer in self.answers) / self.seconds

    def spreads(self) -> dict[str, Spread | None]:
        """Time to the first token, between two tokens, and to the end; of the answers that came whole."""
        whole = [answer for answer in self.answers if answer.error is None]
        gaps = [
            later - earlier
            for each in whole
            for earlier, later in zip(each.pieces, each.pieces[1:], strict=False)
        ]
        return {
            "time_to_first_token": Spread.of([each.pieces[0] for each in whole if each.pieces]),
            "inter_token": Spread.of(gaps),
            "end_to_end": Spread.of([each.ended for each in whole]),
        }

    def to_json(self) -> dict[str, Any]:
        """All figures, in seconds."""
        return {
            "requests": len(self.answers),
            "failed": len(self.failures),
            "rate": self.load.rate,
            "seconds": self.seconds,
            "tokens": sum(answer.tokens for answer in self.answers),
            "tokens_per_second": self.tokens_per_second,
            **{
                name: None
                if spread is None
                else {"mean": spread.mean, **{f"p{p}": value for p, value in spread.percentiles.items()}}
                for name, spread in self.spreads().items()
            },
        }


async def generate(load: Load, on_answer: Callable[[Answer], None] = lambda answer: None) -> Report:
    """Ask all requests and wait for all answers; a request that fails is part of the report."""
    dice = random.Random(load.seed)
    prompts = [_prompt(dice, load.prompt_words) for _ in range(load.requests)]
    moments = [0.0]
    while len(moments) < load.requests:
        moments.append(moments[-1] + dice.expovariate(load.rate))
    start = time.perf_counter()

    async def one(moment: float, prompt: str) -> Answer:
        await asyncio.sleep(max(0.0, moment - (time.perf_counter() - start)))
        answer = await _ask(load, prompt, time.perf_counter() - start)
        on_answer(answer)
        return answer

    answers = await asyncio.gather(*[one(*each) for each in zip(moments, prompts, strict=True)])
    return Report(load, time.perf_counter() - start, answers)


async def first_model(url: str, api_key: str | None) -> str:
    """The first model that the server lists.

    Raises:
        InvalidRequestError: it lists none, or is no such server.
    """
    try:
        async with aclosing(_exchange("GET", f"{url}/models", None, api_key)) as pieces:
            body = b"".join([piece async for piece in pieces])
        return str(json.loads(body)["data"][0]["id"])
    except (OSError, ValueError, KeyError, IndexError, TypeError, EOFError) as error:
        raise InvalidRequestError(
            f"{url}/models tells no model: {error}; name one by --model", "url"
        ) from None


async def _ask(load: Load, prompt: str, begun_at: float) -> Answer:
    answer = Answer(begun_at)
    body: dict[str, Any] = {
        "model": load.model,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": load.max_tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if load.ignore_eos:
        body["ignore_eos"] = True
    start = time.perf_counter()
    try:
        async with asyncio.timeout(load.timeout_seconds):
            await _read_answer(load, body, answer, start)
    except (OSError, ValueError, EOFError) as error:  # TimeoutError is an OSError
        answer.error = str(error) or type(error).__name__
    answer.ended = time.perf_counter() - start
    answer.tokens = answer.tokens or len(answer.pieces)
    return answer


async def _read_answer(load: Load, body: dict[str, Any], answer: Answer, start: float) -> None:
    ended = False
    async with aclosing(_exchange("POST", f"{load.url}/chat/completions", body, load.api_key)) as pieces:
        async for line in _lines(pieces):
            if not line.startswith(b"data:"):
                continue
            data = line[5:].strip()
            if data == b"[DONE]":
                ended = True
                break
            chunk = json.loads(data)
            if "error" in chunk:
                raise ValueError(str(chunk["error"]))
            delta = chunk["choices"][0].get("delta", {}) if chunk.get("choices") else {}
            if any(delta.get(name) for name in ("content", "reasoning_content", "reasoning", "tool_calls")):
                answer.pieces.append(time.perf_counter() - start)
            if chunk.get("usage"):
                answer.tokens = chunk["usage"]["completion_tokens"]
    if not ended:
        raise ValueError("the stream ended before its end mark")


async def _lines(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    rest = b""
    async for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield line


async def _exchange(
    method: str, url: str, body: Mapping[str, Any] | None, api_key: str | None
) -> AsyncGenerator[bytes, None]:
    """One request on a connection of its own; the pieces of the answer's body.

    Raises:
        ValueError: the address is none, or the status is not 200; with the answer's text.
        OSError, EOFError: the connection failed.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is no http address")
    secure = ssl.create_default_context() if parts.scheme == "https" else None
    reader, writer = await asyncio.open_connection(
        parts.hostname, parts.port or (443 if secure else 80), ssl=secure
    )
    try:
        content = b"" if body is None else json.dumps(body).encode()
        head = [f"{method} {parts.path} HTTP/1.1", f"Host: {parts.netloc}", "Connection: close"]
        head += [f"Content-Length: {len(content)}", "Content-Type: application/json"]
        head += [f"Authorization: Bearer {api_key}"] if api_key else []
        writer.write("\r\n".join([*head, "", ""]).encode() + content)
        status = int((await reader.readline()).split()[1])
        headers = {}
        while (line := (await reader.readline()).strip()) != b"":
            name, _, value = line.partition(b":")
            headers[name.strip().lower()] = value.strip().lower()
        pieces = _chunks(reader) if b"chunked" in headers.get(b"transfer-encoding", b"") else _rest(reader)
        if status != 200:
            text = b"".join([piece async for piece in pieces]).decode(errors="replace")
            raise ValueError(f"status {status}: {text[:300]}")
        async for piece in pieces:
            yield piece
    except IndexError:
        raise ValueError(f"{url} does not answer in HTTP") from None
    finally:
        writer.close()


async def _chunks(reader: asyncio.StreamReader) -> AsyncGenerator[bytes, None]:
    """The body in chunked transfer coding (RFC 9112, section 7.1)."""
    while (size := int((await reader.readline()).split(b";")[0], 16)) > 0:
        yield await reader.readexactly(size)
        await reader.readexactly(2)


async def _rest(reader: asyncio.StreamReader) -> AsyncGenerator[bytes, None]:
    while piece := await reader.read(2**16):
        yield piece


def _prompt(dice: random.Random, words: int) -> str:
    """Different from its first word on, so that no server finds it in a cache."""
    return " ".join(dice.choice(_WORDS) for _ in range(words))


def _percentile(ordered: Sequence[float], percent: int) -> float:
    """Of the values as they are: the smallest that ``percent`` of them do not exceed."""
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]
