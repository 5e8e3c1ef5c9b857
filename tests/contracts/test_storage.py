"""One suite over both engines: what services may rely on when they hold a transaction."""

import asyncio
import gc
import os
import random
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import trustme
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    bindparam,
    delete,
    exists,
    func,
    insert,
    literal,
    select,
    text,
    update,
)
from sqlalchemy.schema import CreateIndex, CreateTable

from gameserver.storage import (
    Aborted,
    CommitUnknown,
    ConstraintBroken,
    Database,
    Json,
    Overtaken,
    QueryTooSlow,
    Row,
    StorageError,
    Unavailable,
    answers,
    excluded,
    guarded,
    open_database,
    pipeline,
    upsert,
)
from gameserver.storage.dialects import POSTGRESQL, SQLITE
from tests.servers import postgresql

tables = MetaData()
players = Table(
    "players",
    tables,
    Column("id", String(36), primary_key=True),
    Column("name", Text, unique=True),
    Column("coins", BigInteger, CheckConstraint("coins >= 0"), nullable=False, server_default="0"),
    Column("banned", Boolean),
    Column("data", Json),
    Column("blob", LargeBinary),
)
items = Table(
    "items",
    tables,
    Column("id", String(36), primary_key=True),
    Column("owner", ForeignKey("players.id", deferrable=True, initially="DEFERRED")),
)

ADD = insert(players).values(id=bindparam("id"), name=bindparam("name"))
ADD_FULL = insert(players)
ADD_ITEM = insert(items)
FULL = {"id": "full", "name": "Full", "coins": 0, "banned": None, "data": None, "blob": None}
GET = select(players).where(players.c.id == bindparam("id"))
COUNT = select(func.count()).select_from(players)
NAMES = select(players.c.name).order_by(players.c.name)
RENAME = update(players).where(players.c.id == bindparam("player")).values(name=bindparam("new_name"))
EARN = (
    update(players)
    .where(players.c.id == bindparam("player"))
    .values(coins=players.c.coins + bindparam("sum"))
)
EARN_FIRST = (
    update(players)
    .where(players.c.id == bindparam("player"))
    .values(coins=guarded(players.c.coins, players.c.coins == 0, bindparam("sum", type_=BigInteger())))
)
EARNED = EARN.returning(players.c.id, players.c.coins)
RENAMED = RENAME.returning(players.c.name)
WITH_DATA = EARN.returning(
    players.c.id, players.c.coins, players.c.data
)  # JSON has a form of its own on the wire
EARNED_FIRST = EARN_FIRST.returning(players.c.coins)
PUT = upsert(players, ["id"], ["name"], values={"id": bindparam("id"), "name": bindparam("name")})


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


async def create_tables(database: Database) -> None:
    dialect = SQLITE if database.dialect == "sqlite" else POSTGRESQL
    async with database.write() as tx:
        for table in [*tables.sorted_tables, answers.packet_answers]:
            await tx.run(text(str(CreateTable(table).compile(dialect=dialect))))
            for index in table.indexes:
                await tx.run(text(str(CreateIndex(index).compile(dialect=dialect))))


async def names(db: Database) -> list[str]:
    async with db.read() as tx:
        return [row["name"] for row in await tx.all(NAMES)]


# Rows and values


async def test_values_come_back_as_they_were_stored(db: Database) -> None:
    row = {
        "id": "p1",
        "name": "Ada \u00e9\U0001f600",
        "coins": 2**53,
        "banned": True,
        "data": '{"a":[1,null]}',
    }
    async with db.write() as tx:
        assert await tx.run(ADD_FULL, **row, blob=b"\x00\xff") == 1
        await tx.run(ADD_FULL, id="p2", name="Bob", coins=0, banned=False, data=None, blob=None)
        await tx.run(ADD_FULL, id="p3", name="Cy", coins=1, banned=None, data="null", blob=b"")
    async with db.read() as tx:
        found = await tx.one(GET, id="p1")
        assert found is not None
        assert (found["id"], found["name"], found["coins"]) == (row["id"], row["name"], row["coins"])
        assert found["banned"] is True
        assert found["data"].replace(" ", "") == row["data"]
        assert found["blob"] == b"\x00\xff"
        rest = await tx.all(select(players.c.banned, players.c.data).order_by(players.c.id).offset(1))
        assert [tuple(row) for row in rest] == [(False, None), (None, "null")]
        assert rest[0][0] is False
        assert len(rest[0]) == 2


async def test_an_expression_can_be_a_boolean_too(db: Database) -> None:
    statement = select(exists().where(players.c.id == bindparam("id")).label("known"), players.c.id == "x")
    async with db.write() as tx:
        await tx.run(ADD, id="p1", name="Ada")
    async with db.read() as tx:
        row = await tx.one(statement, id="p1")
    assert row is not None
    assert row["known"] is True
    assert row[1] is False


async def test_no_row_is_none_and_no_rows_are_an_empty_list(db: Database) -> None:
    async with db.read() as tx:
        assert await tx.one(GET, id="nobody") is None
        assert list(await tx.all(GET, id="nobody")) == []


async def test_fields_of_json_can_be_compared(db: Database) -> None:
    async with db.write() as tx:
        await tx.run(ADD_FULL, id="p1", name="Ada", coins=0, banned=None, data='{"clan":"red"}', blob=None)
        await tx.run(ADD_FULL, id="p2", name="Bob", coins=0, banned=None, data='{"clan":"blue"}', blob=None)
        statement = select(players.c.id).where(
            players.c.data.op("->>", return_type=Text())("clan") == bindparam("clan")
        )
        assert [row["id"] for row in await tx.all(statement, clan="blue")] == ["p2"]


async def test_returning_gives_the_row_that_was_written(db: Database) -> None:
    add = insert(players).returning(players.c.id, players.c.coins, players.c.banned)
    async with db.write() as tx:
        row = await tx.one(add, id="p1", name="Ada", coins=7, banned=False, data=None, blob=None)
        assert row is not None
        assert tuple(row) == ("p1", 7, False)
        assert row["banned"] is False
        assert tx.writes == 1
        await tx.run(ADD, id="p2", name="Bob")
        gone = await tx.all(delete(players).returning(players.c.id))
        assert sorted(row["id"] for row in gone) == ["p1", "p2"]
    assert await names(db) == []


# Parameters and plans


async def test_wrong_parameters_are_named(db: Database) -> None:
    async with db.write() as tx:
        with pytest.raises(TypeError, match=r"missing: \['name'\], unknown: \['nmae'\]"):
            await tx.run(ADD, id="p1", nmae="Ada")
        with pytest.raises(TypeError, match="missing"):
            await tx.run(ADD, id="p1")
        with pytest.raises(TypeError, match="unknown"):
            await tx.one(GET, id="p1", coins=1)
        with pytest.raises(TypeError, match="unknown"):
            await tx.one(COUNT, id="p1")


async def test_lists_may_have_any_length(db: Database) -> None:
    static = (
        select(players.c.id).where(players.c.id.in_(bindparam("ids", expanding=True))).order_by(players.c.id)
    )
    async with db.write() as tx:
        await tx.run_many(ADD, [{"id": f"p{n}", "name": f"n{n}"} for n in range(5)])
        await tx.run_many(ADD, [])
        for wanted in ([], ["p1"], ["p0", "p4", "nobody"], ["p2"]):
            there = [name for name in wanted if name != "nobody"]
            assert [row[0] for row in await tx.all(static, ids=wanted)] == there
            built = (
                select(players.c.id)
                .where(players.c.id.in_(wanted), players.c.coins == 0)
                .order_by(players.c.id)
            )
            assert [row[0] for row in await tx.all(built)] == there


