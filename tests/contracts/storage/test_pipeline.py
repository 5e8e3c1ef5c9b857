"""Statements that travel together, and what comes of them, on both engines where nothing else is said."""

import asyncio
import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trustme
from sqlalchemy import text

from gameserver.storage import (
    Aborted,
    Conflict,
    ConstraintBroken,
    Database,
    Row,
    StorageError,
    open_database,
    pipeline,
)
from tests.contracts.storage.tables import (
    ADD,
    ADD_FULL,
    ADD_ITEM,
    COUNT,
    EARN,
    EARN_FIRST,
    EARNED,
    EARNED_FIRST,
    FULL,
    GET,
    NAMES,
    RENAME,
    RENAMED,
    WITH_DATA,
    add_players,
    create_tables,
    inside,
    names,
)
from tests.servers import free_port, postgresql


async def test_what_happens_later_happens_in_order(db: Database) -> None:
    async with db.write() as tx:
        await tx.defer(ADD, id="p1", name="Ada")
        await tx.defer(EARN, player="p1", sum=5)
        row = await tx.one(GET, id="p1")
        assert row is not None
        assert row["coins"] == 5
        await tx.defer(EARN, player="p1", sum=2)
        assert tx.writes == 3
    async with db.read() as tx:
        row = await tx.one(GET, id="p1")
        assert row is not None
        assert row["coins"] == 7
        with pytest.raises(TypeError):
            await tx.defer(EARN, player="p1", sum=5)


async def test_what_fails_later_undoes_everything(db: Database) -> None:
    async def at_the_end() -> None:
        async with db.write() as tx:
            await tx.run(ADD, id="p1", name="Ada")
            await tx.defer(ADD, id="p1", name="Bob")

    async def before_another() -> None:
        async with db.write() as tx:
            await tx.defer(ADD_FULL, **FULL | {"coins": -1})
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
            await tx.defer(ADD, id="p1", name="Ada")
            raise ZeroDivisionError
    async with db.write() as tx:
        await tx.defer(ADD, id="p2", name="Bob")
        with suppress(ZeroDivisionError):
            async with tx.savepoint():
                await tx.defer(ADD, id="p3", name="Cyd")
                raise ZeroDivisionError
        assert tx.writes == 1
        await tx.defer(ADD, id="p4", name="Dan")
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
        await tx.defer(ADD_FULL, id="later", **values)
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
                await tx.defer(ADD_FULL, **FULL | wrong)
    with pytest.raises(StorageError):  # noqa: PT012 - one transaction
        async with postgres_db.write() as tx:
            await tx.defer(ADD, id="p1", name="Ada")
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
            await tx.defer(ADD, id="before", name="before")
            await tx.run_many(ADD, rows)
            raise ZeroDivisionError
    assert await names(db) == []
    async with db.write() as tx:
        await tx.defer(ADD, id="0", name="before")
        with suppress(ConstraintBroken):  # in the order in which they were run
            async with tx.savepoint():
                await tx.run_many(ADD, rows)
        await tx.run_many(ADD, rows[1:])
    assert await names(db) == ["1", "2", "before"]


async def test_what_happens_later_costs_no_round_trip(postgres_db: Database) -> None:
    async with postgres_db.write() as tx:  # PostgreSQL gets to know the statements
        await tx.defer(ADD, id="p0", name="nobody")
        await tx.defer(EARN, player="p1", sum=1)
    [connection] = inside(postgres_db)._idle
    async with postgres_db.write() as tx:
        before = connection._raw._protocol.queries_count
        await tx.defer(ADD, id="p1", name="Ada")
        await tx.defer(EARN, player="p1", sum=1)
        assert connection._raw._protocol.queries_count == before
    assert connection._raw._protocol.queries_count == before + 1
    assert await names(postgres_db) == ["Ada", "nobody"]


