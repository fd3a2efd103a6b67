"""``candlewick chat``: a conversation on the terminal.

Lines are edited with Python's own readline: it is there on Linux and macOS, needs no dependency and leaves
the terminal's scrollback alone; Windows' console edits lines itself.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from candlewick.chat.events import Complete
from candlewick.cli import loading, options
from candlewick.cli.agent_chat import AgentChat, Approver
from candlewick.cli.answer_printer import AnswerPrinter, Shown, stats_line
from candlewick.cli.asking import (
    Chatting,
    Message,
    Thinking,
    generation_params,
    opening_messages,
    thinking_mode,
)
from candlewick.core.errors import EngineClosed, EngineError, EngineFailed, InvalidRequestError
from candlewick.core.params import GenerationParams
from candlewick.responses.mcp.configuration import MCPConfiguration
from candlewick.responses.options import ConversationOptions

ReadLine = Callable[[], str]


def chat(
    model: options.ModelReference = "builtin",
    system: options.System = None,
    think: options.Think = None,
    max_tokens: options.MaxTokens = None,
    temperature: options.Temperature = None,
    top_p: options.TopP = None,
    seed: options.Seed = None,
    threads: options.Threads = None,
    context: options.Context = None,
    draft_model: options.DraftModel = None,
    mcp_config: options.McpConfig = None,
    yes: options.Yes = False,
    stats: options.Stats = False,
    debug: options.Debug = False,
) -> None:
    """Talk with a model. /help lists the commands; Ctrl-C stops an answer, Ctrl-D ends the talk."""
    params = generation_params(max_tokens=max_tokens, temperature=temperature, top_p=top_p, seed=seed)
    printer = AnswerPrinter()
    with contextlib.ExitStack() as stack:
        llm: Chatting
        if mcp_config is None:
            llm = stack.enter_context(
                loading.load_llm(model, threads=threads, context=context, draft_model=draft_model)
            )
        else:
            configuration = MCPConfiguration.load(mcp_config)
            model_with_tools = loading.load_model_for_tools(
                model, threads=threads, context=context, draft_model=draft_model
            )
            asked = ConversationOptions(approve=Approver(printer.note, approves_all=yes))
            llm = stack.enter_context(AgentChat(model_with_tools, configuration, asked))
        conversation = Conversation(
            llm, params, thinking_mode(think), opening_messages(system), shows_stats=stats, printer=printer
        )
        conversation.talk(_line_reader())


@dataclass
class Conversation:
    """The messages so far and how to go on. A line is a question, or a command that begins with a slash."""

    llm: Chatting
    params: GenerationParams
    thinking: Thinking = "adaptive"
    messages: list[Message] = field(default_factory=list)
    shows_stats: bool = False
    printer: AnswerPrinter = field(default_factory=AnswerPrinter)
    last: Complete | None = None
    """The end of the last answer that had one."""

    def talk(self, read_line: ReadLine) -> None:
        """Until the user leaves or the input ends."""
        self.printer.note("/help lists the commands, Ctrl-C stops an answer, Ctrl-D leaves")
        while True:
            try:
                line = read_line().strip()
            except KeyboardInterrupt:  # gives up the line, as in a shell
                print()
                continue
            except EOFError:
                print()
                return
            if line == "/exit":
                return
            if line.startswith("/"):
                self.obey(line)
            elif line:
                self.ask(line)

    def ask(self, question: str) -> None:
        """Answer one question. What fails leaves the conversation as it was; what is stopped stays in it."""
        self.messages.append({"role": "user", "content": question})
        shown = Shown()
        try:
            with closing(self.llm.chat(self.messages, params=self.params, thinking=self.thinking)) as events:
                self.printer.show(events, shown)
        except KeyboardInterrupt:
            self.printer.note("[stopped]")
        except (EngineClosed, EngineFailed):
            raise
        except (EngineError, InvalidRequestError) as error:
            self.messages.pop()
            self.printer.note(f"{error}")
            return
        self.messages.extend(shown.to_messages())
        if shown.complete is not None:
            self.last = shown.complete
            if self.shows_stats:
                self.printer.note(stats_line(shown.complete))

    def obey(self, line: str) -> None:
        """Carry out one command."""
        name, _, argument = line.partition(" ")
        if name not in COMMANDS:
            self.printer.note(f"there is no command {name}; /help lists them")
            return
        COMMANDS[name][0](self, argument.strip())

    def _help(self, argument: str) -> None:
        for name, (_, usage) in COMMANDS.items():
            self.printer.note(f"{name:9} {usage}")
        self.printer.note("/exit     leave (so does Ctrl-D)")

    def _think(self, argument: str) -> None:
        self.thinking = "think"
        self.printer.note("the model thinks before it answers")

    def _no_think(self, argument: str) -> None:
        self.thinking = "no_think"
        self.printer.note("the model answers without thinking")

    def _system(self, argument: str) -> None:
        self.messages = [message for message in self.messages if message["role"] != "system"]
        if argument:
            self.messages.insert(0, {"role": "system", "content": argument})
        self.printer.note("system message set" if argument else "system message removed")

    def _clear(self, argument: str) -> None:
        self.messages = [message for message in self.messages if message["role"] == "system"]
        self.printer.note("the conversation starts again")

    def _save(self, argument: str) -> None:
        if not argument:
            self.printer.note("say where: /save FILE")
            return
        path = Path(argument).expanduser()
        try:
            path.write_text(json.dumps({"messages": self.messages}, ensure_ascii=False, indent=2), "utf-8")
        except OSError as error:
            self.printer.note(f"{path} was not written: {error.strerror}")
        else:
            self.printer.note(f"{len(self.messages)} messages saved to {path}")

    def _load(self, argument: str) -> None:
        from candlewick.chat.messages import parse_messages

        path = Path(argument).expanduser()
        try:
            saved = json.loads(path.read_text("utf-8"))
            messages = [message.to_json() for message in parse_messages(saved["messages"])]
        except OSError as error:
            self.printer.note(f"{path} was not read: {error.strerror}")
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            self.printer.note(f"{path} holds no saved conversation: {error}")
        else:
            self.messages = messages
            self.printer.note(f"{len(messages)} messages loaded from {path}")

    def _stats(self, argument: str) -> None:
        self.shows_stats = not self.shows_stats
        self.printer.note(f"stats after each answer are {'on' if self.shows_stats else 'off'}")
        if self.last is not None:
            self.printer.note(stats_line(self.last))


COMMANDS: dict[str, tuple[Callable[[Conversation, str], None], str]] = {
    "/help": (Conversation._help, "this list"),
    "/think": (Conversation._think, "think before answering"),
    "/no_think": (Conversation._no_think, "answer at once"),
    "/system": (Conversation._system, "TEXT: set the system message; without text, remove it"),
    "/clear": (Conversation._clear, "forget the conversation, keep the system message"),
    "/save": (Conversation._save, "FILE: write the conversation as JSON"),
    "/load": (Conversation._load, "FILE: go on from a saved conversation"),
    "/stats": (Conversation._stats, "tokens and speed after each answer, on or off"),
}


def _line_reader() -> ReadLine:
    if not sys.stdin.isatty():
        return input
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  # importing it is what gives input() its editing and history
    # Readline must know which characters take no room, or it misplaces the cursor.
    prompt = "\001\x1b[1;36m\002> \001\x1b[0m\002" if sys.stdout.isatty() else "> "
    return lambda: input(prompt)
