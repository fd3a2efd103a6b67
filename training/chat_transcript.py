"""A chat of twenty turns with the built-in model, tools included, as Markdown: what the model card shows.

    python training/chat_transcript.py                          # the file in the package
    python training/chat_transcript.py --model some.gguf --think

Owns what the user says and the Python functions that the model may call; they are really called. The answers are
greedy and come through ``LLM``, as they would for anybody.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from candlewick import LLM, GenerationParams, Message, Tool

BUILT_IN = Path(__file__).parents[1] / "src" / "candlewick" / "builtin" / "candlewick-tiny.gguf"
MOST_CALLS = 4
"""Answers in a row that may call; a model that goes on calling is stopped there."""

USER = (
    "hello!",
    "who are you?",
    "My name is Ada.",
    "What is 347 + 85?",
    "and 7 * 46?",
    "What's the weather like in Oslo?",
    "what about Rome?",
    "How do I stream an answer in Python?",
    "Thanks!",
    "Set a timer for 12 minutes please.",
    "What is the capital of Australia?",
    "What is my name?",
    "Read notes.txt",
    "How many words are in the file notes.txt?",
    "Send an email to bob@example.com with the subject lunch and the text see you at noon.",
    "What is the weather in Paris and London?",
    "Delete the file notes.txt",
    "tell me a joke",
    "How many parameters do you have?",
    "bye",
)

WEATHER = {"oslo": ("snow", -3), "rome": ("sunny", 21), "paris": ("cloudy", 14), "london": ("rain", 11)}
FILES = {"notes.txt": "milk bread and two candles"}


def get_weather(city: str) -> dict[str, Any] | str:
    """Get the current weather for a city."""
    sky, degrees = WEATHER.get(city.lower(), (None, None))
    if sky is None:
        return f"error: no weather for {city}"
    return {"city": city, "temperature": degrees, "condition": sky}


def set_timer(minutes: int) -> str:
    """Start a countdown timer for some minutes."""
    return f"Timer set for {minutes} minutes."


def read_file(path: str) -> str:
    """Read a file."""
    return FILES.get(path, f"error: {path} does not exist")


def word_count(text: str) -> int:
    """Count the words of a text."""
    return len(text.split())


def send_email(to: str, subject: str, body: str) -> dict[str, Any]:
    """Send an email."""
    return {"status": "sent", "to": to}


FUNCTIONS: tuple[Callable[..., Any], ...] = (get_weather, set_timer, read_file, word_count, send_email)
_TYPES = {"str": "string", "int": "integer"}


def as_tool(function: Callable[..., Any]) -> Tool:
    """The function as the model is told of it: name, docstring, the parameters' types."""
    names = {name: kind for name, kind in function.__annotations__.items() if name != "return"}
    properties = {name: {"type": _TYPES[kind]} for name, kind in names.items()}
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return Tool(name=function.__name__, description=function.__doc__ or "", parameters=schema)


def run(name: str, arguments: str) -> str:
    """What the function gives, as text; what can't be called is an error that the model reads."""
    functions = {function.__name__: function for function in FUNCTIONS}
    try:
        result = functions[name](**json.loads(arguments))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return f"error: {error}"
    return result if isinstance(result, str) else json.dumps(result)


@dataclass(frozen=True)
class Said:
    """One line of the transcript."""

    who: str
    text: str
    thinking: str = ""

    def markdown(self) -> str:
        thought = f"*{self.thinking.strip().replace(chr(10), ' · ')}* " if self.thinking.strip() else ""
        text = f"`{self.text}`" if self.who in ("call", "result") else self.text
        return f"**{self.who}**: {thought}{text}  "


def chat(llm: LLM, thinking: str) -> Iterator[Said]:
    """Say all of ``USER`` to the model, one after the other, and run what it calls."""
    tools = [as_tool(function) for function in FUNCTIONS]
    conversation: list[Message] = []
    params = GenerationParams(temperature=0, max_tokens=200)
    for text in USER:
        yield Said("user", text)
        conversation.append(Message(role="user", content=text))
        for _ in range(MOST_CALLS):
            answer = llm.answer(conversation, params=params, tools=tools, thinking=thinking)  # type: ignore[arg-type]
            conversation.append(answer.to_message())
            if answer.text or not answer.tool_calls:
                yield Said("model", answer.text, answer.thinking)
            for number, call in enumerate(answer.tool_calls):
                shown = answer.thinking if number == 0 and not answer.text else ""
                yield Said("call", f"{call.name}({call.arguments})", shown)
                result = run(call.name, call.arguments)
                yield Said("result", result)
                conversation.append(
                    Message(role="tool", content=result, tool_call_id=call.id, name=call.name)
                )
            if not answer.tool_calls:
                break


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, default=BUILT_IN, help="a GGUF file")
    parser.add_argument("--think", action="store_true", help="think before answering, and show it")
    arguments = parser.parse_args()
    with LLM(str(arguments.model), num_threads=1) as llm:
        for said in chat(llm, "think" if arguments.think else "no_think"):
            print(said.markdown(), flush=True)


if __name__ == "__main__":
    main()
