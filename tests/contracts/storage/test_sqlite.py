"""SQLite: groups of writers, and other processes on the same file."""

import asyncio
import os
import sqlite3
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import text

from gameserver.storage import Aborted, Database, QueryTooSlow, StorageError, open_database
from tests.contracts.storage.tables import ADD, ADD_ITEM, EARN, GET, PAYER, counting, names


async def add_thirty_at_once(db: Database) -> None:
    async def add(number: int) -> None:
        async with db.write() as tx:
            await tx.run(ADD, id=f"p{number}", name=f"n{number:02}")

    await asyncio.gather(*(add(number) for number in range(30)))


async def test_writers_who_come_together_share_a_commit(sqlite_db: Database) -> None:
    kinds: list[str] = []
    sqlite_db.observe = lambda kind, _: kinds.append(kind)

    await add_thirty_at_once(sqlite_db)
    assert kinds.count("commit") == 2  # the first one alone, then all who arrived meanwhile
    assert len(await names(sqlite_db)) == 30


@pytest.mark.parametrize(("limit", "value", "commits"), [("WRITERS", 5, 1 + 6), ("SECONDS", 0, 30)])
async def test_groups_are_bounded(
    sqlite_db: Database, monkeypatch: pytest.MonkeyPatch, limit: str, value: int, commits: int
) -> None:
    monkeypatch.setattr(f"gameserver.storage.sqlite.GROUP_{limit}_MAX", value)
    kinds: list[str] = []
    sqlite_db.observe = lambda kind, _: kinds.append(kind)

    await add_thirty_at_once(sqlite_db)
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
        "from tests.contracts.storage.tables import ADD, create_tables\n"
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


async def test_what_the_server_asks_for_itself_takes_as_long_as_it_takes(
    sqlite_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gameserver.storage.sqlite.QUERY_SECONDS_MAX", 1e-6)
    for use in (sqlite_db.read, sqlite_db.write):
        async with use() as tx:
            row = await tx.one(counting(2_000_000))
            assert row is not None
            assert row[0] == 2_000_000


async def test_what_a_packet_reads_while_it_writes_has_one_limit(
    sqlite_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others wait to write meanwhile, so ten slow queries must not take ten times what one may."""
    monkeypatch.setattr("gameserver.storage.sqlite.QUERY_SECONDS_MAX", 0.05)
    async with sqlite_db.write(PAYER) as tx:
        await tx.run(ADD, id="p1", name="Ada")
        for _ in range(2):
            with pytest.raises(QueryTooSlow):
                await tx.search(counting(2_000_000_000))
        with pytest.raises(QueryTooSlow):
            await tx.search(counting(1))
        assert await tx.one(GET, id="p1") is not None  # the transaction goes on
    async with sqlite_db.read() as tx:
        assert await tx.one(GET, id="p1") is not None


async def test_a_writer_who_is_cancelled_as_their_turn_passes_ends_as_cancelled(sqlite_db: Database) -> None:
    async def add(number: int) -> None:
        async with sqlite_db.write() as tx:
            await tx.run(ADD, id=f"p{number}", name=f"n{number}")

    async with sqlite_db.write() as tx:
        await tx.run(ADD, id="p0", name="n0")
        waiting = asyncio.create_task(add(1))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        waiting.cancel()  # the turn is given on before the task hears of it
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await add(2)
    assert await names(sqlite_db) == ["n0", "n2"]
