"""Refreshing all players of an app: in bounded steps, each noted before the next one begins.

Players are walked through in the order of their ids. Whoever is made meanwhile has had a login of their own,
which works out the same. A process that dies leaves the rest to another one, which goes on from there.
"""

from datetime import timedelta

from gameserver.apps import App, LiveApps
from gameserver.domain.segments import membership, storage
from gameserver.domain.segments.settings import Segment, SegmentSettings
from gameserver.jobs import Job, JobRun, enqueue
from gameserver.storage import Row, Transaction, locks

STEP = 200  # players in a transaction
WATCH_SECONDS = 30.0
HOUR_MS = round(timedelta(hours=1).total_seconds() * 1000)


async def begin(tx: Transaction, app: App, now_ms: int) -> bool:
    """Begin a refresh of all players; False when one runs by these definitions already."""
    digest = app.section(SegmentSettings).digest
    row = await tx.one(storage.REFRESH, app=app.id)
    if row is not None and not row["ended_ms"] and row["digest"] == digest:
        return False
    await _start(tx, app, digest, now_ms)
    await enqueue(tx, REFRESH, app.id, {"app": app.id}, at_ms=now_ms, lane=app.id)
    return True


async def _start(tx: Transaction, app: App, digest: str, now_ms: int) -> None:
    await tx.run(
        storage.BEGIN_REFRESH,
        app_id=app.id,
        digest=digest,
        last_profile_id="",
        players=0,
        changed=0,
        started_ms=now_ms,
        ended_ms=0,
        whole_digest="",
        whole_ms=0,
    )


async def is_whole(tx: Transaction, app: App) -> bool:
    """Tell whether all players were looked at since the segments were last changed."""
    digest = app.section(SegmentSettings).digest
    row = await tx.one(storage.REFRESH, app=app.id)
    return not digest or (row is not None and row["whole_digest"] == digest)


def records_lock(app: App) -> str:
    """Return the lock of the records of an app's segments."""
    return locks.shared_lock(app.id, "segments", "")


async def record(tx: Transaction, app: App, now_ms: int) -> dict[int, Row]:
    """Note how the segments are declared now, where that has changed; returns their records by number."""
    declared = app.section(SegmentSettings).by_id
    stored = {row["segment_id"]: row for row in await tx.all(storage.RECORDS, app=app.id)}
    other = [
        (number, name, segment)
        for number, (name, segment) in declared.items()
        if number not in stored
        or (name, segment.testers_only, said(segment))
        != tuple(stored[number][column] for column in ("name", "testers_only", "said"))
    ]
    if other:
        await locks.take(tx, [records_lock(app)])
    for number, name, segment in other:
        await tx.run(
            storage.RECORD,
            app_id=app.id,
            segment_id=number,
            name=name,
            said=said(segment),
            testers_only=segment.testers_only,
            version=1,
            created_ms=now_ms,
            updated_ms=now_ms,
        )
    if other:
        stored = {row["segment_id"]: row for row in await tx.all(storage.RECORDS, app=app.id)}
    return {number: stored[number] for number in declared}


def said(segment: Segment) -> str:
    """Return what tells one declaration of a segment from another, beside its name."""
    return f"{segment.digest} {segment.description}"


# Jobs


async def _refresh(run: JobRun) -> None:
    """Refresh the players of an app, from where the last run has come to."""
    while True:
        app = run.get(LiveApps).find(run.payload["app"])
        async with run.database.read() as tx:
            row = await tx.one(storage.REFRESH, app=run.payload["app"])
        if app is None or row is None or row["ended_ms"]:
            async with run.database.write() as tx:
                await run.done(tx)
            return
        digest = app.section(SegmentSettings).digest
        if row["digest"] != digest:  # the segments have changed meanwhile: from the beginning
            async with run.database.write() as tx:
                await _start(tx, app, digest, run.now_ms)
        elif not await _step(run, app, row):
            return


async def _step(run: JobRun, app: App, row: Row) -> bool:
    """Refresh the next players; False when this run has done its part."""
    async with run.database.read() as tx:
        found = await tx.all(storage.NEXT_PLAYERS, app=app.id, after=row["last_profile_id"], most=STEP)
    ids = [each[0] for each in found]
    changed = await membership.refresh(run.database, app, ids, run.now_ms) if ids else 0
    seen = {"of_app": app.id, "seen_ms": row["started_ms"], "seen": row["last_profile_id"]}
    goes_on = len(ids) == STEP
    async with run.database.write() as tx:
        if goes_on:  # unless it was begun anew meanwhile
            await tx.run(storage.GO_ON, **seen, now_last=ids[-1], more=STEP, more_changed=changed)
        elif await tx.run(
            storage.END_REFRESH, **seen, more=len(ids), more_changed=changed, now_ms=run.now_ms
        ):
            await run.done(tx)
            return False
        if run.is_over:
            await run.done(tx)
            await enqueue(tx, REFRESH, app.id, run.payload, at_ms=run.now_ms, lane=app.id)
            return False
    return True


REFRESH = Job("segment.refresh", _refresh, at_once=4, at_once_in_lane=1)


async def _watch(run: JobRun) -> None:
    """Begin a refresh where the segments of an app have changed, or the last one was too long ago."""
    async with run.database.read() as tx:
        rows = {row["app_id"]: row for row in await tx.all(storage.REFRESHES)}

    async def look(app: App) -> None:
        settings, row = app.section(SegmentSettings), rows.get(app.id)
        if not settings.segments and row is None:
            return
        whole_ms, whole_digest = (0, "") if row is None else (row["whole_ms"], row["whole_digest"])
        is_old = bool(settings.refresh_hours) and run.now_ms - whole_ms >= settings.refresh_hours * HOUR_MS
        if whole_digest != settings.digest or (settings.segments and is_old):
            async with run.database.write() as tx:
                await record(tx, app, run.now_ms)
                await begin(tx, app, run.now_ms)

    await run.for_each_app(look)


WATCH = Job("segment.watch", _watch, every_seconds=WATCH_SECONDS)
