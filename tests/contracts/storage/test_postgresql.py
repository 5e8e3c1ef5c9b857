"""PostgreSQL: broken connections, locks, and the pool."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import func, select, text

from gameserver.storage import (
    Aborted,
    CommitUnknown,
    Conflict,
    ConstraintBroken,
    Database,
    StorageError,
    Unavailable,
    answers,
    open_database,
)
from tests.contracts.storage.tables import (
    ADD,
    ADD_ITEM,
    COUNT,
    EARN,
    EARNED,
    EARNED_ALSO,
    EARNED_FIRST,
    GET,
    RENAME,
    add_players,
    items,
    names,
    players,
)

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


async def let_commits_die(db: Database, event: str) -> None:
    """Let a commit break its connection where players were inserted, or updated."""
    async with db.write() as tx:
        await tx.run(
            text(
                "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS "
                "'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END'"
            )
        )
        await tx.run(
            text(
                f"CREATE CONSTRAINT TRIGGER die AFTER {event} ON players DEFERRABLE INITIALLY DEFERRED "
                "FOR EACH ROW EXECUTE FUNCTION die()"
            )
        )


async def test_a_connection_lost_during_the_commit_is_not_known(postgres_db: Database) -> None:
    await let_commits_die(postgres_db, "INSERT")
    with pytest.raises(CommitUnknown):
        async with postgres_db.write() as tx:
            await tx.run(ADD, id="p1", name="Ada")
    assert await names(postgres_db) == []


async def test_a_statement_may_be_the_whole_transaction(postgres_db: Database) -> None:
    await add_players(postgres_db, "p1")
    async with postgres_db.write() as tx:
        assert tx.takes_only
        row = await tx.only(EARNED, player="p1", sum=5)
        assert row is not None
        assert row["coins"] == 5
        assert tx.writes == 1
        async with postgres_db.read() as elsewhere:
            assert await elsewhere.one(GET, id="p1") is not None
        with pytest.raises(RuntimeError):
            await tx.one(COUNT)
    with suppress(ZeroDivisionError):  # it is committed whatever comes
        async with postgres_db.write() as tx:
            await tx.only(EARNED, player="p1", sum=1)
            raise ZeroDivisionError
    async with postgres_db.write() as tx:
        assert await tx.only(EARNED, player="nobody", sum=5) is None
        assert tx.writes == 0
        assert tx.takes_only
        await tx.run(EARN, player="p1", sum=1)  # without a row it goes on
        assert not tx.takes_only
    async with postgres_db.read() as tx:
        row = await tx.one(GET, id="p1")
    assert row is not None
    assert row["coins"] == 7


async def test_a_statement_that_is_the_whole_transaction_and_fails(postgres_db: Database) -> None:
    await add_players(postgres_db, "p1")

    async def only(statement: Any, **params: Any) -> None:
        async with postgres_db.write() as tx:
            await tx.only(statement, **params)

    await only(EARNED_FIRST, player="p1", sum=1)
    with pytest.raises(Conflict):
        await only(EARNED_FIRST, player="p1", sum=1)
    with pytest.raises(ConstraintBroken):
        await only(EARNED, player="p1", sum=-5)
    with pytest.raises(ConstraintBroken):  # found by the commit
        await only(ADD_ITEM.returning(text("1")), id="i1", owner="nobody")
    with pytest.raises(StorageError):
        await only(EARNED, player="p1", sum=2**63)
    await let_commits_die(postgres_db, "UPDATE")
    with pytest.raises(CommitUnknown):
        await only(EARNED, player="p1", sum=5)
    assert await names(postgres_db) == ["p1"]


async def test_an_answer_is_stored_with_what_it_tells_of(postgres_db: Database) -> None:
    await add_players(postgres_db, "p1")
    texts = ['{"before":', ',"é":"\\', '"}']

    async def earn(player: str, packet_id: int) -> bytes | None:
        async with postgres_db.write() as tx:
            params = {"player": player, "sum": 5}
            return await answers.commit_with_answer(
                tx, EARNED_ALSO, params, ("coins", "level"), texts, "session", packet_id, "hash", 0
            )

    assert await earn("p1", 3) == '{"before":5,"é":"\\9"}'.encode()
    for packet_id in (3, 2):
        with pytest.raises(Conflict) as overtaken:
            await earn("p1", packet_id)
        assert answers.is_fenced(overtaken.value)
    assert await earn("nobody", 4) is None
    async with postgres_db.read() as tx:
        assert await answers.find(tx, "session", 4) is None
        stored = await answers.find(tx, "session", 3)
        row = await tx.one(GET, id="p1")
    assert stored == ("hash", '{"before":5,"é":"\\9"}'.encode(), None)
    assert row is not None
    assert row["coins"] == 5


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
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Deadlocked", "NoneType"]


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
