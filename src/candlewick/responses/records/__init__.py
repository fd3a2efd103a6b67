"""What is kept of responses and conversations, in a :class:`candlewick.store.Database`; needs the ``store`` extra."""

from candlewick.responses.records.context import Context
from candlewick.responses.records.conversation_store import ConversationStore
from candlewick.responses.records.recording import Recording
from candlewick.responses.records.response_store import Outcome, ResponseStore, Retention, StoredResponse

__all__ = [
    "Context",
    "ConversationStore",
    "Outcome",
    "Recording",
    "ResponseStore",
    "Retention",
    "StoredResponse",
]
