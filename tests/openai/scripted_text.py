"""A scripted model with a real tokenizer, for everything that is not a chat."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scripted_llm import Call, ScriptedLLM, text_answer

from candlewick.core.gguf import GGUFFile
from candlewick.core.model_source import resolve_model
from candlewick.core.output_stream import Output
from candlewick.core.params import GenerationParams
from candlewick.core.tokenizer import Tokenizer
from candlewick.core.usage import Timings, Usage


@dataclass
class Vectors:
    vectors: Any
    usage: Usage


def builtin_tokenizer() -> Tokenizer:
    path = resolve_model("builtin")
    with GGUFFile.open(path) as file:
        return Tokenizer.from_metadata(file.metadata, path)


@dataclass
class ScriptedTextLLM(ScriptedLLM):
    """Continues every prompt with ``continuation``; a text's vector counts its letters and its words."""

    tokenizer: Tokenizer = field(default_factory=builtin_tokenizer)
    continuation: str = " and so on"
    prompts: list[tuple[str | Sequence[int], GenerationParams]] = field(default_factory=list)
    max_context: int = 4096

    async def stream_complete(
        self, prompt: str | Sequence[int], params: GenerationParams | None = None
    ) -> AsyncGenerator[Output, None]:
        params = params or GenerationParams()
        self.prompts.append((prompt, params))
        ids = self.tokenizer.encode(self.continuation)[: params.max_tokens]
        self.running += 1
        try:
            for place, token_id in enumerate(ids):
                for choice in range(params.n):
                    is_last = place == len(ids) - 1
                    top = ((token_id, -0.5), (0, -1.5))[: params.logprobs or 0]
                    yield Output(
                        index=choice,
                        token_id=token_id,
                        text=self.tokenizer.decode([token_id]),
                        logprob=None if params.logprobs is None else -0.5,
                        top_logprobs=top,
                        finish_reason="stop" if is_last else None,
                        usage=Usage(len(prompt), len(ids), cached_tokens=1) if is_last else None,
                        timings=Timings() if is_last else None,
                    )
        finally:
            self.running -= 1

    async def embed(self, texts: Sequence[str]) -> Vectors:
        rows = [[len(text), len(text.split()), 1] for text in texts]
        return Vectors(np.array(rows, np.float32), Usage(prompt_tokens=sum(map(len, texts))))

    def prompt_tokens(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None,
        *,
        thinking: str = "adaptive",
        template_variables: Mapping[str, Any] | None = None,
    ) -> list[int]:
        return self.tokenizer.encode("".join(str(message["content"]) for message in messages))


def scripted_text() -> ScriptedTextLLM:
    def script(call: Call) -> Any:
        return [event for choice in range(call.params.n) for event in text_answer("Hel", "lo", choice=choice)]

    return ScriptedTextLLM(script)
