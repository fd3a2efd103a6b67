"""Conversations that last: a tree of entries, stored, answered, and told to any number of listeners."""

from candlewick.sessions.answering import Answering, ModelAnswering
from candlewick.sessions.broadcaster import Broadcaster, Published
from candlewick.sessions.entry import Entry, Figures
from candlewick.sessions.parts import TextPart, ThinkingPart, ToolPart
from candlewick.sessions.session import Session
from candlewick.sessions.session_manager import SessionManager
from candlewick.sessions.settings import SessionSettings
from candlewick.sessions.tree import ConversationTree

__all__ = [
    "Answering",
    "Broadcaster",
    "ConversationTree",
    "Entry",
    "Figures",
    "ModelAnswering",
    "Published",
    "Session",
    "SessionManager",
    "SessionSettings",
    "TextPart",
    "ThinkingPart",
    "ToolPart",
]
