"""What becomes of connections when PostgreSQL fails over: a primary, and a standby that takes its place."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import text

from gameserver.storage import Database, Transaction, Unavailable, open_database
from gameserver.storage.database import backend
from gameserver.storage.schema import check_schema, migrate, schema_version
from tests.contracts.storage.tables import ADD, COUNT, create_tables, names
from tests.servers import postgresql, standby

Pair = tuple[Path, Path, Callable[[], None]]


def folder_of(url: str) -> Path:
    return Path(parse_qs(urlsplit(url).query)["host"][0])


@pytest.fixture
def pair() -> Iterator[Pair]:
    """The sockets' folders of a primary and of a standby, and what promotes the latter."""
    with postgresql() as first, standby(first) as (second, promote):
        yield folder_of(first), folder_of(second), promote


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    db = await open_database(url, pool_size=4)
    try:
        yield db
    finally:
        await db.close()


async def write(db: Database) -> None:
    await db.transact(lambda tx: tx.run(text("CREATE TABLE written AS SELECT 1")))


async def has_followed(db: Database) -> None:
    """Return when the standby has the tables of the tests."""
    while True:
        async with db.read() as tx:
            row = await tx.one(text("SELECT to_regclass('players')::text"))
        if row is not None and row[0] is not None:
            return


async def add(db: Database, name: str) -> None:
    async def work(tx: Transaction) -> None:
        await tx.run(ADD, id=name, name=name)

    await db.transact(work)


async def test_connections_to_a_standby_are_not_kept(pair: Pair, tmp_path: Path) -> None:
    """One name leads to the primary before and after; in between to the standby, as after a fail-over."""
    primary, replica, _ = pair
    name = tmp_path / "db"
    name.symlink_to(primary)
    url = f"postgresql://game@/game?host={name}"
    async with opened(url) as db:
        await create_tables(db)
    name.unlink()
    name.symlink_to(replica)

    async def look() -> None:
        async with db.read() as tx:
            await tx.one(COUNT)
            await asyncio.sleep(0.01)

    async with opened(url) as db:
        await has_followed(db)
        with pytest.raises(Unavailable, match=r"^PostgreSQL is read-only$"):
            await db.check()
        await asyncio.gather(*(look() for _ in range(4)))  # the whole pool leads to the standby
        with pytest.raises(Unavailable, match=r"^PostgreSQL is read-only$"):
            await add(db, "Ada")
        name.unlink()
        name.symlink_to(primary)
        await asyncio.gather(*(add(db, f"Bob {number}") for number in range(8)))
        assert len(await names(db)) == 8
        await db.check()


async def test_a_list_of_hosts_leads_to_the_one_that_takes_writes(pair: Pair) -> None:
    primary, replica, promote = pair
    url = f"postgresql://game@/game?host={replica},{primary}"
    await asyncio.to_thread(migrate, url)
    await asyncio.to_thread(check_schema, url)
    assert await asyncio.to_thread(schema_version, url) is not None
    async with opened(url) as db:
        await write(db)
    await asyncio.to_thread(promote)
    # Both take writes now, which no fail-over would allow: the first of the list is the one that is used.
    async with opened(url) as db, db.read() as tx:
        row = await tx.one(text("SELECT pg_is_in_recovery(), current_setting('data_directory')"))
        assert row is not None
        assert (row[0], Path(row[1]).parent) == (False, replica)


async def test_hosts_of_which_none_takes_writes(pair: Pair) -> None:
    _, replica, _ = pair
    with pytest.raises(Unavailable, match="cannot connect to the database"):
        await open_database(f"postgresql://game@/game?host={replica},{replica}")
    async with opened(f"postgresql://game@/game?host={replica},{replica}&target_session_attrs=any"):
        pass


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://game:pass@word@host:x/game",
        "postgresql://game@host:port/game",
        "postgresql://game@a,b:1:2/game",
        "postgresql://game@[::1/game",
        "mysql://game@host/game",
        "game",
        "",
    ],
)
async def test_a_bad_url_is_one_sentence_without_its_password(url: str) -> None:
    with pytest.raises(ValueError, match="database URL") as refused:
        await open_database(url)
    assert "word" not in str(refused.value).replace("password", "")


async def test_a_host_list_is_no_number() -> None:
    assert backend("postgresql://a,b:5433/game?target_session_attrs=read-write") == "postgresql"
    with pytest.raises(Unavailable):
        await open_database("postgresql://127.0.0.1:1,127.0.0.1:2/game?target_session_attrs=read-write")
