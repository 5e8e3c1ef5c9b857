"""Runs the jobs of a server, in every process; of any number of processes, one at a time runs a job.

Once a second a process looks which jobs are due, and takes those it gets. Each runs in a task of its own: one
that fails, or is slow, keeps no other waiting. While it runs its lease is renewed; when the process dies, the
lease lapses and another one takes the job.
"""

import asyncio
import contextlib
import secrets
import time
from collections import Counter
from collections.abc import Iterable
from functools import partial
from typing import Any, NamedTuple

import msgspec
import structlog

from gameserver.apps import App
from gameserver.frame import Parts
from gameserver.jobs import metrics, storage
from gameserver.jobs.declaring import Job, JobRun, LeaseLost
from gameserver.storage import Database, Row, StorageError, Transaction
from gameserver.wire.clock import Clock

log = structlog.get_logger(__name__)

TICK_SECONDS = 1.0
LEASE_SECONDS = 15.0
BACKOFF_SECONDS = 1.0  # after the first failure; doubled up to the longest
EVERY_SECONDS_LEAST = 60.0  # a job with a schedule that fails is tried again after this, or its own time
CLOSE_SECONDS = 5.0
CATCH_UP_ROUNDS_MAX = 100


class JobBusy(Exception):
    """The job runs already, here or in another process."""


class _Lease(NamedTuple):
    holder: str
    renew_ms: int