async def test_rows_come_with_the_end_or_when_they_are_asked_for(db: Database) -> None:
    await add_players(db, "p1", "p2")
    rows: list[Row] = []
    async with db.write() as tx:
        await tx.defer(EARNED, rows, player="p1", sum=5)
        await tx.defer(RENAME, player="p1", new_name="Ada")
        await tx.defer(EARNED, rows, player="nobody", sum=5)
        await tx.defer(EARNED, rows, player="p2", sum=1)
        await tx.settle()
        assert [tuple(row) for row in rows] == [("p1", 5), ("p2", 1)]
        await tx.settle()
        await tx.defer(EARNED, rows, player="p1", sum=2)
        await tx.defer(RENAME, player="p2", new_name="Bob")
    assert [(row["id"], row["coins"]) for row in rows] == [("p1", 5), ("p2", 1), ("p1", 7)]
    assert await names(db) == ["Ada", "Bob"]


async def test_rows_of_different_statements_are_kept_apart(db: Database) -> None:
    await add_players(db, "p1")
    earned: list[Row] = []
    others: list[Row] = []
    async with db.write() as tx:
        await tx.defer(EARNED, earned, player="p1", sum=5)
        await tx.defer(RENAMED, others, player="p1", new_name="Ada")
        await tx.defer(WITH_DATA, others, player="p1", sum=1)
        await tx.defer(EARNED, earned, player="p1", sum=1)
        await tx.defer(EARNED, others, player="p1", sum=1)
        counted = await tx.one(COUNT)
        assert counted is not None
        assert list(counted) == [1]
    assert [tuple(row) for row in earned] == [("p1", 5), ("p1", 7)]
    assert [tuple(row) for row in others] == [("Ada",), ("p1", 6, None), ("p1", 8)]


async def test_rows_that_nobody_wants_do_no_harm(db: Database) -> None:
    await add_players(db, "p1")
    rows: list[Row] = []
    async with db.write() as tx:
        await tx.defer(EARNED, player="p1", sum=5)
        await tx.defer(EARNED, rows, player="p1", sum=1)
        await tx.defer(EARNED, player="p1", sum=5)
        assert await tx.all(NAMES)
        await tx.defer(EARNED, player="p1", sum=1)
    assert [tuple(row) for row in rows] == [("p1", 6)]


async def test_statements_with_rows_fail_like_any_other(db: Database) -> None:
    await add_players(db, "p1", "p2")
    rows: list[Row] = []

    async def at_the_end() -> None:
        async with db.write() as tx:
            await tx.defer(EARNED_FIRST, rows, player="p1", sum=1)
            await tx.defer(EARNED_FIRST, rows, player="p2", sum=1)
            await tx.defer(EARNED_FIRST, rows, player="p1", sum=1)
            await tx.defer(RENAME, player="p1", new_name="Ada")

    async def behind_the_rows() -> None:
        async with db.write() as tx:
            await tx.defer(EARNED, rows, player="p1", sum=1)
            await tx.defer(EARN_FIRST, player="p1", sum=1)

    async def before_another() -> None:
        async with db.write() as tx:
            await tx.defer(EARNED, rows, player="p1", sum=1)
            await tx.defer(EARNED_FIRST, rows, player="p1", sum=1)
            await tx.all(NAMES)

    for failing in (at_the_end, behind_the_rows, before_another):
        with pytest.raises(Conflict):
            await failing()
    with suppress(ZeroDivisionError):
        async with db.write() as tx:
            await tx.defer(EARNED, rows, player="p1", sum=1)
            raise ZeroDivisionError
    rows.clear()
    async with db.write() as tx:  # on the same connection
        await tx.defer(EARNED, rows, player="p1", sum=3)
    assert [tuple(row) for row in rows] == [("p1", 3)]
    assert await names(db) == ["p1", "p2"]


