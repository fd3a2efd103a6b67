"""What a module keeps in the database: its tables by name of the module, and how they came to be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, insert, select, text, update

from candlewick.core.errors import StoreError

Migration = Callable[[Connection], None]
"""Changes the tables from one version to the next, in the transaction of the connection."""

_VERSIONS = Table(
    "candlewick_schemas",
    MetaData(),
    Column("name", String(100), primary_key=True),
    Column("version", Integer, nullable=False),
)
_LOCK = 0x63616E646C65
"""PostgreSQL's advisory locks are numbers; this one spells "candle"."""


@dataclass(frozen=True)
class Schema:
    """The tables of one module.

    ``migrations`` are all that there ever were, oldest first: the first makes the tables, each later one
    changes what the one before left. A released migration is never edited; a change is a new one at the end.
    """

    name: str
    migrations: tuple[Migration, ...]

    def apply(self, connection: Connection) -> None:
        """Run the migrations that this database has not seen yet.

        Raises:
            StoreError: the database was written by a newer version than this one.
        """
        if connection.dialect.name == "postgresql":
            # Several servers may start at once. SQLite's transactions exclude each other from their beginning.
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        _VERSIONS.create(connection, checkfirst=True)
        found = connection.scalar(select(_VERSIONS.c.version).where(_VERSIONS.c.name == self.name))
        if found is not None and found > len(self.migrations):
            raise StoreError(
                f"the database holds version {found} of the tables {self.name!r}, this program knows "
                f"{len(self.migrations)}: it was written by a newer version; upgrade, or use another database"
            )
        for migrate in self.migrations[found or 0 :]:
            migrate(connection)
        if found is None:
            connection.execute(insert(_VERSIONS).values(name=self.name, version=len(self.migrations)))
        elif found < len(self.migrations):
            connection.execute(
                update(_VERSIONS).where(_VERSIONS.c.name == self.name).values(version=len(self.migrations))
            )