class Scheduler:
    """The jobs of one process."""

    def __init__(
        self, jobs: Iterable[Job], database: Database, clock: Clock, apps: Iterable[App], parts: Parts
    ) -> None:
        self.jobs: dict[str, Job] = {}
        for job in jobs:
            if job.name in self.jobs:
                raise ValueError(f"two jobs have the name {job.name}")
            self.jobs[job.name] = job
        self._scheduled = [job for job in self.jobs.values() if job.every_seconds is not None]
        self._queued = [job for job in self.jobs.values() if job.every_seconds is None]
        self._database, self._clock, self._apps, self._parts = database, clock, apps, parts
        self._process = secrets.token_hex(8)
        self._number = 0
        self._tasks: dict[tuple[str, str], asyncio.Task[bool]] = {}
        self._lanes: dict[tuple[str, str], str] = {}  # of what runs
        self._held: dict[tuple[str, str], _Lease] = {}
        self._full: set[str] = set()  # jobs of which there may be more than places for it
        self._freed: set[str] = set()  # jobs with places that have become free since the last look
        self._refills: dict[str, asyncio.Task[None]] = {}
        self._places = asyncio.Lock()  # held by who gives places away

    async def run(self) -> None:
        """Do what is due, for ever; what still runs at the end is given back to the other processes."""
        try:
            while True:
                try:
                    await self.tick()
                except StorageError as error:
                    log.info("jobs_postponed", reason=str(error))
                except Exception:
                    log.exception("jobs_postponed")
                await asyncio.sleep(TICK_SECONDS)
        finally:
            await self.close()

    async def close(self) -> None:
        """Cancel what runs, and give it back."""
        self._full.clear()
        tasks = [*self._tasks.values(), *self._refills.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=CLOSE_SECONDS)

    async def tick(self) -> None:
        """Begin what is due now, and renew the leases of what runs."""
        now_ms = self._clock.ms()
        await self._renew()
        async with self._database.read() as tx:
            names = [job.name for job in self._scheduled]
            rows = {row["name"]: row for row in await tx.all(storage.OF_SCHEDULE, names=names)}
            for job in self._queued:
                await self._begin_enqueued(tx, job, now_ms)
        if missing := [job for job in self._scheduled if job.name not in rows]:
            await self._add(missing)
        for job in self._scheduled:
            own = rows.get(job.name)
            if own is None or (job.name, storage.SCHEDULED) in self._tasks:
                continue
            if own["ready_ms"] <= now_ms or (
                job.wanted is not None and not own["holder"] and not own["failures"]
            ):
                self._begin(job, own)

    async def settled(self) -> None:
        """Return when nothing runs here any more."""
        while running := [*self._tasks.values(), *self._refills.values()]:
            await asyncio.wait(running)

    async def catch_up(self) -> None:
        """Do what is due now, and what becomes due by that, as far as it goes without waiting."""
        for _ in range(CATCH_UP_ROUNDS_MAX):
            await self.tick()
            await self.settled()
            now_ms = self._clock.ms()
            async with self._database.read() as tx:
                if await tx.one(storage.NEXT, now_ms=now_ms) is None:
                    return

    async def run_now(self, name: str) -> None:
        """Run a job with a schedule out of turn, and return when it is done; raises what it raises.

        Raises `LookupError` when there is none of this name, and `JobBusy` when it runs already.
        """
        job = self.jobs.get(name)
        if job is None or job.every_seconds is None:
            raise LookupError(f"there is no job {name[:64]!r} with a schedule")
        row = await self._find(job)
        held = row["holder"] and row["ready_ms"] > self._clock.ms()
        if held or (name, storage.SCHEDULED) in self._tasks or not await self._take(job, row):
            raise JobBusy(f"{name} runs already")
        run = self._run_of(job, row, self._held[name, storage.SCHEDULED].holder)
        if (error := await self._attempt(run, row)) is not None:
            raise error

    async def retry(self, name: str) -> int:
        """Have work tried again that was given up; returns how many pieces."""
        async with self._database.write() as tx:
            return await tx.run(storage.RETRY, of_name=name, now_ms=self._clock.ms())

    async def list(self) -> list[dict[str, Any]]:
        """Return what there is to know of each job, by name; `late_ms` is how long ago it was to be done.

        Jobs of which nothing is stored yet are among them, and jobs of another version of the server.
        """
        now_ms = self._clock.ms()
        async with self._database.read() as tx:
            rows = {row["name"]: row for row in await tx.all(storage.SUMMARY)}
        shown = []
        for name in sorted(self.jobs.keys() | rows.keys()):
            job, row = self.jobs.get(name), rows.get(name)
            due = None if row is None else row["due_ms"]
            facts = ("waiting", "given_up", "running", "failures", "started_ms", "ended_ms", "overdue")
            shown.append(
                {
                    "name": name,
                    "every_seconds": None if job is None else job.every_seconds,
                    **{fact: 0 if row is None else int(row[fact]) for fact in facts},
                    "late_ms": 0 if due is None else max(0, now_ms - due),
                    "error": "" if row is None else row["error"],
                }
            )
        return shown

    # Running

    async def _find(self, job: Job) -> Row:
        await self._add([job])
        async with self._database.read() as tx:
            row = await tx.one(storage.FIND, name=job.name, key=storage.SCHEDULED)
        assert row is not None, "it is there now, and nobody deletes it"
        return row

    async def _add(self, jobs: Iterable[Job]) -> None:
        async with self._database.write() as tx:
            for job in jobs:
                due_ms = self._clock.ms() + round((job.every_seconds or 0) * 1000)
                await tx.run(
                    storage.ADD, name=job.name, key=storage.SCHEDULED, payload=None, due_ms=due_ms, lane=""
                )

    def _run_of(self, job: Job, row: Row, holder: str) -> JobRun:
        payload = None if row["payload"] is None else msgspec.json.decode(row["payload"])
        return JobRun(
            job, self._database, self._clock, self._apps, self._parts,
            key=row["key"], payload=payload, memo=row["memo"], holder=holder,
        )  # fmt: skip

    async def _begin_enqueued(self, tx: Transaction, job: Job, now_ms: int) -> None:
        """Begin what is ready, as much as may run at once, and of each lane no more than its share."""
        async with self._places:
            await self._give_places(tx, job, now_ms)

    async def _give_places(self, tx: Transaction, job: Job, now_ms: int) -> None:
        running = Counter(lane for (name, _), lane in self._lanes.items() if name == job.name)
        share = job.at_once_in_lane or job.at_once
        while (free := job.at_once - running.total()) > 0:
            full = [lane for lane, count in running.items() if count >= share]
            most = free + running.total()  # what has just begun may look ready still
            rows = await tx.all(storage.READY, name=job.name, now_ms=now_ms, full=full, most=most)
            began = 0
            for row in rows:
                if running.total() == job.at_once:
                    break
                if running[row["lane"]] < share and self._begin(job, row):
                    running[row["lane"]] += 1
                    began += 1
            if not began or len(rows) < most:
                break
        is_full = any(count >= share for count in running.values()) or running.total() >= job.at_once
        (self._full.add if is_full else self._full.discard)(job.name)

    async def _refill(self, job: Job) -> None:
        """Give places that have become free to what waits, without the time to the next tick."""
        try:
            while job.name in self._freed:
                self._freed.remove(job.name)
                async with self._database.read() as tx:
                    await self._begin_enqueued(tx, job, self._clock.ms())
        except StorageError as error:
            log.info("jobs_postponed", reason=str(error))
        finally:
            del self._refills[job.name]

    def _begin(self, job: Job, row: Row) -> bool:
        place = (job.name, row["key"])
        if place in self._tasks:
            return False
        task = self._tasks[place] = asyncio.create_task(self._consider(job, row))
        self._lanes[place] = row["lane"]
        task.add_done_callback(partial(self._ended, place))
        return True

    def _ended(self, place: tuple[str, str], task: asyncio.Task[bool]) -> None:
        del self._tasks[place], self._lanes[place]
        name = place[0]
        # Where nothing could be taken, or noted, the database has trouble: that waits for the next tick.
        if name in self._full and not task.cancelled() and task.result():
            self._freed.add(name)  # those that end at once share a look
            if name not in self._refills:
                self._refills[name] = asyncio.create_task(self._refill(self.jobs[name]))

    async def _consider(self, job: Job, row: Row) -> bool:
        """Run a job if its time has come, or it is wanted, and no other process is faster; tell if it ran."""
        try:
            if row["ready_ms"] > self._clock.ms():
                assert job.wanted is not None, "only what is due, or may be wanted, is looked at"
                async with asyncio.timeout(job.seconds_max):
                    if not await job.wanted(self._run_of(job, row, "")):
                        return False
            if await self._take(job, row):
                await self._attempt(self._run_of(job, row, self._held[job.name, row["key"]].holder), row)
                return True
        except Exception as error:
            log.info("job_postponed", job=job.name, reason=_reason(error), exc_info=_trace(job, error))
        return False

    async def _take(self, job: Job, row: Row) -> bool:
        self._number += 1
        holder, now_ms = f"{self._process}.{self._number}", self._clock.ms()
        async with self._database.write() as tx:
            taken = await tx.run(
                storage.TAKE,
                of_name=job.name,
                of_key=row["key"],
                seen_ms=row["ready_ms"],
                seen_holder=row["holder"],
                now_held_by=holder,
                now_ms=now_ms,
                until=now_ms + round(LEASE_SECONDS * 1000),
            )
        if taken:
            self._hold((job.name, row["key"]), holder, now_ms)
        return bool(taken)

    async def _renew(self) -> None:
        """Go on having what runs here. What another process has taken meanwhile is cancelled."""
        now_ms = self._clock.ms()
        for place, lease in list(self._held.items()):
            if now_ms < lease.renew_ms:
                continue
            async with self._database.write() as tx:
                renewed = await tx.run(
                    storage.RENEW,
                    of_name=place[0],
                    of_key=place[1],
                    held_by=lease.holder,
                    until=now_ms + round(LEASE_SECONDS * 1000),
                )
            if self._held.get(place) is not lease:
                continue  # it has ended
            if renewed:
                self._hold(place, lease.holder, now_ms)
            elif (task := self._tasks.get(place)) is not None:
                log.warning("job_lease_lost", job=place[0], key=place[1])
                task.cancel()

    def _hold(self, place: tuple[str, str], holder: str, now_ms: int) -> None:
        self._held[place] = _Lease(holder, now_ms + round(LEASE_SECONDS / 3 * 1000))

    async def _attempt(self, run: JobRun, row: Row) -> Exception | None:
        """Run a job that is held, and note how it went; returns what it has raised."""
        job, began = run.job, time.monotonic()
        error: Exception | None = None
        try:
            try:
                async with asyncio.timeout(job.seconds_max):
                    await job.work(run)
            except TimeoutError as timeout:
                error = timeout if str(timeout) else TimeoutError(f"took longer than {job.seconds_max:g} s")
            except LeaseLost as lost:
                log.warning("job_lease_lost", job=job.name, key=run.key)
                return lost
            except Exception as failure:  # noqa: BLE001 - of whatever kind: told below, and tried again
                error = failure
            metrics.RUNS.labels(job.name, "failed" if error else "done").inc()
            metrics.SECONDS.labels(job.name).inc(time.monotonic() - began)
            await self._note(run, row, error)
        except asyncio.CancelledError:
            await asyncio.shield(self._give_back(run))
            raise
        finally:
            self._held.pop((job.name, run.key), None)
        return error

    async def _note(self, run: JobRun, row: Row, error: Exception | None) -> None:
        job, now_ms = run.job, self._clock.ms()
        held = {"of_name": job.name, "of_key": run.key, "held_by": run.holder}
        overdue = await self._overdue(run)
        if error is not None:
            again_ms = self._again_ms(job, row["failures"] + 1, now_ms)
            reason = _reason(error)[: storage.ERROR_MAX].replace("\0", "")
            self._tell(run, error, row["failures"] + 1, again_ms)
            async with self._database.write() as tx:
                await tx.run(
                    storage.FAILED, **held, now_ms=now_ms, again_ms=again_ms, now_error=reason,
                    now_overdue=row["overdue"] if overdue is None else overdue,
                )  # fmt: skip
        elif job.every_seconds is not None:
            next_ms = now_ms if run.is_unfinished else _next_ms(row["due_ms"], job.every_seconds, now_ms)
            async with self._database.write() as tx:
                await tx.run(
                    storage.DONE, **held, now_ms=now_ms, next_ms=next_ms, now_memo=run.memo,
                    now_overdue=overdue or 0,
                )  # fmt: skip
        elif not run.is_finished:
            async with self._database.write() as tx:
                await tx.run(storage.DELETE, **held)

    async def _overdue(self, run: JobRun) -> int | None:
        if run.job.overdue is None:
            return 0
        try:
            return await run.job.overdue(run)
        except StorageError as error:
            log.info("overdue_not_counted", job=run.job.name, reason=str(error))
            return None

    def _again_ms(self, job: Job, failures: int, now_ms: int) -> int:
        """When a failed run is tried again: later each time, give or take a quarter."""
        if job.every_seconds is None and failures >= job.tries_max:
            return storage.NEVER_MS
        longest = job.pause_seconds_max
        if job.every_seconds is not None:
            longest = max(job.every_seconds, EVERY_SECONDS_LEAST)
        pause: float = min(BACKOFF_SECONDS * 2 ** min(failures - 1, 20), longest)
        return now_ms + round(pause * 1000 * (0.75 + 0.5 * self._database.chance()))

    def _tell(self, run: JobRun, error: Exception, failures: int, again_ms: int) -> None:
        event = "job_given_up" if again_ms == storage.NEVER_MS else "job_failed"
        log.warning(
            event,
            job=run.job.name,
            key=run.key,
            failures=failures,
            reason=_reason(error),
            exc_info=_trace(run.job, error),
        )

    async def _give_back(self, run: JobRun) -> None:
        """Let another process have what was cancelled here, at once."""
        held = {"of_name": run.job.name, "of_key": run.key, "held_by": run.holder}
        with contextlib.suppress(StorageError):  # the lease lapses
            async with self._database.write() as tx:
                await tx.run(storage.RELEASE, **held, now_ms=self._clock.ms())


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


def _trace(job: Job, error: Exception) -> Exception | None:
    """What the log needs to tell where an error comes from that nobody has expected."""
    return None if isinstance(error, (StorageError, TimeoutError, *job.expected)) else error


def _next_ms(due_ms: int, every_seconds: float, now_ms: int) -> int:
    """The next turn after now; turns that were missed are not made up for."""
    every_ms = max(1, round(every_seconds * 1000))
    if due_ms > now_ms:  # it ran out of turn
        return now_ms + every_ms
    return due_ms + ((now_ms - due_ms) // every_ms + 1) * every_ms