async def test_rows_cost_no_round_trip(postgres_db: Database) -> None:
    await add_players(postgres_db, "p1")
    rows: list[Row] = []
    for trips in (None, 1):  # PostgreSQL gets to know the statements first
        [connection] = inside(postgres_db)._idle
        before = connection._raw._protocol.queries_count
        async with postgres_db.write() as tx:
            await tx.lock("players", shared=True)
            for _ in range(10):
                await tx.defer(EARNED, rows, player="p1", sum=1)
            await tx.defer(EARN, player="p1", sum=1)
        assert trips is None or connection._raw._protocol.queries_count == before + trips
    assert [row["coins"] for row in rows] == [*range(1, 11), *range(12, 22)]


async def test_a_writer_cancelled_on_the_way_leaves_nothing_behind(postgres_db: Database) -> None:
    await add_players(postgres_db, "p1")

    async def write(started: asyncio.Event) -> None:
        async with postgres_db.write() as tx:
            await tx.defer(EARNED, [], player="p1", sum=1)
            await tx.defer(RENAME, player="p1", new_name="Ada")
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
                await tx.defer(dice.choice([EARNED, EARNED, WITH_DATA]), rows, player=player, sum=total)
                if player in coins:
                    coins[player] += total
                    seen.append((player, coins[player]))
            case 3:
                await tx.defer(EARN, player=player, sum=total)
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
        await tx.defer(ADD, id="p1", name="Ada")

    async def earn_twice() -> None:
        async with db.write() as tx:
            await tx.defer(EARN_FIRST, player="p1", sum=1)
            await tx.defer(EARN_FIRST, player="p1", sum=1)

    with pytest.raises(Conflict) as overtaken:
        await earn_twice()
    assert overtaken.value.column == "players.coins"
    async with db.write() as tx:
        await tx.defer(EARN_FIRST, player="p1", sum=2)
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
    rows: list[Row] = []
    write_lines = pipeline._Transport.writelines

    def note(transport: Any, lines: Any) -> None:
        sent.append(b"".join(transport.first))
        write_lines(transport, lines)

    monkeypatch.setattr(pipeline._Transport, "writelines", note)
    port = free_port()
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
                await tx.defer(ADD, id="p1", name="Ada")
                row = await tx.one(text("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"))
                assert row is not None
                assert row[0] is tls
                await tx.defer(EARN, player="p1", sum=1)
                await tx.run_many(ADD, [{"id": "p2", "name": "Bob"}, {"id": "p3", "name": "Cyd"}])
                await tx.defer(EARNED, rows, player="p2", sum=1)
                await tx.defer(EARNED, rows, player="p3", sum=2)
            assert len([held for held in sent if held]) == 2  # before the query, and before the rows
            assert [row["coins"] for row in rows] == [1, 2]
            assert await names(database) == ["Ada", "Bob", "Cyd"]
        finally:
            await database.close()


async def test_statements_are_forgotten_the_oldest_first(
    postgres_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    [connection] = inside(postgres_db)._idle
    known = len(connection._statements)
    monkeypatch.setattr("gameserver.storage.pipeline.STATEMENTS_MAX", known)
    for number in range(20):
        async with postgres_db.write() as tx:
            row = await tx.one(text(f"SELECT {number}"))
            assert row is not None
            assert row[0] == number
            await tx.defer(text(f"DELETE FROM players WHERE coins = {number}"))
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


async def test_statements_with_rows_live_through_a_migration(postgres_db: Database) -> None:
    again, rows = text("UPDATE items SET owner = owner RETURNING *"), list[Row]()

    async def write() -> None:
        async with postgres_db.write() as tx:
            await tx.defer(again, rows)

    async with postgres_db.write() as tx:
        await tx.run(ADD_ITEM, id="i1", owner=None)
    await write()
    async with postgres_db.write() as tx:
        await tx.run(text("ALTER TABLE items ADD COLUMN age BIGINT"))
    with pytest.raises(Aborted):
        await write()
    await write()
    assert [list(row) for row in rows] == [["i1", None], ["i1", None, None]]
