"""Jobs that delete what has got old: in bounded steps until they have caught up, saying how much is left."""

from collections.abc import Callable
from typing import Protocol

from gameserver.apps import App
from gameserver.jobs.declaring import Job, JobRun
from gameserver.storage import Transaction

EVERY_SECONDS = 60.0
AT_ONCE = 1000  # rows
COUNTED_MAX = 100_000  # beyond this, how much is overdue does not matter any more


class Expires(Protocol):
    """Rows with a time; see `storage.expiry`."""

    async def forget(self, tx: Transaction, before_ms: int, most: int, **params: str) -> int:
        """Delete rows of before a time, at most so many, the oldest first; returns how many."""

    async def count(self, tx: Transaction, before_ms: int, most: int, **params: str) -> int:
        """Count them, up to so many."""


def forget(name: str, rows: Expires, age_ms: int = 0, *, every_seconds: float = EVERY_SECONDS) -> Job:
    """Make a job that deletes rows whose time was longer ago than an age."""

    async def work(run: JobRun) -> None:
        before = run.now_ms - age_ms
        await run.catch_up(lambda tx: rows.forget(tx, before, AT_ONCE), AT_ONCE)

    async def overdue(run: JobRun) -> int:
        async with run.database.read() as tx:
            return await rows.count(tx, run.now_ms - age_ms, COUNTED_MAX)

    return Job(name, work, every_seconds=every_seconds, overdue=overdue)


def forget_of_apps(
    name: str, rows: Expires, age_ms: Callable[[App], int], *, every_seconds: float = EVERY_SECONDS
) -> Job:
    """Make a job that deletes rows of each app, by the age that the app says. `rows` take an `app`."""

    async def work(run: JobRun) -> None:
        async def of_app(app: App) -> None:
            before = run.now_ms - age_ms(app)
            await run.catch_up(lambda tx: rows.forget(tx, before, AT_ONCE, app=app.id), AT_ONCE)

        await run.for_each_app(of_app)

    async def overdue(run: JobRun) -> int:
        found = 0
        async with run.database.read() as tx:
            for app in run.apps:
                found += await rows.count(tx, run.now_ms - age_ms(app), COUNTED_MAX, app=app.id)
        return found

    return Job(name, work, every_seconds=every_seconds, overdue=overdue)
