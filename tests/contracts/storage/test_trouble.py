"""What keeps a database from writing, in words for operators."""

from pathlib import Path

import pytest
from sqlalchemy import text

from gameserver.storage import Aborted, Database, open_database, transaction
from gameserver.storage.errors import CannotWrite
from gameserver.storage.sqlite import SqliteDatabase
from tests.contracts.storage.tables import ADD, GET, create_tables

ADD_LONG = text("INSERT INTO players (id, name) VALUES (:id, :name)")


async def test_a_database_that_works(db: Database) -> None:
    await db.check()
    async with db.write() as tx:
        await tx.run(ADD, id="a", name="a")
    await db.check()


async def test_a_full_disk_under_sqlite(sqlite_db: SqliteDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = sqlite_db.writer.connection.execute("PRAGMA page_count").fetchone()[0]
    sqlite_db.writer.connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(CannotWrite, match=r"^the disk is full$"):
        await sqlite_db.transact(lambda tx: tx.run(ADD_LONG, id="a", name="x" * 100_000), backoff=0)
    async with sqlite_db.read() as tx:
        assert await tx.one(GET, id="a") is None
    with pytest.raises(CannotWrite, match=r"^the disk is full$"):
        await sqlite_db.check()
    sqlite_db.writer.connection.execute("PRAGMA max_page_count = 1000000")
    monkeypatch.setattr(transaction, "TROUBLE_SECONDS", 0)
    await sqlite_db.check()


async def test_a_database_file_that_cannot_be_written(tmp_path: Path) -> None:
    path = tmp_path / "game.db"
    database = await open_database(f"sqlite:///{path}")
    assert isinstance(database, SqliteDatabase)
    await create_tables(database)
    database.writer.connection.execute("PRAGMA query_only = ON")
    with pytest.raises(CannotWrite, match=r"^the database file is read-only$"):
        await database.check()
    await database.close()


@pytest.mark.parametrize(
    ("state", "reason"),
    [("53100", "the disk of PostgreSQL is full"), ("53200", "PostgreSQL has no memory left")],
)
async def test_what_postgresql_has_no_room_for(
    postgres_db: Database, monkeypatch: pytest.MonkeyPatch, state: str, reason: str
) -> None:
    fail = text(f"DO $$ BEGIN RAISE EXCEPTION 'no room' USING ERRCODE = '{state}'; END $$")
    with pytest.raises(CannotWrite, match=f"^{reason}$"):
        await postgres_db.transact(lambda tx: tx.run(fail), backoff=0)
    with pytest.raises(CannotWrite, match=f"^{reason}$"):
        await postgres_db.check()
    monkeypatch.setattr(transaction, "TROUBLE_SECONDS", 0)
    await postgres_db.check()


async def test_a_pooler_that_lends_other_connections(postgres_db: Database) -> None:
    """A pooler in transaction mode: the next connection knows none of the statements that were prepared."""
    async with postgres_db.write() as tx:
        await tx.run(ADD, id="a", name="a")

    async def forget_all(tx: transaction.Transaction) -> None:
        await tx.run(text("DEALLOCATE ALL"))
        await tx.one(GET, id="a")

    with pytest.raises(Aborted, match="pooler"):
        await postgres_db.transact(forget_all, tries=1)
