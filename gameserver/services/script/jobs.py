"""Jobs that run scripts. A run's journal is named by its job: one that is cut off does nothing twice."""

import time
from typing import Any

import msgspec

from gameserver.apps import App, LiveApps
from gameserver.jobs import Job, JobRun, enqueue
from gameserver.jobs.expiring import forget_of_apps
from gameserver.rpc import Caller, Context, Origin, Runner
from gameserver.rpc import steps as journal
from gameserver.rpc.steps import JOB_KEPT_MS, PACKET_KEPT_MS, Steps, run_messages
from gameserver.scripts.bridge import FACE, RUN, Kind, Standing
from gameserver.scripts.programs import SCRIPT_SECONDS_MAX
from gameserver.scripts.running import data_of, run_script
from gameserver.services.script import storage
from gameserver.services.script.base import SchedulingSettings, find, service
from gameserver.services.script.storage import COMPLETED, FAILED, SCHEDULED, SCRIPT
from gameserver.services.script.targets import Targets, next_of, read_targets
from gameserver.services.script.targets import are_known as are_targets_known
from gameserver.storage import Row, Transaction
from gameserver.wire import json
from gameserver.wire.errors import GameError
from gameserver.wire.packet import Message, refusal

SECONDS_MORE = 30.0  # than a script may run: for its turn among others, and for what is noted of it
BATCH_SECONDS = 240.0  # after which another job goes on with a batch: others have a turn, too
DAY_MS = 24 * 3600 * 1000
PAUSE_MS = 5000  # until it is looked again whether it is known who belongs to segments

# The list


async def put_on_list(ctx: Context, job: Job, **values: Any) -> Row:
    """Note what is to run, and have it run when its time has come; returns the row."""
    values = storage.new_row(
        app_id=ctx.app.id,
        job_id=ctx.core.new_id(),
        created_ms=ctx.now_ms,
        updated_ms=ctx.now_ms,
        **values,
    )
    row = await ctx.tx.one(storage.ADD, **values)
    assert row is not None, "an insert returns its row"
    await enqueue(
        ctx.tx, job, key=row["job_id"], payload={"app": ctx.app.id}, at_ms=row["start_ms"], lane=ctx.app.id
    )
    return row


async def _begin(run: JobRun) -> tuple[App, Row] | None:
    """Note that a job runs; None for one that is not to run any more."""
    app = run.get(LiveApps).find(run.payload["app"])
    job_id = run.key.partition("/")[0]
    if app is None:
        return None

    async def begin(tx: Transaction) -> Row | None:
        return await tx.one(storage.BEGIN, of_app=app.id, of_job=job_id, now_ms=run.now_ms)

    row = await run.database.transact(begin)
    return None if row is None else (app, row)


async def _end(run: JobRun, app: App, job_id: str, names: list[str], state: str, result: Any) -> None:
    """Note what has become of a job, exactly once; its journals are of no use any more."""

    async def end(tx: Transaction) -> None:
        await tx.run(
            storage.END,
            of_app=app.id,
            of_job=job_id,
            new_state=state,
            new_result=json.encode_free(result).decode(),
            now_ms=run.now_ms,
        )
        for name in names:
            await tx.run(journal.FORGET_SOON, of_run=name, new_expires_ms=run.now_ms + PACKET_KEPT_MS)
        await run.done(tx)

    await run.database.transact(end)


def _steps(run: JobRun, ctx: Context, name: str) -> Steps:
    return Steps(run.get(Runner), ctx.effects, name, kept_ms=JOB_KEPT_MS)


def _context(run: JobRun, app: App) -> Context:
    return Context(run.get(Runner).core, app, Origin("job", "", FACE), caller=Caller.SCRIPT)


async def _run_message(
    run: JobRun, app: App, name: str, script: str, parameters: str, profile_id: str | None = None
) -> dict[str, Any]:
    """Run a script as a step of a job; returns the entry of the answer."""
    ctx = _context(run, app)
    ctx.profile_id = profile_id
    data = b'{"scriptName":%b,"scriptData":%b}' % (json.encode("/" + script), parameters.encode())
    plan = run.get(Runner).plan([Message(*RUN, msgspec.Raw(data))])
    steps = _steps(run, ctx, name)
    await steps.load()
    outcome = await run_messages(steps, ctx, plan)
    await run.get(Runner).finish(ctx, outcome)
    entry: dict[str, Any] = msgspec.json.decode(outcome.entries[0])
    return entry


def _became(entry: dict[str, Any]) -> tuple[str, Any]:
    """Return a job's state and result, from what its script answered."""
    data = entry.get("data")
    if entry["status"] == 200 and isinstance(data, dict) and data.get("success"):  # noqa: PLR2004 - as on the wire
        return COMPLETED, data
    return FAILED, entry if data is None else data


# Scheduled scripts


async def _run_script(run: JobRun) -> None:
    begun = await _begin(run)
    if begun is None:
        return
    app, row = begun
    name = f"job/{row['job_id']}"
    if row["peer_app_id"] is not None:
        entry = await _run_peer(run, app, row, name)
    else:
        entry = await _run_message(run, app, name, row["script_name"], row["parameters"])
    await _end(run, app, row["job_id"], [name], *_became(entry))


