"""A conversation as a file: JSON that can be read back, all branches included, or Markdown for people."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from candlewick.chat.messages import parse_messages
from candlewick.core.errors import InvalidRequestError
from candlewick.sessions.entry import Entry
from candlewick.sessions.parts import Part, TextPart, ThinkingPart, ToolPart
from candlewick.sessions.session import Session
from candlewick.sessions.settings import SessionSettings

FORMAT = "candlewick-session"


@dataclass(frozen=True)
class Transcript:
    """What a session is made anew of."""

    title: str
    settings: SessionSettings
    entries: Sequence[Entry]
    head: str | None


def to_json(session: Session) -> dict[str, Any]:
    """The whole session, for :func:`from_json`."""
    return {
        "format": FORMAT,
        "version": 1,
        "title": session.title,
        "settings": session.settings.to_json(),
        "head": session.tree.head,
        "entries": [entry.to_json() for entry in session.tree],
    }


def from_json(value: Mapping[str, Any]) -> Transcript:
    """Read what :func:`to_json` wrote, or a list of messages in OpenAI's form under ``messages``.

    Raises:
        InvalidRequestError: it is neither, or damaged.
    """
    title = value.get("title") or ""
    if not isinstance(title, str):
        raise InvalidRequestError(f"the title must be text, got {title!r}", "title")
    if "messages" in value:
        return _from_messages(title, value["messages"])
    if value.get("format") != FORMAT or value.get("version") != 1:
        raise InvalidRequestError(
            f"this is no exported conversation: 'format' should be {FORMAT!r} and 'version' 1, "
            "or there should be 'messages'",
            "format",
        )
    entries, settings, head = value.get("entries"), value.get("settings"), value.get("head")
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        raise InvalidRequestError("'entries' must be a list of objects", "entries")
    if not isinstance(settings, Mapping) or not (head is None or isinstance(head, str)):
        raise InvalidRequestError("'settings' must be an object and 'head' an entry's id or null", "settings")
    return Transcript(
        title, SessionSettings.from_json(settings), [Entry.from_json(entry) for entry in entries], head
    )


def to_markdown(session: Session) -> str:
    """The shown branch, to be read by people."""
    sections = [f"# {session.title or 'Conversation'}"]
    for entry in session.tree.path():
        sections.append("## You" if entry.role == "user" else f"## {entry.model or 'Answer'}")
        sections.extend(text for text in map(_part_to_markdown, entry.parts) if text)
        if entry.error:
            sections.append(f"> This answer failed: {entry.error}")
        elif entry.state == "stopped":
            sections.append("> Stopped here.")
    return "\n\n".join(sections) + "\n"


def _part_to_markdown(part: Part) -> str:
    match part:
        case TextPart():
            return part.text
        case ThinkingPart():
            return "> *Thought:*\n" + "\n".join(f"> {line}" for line in part.text.strip().splitlines())
        case ToolPart():
            called = f"Called `{part.name}` ({part.state}):\n\n{_fenced(part.arguments, 'json')}"
            return f"{called}\n\n{_fenced(part.result)}" if part.result is not None else called


def _fenced(text: str, language: str = "") -> str:
    longest = max((len(run) for run in re.findall(r"`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _from_messages(title: str, messages: Any) -> Transcript:
    if not isinstance(messages, list):
        raise InvalidRequestError(f"'messages' must be a list, got {type(messages).__name__}", "messages")
    settings, entries = SessionSettings(), list[Entry]()
    for message in parse_messages(messages):
        parent_id = entries[-1].id if entries else None
        if message.role in ("system", "developer"):
            settings = settings.changed({"system_prompt": message.content or ""})
        elif message.role == "user":
            entries.append(Entry.from_user(message.content or "", parent_id))
        elif message.role == "assistant":
            _add_answer(entries, parent_id).parts.extend(_answer_parts(message.to_json(), entries[-1]))
        else:
            _add_result(entries, message.tool_call_id or "", message.content or "")
    return Transcript(title, settings, entries, entries[-1].id if entries else None)


def _add_answer(entries: list[Entry], parent_id: str | None) -> Entry:
    # Several messages of the assistant in a row, with results between them, are one answer.
    if not entries or entries[-1].role == "user":
        entries.append(Entry(parent_id=parent_id, role="assistant"))
    return entries[-1]


def _answer_parts(message: Mapping[str, Any], entry: Entry) -> list[Part]:
    id = entry.next_part_id()
    parts: list[Part] = []
    if message.get("reasoning_content"):
        parts.append(ThinkingPart(id=id, text=message["reasoning_content"], seconds=0.0))
    if message.get("content"):
        parts.append(TextPart(id=id + len(parts), text=message["content"]))
    for call in message.get("tool_calls", ()):
        parts.append(
            ToolPart(
                id=id + len(parts),
                call_id=call["id"],
                name=call["function"]["name"],
                arguments=call["function"]["arguments"],
                state="cancelled",
            )
        )
    return parts


def _add_result(entries: list[Entry], call_id: str, result: str) -> None:
    parts = entries[-1].parts if entries else []
    call = next((p for p in reversed(parts) if isinstance(p, ToolPart) and p.call_id == call_id), None)
    if call is None:
        raise InvalidRequestError(f"a result answers the call {call_id!r}, which nobody made", "messages")
    call.state, call.result = "done", result


def write_json(session: Session) -> str:
    """:func:`to_json` as the text of a file."""
    return json.dumps(to_json(session), ensure_ascii=False, indent=2) + "\n"
