"""Two ways to let the model answer a dialogue greedily: a checkpoint through torch, a file through
Candlewick.

Owns how a reply is produced and taken apart, not whether it is right.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import torch

import text_tokens
from chat_format import END_OF_TURN, render, to_request
from corpus.dialogue import Dialogue
from export import load_checkpoint
from model import causal_spans
from train import RUNS

MOST_TOKENS = 200


@dataclass(frozen=True)
class Reply:
    """``thinking`` is None where the model did not think; ``calls`` holds names and the arguments' JSON
    text."""

    thinking: str | None
    content: str
    calls: tuple[tuple[str, str], ...]


def parse(text: str) -> Reply:
    """Take a raw completion apart: ``<think>…</think>``, tool calls, text."""
    thinking = None
    if text.startswith("<think>"):
        thinking, _, text = text.removeprefix("<think>").partition("</think>")
        thinking = thinking.strip()
    calls = []
    for body in re.findall(r"<tool_call>\n(.*?)\n</tool_call>", text, flags=re.DOTALL):
        name = re.match(r'\{"name": ("[^"]*"), "arguments": (.*)\}$', body, flags=re.DOTALL)
        calls.append((json.loads(name[1]), name[2]) if name else ("", body))
    content = re.sub(r"<tool_call>.*?(</tool_call>|$)", "", text, flags=re.DOTALL)
    return Reply(thinking, content.strip(), tuple(calls))


class CheckpointWriter:
    """A run's averaged weights through torch, in float32."""

    def __init__(self, run: str) -> None:
        self.model = load_checkpoint(RUNS / run / "checkpoint.pt")
        self.tokenizer = text_tokens.load()
        self.end = self.tokenizer.token_to_id(END_OF_TURN)

    def __call__(self, made: Dialogue) -> Reply:
        prompt, completion = render(made)
        prompt_ids = self.tokenizer.encode(prompt).ids
        written = self._continue(prompt_ids, draft=self.tokenizer.encode(completion).ids)
        return parse(self.tokenizer.decode(written, skip_special_tokens=False).removesuffix(END_OF_TURN))

    @torch.no_grad()
    def _continue(self, prompt: list[int], draft: list[int]) -> list[int]:
        """The greedy continuation. The expected answer serves as a draft that one pass checks as a whole,
        which saves nearly all steps of a model that is right; it changes no token."""
        chosen = self._most_likely(prompt + draft)[len(prompt) - 1 :]
        agreed = next((i for i, token in enumerate(draft) if chosen[i] != token), len(draft))
        written = draft[:agreed]
        if agreed < len(draft):
            written.append(chosen[agreed])
        while written[-1] != self.end and len(written) < MOST_TOKENS:
            written.append(self._most_likely(prompt + written)[-1])
        return written

    def _most_likely(self, ids: list[int]) -> list[int]:
        logits = self.model(torch.tensor([ids]), causal_spans(len(ids)))[0]
        chosen: list[int] = logits.argmax(-1).tolist()
        return chosen


class EngineWriter:
    """A GGUF file through Candlewick's own engine."""

    def __init__(self, path: Path) -> None:
        from candlewick import LLM

        self.llm = LLM(str(path))

    def __call__(self, made: Dialogue) -> Reply:
        from candlewick.chat.events import ResponseToken, ThinkingStart, ThinkingToken, ToolCallEnd
        from candlewick.core.params import GenerationParams

        request = to_request(made)
        events = list(
            self.llm.chat(
                request["messages"],
                params=GenerationParams(temperature=0.0, max_tokens=MOST_TOKENS),
                thinking="think" if made.think else "no_think",
                tools=request["tools"],
            )
        )
        thought = "".join(event.text for event in events if isinstance(event, ThinkingToken))
        started = any(isinstance(event, ThinkingStart) for event in events)
        return Reply(
            thought.strip() if started else None,
            "".join(event.text for event in events if isinstance(event, ResponseToken)).strip(),
            tuple((event.name, event.arguments) for event in events if isinstance(event, ToolCallEnd)),
        )
