"""Databases of both engines, empty but for the tables of these tests."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import text

from gameserver.storage import Database, open_database
from tests.contracts.storage.tables import create_tables
from tests.servers import postgresql


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    with postgresql() as url:
        yield url


@pytest.fixture(params=["sqlite-file", "sqlite-temporary", "postgresql"])
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    if request.param == "sqlite-file":
        yield f"sqlite:///{tmp_path}/game.db"
    elif request.param == "sqlite-temporary":
        yield "sqlite://"
    else:
        cluster_url = request.getfixturevalue("cluster")
        admin = await open_database(cluster_url, pool_size=1)
        async with admin.write() as tx:
            await tx.run(text("DROP SCHEMA public CASCADE"))
            await tx.run(text("CREATE SCHEMA public"))
        await admin.close()
        yield cluster_url


@pytest_asyncio.fixture
async def db(url: str) -> AsyncIterator[Database]:
    database = await open_database(url)
    await create_tables(database)
    yield database
    await database.close()


@pytest_asyncio.fixture
async def sqlite_db(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    """The engine whose commits wait for the disk, and are shared for that reason."""
    monkeypatch.setattr(
        "gameserver.storage.sqlite.GROUP_SECONDS_MAX", 60
    )  # no group ends because we are slow
    database = await open_database(f"sqlite:///{tmp_path}/game.db")
    await create_tables(database)
    yield database
    await database.close()


@pytest_asyncio.fixture
async def postgres_db(cluster: str) -> AsyncIterator[Database]:
    database = await open_database(cluster, pool_size=4)
    async with database.write() as tx:
        await tx.run(text("DROP SCHEMA public CASCADE"))
        await tx.run(text("CREATE SCHEMA public"))
    await create_tables(database)
    yield database
    await database.close()
