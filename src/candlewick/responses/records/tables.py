"""The tables of responses and conversations, and how they came to be."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

from candlewick.store import JSONText, Schema, TokenIds

_METADATA = MetaData()
_ID = String(200)

RESPONSES = Table(
    "candlewick_responses",
    _METADATA,
    Column("id", _ID, primary_key=True),
    Column("owner", Text, nullable=False),
    Column(
        "used_at", BigInteger, nullable=False
    ),  # seconds since 1970: when it was last made, read or gone on from
    Column("status", String(20), nullable=False),
    Column("previous_id", _ID),
    Column("fields", JSONText, nullable=False),  # the response object without its output
    Column("token_ids", TokenIds),  # of the last answer, with its prompt
    Column("events", LargeBinary),  # the whole stream, when it is over
    Column("lease_until", Float, nullable=False),  # who runs it has to renew this, or is taken for dead
    Column("is_cancel_wanted", Boolean, nullable=False, default=False),
    Index("candlewick_responses_by_use", "used_at"),
)
RESPONSE_ITEMS = Table(
    "candlewick_response_items",
    _METADATA,
    Column("response_id", _ID, ForeignKey(RESPONSES.c.id, ondelete="CASCADE"), primary_key=True),
    Column("is_output", Boolean, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("item_id", _ID, nullable=False, index=True),
    Column("item", JSONText, nullable=False),
)
CONVERSATIONS = Table(
    "candlewick_conversations",
    _METADATA,
    Column("id", _ID, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("used_at", BigInteger, nullable=False),
    Column("metadata", JSONText, nullable=False),
    Column("token_ids", TokenIds),
    Index("candlewick_conversations_by_use", "used_at"),
)
CONVERSATION_ITEMS = Table(
    "candlewick_conversation_items",
    _METADATA,
    Column("conversation_id", _ID, ForeignKey(CONVERSATIONS.c.id, ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("item_id", _ID, nullable=False, index=True),
    Column("item", JSONText, nullable=False),
)


def _make_tables(connection: Connection) -> None:
    _METADATA.create_all(connection, checkfirst=False)


SCHEMA = Schema("responses", (_make_tables,))