async def test_values_in_a_statement_are_bound_not_spelled(db: Database) -> None:
    nasty = "x'); DROP TABLE players; --"
    async with db.write() as tx:
        await tx.run(insert(players).values(id="p1", name=nasty))
        await tx.run(ADD, id="p2", name="other")
        row = await tx.one(
            select(players.c.id).where(players.c.name == nasty, players.c.id == bindparam("id")), id="p1"
        )
        assert row is not None
        page = select(players.c.id, literal(5).label("five")).order_by(players.c.id).limit(1).offset(1)
        found = await tx.one(page)
        assert found is not None
        assert (found["id"], found["five"]) == ("p2", 5)


async def test_plans_of_statements_that_are_gone_are_forgotten(db: Database) -> None:
    async with db.read() as tx:
        await tx.one(COUNT)
        gc.collect()
        before = len(db.plans)  # type: ignore[attr-defined]
        for number in range(300):
            await tx.one(select(players.c.id).where(players.c.coins == number))
        gc.collect()
        assert len(db.plans) <= before + 1  # type: ignore[attr-defined]


async def test_statements_of_one_shape_keep_their_own_values(db: Database) -> None:
    async with db.write() as tx:
        await tx.run_many(ADD, [{"id": f"p{n}", "name": f"n{n}"} for n in range(3)])
        for n in range(3):
            await tx.run(update(players).where(players.c.id == f"p{n}").values(coins=n * 10, banned=n == 1))
        for n in range(3):
            found = await tx.one(
                select(players).where(players.c.coins == n * 10, players.c.name != "x").limit(1)
            )
            assert found is not None
            assert (found["id"], found["banned"]) == (f"p{n}", n == 1)
            named = select(players.c.id).where(players.c.coins == bindparam("coins", n * 10))
            assert [row[0] for row in await tx.all(named)] == [f"p{n}"]
            assert [row[0] for row in await tx.all(named, coins=20)] == ["p2"]


