"""Values, parameters and plans, the same on both engines."""

import gc

import pytest
from sqlalchemy import (
    BigInteger,
    Column,
    MetaData,
    Table,
    Text,
    bindparam,
    delete,
    exists,
    insert,
    literal,
    select,
    update,
)

from gameserver.storage import Database, excluded, upsert
from tests.contracts.storage.tables import ADD, ADD_FULL, COUNT, GET, PUT, inside, names, players

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
        before = len(inside(db).plans)
        for number in range(300):
            await tx.one(select(players.c.id).where(players.c.coins == number))
        gc.collect()
        assert len(inside(db).plans) <= before + 1


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
    kept = inside(db).plans._shapes
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
