"""llama.cpp by its C interface, as llama-cpp-python brings it: ``llama_decode`` without sampling."""

from __future__ import annotations

import time

from engines import HISTORY, STEPS, Setup, Work

PIECE = 512
"""Tokens of a prompt that are processed in one call: llama.cpp's own default."""


class LlamaCpp:
    name = "llama.cpp"

    def __init__(self, setup: Setup) -> None:
        import llama_cpp

        self._api = llama_cpp
        llama_cpp.llama_backend_init()
        silence = llama_cpp.llama_log_callback(lambda level, text, data: None)
        llama_cpp.llama_log_set(silence, None)
        self._silence = silence
        loading = llama_cpp.llama_model_default_params()
        loading.use_extra_bufts = setup.repacks
        self._model = llama_cpp.llama_model_load_from_file(str(setup.path).encode(), loading)
        if not self._model:
            raise RuntimeError(f"llama.cpp can't load {setup.path}")
        most = max(PIECE, setup.most_streams)
        settings = llama_cpp.llama_context_default_params()
        settings.n_ctx = max(setup.most_tokens, setup.most_streams * (HISTORY + STEPS)) + 256
        settings.n_batch = settings.n_ubatch = most
        settings.n_seq_max = max(setup.most_streams, 1)
        settings.n_threads = settings.n_threads_batch = setup.threads
        settings.kv_unified = True
        self._context = llama_cpp.llama_init_from_model(self._model, settings)
        if not self._context:
            raise RuntimeError("llama.cpp can't make a context for these streams")
        self._batch = llama_cpp.llama_batch_init(most, 0, 1)
        self._contexts = 0
        """Streams whose context stands in the cache from an earlier measurement."""

    def prefill(self, num_tokens: int) -> Work:
        self.forget()
        seconds = 0.0
        for first in range(0, num_tokens, PIECE):
            seconds += self.step([(0, first, min(PIECE, num_tokens - first))])
        return Work(num_tokens, seconds)

    def decode(self, num_streams: int) -> Work:
        if not self._contexts:
            self.forget()
        memory = self._api.llama_get_memory(self._context)
        for stream in range(self._contexts):  # idle streams would be looked at by every step
            self._api.llama_memory_seq_rm(memory, stream, HISTORY if stream < num_streams else 0, -1)
        for stream in range(self._contexts, num_streams):
            self.step([(stream, 0, HISTORY)])
        self._contexts = num_streams
        seconds = sum(self.step([(s, HISTORY + i, 1) for s in range(num_streams)]) for i in range(STEPS))
        return Work(num_streams * STEPS, seconds)

    def forget(self) -> None:
        self._contexts = 0
        self._api.llama_memory_clear(self._api.llama_get_memory(self._context), True)

    def step(self, parts: list[tuple[int, int, int]]) -> float:
        """Seconds for ``(stream, first position, tokens)`` of each part, with logits of its last token."""
        batch = self._batch
        row = 0
        for stream, position, num_tokens in parts:
            for i in range(num_tokens):
                batch.token[row] = 100
                batch.pos[row] = position + i
                batch.n_seq_id[row] = 1
                batch.seq_id[row][0] = stream
                batch.logits[row] = i == num_tokens - 1
                row += 1
        batch.n_tokens = row
        start = time.perf_counter()
        status = self._api.llama_decode(self._context, batch)
        self._api.llama_synchronize(self._context)
        seconds = time.perf_counter() - start
        if status != 0:
            raise RuntimeError(f"llama_decode returned {status}")
        return seconds
