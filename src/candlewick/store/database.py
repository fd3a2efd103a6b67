"""One database, and transactions in it from an event loop or a thread.

Owns connections, the threads that wait for them, and that what was acknowledged is on disk. Refuses to know
what is stored: modules declare their own tables as a :class:`~candlewick.store.schema.Schema`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, IntegrityError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import StaticPool

from candlewick.core.errors import StoreError
from candlewick.store.schema import Schema

Result = TypeVar("Result")

LOCK_TIMEOUT_SECONDS = 30
"""How long a transaction waits for another process that writes to the same SQLite file."""
POSTGRESQL_CONNECTIONS = 8
_DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg"}


class Database:
    """SQLite in one file (or in memory), or PostgreSQL; make it by :meth:`open`.

    A function that returned has its changes on disk: they survive ``kill -9`` and a loss of power. One that
    raised has changed nothing.
    """

    def __init__(self, engine: Engine, num_threads: int) -> None:
        self._engine = engine
        self._threads = ThreadPoolExecutor(num_threads, thread_name_prefix="candlewick-store")
        self._is_closed = False

    @classmethod
    def open(cls, url: str = "sqlite://") -> Self:
        """Connect.

        Args:
            url: ``sqlite:///relative.db``, ``sqlite:////absolute.db``, ``sqlite://`` for one in memory that
                goes with the process, or ``postgresql://user:password@host/name``. The file is made if there
                is none, readable by its owner only.

        Raises:
            StoreError: the URL is wrong, or there is no such database.
        """
        try:
            address = make_url(url)
        except ArgumentError:
            raise StoreError(f"{url!r} is no database URL; write sqlite:///FILE or postgresql://…") from None
        kind = address.get_backend_name()
        if kind not in _DRIVERS:
            raise StoreError(
                f"{kind!r} databases are not supported, use sqlite or postgresql; got {_shown(address)}"
            )
        address = address.set(drivername=_DRIVERS[kind])
        try:
            if kind == "sqlite":
                # One thread: SQLite has one writer at a time anyway, and a queue is fairer than its locks.
                database = cls(_sqlite_engine(address), num_threads=1)
            else:
                engine = create_engine(
                    address, pool_size=POSTGRESQL_CONNECTIONS, max_overflow=0, pool_pre_ping=True
                )
                database = cls(engine, num_threads=POSTGRESQL_CONNECTIONS)
        except (NoSuchModuleError, ModuleNotFoundError) as error:
            raise StoreError(f"{_shown(address)}: {error}; install candlewick[store]") from error
        try:
            database.run_blocking(lambda connection: None)
        except StoreError:
            database.close()
            raise
        return database

    @property
    def url(self) -> str:
        """Where the data is, without the password."""
        return _shown(self._engine.url)

    def apply(self, schema: Schema) -> None:
        """Make, or bring up to date, the tables of a module; several processes may do so at once.

        Raises:
            StoreError: the database was written by a newer version, or fails.
        """
        self.run_blocking(schema.apply)

    async def run(self, function: Callable[[Connection], Result]) -> Result:
        """``function(connection)`` in one transaction, in a worker thread: committed when it returns, rolled
        back when it raises.

        A wait that is cancelled leaves the transaction to happen by itself, also if its turn has not come yet.

        Raises:
            StoreError: the database fails or was closed.
            Exception: what ``function`` raised, and SQLAlchemy's ``IntegrityError``.
        """
        self._require_open()
        loop = asyncio.get_running_loop()
        return await asyncio.shield(loop.run_in_executor(self._threads, self._transaction, function))

    def run_blocking(self, function: Callable[[Connection], Result]) -> Result:
        """As :meth:`run`, for code without an event loop."""
        self._require_open()
        return self._threads.submit(self._transaction, function).result()

    def close(self) -> None:
        """Wait for the transactions that run, then let go of the database."""
        self._is_closed = True
        self._threads.shutdown()
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _transaction(self, function: Callable[[Connection], Result]) -> Result:
        try:
            with self._engine.begin() as connection:
                return function(connection)
        except IntegrityError:
            raise
        except SQLAlchemyError as error:
            cause = getattr(error, "orig", None) or error
            raise StoreError(f"the database {self.url} failed: {str(cause).strip()}") from error

    def _require_open(self) -> None:
        if self._is_closed:
            raise StoreError(f"the database {self.url} is closed")


def _sqlite_engine(url: URL) -> Engine:
    options: dict[str, Any] = {"connect_args": {"check_same_thread": False, "timeout": LOCK_TIMEOUT_SECONDS}}
    is_file = url.database not in (None, "", ":memory:")
    if is_file:
        _make_private_file(Path(str(url.database)))
    else:
        options["poolclass"] = StaticPool
    engine = create_engine(url, **options)

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, record: object) -> None:
        # The driver's own idea of transactions is off: it would begin them at the first write only.
        connection.isolation_level = None
        cursor = connection.cursor()
        if is_file:
            cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A transaction that read first and writes then would fail if another process wrote in between.
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _make_private_file(path: Path) -> None:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise StoreError(f"the database file {path} can't be opened: {error.strerror}") from error


def _shown(url: URL) -> str:
    return url.render_as_string(hide_password=True)
