"""Work that the database aborts is done again: how often, after what, and not beside a rival."""

import asyncio
from contextlib import suppress

import pytest

from gameserver.storage import Aborted, CommitUnknown, Database, Deadlocked, Transaction
from tests.contracts.storage.tables import ADD, EARN, GET, add_players, names


class Pauses:
    """Takes the place of chance, and notes what the pauses are: a backoff of 0 makes them short."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self) -> float:
        self.asked += 1
        return 0.5


async def test_work_is_done_again_until_it_is_committed(db: Database) -> None:
    tries = 0

    async def work(tx: Transaction) -> str:
        nonlocal tries
        tries += 1
        await tx.run(ADD, id="p1", name=f"Ada {tries}")
        if tries < 3:
            raise Aborted("not yet")
        return "done"

    db.chance = pauses = Pauses()
    assert await db.transact(work, backoff=0) == "done"
    assert await names(db) == ["Ada 3"]
    assert pauses.asked == 2


async def test_the_last_try_says_why(db: Database) -> None:
    tries = 0

    async def work(tx: Transaction) -> None:
        nonlocal tries
        tries += 1
        await tx.run(ADD, id="p1", name="Ada")
        raise Aborted(f"try {tries}")

    with pytest.raises(Aborted, match="try 4"):
        await db.transact(work, tries=4, backoff=0)
    assert tries == 4
    assert await names(db) == []


async def test_what_the_work_refuses_is_not_done_again(db: Database) -> None:
    async def work(tx: Transaction) -> None:
        await tx.run(ADD, id="p1", name="Ada")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await db.transact(work)
    assert await names(db) == []


async def test_between_tries_nothing_is_held(db: Database) -> None:
    reasons: list[str] = []

    async def work(tx: Transaction) -> None:
        await tx.run(ADD, id=f"p{len(reasons)}", name="Ada")
        if len(reasons) < 2:
            raise Aborted(f"after {len(reasons)}")

    async def between(reason: Exception) -> None:
        reasons.append(str(reason))
        async with db.write() as tx:  # SQLite has one writer
            await tx.run(ADD, id=f"b{len(reasons)}", name=f"Bob {len(reasons)}")

    await db.transact(work, backoff=0, between=between)
    assert reasons == ["after 0", "after 1"]
    assert await names(db) == ["Ada", "Bob 1", "Bob 2"]


async def test_between_may_end_the_tries(db: Database) -> None:
    async def work(_: Transaction) -> None:
        raise Aborted("again and again")

    async def between(_: Exception) -> None:
        raise LookupError("found out")

    with pytest.raises(LookupError, match="found out"):
        await db.transact(work, backoff=0, between=between)


async def test_a_commit_in_doubt_is_only_repeated_by_who_can_look(db: Database) -> None:
    tries = 0

    async def work(_: Transaction) -> int:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise CommitUnknown("the connection broke")
        return tries

    async def between(reason: Exception) -> None:
        assert isinstance(reason, CommitUnknown)

    with pytest.raises(CommitUnknown):
        await db.transact(work, backoff=0)
    assert tries == 1
    assert await db.transact(work, backoff=0, between=between) == 3


async def test_those_who_lost_a_deadlock_take_turns(db: Database) -> None:
    """Two who try again beside each other would meet in the next deadlock."""
    running, most, begun = 0, 0, 0
    everybody = asyncio.Event()

    async def work(tx: Transaction, lost: list[bool]) -> None:
        nonlocal running, most, begun
        if not lost:
            lost.append(True)
            begun += 1
            if begun == 4:
                everybody.set()
            await everybody.wait()
            raise Deadlocked("the others go first")
        running += 1
        most = max(most, running)
        await tx.one(GET, id="p1")
        await asyncio.sleep(0)
        running -= 1

    async def one() -> None:
        lost: list[bool] = []
        await db.transact(lambda tx: work(tx, lost), backoff=0)

    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(one())
    assert most == 1


async def test_a_real_deadlock_ends_with_the_work_of_both(postgres_db: Database) -> None:
    await add_players(postgres_db, "p1", "p2")
    both = asyncio.Barrier(2)
    meetings = 0

    async def cross(tx: Transaction, first: str, second: str) -> None:
        nonlocal meetings
        await tx.run(EARN, player=first, sum=1)
        if meetings < 2:
            meetings += 1
            await both.wait()
        await tx.run(EARN, player=second, sum=1)

    async with asyncio.TaskGroup() as group:
        group.create_task(postgres_db.transact(lambda tx: cross(tx, "p1", "p2")))
        group.create_task(postgres_db.transact(lambda tx: cross(tx, "p2", "p1")))
    async with postgres_db.read() as tx:
        rows = [await tx.one(GET, id=player) for player in ("p1", "p2")]
    assert [row is not None and row["coins"] for row in rows] == [2, 2]


async def test_a_cancelled_turn_is_handed_on(db: Database) -> None:
    holding, go_on = asyncio.Event(), asyncio.Event()

    async def lose(tx: Transaction, tries: list[int], *, hold: bool) -> int:
        tries.append(1)
        if len(tries) == 1:
            raise Deadlocked("the others go first")
        if hold:
            holding.set()
            await go_on.wait()
        await tx.one(GET, id="p1")
        return len(tries)

    held: list[int] = []
    holder = asyncio.create_task(db.transact(lambda tx: lose(tx, held, hold=True), backoff=0))
    await holding.wait()
    mine: list[int] = []
    waits = asyncio.Event()

    async def note(_: Exception) -> None:
        waits.set()

    other = asyncio.create_task(db.transact(lambda tx: lose(tx, mine, hold=False), backoff=0, between=note))
    await waits.wait()
    holder.cancel()
    with suppress(asyncio.CancelledError):
        await holder
    assert await other == 2
