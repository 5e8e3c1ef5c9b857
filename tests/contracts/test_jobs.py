"""The scheduler: whatever one job does, the others go on; of many processes one runs a job."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import pytest
from sqlalchemy import (
    BigInteger,
    Column,
    MetaData,
    String,
    Table,
    bindparam,
    delete,
    func,
    insert,
    select,
    text,
)

from gameserver.frame import Parts
from gameserver.jobs import Job, JobBusy, JobRun, Scheduler, enqueue, forget
from gameserver.jobs import storage as jobs_storage
from gameserver.storage import Database, open_database
from gameserver.storage.errors import CannotWrite
from gameserver.storage.expiry import Expiry
from gameserver.storage.schema import migrate
from gameserver.wire.clock import FixedClock

things = Table(
    "job_test_things",
    MetaData(),
    Column("id", String(36), primary_key=True),
    Column("at_ms", BigInteger, nullable=False, index=True),
)
ADD = insert(things).values(id=bindparam("id"), at_ms=bindparam("at_ms"))
COUNT = select(func.count()).select_from(things)

Make = Callable[..., Scheduler]


@pytest.fixture
async def database(migrated: dict[str, str], tmp_path: Any) -> AsyncIterator[Database]:
    url = migrated.get("database") or f"sqlite:///{tmp_path / 'jobs.db'}"
    if not migrated:
        migrate(url)
    database = await open_database(url)
    async with database.write() as tx:  # tests share a database
        await tx.run(delete(jobs_storage.jobs))
    yield database
    await database.close()


@pytest.fixture
async def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
async def make(database: Database, clock: FixedClock) -> AsyncIterator[Make]:
    """Make the scheduler of another process."""
    made: list[Scheduler] = []

    def make(*jobs: Job, clock: FixedClock = clock) -> Scheduler:
        made.append(Scheduler(jobs, database, clock, [], Parts()))
        return made[-1]

    yield make
    for scheduler in made:
        await scheduler.close()


async def turn(schedulers: Scheduler | Iterable[Scheduler]) -> None:
    """Let processes look what is due, and wait for what they do."""
    for scheduler in [schedulers] if isinstance(schedulers, Scheduler) else schedulers:
        await scheduler.tick()
        await scheduler.settled()


async def facts(scheduler: Scheduler, name: str) -> dict[str, Any]:
    [row] = [row for row in await scheduler.list() if row["name"] == name]
    return row


class Counted:
    """A job that counts its runs, and fails as often as told."""

    def __init__(self, name: str, *, failures: int = 0, **words: Any) -> None:
        self.runs: list[JobRun] = []
        self.failures = failures
        self.job = Job(name, self.run, **words)

    async def run(self, run: JobRun) -> None:
        self.runs.append(run)
        if len(self.runs) <= self.failures:
            raise RuntimeError("not today\0")


class Hanging:
    """A job that begins and does not end by itself."""

    def __init__(self, name: str, **words: Any) -> None:
        self.began, self.end = asyncio.Event(), asyncio.Event()
        self.runs = 0
        self.job = Job(name, self.run, **words)

    async def run(self, _: JobRun) -> None:
        self.runs += 1
        self.began.set()
        await self.end.wait()


async def test_a_job_runs_by_its_schedule(make: Make, clock: FixedClock) -> None:
    counted = Counted("a.b", every_seconds=60)
    scheduler = make(counted.job)
    for seconds, runs in ((0, 0), (59, 0), (1, 1), (0, 1), (59, 1), (1, 2), (600, 3), (59, 3), (1, 4)):
        clock.advance(seconds)
        await turn(scheduler)
        await turn(scheduler)
        assert len(counted.runs) == runs


async def test_one_that_fails_or_hangs_keeps_no_other_waiting(make: Make, clock: FixedClock) -> None:
    done = asyncio.Event()

    async def work(_: JobRun) -> None:
        done.set()

    failing, hanging = Counted("a.fails", failures=99, every_seconds=60), Hanging("b.hangs", every_seconds=60)
    scheduler = make(failing.job, hanging.job, Job("c.good", work, every_seconds=60))
    await turn(scheduler)
    for _ in range(3):
        clock.advance(60)
        await scheduler.tick()
        await done.wait()
        done.clear()
        hanging.end.set()
        await scheduler.settled()
        hanging.end.clear()
    assert failing.runs
    assert hanging.began.is_set()


async def test_a_run_has_its_time(make: Make, clock: FixedClock) -> None:
    scheduler = make(Hanging("a.hangs", every_seconds=60, seconds_max=0.01).job)
    await turn(scheduler)
    clock.advance(60)
    await turn(scheduler)
    found = await facts(scheduler, "a.hangs")
    assert (found["failures"], found["running"]) == (1, 0)
    assert found["error"] == "took longer than 0.01 s"


async def test_a_failed_run_is_tried_again_later_each_time(make: Make, clock: FixedClock) -> None:
    counted = Counted("a.b", failures=4, every_seconds=3600)
    scheduler = make(counted.job)
    await turn(scheduler)
    clock.advance(3600)
    waited, runs = [], 0
    while len(counted.runs) < 5:
        await turn(scheduler)
        if len(counted.runs) > runs:
            runs = len(counted.runs)
            waited.append(0)
        waited[-1] += 1
        clock.advance(0.25)
    assert waited[:4] == sorted(waited[:4])
    assert waited[3] > 2 * waited[0]
    found = await facts(scheduler, "a.b")
    assert (found["failures"], found["error"], found["late_ms"]) == (0, "", 0)


async def test_the_list_tells_of_failures(make: Make, clock: FixedClock) -> None:
    scheduler = make(Counted("a.b", failures=99, every_seconds=60).job)
    assert (await facts(scheduler, "a.b"))["started_ms"] == 0
    await turn(scheduler)
    clock.advance(60)
    await turn(scheduler)
    began = clock.ms()
    clock.advance(30)
    found = await facts(scheduler, "a.b")
    assert found["late_ms"] == 30_000
    assert (found["failures"], found["error"], found["started_ms"]) == (1, "not today", began)


async def test_what_is_wanted_runs_before_its_time(make: Make) -> None:
    wanted = False

    async def ask(_: JobRun) -> bool:
        return wanted

    counted = Counted("a.b", every_seconds=60, wanted=ask)
    scheduler = make(counted.job)
    await turn(scheduler)
    await turn(scheduler)
    assert not counted.runs
    wanted = True
    await turn(scheduler)
    await turn(scheduler)
    assert len(counted.runs) == 2


async def test_a_memo_goes_to_the_next_run(make: Make) -> None:
    async def work(run: JobRun) -> None:
        run.memo += "x"

    scheduler = make(Job("a.b", work, every_seconds=60))
    for _ in range(3):
        await scheduler.run_now("a.b")
    seen: list[str] = []

    async def look(run: JobRun) -> None:
        seen.append(run.memo)

    await make(Job("a.b", look, every_seconds=60)).run_now("a.b")
    assert seen == ["xxx"]


# Many processes


async def test_one_process_runs_it(make: Make, clock: FixedClock) -> None:
    counted = [Counted("a.b", every_seconds=60) for _ in range(4)]
    schedulers = [make(one.job) for one in counted]
    await turn(schedulers[0])
    for _ in range(5):
        clock.advance(60)
        await asyncio.gather(*(scheduler.tick() for scheduler in schedulers))
        await asyncio.gather(*(scheduler.settled() for scheduler in schedulers))
    assert sum(len(one.runs) for one in counted) == 5


async def test_a_lease_lapses_when_its_process_dies(make: Make, clock: FixedClock) -> None:
    hanging = Hanging("a.b", every_seconds=60)
    dying, other = make(hanging.job), Counted("a.b", every_seconds=60)
    rival = make(other.job)
    await turn(dying)
    clock.advance(60)
    await dying.tick()
    await hanging.began.wait()
    for seconds in (1, 10, 3.9):
        clock.advance(seconds)
        await turn(rival)
        assert not other.runs
    with pytest.raises(JobBusy):
        await rival.run_now("a.b")
    clock.advance(0.1)
    await turn(rival)
    assert len(other.runs) == 1
    # Not dead after all: it learns that it has lost the job, and does not touch what is noted.
    await turn(dying)
    assert (await facts(rival, "a.b"))["failures"] == 0


async def test_who_lives_keeps_the_lease(make: Make, clock: FixedClock) -> None:
    hanging = Hanging("a.b", every_seconds=60)
    living, other = make(hanging.job), Counted("a.b", every_seconds=60)
    rival = make(other.job)
    await turn(living)
    clock.advance(60)
    for _ in range(20):
        await living.tick()
        await hanging.began.wait()
        await turn(rival)
        clock.advance(5)
    assert not other.runs
    hanging.end.set()
    await living.settled()


async def test_a_process_that_stops_gives_back_what_it_runs(make: Make, clock: FixedClock) -> None:
    hanging = Hanging("a.b", every_seconds=60)
    stopping, other = make(hanging.job), Counted("a.b", every_seconds=60)
    await turn(stopping)
    clock.advance(60)
    await stopping.tick()
    await hanging.began.wait()
    await stopping.close()
    await turn(make(other.job))
    assert len(other.runs) == 1


# Enqueued work


async def test_enqueued_work_is_part_of_its_transaction(
    database: Database, make: Make, clock: FixedClock
) -> None:
    counted = Counted("mail.send", at_once=5)
    scheduler = make(counted.job)
    with pytest.raises(ZeroDivisionError):
        await _enqueue_and_fail(database, counted.job, clock)
    async with database.write() as tx:
        for _ in range(2):  # of one key
            await enqueue(tx, counted.job, "now", {"to": "ada"}, at_ms=clock.ms())
        await enqueue(tx, counted.job, "later", {"to": "bob"}, at_ms=clock.ms() + 5000)
    async with database.write() as tx:
        await enqueue(tx, counted.job, "now", {"to": "cyd"}, at_ms=clock.ms())
    await turn(scheduler)
    await turn(scheduler)
    assert [(run.key, run.payload) for run in counted.runs] == [("now", {"to": "ada"})]
    assert (await facts(scheduler, "mail.send"))["waiting"] == 1
    clock.advance(5)
    await turn(scheduler)
    assert counted.runs[-1].payload == {"to": "bob"}
    assert (await facts(scheduler, "mail.send"))["waiting"] == 0


async def _enqueue_and_fail(database: Database, job: Job, clock: FixedClock) -> None:
    async with database.write() as tx:
        await enqueue(tx, job, "lost", {"to": "nobody"}, at_ms=clock.ms())
        raise ZeroDivisionError


async def test_work_that_always_fails_is_left_to_the_operator(
    database: Database, make: Make, clock: FixedClock
) -> None:
    counted = Counted("mail.send", failures=3, tries_max=3)
    scheduler = make(counted.job)
    async with database.write() as tx:
        await enqueue(tx, counted.job, "k", at_ms=clock.ms())
    for _ in range(6):
        await turn(scheduler)
        clock.advance(3600)
    assert len(counted.runs) == 3
    found = await facts(scheduler, "mail.send")
    assert (found["given_up"], found["error"]) == (1, "not today")
    assert await scheduler.retry("mail.send") == 1
    await turn(scheduler)
    assert len(counted.runs) == 4
    assert (await facts(scheduler, "mail.send"))["given_up"] == 0


async def test_much_work_of_one_kind_does_not_delay_another(
    database: Database, make: Make, clock: FixedClock
) -> None:
    slow, quick = Hanging("a.slow", at_once=2), Hanging("b.quick")
    scheduler = make(slow.job, quick.job)
    async with database.write() as tx:
        for number in range(50):
            await enqueue(tx, slow.job, f"{number}", at_ms=clock.ms() - 1000)
        await enqueue(tx, quick.job, "k", at_ms=clock.ms())
    for _ in range(3):
        await scheduler.tick()
    await slow.began.wait()
    await quick.began.wait()
    assert slow.runs <= 2
    slow.end.set()
    quick.end.set()
    await scheduler.settled()
    assert slow.runs == 50  # a place that is free does not wait for the next second


async def test_work_that_cannot_be_taken_waits_for_the_next_tick(
    database: Database, make: Make, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a database that reads and does not write would be asked without a pause."""
    counted = Counted("mail.send")
    scheduler, tries = make(counted.job), list[object]()
    async with database.write() as tx:
        for number in range(3):
            await enqueue(tx, counted.job, f"{number}", at_ms=clock.ms())

    async def take(*words: object) -> bool:
        tries.append(words)
        raise CannotWrite("the disk is full")

    monkeypatch.setattr(scheduler, "_take", take)
    await scheduler.tick()
    await scheduler.settled()
    assert len(tries) == 1