async def test_shapes_of_statements_are_bounded(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gameserver.storage.plans.SHAPES_MAX", 10)
    kept = db.plans._shapes  # type: ignore[attr-defined]
    async with db.read() as tx:
        for number in range(30):
            await tx.one(select(literal(number).label(f"column{number}")))
        assert len(kept) <= 10


async def test_defaults_computed_by_python_are_refused(db: Database) -> None:
    other = Table("players", MetaData(), Column("id", Text), Column("coins", BigInteger, default=3))
    async with db.write() as tx:
        with pytest.raises(TypeError, match="coins"):
            await tx.run(insert(other).values(id=bindparam("id")), id="p1")


# Upserts


async def test_an_upsert_inserts_or_changes(db: Database) -> None:
    richer = upsert(
        players,
        ["id"],
        {"coins": players.c.coins + excluded(players).coins},
        values={"id": bindparam("id"), "coins": bindparam("coins")},
        where=players.c.coins < 100,
        returning=[players.c.coins],
    )
    async with db.write() as tx:
        got = [await tx.one(richer, id="p1", coins=60) for _ in range(3)]
        assert [row and row["coins"] for row in got] == [60, 120, None]


async def test_an_upsert_that_leaves_the_row_alone(db: Database) -> None:
    once = upsert(players, ["id"], None, values={"id": bindparam("id"), "name": bindparam("name")})
    async with db.write() as tx:
        assert await tx.run(once, id="p1", name="first") == 1
        assert await tx.run(once, id="p1", name="second") == 0
        assert await tx.run(PUT, id="p1", name="third") == 1
    assert await names(db) == ["third"]


# Transactions


async def test_a_block_that_raises_leaves_nothing(db: Database) -> None:
    async def fail() -> None:
        async with db.write() as tx:
            await tx.run(ADD, id="p1", name="Ada")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await names(db) == []
    async with db.write() as tx:
        await tx.run(ADD, id="p1", name="Ada")
    assert await names(db) == ["Ada"]


async def test_a_cancelled_block_leaves_nothing(db: Database) -> None:
    written = asyncio.Event()

    async def write_and_wait() -> None:
        async with db.write() as tx:
            await tx.run(ADD, id="p1", name="Ada")
            written.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(write_and_wait())
    await written.wait()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    async with db.write() as tx:
        await tx.run(ADD, id="p2", name="Bob")
    assert await names(db) == ["Bob"]


async def test_readers_see_only_what_is_committed(db: Database) -> None:
    async with db.write() as tx:
        await tx.run(ADD, id="p1", name="Ada")
        own = await tx.one(COUNT)
        assert own is not None
        assert own[0] == 1
        assert await names(db) == []
    assert await names(db) == ["Ada"]


async def test_a_read_transaction_does_not_write(db: Database) -> None:
    async with db.read() as tx:
        for refused in (
            tx.run(ADD, id="p1", name="a"),
            tx.later(ADD, id="p1", name="a"),
            tx.unless_taken(ADD, id="p1", name="a"),
            tx.lock("door"),
        ):
            with pytest.raises(TypeError, match="read transaction"):
                await refused
        with pytest.raises(TypeError, match="read transaction"):
            await tx.one(insert(players).values(id="p1").returning(players.c.id))
        with pytest.raises(TypeError, match="read transaction"):
            await tx.run_many(ADD, [{"id": "p1", "name": "a"}])
        with pytest.raises(TypeError, match="read transaction"):
            tx.savepoint()
    assert await names(db) == []


async def test_a_transaction_that_has_ended_is_of_no_use(db: Database) -> None:
    async with db.write() as tx:
        await tx.run(ADD, id="p1", name="Ada")
    with pytest.raises(RuntimeError, match="ended"):
        await tx.run(ADD, id="p2", name="Bob")
    assert await names(db) == ["Ada"]


async def test_fifty_writers_at_once_lose_no_coin(db: Database) -> None:
    async with db.write() as tx:
        await tx.run(ADD, id="p1", name="Ada")

    async def earn(number: int) -> None:
        with suppress(ZeroDivisionError):
            async with db.write() as tx:
                await tx.run(EARN, player="p1", sum=1)
                await asyncio.sleep(0)
                await tx.run(ADD, id=f"w{number}", name=f"writer {number}")
                if number % 5 == 0:
                    raise ZeroDivisionError

    await asyncio.gather(*(earn(number) for number in range(50)))
    async with db.read() as tx:
        row = await tx.one(GET, id="p1")
        count = await tx.one(COUNT)
    assert row is not None
    assert count is not None
    assert (row["coins"], count[0]) == (40, 41)


async def test_rows_can_be_locked_for_an_update(db: Database) -> None:
    async with db.write() as tx:
        await tx.run(ADD, id="p1", name="Ada")

    async def double() -> None:
        async with db.write() as tx:
            row = await tx.one(LOCK, id="p1")
            assert row is not None
            await asyncio.sleep(0)
            await tx.run(EARN, player="p1", sum=row["coins"] + 1)

    LOCK = GET.with_for_update()  # noqa: N806
    await asyncio.gather(*(double() for _ in range(6)))
    async with db.read() as tx:
        row = await tx.one(GET, id="p1")
    assert row is not None
    assert row["coins"] == 63


# Constraints and savepoints


async def test_a_taken_name_leaves_the_transaction_usable(db: Database) -> None:
    async with db.write() as tx:
        assert await tx.unless_taken(ADD, id="p1", name="Ada")
        assert not await tx.unless_taken(ADD, id="p2", name="Ada")
        assert not await tx.unless_taken(ADD, id="p1", name="Bob")
        assert await tx.unless_taken(ADD, id="p2", name="Bob")
        assert not await tx.unless_taken(RENAME, player="p2", new_name="Ada")
        assert await tx.unless_taken(RENAME, player="p2", new_name="Cy")
        assert tx.writes == 3
    assert await names(db) == ["Ada", "Cy"]


async def test_the_first_statement_may_be_the_one_that_is_taken(db: Database) -> None:
    async with db.write() as tx:
        await tx.run_many(ADD, [{"id": "p1", "name": "Ada"}, {"id": "p2", "name": "Bob"}])
    async with db.write() as tx:
        assert not await tx.unless_taken(RENAME, player="p2", new_name="Ada")
        assert tx.writes == 0
        await tx.run(EARN, player="p2", sum=5)
    async with db.read() as tx:
        row = await tx.one(GET, id="p2")
    assert row is not None
    assert (row["name"], row["coins"]) == ("Bob", 5)


async def test_only_unique_indexes_mean_taken(db: Database) -> None:
    async with db.write() as tx:
        await tx.run(ADD, id="p1", name="Ada")
    for statement, values in (
        (EARN, {"player": "p1", "sum": -1}),
        (ADD_FULL, {"id": "p9", "name": "x", "coins": -1}),
    ):
        full = values if statement is EARN else {**values, "banned": None, "data": None, "blob": None}
        with pytest.raises(ConstraintBroken):
            async with db.write() as tx:
                await tx.unless_taken(statement, **full)
    with pytest.raises(ConstraintBroken):
        async with db.write() as tx:
            await tx.run(ADD, id="p1", name="Bob")
    assert await names(db) == ["Ada"]


async def test_a_savepoint_that_raises_undoes_its_block_only(db: Database) -> None:
    async with db.write() as tx:
        for number in range(6):
            with suppress(ZeroDivisionError):
                async with tx.savepoint():
                    await tx.all(NAMES)
                    await tx.run(ADD, id=f"p{number}", name=f"n{number}")
                    if number % 2 == 0:
                        raise ZeroDivisionError
        assert tx.writes == 3
    assert await names(db) == ["n1", "n3", "n5"]


async def test_savepoints_within_savepoints(db: Database) -> None:
    async with db.write() as tx:
        await tx.run(ADD, id="a", name="a")
        async with tx.savepoint():
            with suppress(ZeroDivisionError):
                async with tx.savepoint():
                    await tx.run(ADD, id="b", name="b")
                    raise ZeroDivisionError
            await tx.run(ADD, id="c", name="c")
            async with tx.savepoint():
                await tx.run(ADD, id="d", name="d")
            assert not await tx.unless_taken(RENAME, player="d", new_name="a")
        with suppress(ZeroDivisionError):
            async with tx.savepoint():
                async with tx.savepoint():
                    await tx.run(ADD, id="e", name="e")
                async with tx.savepoint():
                    await tx.run(ADD, id="f", name="f")
                raise ZeroDivisionError
        async with tx.savepoint():
            pass
        await tx.run(ADD, id="g", name="g")
    assert await names(db) == ["a", "c", "d", "g"]


async def test_a_broken_constraint_in_a_savepoint_leaves_the_rest(db: Database) -> None:
    async with db.write() as tx:
        for broken_first in (True, False):
            with suppress(ConstraintBroken):
                async with tx.savepoint():
                    if not broken_first:
                        await tx.run(ADD, id="x", name="x")
                    await tx.run(EARN, player="p", sum=-1) if not broken_first else None
                    await tx.run_many(ADD, [{"id": "y", "name": "same"}, {"id": "z", "name": "same"}])
            await tx.run(ADD, id=f"p{broken_first}", name=f"kept {broken_first}")
    assert await names(db) == ["kept False", "kept True"]


async def test_a_statement_the_database_does_not_understand(db: Database) -> None:
    with pytest.raises(StorageError):
        async with db.read() as tx:
            await tx.all(text("SELECT * FROM nowhere"))
    async with db.write() as tx:
        await tx.run(ADD, id="p0", name="before")
        with pytest.raises(StorageError):
            async with tx.savepoint():
                await tx.all(text("SELECT * FROM nowhere"))
        await tx.run(ADD, id="p1", name="Ada")
    assert await names(db) == ["Ada", "before"]


@pytest.mark.parametrize("seed", range(25))
async def test_any_nesting_of_savepoints_does_what_a_stack_of_copies_does(db: Database, seed: int) -> None:
    """A model: a set of names, copied at the start of each block and put back when the block raises."""
    dice = random.Random(seed)
    model: set[str] = set()
    number = 0

    async def block(tx: Any, depth: int) -> None:
        nonlocal model, number
        for _ in range(dice.randint(0, 4)):
            match dice.randint(0, 5 if depth < 4 else 3):
                case 0:
                    assert {row["name"] for row in await tx.all(NAMES)} == model
                case 1 | 2:
                    number += 1
                    await tx.run(ADD, id=f"p{number}", name=f"p{number}")
                    model.add(f"p{number}")
                case 3 if model:
                    number += 1
                    assert not await tx.unless_taken(ADD, id=f"p{number}", name=min(model))
                    assert not (
                        len(model) > 1
                        and await tx.unless_taken(RENAME, player=max(model), new_name=min(model))
                    )
                case 4 | 5:
                    before = set(model)
                    try:
                        async with tx.savepoint():
                            await block(tx, depth + 1)
                            if dice.random() < 0.4:
                                raise ZeroDivisionError  # noqa: TRY301 - the block is undone
                    except ZeroDivisionError:
                        model = before
                case _:
                    pass

    for _ in range(6):
        async with db.write() as tx:
            await block(tx, 0)
        assert await names(db) == sorted(model)


# Observation


async def test_operations_can_be_observed(db: Database) -> None:
    seen: list[str] = []
    db.observe = lambda kind, seconds: seen.append(kind) if seconds >= 0 else None
    async with db.write() as tx:
        await tx.run(ADD, id="p1", name="Ada")
        await tx.one(COUNT)
    assert {"run", "one", "commit"} <= set(seen)


# Stored answers


async def test_a_stored_answer_is_found_until_a_later_packet_replaces_it(db: Database) -> None:
    async with db.write() as tx:
        await answers.store(tx, "s1", 0, "h0", b"{}", "end", 1000)
    async with db.read() as tx:
        assert await answers.find(tx, "s1", 0) == ("h0", b"{}", "end")
        assert await answers.find(tx, "s1", 1) is None
        assert await answers.find(tx, "s2", 0) is None
    async with db.write() as tx:
        await answers.note_done(tx, "s1", 0)
        found = await answers.find(tx, "s1", 0)
        assert found is not None
        assert found.note is None
        await answers.store(tx, "s1", 1, "h1", b"[]", None, 2000)
        assert await answers.find(tx, "s1", 0) is None
    for packet_id in (1, 0):
        with pytest.raises(Overtaken) as fenced:
            async with db.write() as tx:
                await answers.store(tx, "s1", packet_id, f"h{packet_id}", b"other", None, 3000)
        assert answers.is_fenced(fenced.value)
    async with db.read() as tx:
        assert await answers.find(tx, "s1", 1) == ("h1", b"[]", None)


async def test_of_two_runs_of_a_packet_one_commits(db: Database) -> None:
    async with db.write() as tx:
        await tx.run(ADD, id="p1", name="Ada")

    async def run(answer: bytes) -> bool:
        try:
            async with db.write() as tx:
                await tx.run(EARN, player="p1", sum=10)
                await asyncio.sleep(0)
                await answers.store(tx, "s1", 3, "h", answer, None, 1)
        except Overtaken as error:
            return not answers.is_fenced(error)
        return True

    outcomes = await asyncio.gather(*(run(b"%d" % number) for number in range(5)))
    assert sum(outcomes) == 1
    async with db.read() as tx:
        row = await tx.one(GET, id="p1")
        stored = await answers.find(tx, "s1", 3)
    assert row is not None
    assert stored is not None
    assert (row["coins"], stored.answer) == (10, b"%d" % outcomes.index(True))


async def test_old_answers_are_forgotten_the_oldest_first(db: Database) -> None:
    async with db.write() as tx:
        for number in range(5):
            await answers.store(tx, f"s{number}", 0, "h", b"", None, number * answers.HOUR_MS)
    async with db.write() as tx:
        assert await answers.forget_before(tx, 4 * answers.HOUR_MS, 2) == 2
    async with db.write() as tx:
        assert await answers.find(tx, "s2", 0) is not None
        assert await answers.forget_before(tx, 4 * answers.HOUR_MS, 100) == 1
        assert await answers.find(tx, "s3", 0) is not None


# Opening and closing


@pytest.mark.parametrize("url", ["mysql://x/y", "nonsense", "sqlite:///:memory:"])
async def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"sqlite|URL"):
        await open_database(url)


