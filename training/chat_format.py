"""How a dialogue becomes text: the same as ``chat_template.jinja``, in Python, fast enough to render while
training.

``test_training.py`` holds the two equal, for jinja2 as well as for minijinja.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from corpus.dialogue import Dialogue, Message

TEMPLATE = Path(__file__).with_name("chat_template.jinja").read_text(encoding="utf-8")

CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
"""Tokens that users can't type and answers don't show (GGUF type 3)."""
MARKERS = (
    "<think>",
    "</think>",
    "<tool_call>",
    "</tool_call>",
    "<tool_response>",
    "</tool_response>",
    "<tools>",
    "</tools>",
)
"""Tokens that structure an answer and stay visible to parsers (GGUF type 4)."""
END_OF_TURN = "<|im_end|>"
ANSWER_HEADER = "<|im_start|>assistant\n"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _calls(message: Message) -> str:
    return "\n".join(
        f'<tool_call>\n{{"name": {_json(call.name)}, "arguments": {_json(call.arguments)}}}\n</tool_call>'
        for call in message.calls
    )


def _body(message: Message) -> str:
    return "\n".join(part for part in (message.content, _calls(message)) if part)


def render(dialogue: Dialogue) -> tuple[str, str]:
    """The prompt up to the generation prompt, and the completion that the model should write (with its end
    token)."""
    messages = list(dialogue.messages[:-1])
    system = messages.pop(0).content if messages[0].role == "system" else ""
    pieces = []
    if dialogue.tools:
        lines = [
            f'{{"name": {_json(tool.name)}, "description": {_json(tool.description)}, '
            f'"parameters": {_json(dict(tool.parameters))}}}\n'
            for tool in dialogue.tools
        ]
        system = "\n".join(filter(None, (system, "<tools>\n" + "".join(lines) + "</tools>")))
    if system:
        pieces.append(f"<|im_start|>system\n{system}<|im_end|>\n")
    for message in messages:
        if message.role == "assistant":
            pieces.append(f"<|im_start|>assistant\n{_body(message)}<|im_end|>\n")
        elif message.role == "tool":
            pieces.append(
                f"<|im_start|>user\n<tool_response>\n{message.content}\n</tool_response><|im_end|>\n"
            )
        else:
            pieces.append(f"<|im_start|>{message.role}\n{message.content}<|im_end|>\n")
    given, written = completion(dialogue.answer, dialogue.think)
    return "".join(pieces) + ANSWER_HEADER + given, written


def completion(answer: Message, think: bool) -> tuple[str, str]:
    """What follows the answer's header: what the prompt gives of it, and what the model should write."""
    if think:
        return "", f"<think>\n{answer.thinking}\n</think>\n" + _body(answer) + END_OF_TURN
    return "<think>\n\n</think>\n", _body(answer) + END_OF_TURN


def to_request(dialogue: Dialogue) -> dict[str, Any]:
    """The dialogue without its answer as a template or a Chat Completions client gets it."""
    messages: list[dict[str, Any]] = []
    for message in dialogue.messages[:-1]:
        entry: dict[str, Any] = {"role": message.role, "content": message.content}
        if message.calls:
            entry["tool_calls"] = [
                {
                    "id": f"call_{i}",
                    "type": "function",
                    "function": {"name": call.name, "arguments": dict(call.arguments)},
                }
                for i, call in enumerate(message.calls)
            ]
        messages.append(entry)
    tools = [tool.to_openai() for tool in dialogue.tools]
    return {"messages": messages, "tools": tools or None, "enable_thinking": dialogue.think}
