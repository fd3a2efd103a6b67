"""mistral.rs by its Python package (``pip install mistralrs``): whole requests, timed by its own usage figures.

It takes texts, not tokens, and reads neither more nor fewer than it finds in them: what counts is its own count.
"""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count

from engines import HISTORY, STEPS, Setup, Work

ANSWER = 8 * STEPS
"""Tokens of an answer: the first one waits for the prompt and is taken off."""


class MistralRs:
    name = "mistral.rs"

    def __init__(self, setup: Setup) -> None:
        os.environ["RAYON_NUM_THREADS"] = str(setup.threads)
        import mistralrs

        self._api = mistralrs
        self._numbers = count(1)
        self._runner = mistralrs.Runner(
            which=mistralrs.Which.GGUF(
                quantized_model_id=str(setup.path.parent), quantized_filename=setup.path.name
            ),
            max_seqs=setup.most_streams,
            prefix_cache_n=0,
        )

    def prefill(self, num_tokens: int) -> Work:
        usage = self._ask(num_tokens, 1)
        return Work(usage.prompt_tokens, usage.total_prompt_time_sec)

    def decode(self, num_streams: int) -> Work:
        with ThreadPoolExecutor(num_streams) as pool:
            start = time.perf_counter()
            usages = list(pool.map(lambda _: self._ask(HISTORY, ANSWER), range(num_streams)))
            seconds = time.perf_counter() - start
        prompts = sum(usage.total_prompt_time_sec for usage in usages) / num_streams
        return Work(sum(usage.completion_tokens for usage in usages), seconds - prompts)

    def _ask(self, num_tokens: int, max_tokens: int):  # type: ignore[no-untyped-def]
        prompt = f"{next(self._numbers)} " + "one " * num_tokens
        request = self._api.CompletionRequest(
            model="default", prompt=prompt, max_tokens=max_tokens, temperature=0.0
        )
        return self._runner.send_completion_request(request).usage