async def test_a_database_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot open"):
        await open_database(f"sqlite:///{tmp_path}/missing/game.db")
    with pytest.raises(Unavailable, match="cannot connect"):
        await open_database(f"postgresql://game@/game?host={tmp_path}")


async def test_a_closed_database_is_unavailable(url: str) -> None:
    database = await open_database(url)
    await create_tables(database)
    await database.close()
    await database.close()
    with pytest.raises(Unavailable, match="closed"):
        async with database.write() as tx:
            await tx.run(ADD, id="p1", name="Ada")


async def test_a_temporary_database_leaves_nothing_behind() -> None:
    database = await open_database("sqlite://")
    path = database.url.removeprefix("sqlite:///")
    assert os.path.exists(path)  # noqa: ASYNC240, PTH110 - it is a test
    await database.close()
    assert not os.path.exists(os.path.dirname(path))  # noqa: ASYNC240, PTH110, PTH120


# SQLite: groups of writers


async def test_writers_who_come_together_share_a_commit(sqlite_db: Database) -> None:
    kinds: list[str] = []
    sqlite_db.observe = lambda kind, _: kinds.append(kind)

    async def add(number: int) -> None:
        async with sqlite_db.write() as tx:
            await tx.run(ADD, id=f"p{number}", name=f"n{number:02}")

    await asyncio.gather(*(add(number) for number in range(30)))
    assert kinds.count("commit") == 2  # the first one alone, then all who arrived meanwhile
    assert len(await names(sqlite_db)) == 30


@pytest.mark.parametrize(("limit", "value", "commits"), [("WRITERS", 5, 1 + 6), ("SECONDS", 0, 30)])
async def test_groups_are_bounded(
    sqlite_db: Database, monkeypatch: pytest.MonkeyPatch, limit: str, value: int, commits: int
) -> None:
    monkeypatch.setattr(f"gameserver.storage.sqlite.GROUP_{limit}_MAX", value)
    kinds: list[str] = []
    sqlite_db.observe = lambda kind, _: kinds.append(kind)

    async def add(number: int) -> None:
        async with sqlite_db.write() as tx:
            await tx.run(ADD, id=f"p{number}", name=f"n{number:02}")

    await asyncio.gather(*(add(number) for number in range(30)))
    assert kinds.count("commit") == commits
    assert len(await names(sqlite_db)) == 30


async def test_nobody_is_told_before_the_commit(sqlite_db: Database) -> None:
    """Whoever's block has ended can be read through another connection, at once."""
    path = sqlite_db.url.removeprefix("sqlite:///")
    missing: list[int] = []

    async def add(number: int) -> None:
        async with sqlite_db.write() as tx:
            await tx.run(ADD, id=f"p{number}", name=f"n{number}")
        other = sqlite3.connect(path)
        if not other.execute("SELECT 1 FROM players WHERE id = ?", (f"p{number}",)).fetchone():
            missing.append(number)
        other.close()

    await asyncio.gather(*(add(number) for number in range(20)))
    assert missing == []