async def test_what_waits_for_one_thing_keeps_no_other_waiting(
    database: Database, make: Make, clock: FixedClock
) -> None:
    waiting: list[str] = []
    done: set[str] = set()
    end, all_others = asyncio.Event(), asyncio.Event()

    async def work(run: JobRun) -> None:
        if run.key.startswith("dead"):
            waiting.append(run.key)
            await end.wait()
        else:
            done.add(run.key)
            if len(done) == 8:
                all_others.set()

    job = Job("a.slow", work, at_once=8, at_once_in_lane=3)
    scheduler = make(job)
    async with database.write() as tx:
        for number in range(50):
            await enqueue(tx, job, f"dead{number}", at_ms=clock.ms() - 1000, lane="dead")
        for number in range(4):
            await enqueue(tx, job, f"quick{number}", at_ms=clock.ms(), lane="quick")
            await enqueue(tx, job, f"other{number}", at_ms=clock.ms(), lane="other")
    async with asyncio.timeout(10):
        while not all_others.is_set():
            await scheduler.tick()
            await asyncio.sleep(0)
    assert len(waiting) == 3
    end.set()
    await scheduler.settled()


async def test_done_in_the_transaction_of_the_effect_means_once(
    database: Database, make: Make, clock: FixedClock
) -> None:
    """Also when the process that had it was only slow, and another has it meanwhile."""
    await _make_things(database)
    go_on, waits = asyncio.Event(), asyncio.Event()

    async def slow(run: JobRun) -> None:
        waits.set()
        await go_on.wait()
        await effect(run)

    async def effect(run: JobRun) -> None:
        async with run.database.write() as tx:
            await tx.run(ADD, id=f"{run.key}-{run.holder}"[:36], at_ms=run.now_ms)
            await run.done(tx)

    one, other = make(Job("gift.give", slow)), make(job := Job("gift.give", effect))
    async with database.write() as tx:
        await enqueue(tx, job, "k", at_ms=clock.ms())
    await one.tick()
    await waits.wait()
    clock.advance(16)
    await turn(other)
    go_on.set()
    await one.settled()
    assert await _count(database) == 1
    assert (await facts(one, "gift.give"))["waiting"] == 0


