"""How a job is declared, enqueued, and what it may use while it runs."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
import structlog

from gameserver.apps import App
from gameserver.frame import Parts
from gameserver.jobs import storage
from gameserver.storage import Database, Transaction
from gameserver.wire.clock import Clock

log = structlog.get_logger(__name__)

SECONDS_MAX = 50.0
PAUSE_SECONDS_MAX = 3600.0
TRIES_MAX = 12  # of work that was enqueued: the last one an hour and more after the first
STEPS_SHARE = 0.8  # of a run's time, after which bounded steps leave the rest to the next run
T = TypeVar("T")

Work = Callable[["JobRun"], Awaitable[None]]


@dataclass(frozen=True)
class Job:
    """Work without a packet. Whoever declares it hands it to its service or face, or lists it for a floor.

    - `name`: whose it is and what it does, such as `dataStream.forget`.
    - `every_seconds`: it has a schedule, and runs at least so often. Without, it runs when it is enqueued.
    - `wanted`: asked every second, by every process; True has a job with a schedule run at once. Cheap.
    - `seconds_max`: the longest run; what takes longer is cancelled, and has failed.
    - `overdue`: counts the rows that should be gone, or done, by now, for operators to see.
    - `at_once`: how many enqueued pieces run at the same time in one process; `at_once_in_lane`: how many of
      those that may have to wait for the same thing, which so keeps no other waiting.
    - `tries_max`: how often a piece is tried before it is left to the operator, and `pause_seconds_max` the
      longest pause between two tries.
    - `expected`: errors that mean that something is away, which a line of the log says without a traceback.

    One process at a time runs it: who has its lease, which lapses soon after that process dies. A process
    that was stopped for longer may find out late that it has lost the lease, so work commits in transactions
    that do no harm twice, or ends with `JobRun.done` in the transaction of its effects. A failed run is
    tried again, later each time, and concerns no other job.
    """

    name: str
    work: Work
    every_seconds: float | None = None
    wanted: Callable[["JobRun"], Awaitable[bool]] | None = None
    seconds_max: float = SECONDS_MAX
    overdue: Callable[["JobRun"], Awaitable[int]] | None = None
    at_once: int = 1
    at_once_in_lane: int | None = None
    tries_max: int = TRIES_MAX
    pause_seconds_max: float = PAUSE_SECONDS_MAX
    expected: tuple[type[Exception], ...] = ()

    def __post_init__(self) -> None:
        """Raise `ValueError` for what cannot be."""
        if not 0 < len(self.name) <= storage.NAME_MAX:
            raise ValueError(f"a job's name has 1 to {storage.NAME_MAX} characters: {self.name!r}")
        if self.wanted is not None and self.every_seconds is None:
            raise ValueError(f"{self.name}: only a job with a schedule can be wanted sooner")


class LeaseLost(Exception):
    """Another process has taken the work over; nothing of this transaction may stay."""


@dataclass
class JobRun:
    """One run of a job, with what it may use. `key` and `payload` are those it was enqueued with."""

    job: Job
    database: Database
    clock: Clock
    apps: Iterable[App]
    parts: Parts
    key: str = storage.SCHEDULED
    payload: Any = None
    memo: str = ""  # a text that a run with a schedule leaves to the next one; kept when the run succeeds
    holder: str = ""
    is_finished: bool = False
    is_unfinished: bool = False  # time was over before the work was: the next run follows at once
    _began: float = field(default_factory=time.monotonic)

    @property
    def now_ms(self) -> int:
        """The time."""
        return self.clock.ms()

    def get(self, kind: type[T]) -> T:
        """Return what lives as long as the server, by its type."""
        return self.parts.get(kind)

    @property
    def is_over(self) -> bool:
        """Whether it is time to leave the rest to the next run."""
        return time.monotonic() - self._began >= self.job.seconds_max * STEPS_SHARE

    async def catch_up(self, step: Callable[[Transaction], Awaitable[int]], at_once: int) -> int:
        """Do a bounded step, each in a transaction of its own, until nothing is left or time is over.

        A step returns how many rows it has seen to; fewer than `at_once`, and nothing is left. Others have
        the database between two steps. Returns how many rows it were in all.
        """
        rows = 0
        while True:
            some = await self.database.transact(step)
            rows += some
            if some < at_once:
                return rows
            if self.is_over:
                self.is_unfinished = True
                return rows
            await asyncio.sleep(0)

    async def for_each_app(self, work: Callable[[App], Awaitable[None]]) -> None:
        """Do something for each app, in any order. One that fails does not keep the others waiting.

        Raises what the last one that failed has raised, when all others are done.
        """
        apps = list(self.apps)
        random.shuffle(apps)  # or the time could be over each time before the last one
        failed: Exception | None = None
        for app in apps:
            try:
                await work(app)
            except Exception as error:  # noqa: BLE001 - raised below
                if failed is not None:
                    log.warning("job_failed_for_app", job=self.job.name, reason=str(failed))
                failed = error
        if failed is not None:
            raise failed

    async def done(self, tx: Transaction) -> None:
        """Take enqueued work off the list in the transaction that does it: it is done exactly once.

        Raises `LeaseLost` when another process has it meanwhile.
        """
        if not await tx.run(storage.DELETE, of_name=self.job.name, of_key=self.key, held_by=self.holder):
            raise LeaseLost(f"{self.job.name} {self.key}: another process has it")
        self.is_finished = True


async def enqueue(
    tx: Transaction,
    job: Job,
    key: str,
    payload: Mapping[str, Any] | None = None,
    *,
    at_ms: int,
    lane: str = "",
) -> None:
    """Have a job done at a time, or soon after: exactly if this transaction is committed.

    `key` says which piece of work it is: while one of this key waits or runs, enqueueing it is a no-op.
    `lane` names what the work may have to wait for, such as a server of others (see `Job.at_once_in_lane`).
    """
    if job.every_seconds is not None or not 0 < len(key) <= storage.KEY_MAX:
        raise ValueError(f"{job.name}: no job to enqueue, or no key of 1 to {storage.KEY_MAX} characters")
    if len(lane) > storage.LANE_MAX:
        raise ValueError(f"{job.name}: a lane has at most {storage.LANE_MAX} characters")
    text = None if payload is None else msgspec.json.encode(payload).decode()
    await tx.defer(storage.ADD, name=job.name, key=key, payload=text, due_ms=at_ms, lane=lane)


async def hasten(tx: Transaction, job: Job, key: str, *, now_ms: int) -> None:
    """Have work done now that waits for its next try, or was given up. What runs just now goes on."""
    await tx.defer(storage.HASTEN, of_name=job.name, of_key=key, now_ms=now_ms)