async def test_a_writer_of_a_group_is_undone_alone(sqlite_db: Database) -> None:
    async def add(number: int) -> None:
        async with sqlite_db.write() as tx:
            await tx.run(ADD, id=f"p{number}", name=f"n{number}")
            if number in {0, 3, 5}:
                raise ZeroDivisionError

    outcomes = await asyncio.gather(*(add(number) for number in range(7)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes].count(ZeroDivisionError) == 3
    assert await names(sqlite_db) == ["n1", "n2", "n4", "n6"]


async def test_cancelled_writers_do_not_stop_the_others(sqlite_db: Database) -> None:
    async def add(number: int) -> None:
        async with sqlite_db.write() as tx:
            await tx.run(ADD, id=f"p{number}", name=f"n{number}")
            await asyncio.sleep(0)

    tasks = [asyncio.create_task(add(number)) for number in range(12)]
    for step in range(12):
        await asyncio.sleep(0)
        if step % 3 == 0:
            tasks[11 - step].cancel()
            tasks[step // 3].cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    done = {f"n{number}" for number, outcome in enumerate(outcomes) if outcome is None}
    assert len(done) >= 4
    assert done <= set(await names(sqlite_db))
    await add(99)
    assert "n99" in await names(sqlite_db)


async def test_a_commit_that_fails_reaches_everybody_of_the_group(sqlite_db: Database) -> None:
    async def add(number: int) -> None:
        async with sqlite_db.write() as tx:
            if number == 4:
                await tx.run(ADD_ITEM, id="i1", owner="nobody")  # found out by the commit
            await tx.run(ADD, id=f"p{number}", name=f"n{number}")

    outcomes = await asyncio.gather(*(add(number) for number in range(8)), return_exceptions=True)
    assert outcomes[0] is None  # it went ahead alone
    assert [type(outcome) for outcome in outcomes[1:]] == [Aborted] * 7
    assert await names(sqlite_db) == ["n0"]
    await add(9)
    assert await names(sqlite_db) == ["n0", "n9"]


async def test_a_transaction_the_database_gives_up_takes_its_group_along(sqlite_db: Database) -> None:
    """As after an I/O error; later statements must not run outside of any transaction."""
    give_up = text("INSERT OR ROLLBACK INTO players (id) VALUES ('p0')")

    async def fail() -> None:
        async with sqlite_db.write() as tx:
            await tx.run(ADD, id="f", name="before")
            with suppress(StorageError):
                await tx.run(give_up)
            with pytest.raises(Aborted):
                await tx.run(ADD, id="late", name="late")

    async def add(number: int) -> None:
        async with sqlite_db.write() as tx:
            await tx.run(ADD, id=f"p{number}", name=f"n{number}")

    outcomes = await asyncio.gather(add(0), add(1), add(2), fail(), add(3), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [type(None), Aborted, Aborted, Aborted, type(None)]
    assert await names(sqlite_db) == ["n0", "n3"]


async def test_another_process_that_writes_is_waited_for(
    sqlite_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = sqlite3.connect(sqlite_db.url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    monkeypatch.setattr("gameserver.storage.sqlite.BUSY_SECONDS_MAX", 0.02)
    with pytest.raises(Aborted):
        async with sqlite_db.write() as tx:
            await tx.run(ADD, id="p1", name="Ada")
    assert await names(sqlite_db) == []  # readers do not care
    monkeypatch.undo()

    async def add() -> None:
        async with sqlite_db.write() as tx:
            await tx.run(ADD, id="p2", name="Bob")

    task = asyncio.create_task(add())
    await asyncio.sleep(0)
    other.execute("COMMIT")
    await task
    other.close()
    assert await names(sqlite_db) == ["Bob"]


async def test_two_processes_on_one_file(sqlite_db: Database) -> None:
    async with sqlite_db.write() as tx:
        await tx.run(ADD, id="p1", name="Ada")
    program = (
        "import sqlite3, sys\n"
        "c = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=20)\n"
        "for _ in range(100):\n"
        "    c.execute('BEGIN IMMEDIATE')\n"
        "    c.execute(\"UPDATE players SET coins = coins + 1 WHERE id = 'p1'\")\n"
        "    c.execute('COMMIT')\n"
    )
    path = sqlite_db.url.removeprefix("sqlite:///")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, path, stderr=subprocess.PIPE
    )
    for _ in range(100):
        async with sqlite_db.write() as tx:
            row = await tx.one(GET, id="p1")
            assert row is not None
            await tx.run(EARN, player="p1", sum=1)
    _, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    async with sqlite_db.read() as tx:
        row = await tx.one(GET, id="p1")
    assert row is not None
    assert row["coins"] == 200


async def test_what_was_answered_survives_a_killed_process(tmp_path: Path) -> None:
    program = (
        "import asyncio, os, sys\n"
        "from gameserver.storage import open_database\n"
        "from tests.contracts.test_storage import ADD, create_tables\n"
        "async def main():\n"
        "    database = await open_database(sys.argv[1])\n"
        "    await create_tables(database)\n"
        "    async def add(number):\n"
        "        async with database.write() as tx:\n"
        "            await tx.run(ADD, id=f'p{number}', name=f'n{number}')\n"
        "        print(number, flush=True)\n"
        "        if number == 40: os.kill(os.getpid(), 9)\n"
        "    await asyncio.gather(*(add(number) for number in range(60)))\n"
        "asyncio.run(main())\n"
    )
    url = f"sqlite:///{tmp_path}/game.db"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        program,
        url,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        env=os.environ,
    )
    output, _ = await process.communicate()
    assert process.returncode == -9
    database = await open_database(url)
    stored = set(await names(database))
    await database.close()
    answered = {f"n{line}" for line in output.decode().split()}
    assert len(answered) >= 41
    assert answered <= stored


# PostgreSQL: broken connections


@pytest_asyncio.fixture
async def postgres_db(cluster: str) -> AsyncIterator[Database]:
    database = await open_database(cluster, pool_size=4)
    async with database.write() as tx:
        await tx.run(text("DROP SCHEMA public CASCADE"))
        await tx.run(text("CREATE SCHEMA public"))
    await create_tables(database)
    yield database
    await database.close()


KILL = text("SELECT pg_terminate_backend(pg_backend_pid())")


async def test_a_connection_lost_before_the_commit_aborts(postgres_db: Database) -> None:
    async def write_and_die() -> None:
        async with postgres_db.write() as tx:
            await tx.run(ADD, id="p1", name="Ada")
            await tx.one(KILL)

    async def read_and_die() -> None:
        async with postgres_db.read() as tx:
            await tx.one(KILL)

    for dying in (write_and_die, read_and_die):
        with pytest.raises(Aborted):
            await dying()
    assert await names(postgres_db) == []


async def test_a_connection_lost_during_the_commit_is_not_known(postgres_db: Database) -> None:
    async with postgres_db.write() as tx:
        await tx.run(
            text(
                "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS "
                "'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END'"
            )
        )
        await tx.run(
            text(
                "CREATE CONSTRAINT TRIGGER die AFTER INSERT ON players DEFERRABLE INITIALLY DEFERRED "
                "FOR EACH ROW EXECUTE FUNCTION die()"
            )
        )
    with pytest.raises(CommitUnknown):
        async with postgres_db.write() as tx:
            await tx.run(ADD, id="p1", name="Ada")
    assert await names(postgres_db) == []


async def test_a_constraint_found_broken_by_the_commit(postgres_db: Database) -> None:
    with pytest.raises(ConstraintBroken):
        async with postgres_db.write() as tx:
            await tx.run(ADD_ITEM, id="i1", owner="nobody")
    assert await names(postgres_db) == []


async def test_a_failed_statement_that_is_passed_over_does_not_look_committed(postgres_db: Database) -> None:
    async def pass_over() -> None:
        async with postgres_db.write() as tx:
            await tx.run(ADD, id="p1", name="Ada")
            with suppress(StorageError):
                await tx.all(text("SELECT * FROM nowhere"))

    with pytest.raises(Aborted):
        await pass_over()
    assert await names(postgres_db) == []


async def test_of_two_transactions_in_a_deadlock_one_is_aborted(postgres_db: Database) -> None:
    async with postgres_db.write() as tx:
        await tx.run_many(ADD, [{"id": "a", "name": "a"}, {"id": "b", "name": "b"}])
    both = asyncio.Barrier(2)

    async def move(first: str, second: str) -> None:
        async with postgres_db.write() as tx:
            await tx.run(EARN, player=first, sum=1)
            await both.wait()
            await tx.run(EARN, player=second, sum=1)

    outcomes = await asyncio.gather(move("a", "b"), move("b", "a"), return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Aborted", "NoneType"]


async def test_a_query_inside_returning_finds_what_belongs_to_the_row(db: Database) -> None:
    count = select(func.count()).select_from(items).where(items.c.id == players.c.id).scalar_subquery()
    async with db.write() as tx:
        await tx.run_many(ADD, [{"id": each, "name": each} for each in "abc"])
        await tx.run_many(ADD_ITEM, [{"id": each, "owner": each} for each in "ab"])
        told = [await tx.one(RENAME.returning(count), player=each, new_name=f"new {each}") for each in "abc"]
    assert [row[0] for row in told if row is not None] == [1, 1, 0]


async def test_waiting_too_long_for_a_lock_is_no_slow_query(postgres_db: Database) -> None:
    async with postgres_db.write() as tx:
        await tx.run(ADD, id="a", name="a")

    async def wait() -> None:
        async with postgres_db.write() as tx:
            await tx.all(select(func.set_config("statement_timeout", "20ms", True)))
            await tx.run(EARN, player="a", sum=1)

    async with postgres_db.write() as holder:
        await holder.run(EARN, player="a", sum=1)
        with pytest.raises(Aborted):
            await wait()
    async with postgres_db.read() as tx:
        row = await tx.one(GET, id="a")
    assert row is not None
    assert row["coins"] == 1


async def test_cancelled_queries_leave_the_pool_in_order(postgres_db: Database) -> None:
    async def slow() -> None:
        async with postgres_db.read() as tx:
            await tx.one(text("SELECT pg_sleep(30)"))

    async def slow_write() -> None:
        async with postgres_db.write() as tx:
            await tx.run(ADD, id="p1", name="Ada")
            await tx.one(text("SELECT pg_sleep(30)"))

    tasks = [asyncio.create_task(slow()) for _ in range(6)] + [asyncio.create_task(slow_write())]
    while True:  # until all four connections are asleep
        admin = await open_database(postgres_db.url, pool_size=1)
        async with admin.read() as tx:
            row = await tx.one(text("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"))
        await admin.close()
        assert row is not None
        if row[0] == 4:
            break
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert await asyncio.gather(*(names(postgres_db) for _ in range(10))) == [[]] * 10


async def test_nobody_waits_for_a_connection_for_ever(
    postgres_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gameserver.storage.postgresql.ACQUIRE_SECONDS_MAX", 0.01)
    blocks = [postgres_db.write() for _ in range(4)]
    for block in blocks:
        await (await block.__aenter__()).one(COUNT)
    with pytest.raises(Unavailable, match="no free connection"):
        await names(postgres_db)
    for block in blocks:
        await block.__aexit__(None, None, None)
    assert await names(postgres_db) == []


async def test_round_trips_are_made_only_where_they_are_needed(postgres_db: Database) -> None:
    kinds: list[str] = []
    postgres_db.observe = lambda kind, _: kinds.append(kind)
    async with postgres_db.write() as tx, tx.savepoint():
        pass
    assert kinds == []
    async with postgres_db.write() as tx:
        async with tx.savepoint():
            await tx.run(ADD, id="p1", name="Ada")
        async with tx.savepoint():
            await tx.one(COUNT)
        async with tx.savepoint():
            await tx.run(ADD, id="p2", name="Bob")
    assert kinds == ["run", "savepoint", "one", "run", "commit"]


# Statements that travel together


async def test_what_happens_later_happens_in_order(db: Database) -> None:
    async with db.write() as tx:
        await tx.later(ADD, id="p1", name="Ada")
        await tx.later(EARN, player="p1", sum=5)
        row = await tx.one(GET, id="p1")
        assert row is not None
        assert row["coins"] == 5
        await tx.later(EARN, player="p1", sum=2)
        assert tx.writes == 3
    async with db.read() as tx:
        row = await tx.one(GET, id="p1")
        assert row is not None
        assert row["coins"] == 7
        with pytest.raises(TypeError):
            await tx.later(EARN, player="p1", sum=5)


async def test_what_fails_later_undoes_everything(db: Database) -> None:
    async def at_the_end() -> None:
        async with db.write() as tx:
            await tx.run(ADD, id="p1", name="Ada")
            await tx.later(ADD, id="p1", name="Bob")

    async def before_another() -> None:
        async with db.write() as tx:
            await tx.later(ADD_FULL, **FULL | {"coins": -1})
            await tx.run(ADD, id="p1", name="Ada")

    for failing in (at_the_end, before_another):
        with pytest.raises(ConstraintBroken):
            await failing()
    async with db.write() as tx:  # on the same connection
        await tx.run(ADD, id="p2", name="Cyd")
    assert await names(db) == ["Cyd"]


async def test_a_block_that_raises_takes_along_what_was_to_happen_later(db: Database) -> None:
    with suppress(ZeroDivisionError):
        async with db.write() as tx:
            await tx.later(ADD, id="p1", name="Ada")
            raise ZeroDivisionError
    async with db.write() as tx:
        await tx.later(ADD, id="p2", name="Bob")
        with suppress(ZeroDivisionError):
            async with tx.savepoint():
                await tx.later(ADD, id="p3", name="Cyd")
                raise ZeroDivisionError
        assert tx.writes == 1
        await tx.later(ADD, id="p4", name="Dan")
    assert await names(db) == ["Bob", "Dan"]


@pytest.mark.parametrize(
    "values",
    [
        {"name": "Zoë 😀", "coins": 2**63 - 1, "banned": True, "data": '{"a":[1,"ü"]}', "blob": b"\0\xff"},
        {"name": "", "coins": 0, "banned": False, "data": "null", "blob": b""},
        {"name": None, "coins": 1, "banned": None, "data": None, "blob": None},
    ],
)
async def test_values_travel_unchanged(db: Database, values: dict[str, Any]) -> None:
    async with db.write() as tx:
        await tx.run(ADD_FULL, **values | {"id": "now", "name": "other"})
        await tx.later(ADD_FULL, id="later", **values)
    async with db.read() as tx:
        now, later = await tx.one(GET, id="now"), await tx.one(GET, id="later")
    assert now is not None
    assert later is not None
    assert later["name"] == values["name"]
    assert list(now)[2:] == list(later)[2:]


async def test_values_that_do_not_fit_are_told_before_they_travel(postgres_db: Database) -> None:
    for wrong in ({"coins": 2**63}, {"name": "\ud800"}, {"coins": 1.5}):
        with pytest.raises(ValueError):  # noqa: PT011 - of several kinds
            async with postgres_db.write() as tx:
                await tx.later(ADD_FULL, **FULL | wrong)
    with pytest.raises(StorageError):  # noqa: PT012 - one transaction
        async with postgres_db.write() as tx:
            await tx.later(ADD, id="p1", name="Ada")
            await tx.run(ADD_FULL, **FULL | {"id": "p2", "coins": 2**63})
    async with postgres_db.write() as tx:
        await tx.run(ADD, id="p3", name="Cyd")
    assert await names(postgres_db) == ["Cyd"]


async def test_a_statement_for_many_rows_is_part_of_its_transaction(db: Database) -> None:
    rows = [{"id": f"{number}", "name": f"{number}"} for number in range(3)]
    with suppress(ZeroDivisionError):
        async with db.write() as tx:
            await tx.run_many(ADD, rows)
            raise ZeroDivisionError
    with suppress(ZeroDivisionError):
        async with db.write() as tx:
            await tx.later(ADD, id="before", name="before")
            await tx.run_many(ADD, rows)
            raise ZeroDivisionError
    assert await names(db) == []
    async with db.write() as tx:
        await tx.later(ADD, id="0", name="before")
        with suppress(ConstraintBroken):  # in the order in which they were run
            async with tx.savepoint():
                await tx.run_many(ADD, rows)
        await tx.run_many(ADD, rows[1:])
    assert await names(db) == ["1", "2", "before"]


async def test_what_happens_later_costs_no_round_trip(postgres_db: Database) -> None:
    async with postgres_db.write() as tx:  # PostgreSQL gets to know the statements
        await tx.later(ADD, id="p0", name="nobody")
        await tx.later(EARN, player="p1", sum=1)
    [connection] = postgres_db._idle  # type: ignore[attr-defined]
    async with postgres_db.write() as tx:
        before = connection._raw._protocol.queries_count
        await tx.later(ADD, id="p1", name="Ada")
        await tx.later(EARN, player="p1", sum=1)
        assert connection._raw._protocol.queries_count == before
    assert connection._raw._protocol.queries_count == before + 1
    assert await names(postgres_db) == ["Ada", "nobody"]


async def add_players(db: Database, *ids: str) -> None:
    async with db.write() as tx:
        for player in ids:
            await tx.run(ADD, id=player, name=player)


async def test_rows_come_with_the_end_or_when_they_are_asked_for(db: Database) -> None:
    await add_players(db, "p1", "p2")
    rows: list[Row] = []
    async with db.write() as tx:
        await tx.later(EARNED, rows, player="p1", sum=5)
        await tx.later(RENAME, player="p1", new_name="Ada")
        await tx.later(EARNED, rows, player="nobody", sum=5)
        await tx.later(EARNED, rows, player="p2", sum=1)
        await tx.settle()
        assert [tuple(row) for row in rows] == [("p1", 5), ("p2", 1)]
        await tx.settle()
        await tx.later(EARNED, rows, player="p1", sum=2)
        await tx.later(RENAME, player="p2", new_name="Bob")
    assert [(row["id"], row["coins"]) for row in rows] == [("p1", 5), ("p2", 1), ("p1", 7)]
    assert await names(db) == ["Ada", "Bob"]


async def test_rows_of_different_statements_are_kept_apart(db: Database) -> None:
    await add_players(db, "p1")
    earned: list[Row] = []
    others: list[Row] = []
    async with db.write() as tx:
        await tx.later(EARNED, earned, player="p1", sum=5)
        await tx.later(RENAMED, others, player="p1", new_name="Ada")
        await tx.later(WITH_DATA, others, player="p1", sum=1)
        await tx.later(EARNED, earned, player="p1", sum=1)
        await tx.later(EARNED, others, player="p1", sum=1)
        counted = await tx.one(COUNT)
        assert counted is not None
        assert list(counted) == [1]
    assert [tuple(row) for row in earned] == [("p1", 5), ("p1", 7)]
    assert [tuple(row) for row in others] == [("Ada",), ("p1", 6, None), ("p1", 8)]


async def test_statements_with_rows_fail_like_any_other(db: Database) -> None:
    await add_players(db, "p1", "p2")
    rows: list[Row] = []

    async def at_the_end() -> None:
        async with db.write() as tx:
            await tx.later(EARNED_FIRST, rows, player="p1", sum=1)
            await tx.later(EARNED_FIRST, rows, player="p2", sum=1)
            await tx.later(EARNED_FIRST, rows, player="p1", sum=1)
            await tx.later(RENAME, player="p1", new_name="Ada")

    async def behind_the_rows() -> None:
        async with db.write() as tx:
            await tx.later(EARNED, rows, player="p1", sum=1)
            await tx.later(EARN_FIRST, player="p1", sum=1)

    async def before_another() -> None:
        async with db.write() as tx:
            await tx.later(EARNED, rows, player="p1", sum=1)
            await tx.later(EARNED_FIRST, rows, player="p1", sum=1)
            await tx.all(NAMES)

    for failing in (at_the_end, behind_the_rows, before_another):
        with pytest.raises(Overtaken):
            await failing()
    with suppress(ZeroDivisionError):
        async with db.write() as tx:
            await tx.later(EARNED, rows, player="p1", sum=1)
            raise ZeroDivisionError
    rows.clear()
    async with db.write() as tx:  # on the same connection
        await tx.later(EARNED, rows, player="p1", sum=3)
    assert [tuple(row) for row in rows] == [("p1", 3)]
    assert await names(db) == ["p1", "p2"]


async def test_rows_cost_no_round_trip(postgres_db: Database) -> None:
    await add_players(postgres_db, "p1")
    rows: list[Row] = []
    for trips in (None, 1):  # PostgreSQL gets to know the statements first
        [connection] = postgres_db._idle  # type: ignore[attr-defined]
        before = connection._raw._protocol.queries_count
        async with postgres_db.write() as tx:
            await tx.lock("players", shared=True)
            for _ in range(10):
                await tx.later(EARNED, rows, player="p1", sum=1)
            await tx.later(EARN, player="p1", sum=1)
        assert trips is None or connection._raw._protocol.queries_count == before + trips
    assert [row["coins"] for row in rows] == [*range(1, 11), *range(12, 22)]


async def test_a_writer_cancelled_on_the_way_leaves_nothing_behind(postgres_db: Database) -> None:
    await add_players(postgres_db, "p1")

    async def write(started: asyncio.Event) -> None:
        async with postgres_db.write() as tx:
            await tx.later(EARNED, [], player="p1", sum=1)
            await tx.later(RENAME, player="p1", new_name="Ada")
            started.set()
            await tx.settle()
            await asyncio.Event().wait()

    for turns in range(4):
        started = asyncio.Event()
        task = asyncio.create_task(write(started))
        await started.wait()
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    async with postgres_db.read() as tx:
        row = await tx.one(GET, id="p1")
    assert row is not None
    assert (row["coins"], row["name"]) == (0, "p1")


@pytest.mark.parametrize("seed", range(25))
async def test_any_mix_of_what_travels_together_is_as_if_each_ran_alone(db: Database, seed: int) -> None:
    dice = random.Random(seed)
    coins = {"p1": 0, "p2": 0}
    await add_players(db, *coins)
    lists: tuple[list[Row], list[Row]] = ([], [])
    expected: tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]] = ([], [])

    async def step(tx: Any, *, undone: bool = False) -> None:
        player, which, total = dice.choice(["p1", "p2", "nobody"]), dice.randint(0, 1), dice.randint(1, 9)
        rows, seen = ([], []) if undone else (lists[which], expected[which])
        match dice.randint(0, 6):
            case 0 | 1 | 2:
                await tx.later(dice.choice([EARNED, EARNED, WITH_DATA]), rows, player=player, sum=total)
                if player in coins:
                    coins[player] += total
                    seen.append((player, coins[player]))
            case 3:
                await tx.later(EARN, player=player, sum=total)
                if player in coins:
                    coins[player] += total
            case 4:
                row = await tx.one(GET, id=player)
                assert (None if row is None else row["coins"]) == coins.get(player)
            case 5:
                await tx.settle()
                assert undone or [len(rows) for rows in lists] == [len(rows) for rows in expected]
            case 6:
                await tx.lock("players", shared=True)

    for _ in range(5):
        async with db.write() as tx:
            for _ in range(dice.randint(1, 8)):
                if dice.random() < 0.2:
                    before = dict(coins)
                    with suppress(ZeroDivisionError):
                        async with tx.savepoint():
                            for _ in range(dice.randint(0, 3)):
                                await step(tx, undone=True)
                            raise ZeroDivisionError
                    coins.clear()
                    coins.update(before)
                else:
                    await step(tx)
        for rows, seen in zip(lists, expected, strict=True):
            assert [(row["id"], row["coins"]) for row in rows] == seen


async def test_a_guarded_value_lets_only_the_first_write(db: Database) -> None:
    async with db.write() as tx:
        await tx.later(ADD, id="p1", name="Ada")

    async def earn_twice() -> None:
        async with db.write() as tx:
            await tx.later(EARN_FIRST, player="p1", sum=1)
            await tx.later(EARN_FIRST, player="p1", sum=1)

    with pytest.raises(Overtaken) as overtaken:
        await earn_twice()
    assert overtaken.value.column == "players.coins"
    async with db.write() as tx:
        await tx.later(EARN_FIRST, player="p1", sum=2)
    async with db.read() as tx:
        row = await tx.one(GET, id="p1")
    assert row is not None
    assert row["coins"] == 2


async def test_a_lock_is_held_to_the_end(postgres_db: Database) -> None:
    held, order = asyncio.Event(), list[str]()

    async def alone() -> None:
        async with postgres_db.write() as tx:
            await tx.lock("door")
            await tx.run(ADD, id="p1", name="Ada")
            held.set()
            for _ in range(10_000):
                if await _waiting(postgres_db, 2) and "elsewhere" in order:
                    break
            order.append("alone")

    async def together() -> None:
        await held.wait()
        async with postgres_db.write() as tx:
            await tx.lock("door", shared=True)
            assert await tx.one(GET, id="p1") is not None  # as it is behind the lock
            order.append("together")

    async def elsewhere() -> None:
        await held.wait()
        async with postgres_db.write() as tx:
            await tx.lock("window")
            assert await tx.one(GET, id="p1") is None
            order.append("elsewhere")

    await asyncio.gather(alone(), together(), together(), elsewhere())
    assert order == ["elsewhere", "alone", "together", "together"]


async def _waiting(db: Database, count: int) -> bool:
    async with db.read() as tx:
        row = await tx.one(text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"))
    return row is not None and row[0] == count


@pytest.fixture
def certificate() -> Iterator[dict[str, str]]:
    """Settings with which PostgreSQL speaks TLS. It reads its key only from where its own user may."""
    with tempfile.TemporaryDirectory() as folder:
        issued = trustme.CA().issue_cert("localhost")
        key, chain = Path(folder, "key.pem"), Path(folder, "chain.pem")
        issued.private_key_pem.write_to_path(key)
        issued.cert_chain_pems[0].write_to_path(chain)
        key.chmod(0o600)
        if os.geteuid() == 0:
            for path in (Path(folder), key, chain):
                shutil.chown(path, "postgres", "postgres")
        yield {"ssl": "on", "ssl_key_file": str(key), "ssl_cert_file": str(chain)}


@pytest.mark.parametrize(
    ("tls", "mode"), [(False, "disable"), (False, "prefer"), (True, "prefer"), (True, "require")]
)
async def test_statements_travel_together_over_tcp_and_tls(
    certificate: dict[str, str], monkeypatch: pytest.MonkeyPatch, *, tls: bool, mode: str
) -> None:
    sent: list[bytes] = []
    write_lines = pipeline._Transport.writelines

    def note(transport: Any, lines: Any) -> None:
        sent.append(b"".join(transport.first))
        write_lines(transport, lines)

    monkeypatch.setattr(pipeline._Transport, "writelines", note)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    reachable = {"listen_addresses": "127.0.0.1", "port": str(port)}
    with postgresql(reachable | (certificate if tls else {})) as url:
        host = url.partition("host=")[2]
        database = await open_database(
            url.replace("game@", f"game@127.0.0.1:{port}").replace(f"host={host}", f"sslmode={mode}")
        )
        try:
            await create_tables(database)
            sent.clear()
            async with database.write() as tx:
                await tx.later(ADD, id="p1", name="Ada")
                row = await tx.one(text("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"))
                assert row is not None
                assert row[0] is tls
                await tx.later(EARN, player="p1", sum=1)
                await tx.run_many(ADD, [{"id": "p2", "name": "Bob"}, {"id": "p3", "name": "Cyd"}])
            assert len([held for held in sent if held]) == 2  # before the query, and before the rows
            assert await names(database) == ["Ada", "Bob", "Cyd"]
        finally:
            await database.close()


async def test_statements_are_forgotten_the_oldest_first(
    postgres_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    [connection] = postgres_db._idle  # type: ignore[attr-defined]
    known = len(connection._statements)
    monkeypatch.setattr("gameserver.storage.pipeline.STATEMENTS_MAX", known)
    for number in range(20):
        async with postgres_db.write() as tx:
            row = await tx.one(text(f"SELECT {number}"))
            assert row is not None
            assert row[0] == number
            await tx.later(text(f"DELETE FROM players WHERE coins = {number}"))
    assert len(connection._statements) == known
    async with postgres_db.read() as tx:
        row = await tx.one(text("SELECT count(*) FROM pg_prepared_statements"))
    assert row is not None
    assert row[0] <= known + 2  # what was forgotten last is about to be closed


async def test_statements_live_through_a_migration(postgres_db: Database) -> None:
    everything = text("SELECT * FROM players")
    async with postgres_db.write() as tx:
        await tx.run(ADD, id="p1", name="Ada")
        await tx.one(everything)
    async with postgres_db.write() as tx:
        await tx.run(text("ALTER TABLE players ADD COLUMN age BIGINT"))
    with pytest.raises(Aborted):  # which the packet's next try gets over
        async with postgres_db.read() as tx:
            await tx.one(everything)
    async with postgres_db.read() as tx:
        row = await tx.one(everything)
    assert row is not None
    assert row["age"] is None


async def test_the_time_of_a_query_does_not_count_for_what_follows(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gameserver.storage.sqlite.QUERY_SECONDS_MAX", 1e-9)
    rows = [{"id": f"{number}", "name": f"{number}"} for number in range(20_000)]
    async with db.write() as tx:
        await tx.one(COUNT)  # short enough for nobody to look at the clock
        await tx.run_many(ADD, rows)
    async with db.read() as tx:
        assert len(await tx.all(GET, id="19999")) == 1


async def test_queries_that_take_long_let_others_have_their_turn(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gameserver.storage.sqlite.QUERY_SECONDS_MAX", 0.05)
    numbers = select(literal(1).label("n")).cte("numbers", recursive=True)
    numbers = numbers.union_all(select(numbers.c.n + 1).where(numbers.c.n < 100_000_000))
    long = select(func.count()).select_from(numbers)
    if db.dialect == "postgresql":
        long = select(func.pg_sleep(0.05))
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0.001)
            turns += 1

    task = asyncio.create_task(others())
    async with db.read() as tx:
        for _ in range(4):
            with suppress(QueryTooSlow):
                await tx.all(long)
    task.cancel()
    assert turns > 40


async def test_a_query_that_takes_too_long_is_given_up(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """On PostgreSQL the limit is part of the connection's settings; here only that it is told alike."""
    monkeypatch.setattr("gameserver.storage.sqlite.QUERY_SECONDS_MAX", 0.02)
    numbers = select(literal(1).label("n")).cte("numbers", recursive=True)
    numbers = numbers.union_all(select(numbers.c.n + 1).where(numbers.c.n < 100_000_000))
    endless = select(func.count()).select_from(numbers)
    if db.dialect == "postgresql":
        endless = select(func.pg_sleep(10))
    async with db.read() as tx:
        if db.dialect == "postgresql":
            await tx.one(select(func.set_config("statement_timeout", "20ms", False)))
        with pytest.raises(QueryTooSlow):
            await tx.one(endless)
    async with db.read() as tx:
        if db.dialect == "postgresql":
            await tx.one(select(func.set_config("statement_timeout", "3s", False)))
        assert await tx.all(select(literal(1).label("one")))
