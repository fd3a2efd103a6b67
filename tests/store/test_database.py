"""Transactions, migrations and errors, in SQLite and in a real PostgreSQL."""

from __future__ import annotations

import asyncio
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy", reason="needs the store extra")

from sqlalchemy import Column, Connection, Integer, MetaData, Table, func, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from candlewick.core.errors import StoreError
from candlewick.store import Database, JSONText, Schema, TokenIds
from candlewick.store.database import POSTGRESQL_CONNECTIONS

THINGS = Table(
    "things",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("value", JSONText),
    Column("token_ids", TokenIds),
)
SCHEMA = Schema("things", (THINGS.create,))


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with Database.open(database_url) as database:
        database.apply(SCHEMA)
        yield database


def put(id: int, value: object = None) -> object:
    return lambda connection: connection.execute(insert(THINGS).values(id=id, value=value))


def count(connection: Connection) -> int:
    return connection.scalar(select(func.count()).select_from(THINGS)) or 0


async def test_what_was_written_is_there_after_opening_again(database: Database, database_url: str) -> None:
    value = {"text": "null\0 \ud800 ünï \U0001f56f", "list": [1, 2.5, None, True]}
    await database.run(
        lambda connection: connection.execute(
            insert(THINGS).values(id=1, value=value, token_ids=[0, 1, 151_643])
        )
    )
    database.close()
    with Database.open(database_url) as again:
        again.apply(SCHEMA)
        row = await again.run(lambda connection: connection.execute(select(THINGS)).one())
    assert tuple(row) == (1, value, (0, 1, 151_643))


async def test_a_function_that_raises_changes_nothing(database: Database) -> None:
    def fail(connection: Connection) -> None:
        connection.execute(insert(THINGS).values(id=1))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await database.run(fail)
    assert await database.run(count) == 0
    await database.run(put(1))
    with pytest.raises(IntegrityError):
        await database.run(put(1))
    with pytest.raises(StoreError, match="no_such_table"):
        await database.run(lambda connection: connection.execute(text("SELECT * FROM no_such_table")))
    assert await database.run(count) == 1


async def test_writers_in_other_processes_wait_for_each_other(database: Database, database_url: str) -> None:
    await database.run(put(1, 0))

    def increment(connection: Connection) -> None:
        row = select(THINGS.c.value).where(THINGS.c.id == 1).with_for_update()
        value = connection.scalar(row)
        connection.execute(update(THINGS).where(THINGS.c.id == 1).values(value=value + 1))

    with Database.open(database_url) as other:
        await asyncio.gather(*(each.run(increment) for each in (database, other) for _ in range(50)))
    value = await database.run(lambda connection: connection.scalar(select(THINGS.c.value)))
    assert value == 100


async def test_a_cancelled_wait_leaves_a_whole_transaction(database: Database) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(connection: Connection) -> None:
        connection.execute(insert(THINGS).values(id=1))
        begun.set()
        assert go_on.wait(10)

    task = asyncio.create_task(database.run(slow))
    await asyncio.to_thread(begun.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go_on.set()
    await database.run(lambda connection: None)
    database.close()  # waits for what runs


async def test_a_transaction_whose_wait_was_cancelled_before_its_turn_happens_all_the_same(
    database_url: str,
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(connection: Connection) -> None:
        begun.set()
        assert go_on.wait(10)

    with Database.open(database_url) as database:
        database.apply(SCHEMA)
        before = [asyncio.create_task(database.run(slow)) for _ in range(POSTGRESQL_CONNECTIONS)]
        await asyncio.to_thread(begun.wait, 10)
        task = asyncio.create_task(database.run(put(1)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go_on.set()
        await asyncio.gather(*before)
    with Database.open(database_url) as again:
        assert again.run_blocking(count) == 1


def test_migrations_run_once_and_in_order(database_url: str) -> None:
    def add_colour(connection: Connection) -> None:
        connection.execute(text("ALTER TABLE things ADD COLUMN colour TEXT"))

    newer = Schema("things", (THINGS.create, add_colour))
    with Database.open(database_url) as database:
        for schema in (SCHEMA, SCHEMA, newer, newer):
            database.apply(schema)
        database.run_blocking(lambda connection: connection.execute(text("SELECT colour FROM things")))
        with pytest.raises(StoreError, match="version 2 of the tables 'things', this program knows 1"):
            database.apply(SCHEMA)


def test_a_failed_migration_leaves_the_version_before(database_url: str) -> None:
    def broken(connection: Connection) -> None:
        connection.execute(text("CREATE TABLE half (id INTEGER)"))
        raise ZeroDivisionError

    with Database.open(database_url) as database:
        database.apply(SCHEMA)
        with pytest.raises(ZeroDivisionError):
            database.apply(Schema("things", (THINGS.create, broken)))
        database.apply(SCHEMA)
        with pytest.raises(StoreError, match="half"):
            database.run_blocking(lambda connection: connection.execute(text("SELECT * FROM half")))


def test_several_processes_may_start_at_once(database_url: str) -> None:
    errors: list[Exception] = []

    def start() -> None:
        try:
            with Database.open(database_url) as database:
                database.apply(SCHEMA)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_in_memory() -> None:
    with Database.open() as database:
        database.apply(SCHEMA)
        database.run_blocking(put(1))
        assert database.run_blocking(count) == 1


def test_the_file_is_private_and_written_ahead(tmp_path: Path) -> None:
    with Database.open(f"sqlite:///{tmp_path / 'store.db'}") as database:
        database.apply(SCHEMA)
        mode = database.run_blocking(
            lambda connection: connection.execute(text("PRAGMA journal_mode")).scalar()
        )
        assert mode == "wal"
        assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


def test_wrong_addresses_are_named(tmp_path: Path) -> None:
    for url, message in {
        "store.db": "no database URL",
        "mysql://root:secret@host/x": "'mysql' databases are not supported",
        f"sqlite:///{tmp_path}/none/store.db": "can't be opened: No such file or directory",
        f"sqlite:///{tmp_path}": "can't be opened: Is a directory",
        "postgresql://candle:secret@127.0.0.1:1/x": "failed",
    }.items():
        with pytest.raises(StoreError, match=message) as caught:
            Database.open(url)
        assert "secret" not in str(caught.value)
    (tmp_path / "text.db").write_text("no database " * 100)
    with pytest.raises(StoreError, match="not a database"):
        Database.open(f"sqlite:///{tmp_path / 'text.db'}")


async def test_a_closed_database_says_so(tmp_path: Path) -> None:
    database = Database.open(f"sqlite:///{tmp_path / 'store.db'}")
    database.close()
    database.close()
    with pytest.raises(StoreError, match="is closed"):
        await database.run(count)
