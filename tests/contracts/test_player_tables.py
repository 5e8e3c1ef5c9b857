"""Rows of two players, with children: found, moved and deleted by each of them."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import BigInteger, Column, Index, MetaData, String, Table, bindparam, insert, select, text
from sqlalchemy.schema import CreateIndex, CreateTable, DropTable

from gameserver.players.life import PlayerHooks
from gameserver.players.lifecycle import Child, PlayerTable
from gameserver.players.states import ROW_ALONE
from gameserver.storage import Database, open_database

_metadata = MetaData()
streams = Table(
    "pt_streams",
    _metadata,
    Column("stream_id", String(36), primary_key=True),
    Column("app_id", String(64), nullable=False),
    Column("from_id", String(36), nullable=False),
    Column("to_id", String(36), nullable=False),
    Column("started_ms", BigInteger, nullable=False),
    Column("secret", String(36), nullable=False),
    Index("pt_streams_by_from", "from_id"),
    Index("pt_streams_by_both", "to_id", "from_id", unique=True),
)
events = Table(
    "pt_events",
    _metadata,
    Column("event_id", String(36), primary_key=True),
    Column("stream_id", String(36), nullable=False),
    Column("value", BigInteger, nullable=False),
    Index("pt_events_by_stream", "stream_id"),
)
KEPT = PlayerTable(
    streams,
    ("from_id", "to_id"),
    children=[Child(events, "stream_id")],
    untold={"secret": "opens a door"},
)
ADD = insert(streams).values({column.name: bindparam(column.name) for column in streams.c})
ADD_EVENT = insert(events).values({column.name: bindparam(column.name) for column in events.c})


@pytest.fixture
async def database(migrated: dict[str, str], tmp_path: Any) -> AsyncIterator[Database]:
    database = await open_database(migrated.get("database") or f"sqlite:///{tmp_path / 'tables.db'}")
    async with database.write() as tx:
        for table in _metadata.sorted_tables:
            if migrated:
                await tx.run(text(str(DropTable(table, if_exists=True))))
            await tx.run(text(str(CreateTable(table))))
            for index in table.indexes:
                await tx.run(text(str(CreateIndex(index))))
    yield database
    await database.close()


async def fill(database: Database, *pairs: str) -> None:
    """Add a stream with two events for each pair, such as `ab`, of which the name is also its id."""
    async with database.write() as tx:
        for pair in pairs:
            names = {"from_id": pair[0], "to_id": pair[1], "secret": "s"}
            await tx.run(ADD, stream_id=pair, app_id="app", started_ms=5, **names)
            for number in range(2):
                await tx.run(ADD_EVENT, event_id=f"{pair}{number}", stream_id=pair, value=number)


async def left(database: Database) -> dict[str, str]:
    """What streams there are, by their ids; checks that events are there with theirs alone."""
    async with database.read() as tx:
        rows = await tx.all(select(streams).order_by(streams.c.stream_id))
        found = {row["stream_id"]: row["from_id"] + row["to_id"] for row in rows}
        assert [row[0] for row in await tx.all(select(events.c.event_id).order_by(events.c.event_id))] == [
            f"{stream}{number}" for stream in found for number in range(2)
        ]
    return found


async def test_a_row_goes_with_either_player(database: Database) -> None:
    await fill(database, "ab", "ca", "bc")
    async with database.write() as tx:
        assert await KEPT.remove(tx, "app", "a") >= 2
    assert await left(database) == {"bc": "bc"}


async def test_a_row_moves_in_each_column(database: Database) -> None:
    await fill(database, "ab", "ca", "bc")
    async with database.write() as tx:
        assert await KEPT.move(tx, "app", "a", "z") == 2
    assert await left(database) == {"ab": "zb", "ca": "cz", "bc": "bc"}


async def test_the_target_keeps_what_only_one_may_have_and_nobody_is_their_own_friend(
    database: Database,
) -> None:
    await fill(database, "ab", "zb", "ca", "cz", "az", "za", "da", "aa")
    async with database.write() as tx:
        await KEPT.move(tx, "app", "a", "z")
    assert await left(database) == {"zb": "zb", "cz": "cz", "da": "dz", "aa": "zz"}


async def test_what_both_have_sent_to_themselves_is_one(database: Database) -> None:
    await fill(database, "aa", "zz")
    async with database.write() as tx:
        await KEPT.move(tx, "app", "a", "z")
    assert await left(database) == {"zz": "zz"}


async def test_each_is_told_with_the_children(database: Database) -> None:
    await fill(database, "ab", "cd")
    events_of = [{"eventId": f"ab{number}", "value": number} for number in range(2)]
    told = {"streamId": "ab", "fromId": "a", "toId": "b", "started": 5, "ptEvents": events_of}
    async with database.read() as tx:
        for player, expected in (("a", [told]), ("b", [told]), ("e", [])):
            assert await KEPT.export(tx, "app", player) == expected
    assert [table.name for table in KEPT.tables] == ["pt_streams", "pt_events"]


def test_children_need_a_parent_with_one_key() -> None:
    pair = Table("pt_pairs", MetaData(), *(Column(n, String(36), primary_key=True) for n in ("a_id", "b_id")))
    with pytest.raises(ValueError, match="a key of one column"):
        PlayerTable(pair, ("a_id", "b_id"), children=[Child(events, "stream_id")])


def test_a_table_is_declared_once_with_its_children() -> None:
    hooks = PlayerHooks[Any](ROW_ALONE)
    hooks.keep("streams", [KEPT])
    for again in (KEPT, PlayerTable(events, "stream_id")):
        with pytest.raises(ValueError, match=r"declared twice.*pt_(streams|events)"):
            hooks.keep("events", [again])