# Clean-up


async def _make_things(database: Database) -> None:
    async with database.write() as tx:
        await tx.run(text("DROP TABLE IF EXISTS job_test_things"))
        await tx.run(text("CREATE TABLE job_test_things (id VARCHAR(36) PRIMARY KEY, at_ms BIGINT NOT NULL)"))


async def _count(database: Database) -> int:
    async with database.read() as tx:
        row = await tx.one(COUNT)
        assert row is not None
        return int(row[0])


async def test_clean_up_goes_on_until_it_has_caught_up(
    database: Database, make: Make, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _make_things(database)
    monkeypatch.setattr("gameserver.jobs.expiring.AT_ONCE", 10)
    scheduler = make(forget("things.forget", Expiry(things.c.at_ms), 1000))
    async with database.write() as tx:
        await tx.run_many(ADD, [{"id": f"{n}", "at_ms": clock.ms() - 2000} for n in range(105)])
        await tx.run(ADD, id="new", at_ms=clock.ms() - 1000)
    await turn(scheduler)
    clock.advance(60)
    monkeypatch.setattr("gameserver.jobs.declaring.STEPS_SHARE", 0)  # its time is over at once
    await turn(scheduler)
    assert (await facts(scheduler, "things.forget"))["overdue"] == 96
    await turn(scheduler)  # goes on without waiting for its next turn
    assert (await facts(scheduler, "things.forget"))["overdue"] == 86
    monkeypatch.setattr("gameserver.jobs.declaring.STEPS_SHARE", 0.8)
    await turn(scheduler)
    assert (await facts(scheduler, "things.forget"))["overdue"] == 0
    assert await _count(database) == 0


@pytest.mark.parametrize("words", [{"name": ""}, {"name": "x" * 65}, {"name": "x", "wanted": lambda _: None}])
def test_what_cannot_be_declared(words: dict[str, Any]) -> None:
    async def work(_: JobRun) -> None: ...

    with pytest.raises(ValueError, match="job"):
        Job(work=work, **words)


async def test_two_jobs_of_one_name_are_refused(make: Make) -> None:
    job = Counted("a.b", every_seconds=60).job
    with pytest.raises(ValueError, match="two jobs"):
        make(job, job)
