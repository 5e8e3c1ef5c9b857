"""What services may rely on when they hold a transaction, on both engines."""

import asyncio
import os
import random
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, insert, literal, select, text

from gameserver.storage import (
    Conflict,
    ConstraintBroken,
    Database,
    QueryTooSlow,
    StorageError,
    Unavailable,
    answers,
    open_database,
)
from tests.contracts.storage.tables import (
    ADD,
    ADD_FULL,
    COUNT,
    EARN,
    GET,
    NAMES,
    PAYER,
    RENAME,
    counting,
    create_tables,
    endless,
    names,
    players,
)

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
            tx.defer(ADD, id="p1", name="a"),
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
            row = await tx.one(locked, id="p1")
            assert row is not None
            await asyncio.sleep(0)
            await tx.run(EARN, player="p1", sum=row["coins"] + 1)

    locked = GET.with_for_update()
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
        with pytest.raises(Conflict) as fenced:
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
        except Conflict as error:
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
        assert await answers.expiry.forget(tx, 4 * answers.HOUR_MS, 2) == 2
    async with db.write() as tx:
        assert await answers.find(tx, "s2", 0) is not None
        assert await answers.expiry.forget(tx, 4 * answers.HOUR_MS, 100) == 1
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


# Queries that take long


async def test_the_time_of_a_query_does_not_count_for_what_follows(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gameserver.storage.sqlite.SHORT_SECONDS", 1e-9)
    rows = [{"id": f"{number}", "name": f"{number}"} for number in range(20_000)]
    async with db.write() as tx:
        await tx.one(COUNT)  # short enough for nobody to look at the clock
        await tx.run_many(ADD, rows)
    async with db.read() as tx:
        assert len(await tx.all(GET, id="19999")) == 1


@pytest.mark.parametrize("writing", [False, True])
async def test_queries_that_take_long_let_others_have_their_turn(db: Database, writing: bool) -> None:
    """However long they take, the loop goes round meanwhile."""
    long: Any = counting(2_000_000)
    if db.dialect == "postgresql":
        long = select(func.pg_sleep(0.05))
    turns: list[int] = []

    async def others() -> None:
        while True:
            await asyncio.sleep(0.001)
            turns[-1] += 1

    task = asyncio.create_task(others())
    async with db.write() if writing else db.read() as tx:
        for ask in ("all", "one", "search"):
            turns.append(0)
            await getattr(tx, ask)(long)
    task.cancel()
    assert all(count >= 5 for count in turns), turns


@pytest.mark.parametrize("ask", ["one", "all", "search"])
async def test_a_query_that_takes_too_long_is_given_up(
    db: Database, monkeypatch: pytest.MonkeyPatch, ask: str
) -> None:
    """On PostgreSQL the limit is part of the connection's settings; here only that it is told alike."""
    monkeypatch.setattr("gameserver.storage.sqlite.QUERY_SECONDS_MAX", 0.05)
    async with db.read(PAYER) as tx:
        if db.dialect == "postgresql":
            await tx.one(select(func.set_config("statement_timeout", "50ms", False)))
        with pytest.raises(QueryTooSlow):
            await getattr(tx, ask)(endless(db))
    async with db.read() as tx:
        if db.dialect == "postgresql":
            await tx.one(select(func.set_config("statement_timeout", "3s", False)))
        assert await tx.all(select(literal(1).label("one")))


async def test_a_query_ends_with_who_asked_for_it(db: Database) -> None:
    """Also when that is a writer, whose turn ends then."""
    for use in (db.read, db.write):

        async def ask(use: Any = use) -> None:
            async with use(PAYER) as tx:
                await tx.search(endless(db))

        task = asyncio.create_task(ask())
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    async with db.write() as tx:
        await tx.run(ADD, id="p2", name="Bob")