async def _run_peer(run: JobRun, app: App, row: Row, name: str) -> dict[str, Any]:
    peer = run.get(LiveApps).find(row["peer_app_id"])
    ctx = _context(run, peer or app)
    steps = _steps(run, ctx, name)
    for _ in range(journal.STARTS_MAX):
        try:
            await steps.load()
            ctx.steps = steps
            if peer is None:
                return {"status": 400, "status_message": "the peer app is gone"}
            program = find(peer, row["script_name"])
            standing = Standing(Kind.PEER, peer, client_app=app, client_profile_id=row["owner_id"])
            ran = await run_script(ctx, standing, program, data_of(row["parameters"]))
        except journal.BeginAgain:
            continue
        except GameError as error:
            entry: dict[str, Any] = msgspec.json.decode(refusal(error))
            return entry
        return {"status": 200, "data": msgspec.json.decode(json.encode(ran))}
    raise TimeoutError("other runs of the job were faster each time")


RUN_SCRIPT = Job(
    "script.run",
    _run_script,
    seconds_max=SCRIPT_SECONDS_MAX + SECONDS_MORE,
    at_once=24,
    at_once_in_lane=8,
    pause_seconds_max=60.0,
)

# Batches


async def _run_batch(run: JobRun) -> None:
    begun = await _begin(run)
    if begun is None:
        return
    (app, row), began = begun, time.monotonic()
    job_id, last, done, failed = row["job_id"], row["last_profile_id"], row["done"], row["failed"]
    targets = read_targets(row["targets"] or "null")
    async with run.database.read() as tx:
        are_known = await are_targets_known(tx, app, targets)
    if not are_known:
        await _leave_rest(run, app, job_id, "known", run.now_ms + PAUSE_MS)
        return
    while turns := await _next(run, app, targets, last):
        for profile_id in turns:
            entry = await _run_message(
                run, app, f"job/{job_id}/{profile_id}", row["script_name"], row["parameters"], profile_id
            )
            last, done, failed = profile_id, done + 1, failed + (_became(entry)[0] == FAILED)
            if not await _go_on(run, app, job_id, last, done, failed):
                return  # it was cancelled
            if time.monotonic() - began >= BATCH_SECONDS:
                await _leave_rest(run, app, job_id, f"{done}", run.now_ms)
                return
    names = [f"job/{job_id}/completion"]
    if row["completion_script"]:
        await _run_message(run, app, names[0], row["completion_script"], row["parameters"])
    await _end(run, app, job_id, names, COMPLETED, {"done": done, "failed": failed})


async def _go_on(run: JobRun, app: App, job_id: str, last: str, done: int, failed: int) -> bool:
    async def go_on(tx: Transaction) -> int:
        name = f"job/{job_id}/{last}"
        await tx.run(journal.FORGET_SOON, of_run=name, new_expires_ms=run.now_ms + PACKET_KEPT_MS)
        return await tx.run(
            storage.GO_ON, of_app=app.id, of_job=job_id, new_last=last, new_done=done, new_failed=failed,
            now_ms=run.now_ms,
        )  # fmt: skip

    return bool(await run.database.transact(go_on))


async def _next(run: JobRun, app: App, targets: Targets | None, last: str) -> list[str]:
    async with run.database.read() as tx:
        return await next_of(tx, app, targets, last)


async def _leave_rest(run: JobRun, app: App, job_id: str, why: str, at_ms: int) -> None:
    """Let a next job go on: this one's time is over, or has not come."""

    async def leave(tx: Transaction) -> None:
        await run.done(tx)
        key = f"{job_id}/{why}"
        await enqueue(tx, RUN_BATCH, key, payload={"app": app.id}, at_ms=at_ms, lane=app.id)

    await run.database.transact(leave)


RUN_BATCH = Job(
    "script.runBatch",
    _run_batch,
    seconds_max=BATCH_SECONDS
    + 2 * (SCRIPT_SECONDS_MAX + SECONDS_MORE),  # the last player's script, and the completion
    at_once=6,
    at_once_in_lane=2,
    pause_seconds_max=60.0,
)

# Schedules of the app


async def _look_at_schedules(run: JobRun) -> None:
    await run.for_each_app(lambda app: _look_at(run, app))


async def _look_at(run: JobRun, app: App) -> None:
    schedules = app.section(SchedulingSettings).schedules
    if not schedules:
        return
    async with run.database.read() as tx:
        seen = {row["name"]: row["last_ms"] for row in await tx.all(storage.SCHEDULES, app=app.id)}
    for name, schedule in schedules.items():
        if name not in seen:
            async with run.database.write() as tx:
                await tx.run(storage.BEGIN_SCHEDULE, app_id=app.id, name=name, last_ms=run.now_ms)
            continue
        turn_ms = schedule.last_turn(seen[name], run.now_ms)
        if turn_ms is not None:
            await _take_turn(run, app, name, schedule.script, schedule.data, seen[name], turn_ms)


async def _take_turn(
    run: JobRun, app: App, name: str, script: str, data: dict[str, Any], seen_ms: int, turn_ms: int
) -> None:
    """Put a turn on the list, if no other process was faster."""
    ctx = _context(run, app)

    async def take(tx: Transaction) -> None:
        ctx.use(tx)
        taken = await tx.run(storage.TAKE_TURN, of_app=app.id, of_name=name, seen_ms=seen_ms, turn_ms=turn_ms)
        if taken:
            await put_on_list(
                ctx,
                RUN_SCRIPT,
                job_type=SCRIPT,
                script_name=script,
                parameters=json.encode_free(data).decode(),
                run_state=SCHEDULED,
                start_ms=turn_ms,
            )

    await run.database.transact(take)


service.runs(
    RUN_SCRIPT,
    RUN_BATCH,
    Job("script.schedules", _look_at_schedules, every_seconds=10),
    forget_of_apps(
        "script.forget", storage.OLD, lambda app: app.section(SchedulingSettings).keep_days * DAY_MS
    ),
)
service.keeps(storage.KEPT)
