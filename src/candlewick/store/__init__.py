"""Storage: one database for everything that outlives a process; needs the ``store`` extra."""

from candlewick.store.column_types import JSONText, TokenIds
from candlewick.store.database import Database
from candlewick.store.schema import Migration, Schema

__all__ = ["Database", "JSONText", "Migration", "Schema", "TokenIds"]
