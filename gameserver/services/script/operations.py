"""Running scripts, now and later."""

from typing import Annotated, Any

from msgspec import Meta, field

from gameserver.apps import App, LiveApps
from gameserver.documents.documents import data_out
from gameserver.domain.leaderboards.periods import read_time
from gameserver.domain.segments import membership
from gameserver.domain.segments.membership import UnknownSegment
from gameserver.domain.segments.settings import SEGMENTS_MAX
from gameserver.players import profile_links
from gameserver.players.fields import PeerCode
from gameserver.players.profile_links import InvalidPeer, NoParent, UnknownLevel
from gameserver.players.quotas import QuotaReached
from gameserver.rpc import Access, Context, Tx
from gameserver.scripts import Program, running
from gameserver.scripts.bridge import RUN, Kind, Standing, standing_of
from gameserver.scripts.running import EmptyScript, MissingScript, Ran, ScriptNotCallable, data_of, run_script
from gameserver.services.script import storage
from gameserver.services.script.base import (
    FIND_ERRORS,
    JobNotFound,
    JobNotRunning,
    JobNotScheduled,
    Named,
    SchedulingSettings,
    WrongJobType,
    find,
    find_callable,
    owner_of,
    service,
)
from gameserver.services.script.jobs import RUN_BATCH, RUN_SCRIPT, put_on_list
from gameserver.services.script.storage import BATCH, QUEUED, RUNNING, SCHEDULED, SCRIPT
from gameserver.services.script.targets import OfSegments, Targets
from gameserver.storage import Row, locks
from gameserver.wire import json
from gameserver.wire.errors import (
    DisabledApp,
    GameError,
    InvalidParameterType,
    InvalidParameterValue,
    MissingParameter,
)
from gameserver.wire.fields import AppId
from gameserver.wire.shapes import Nothing, Reply, Request

MINUTES_MAX = 10 * 365 * 24 * 60
LATER_MS_MAX = MINUTES_MAX * 60_000

# Running


@service.operation(RUN[1], tx=Tx.NONE, access=Access.SIGNED_IN, stepwise=True, errors=running.ERRORS)
async def run(ctx: Context, request: Named) -> Ran:
    """Run a script and answer with its result, the value of its last expression.

    A script that throws, or does not end in time, is `success: false` with `reasonCode` and `errorMessage`;
    what it did before that stays. Whatever a script does through the bridge happens once, also where the
    packet is repeated after a crash in the middle. Refused, without a run: scripts that there are not, that
    are empty or cannot be read, that the caller may not run, and more at once than the app allows.
    """
    program = find_callable(ctx, request.script_name)
    return await run_script(ctx, standing_of(ctx), program, data_of(request.script_data))


class RunParent(Named, kw_only=True):
    parent_level: Annotated[
        str | None,
        Meta(description="The level of an app above this one, as the app declares it; nothing: the nearest."),
    ] = None


@service.operation(
    "RUN_PARENT_SCRIPT",
    tx=Tx.NONE,
    stepwise=True,
    errors=(UnknownLevel, NoParent, DisabledApp, *running.ERRORS),
)
async def run_parent(ctx: Context, request: RunParent) -> Ran:
    """Run a script of an app above, as the caller's profile there; the answer is that of `RUN`.

    Refused: levels that the app does not have, players without a profile there, disabled apps, and what `RUN`
    refuses.
    """
    apps = ctx.core.get(LiveApps)
    async with ctx.core.database.read() as tx:
        app, profile_id = await profile_links.at_level(tx, apps, ctx.app, ctx.player_id, request.parent_level)
    profile_links.check_open(app)
    there = ctx.at(app)
    program = find_callable(there, request.script_name)
    standing = Standing(Kind.CLIENT, app, profile_id, ctx.session, ctx.session_id)
    return await run_script(ctx, standing, program, data_of(request.script_data))


class RunPeer(Named, kw_only=True):
    peer: PeerCode


@service.operation(
    "RUN_PEER_SCRIPT",
    tx=Tx.NONE,
    access=Access.SIGNED_IN,
    stepwise=True,
    errors=(InvalidPeer, DisabledApp, *running.ERRORS),
)
async def run_peer(ctx: Context, request: RunPeer) -> Ran:
    """Run a script of a peer app, on behalf of that app; the answer is that of `RUN`.

    The script gets to the caller by `bridge.getClientSession`, and to the caller's profile in the peer by
    `getPeerProfileSession`. Refused: peers that the app does not have, scripts that are not callable by
    peers, disabled apps, and what `RUN` refuses.
    """
    app = profile_links.peer_app(ctx.core.get(LiveApps), ctx.app, request.peer)
    profile_links.check_open(app)
    program = _of_peer(app, request.script_name)
    return await run_script(ctx, peer_standing(ctx, app), program, data_of(request.script_data))


def peer_standing(ctx: Context, app: App) -> Standing:
    """Return on whose behalf a peer's script acts."""
    mine = standing_of(ctx)
    return Standing(
        Kind.PEER,
        app,
        session=mine.session,
        session_id=mine.session_id,
        client_app=ctx.app,
        client_profile_id=ctx.profile_id,
    )


def _of_peer(app: App, name: str) -> Program:
    program = find(app, name)
    if not program.peer_callable:
        raise ScriptNotCallable(f"the script {program.path!r} is not callable by peers")
    return program


# Jobs


class JobFacts(Reply, kw_only=True):
    """A script that is to run, runs or has run. Times are milliseconds since 1970, 0 for never."""

    job_id: Annotated[str, Meta(description="The id of the job.")]
    job_type: Annotated[str, Meta(description="CloudCode: a script; UserScriptBatch: a batch of runs.")]
    game_id: AppId
    script_name: Annotated[str, Meta(description="The path of the script.")]
    description: Annotated[str | None, Meta(description="Always null.")]
    parameters: Annotated[Any, Meta(description="What the script finds in `data`.")]
    created_at: Annotated[int, Meta(description="When the job was made: ms since 1970-01-01 UTC.")]
    updated_at: Annotated[int, Meta(description="When the job last changed: ms since 1970-01-01 UTC.")]
    scheduled_start_time: Annotated[int, Meta(description="When it is to run: ms since 1970-01-01 UTC.")]
    run_start_time: Annotated[int, Meta(description="When it began: ms since 1970-01-01 UTC; 0: it has not.")]
    local_time: Annotated[str | None, Meta(description="Always null.")]
    player_session_id: Annotated[str | None, Meta(description="Always null.")]


class ScriptJob(JobFacts, kw_only=True):
    """With its state: Scheduled, Queued, Running, Completed, Failed or Cancelled; and what it came to."""

    run_state: Annotated[str, Meta(description="Scheduled, Queued, Running, Completed, Failed or Cancelled.")]
    result: Annotated[Any, Meta(description="What it came to; {} before its end.")]
    run_end_time: Annotated[int, Meta(description="When it ended: ms since 1970-01-01 UTC; 0: it has not.")]


def _facts(row: Row) -> dict[str, Any]:
    return {
        "job_id": row["job_id"],
        "job_type": row["job_type"],
        "game_id": row["app_id"],
        "script_name": row["script_name"],
        "description": None,
        "parameters": data_out(row["parameters"]),
        "created_at": row["created_ms"],
        "updated_at": row["updated_ms"],
        "scheduled_start_time": row["start_ms"],
        "run_start_time": row["run_start_ms"],
        "local_time": None,
        "player_session_id": None,
    }


def shown(row: Row) -> ScriptJob:
    """Return a job as clients see it."""
    result = {} if row["result"] is None else data_out(row["result"])
    return ScriptJob(**_facts(row), run_state=row["run_state"], result=result, run_end_time=row["run_end_ms"])


Moment = float | str | None
"""A time: milliseconds since 1970, also as text, or a date."""
Start = Annotated[
    Moment,
    Meta(
        description="When it runs: ms since 1970-01-01 UTC, also as text, or a date. One that is over: now."
    ),
]
StartToo = Annotated[Moment, Meta(description="Another name of `startDateInUTC`.")]


class ScheduleScript(Named, kw_only=True):
    """At a time of UTC, for which SDKs and the reference have different names, or in so many minutes."""

    start_date_in_utc: Start = field(default=None, name="startDateInUTC")
    start_date_utc: StartToo = field(default=None, name="startDateUTC")
    minutes_from_now: Annotated[
        float | None, Meta(description="In how many minutes it runs, if no time is sent; up to ten years.")
    ] = None


def start_of(ctx: Context, in_utc: Moment, utc: Moment, minutes: float | None) -> int:
    """Return when a script runs, and now for a time that is over. Raises `InvalidParameterType`."""
    date = in_utc if in_utc is not None else utc
    if date is None and minutes is None:
        raise MissingParameter("data.startDateUTC, or data.minutesFromNow: required")
    if date is None and not 0 <= (minutes or 0) <= MINUTES_MAX:
        raise InvalidParameterType("data.minutesFromNow: from 0 to ten years")
    start = ctx.now_ms + round((minutes or 0) * 60_000) if date is None else moment(date)
    if start > ctx.now_ms + LATER_MS_MAX:
        raise InvalidParameterType("data.startDateUTC: at most ten years from now")
    return max(start, ctx.now_ms)


def moment(date: float | str | None) -> int:
    """Read a time. Raises `InvalidParameterType`."""
    try:
        read = read_time(date, "data.startDateUTC")
    except InvalidParameterValue as error:
        raise InvalidParameterType(str(error)) from None
    if read is None:
        raise MissingParameter("data.startDateUTC: required")
    return read


@service.operation(
    "SCHEDULE_CLOUD_SCRIPT", tx=Tx.WRITE, access=Access.SIGNED_IN, errors=(*FIND_ERRORS, QuotaReached)
)
async def schedule(ctx: Context, request: ScheduleScript) -> ScriptJob:
    """Have a script run once, at a time or in some minutes, for nobody: its answer is read by nobody either.

    A script that is cut off runs again, and what it did before is not done twice. Times that are over mean
    now. Refused: scripts that there are not or that the caller may not run, times more than ten years from
    now, and players who have as many on the list as the app allows.
    """
    program = find_callable(ctx, request.script_name)
    owner = owner_of(ctx)
    start_ms = start_of(ctx, request.start_date_in_utc, request.start_date_utc, request.minutes_from_now)
    await _check_list(ctx, owner)
    return shown(
        await put_on_list(
            ctx,
            RUN_SCRIPT,
            job_type=SCRIPT,
            script_name=program.path,
            parameters=data_of(request.script_data).decode(),
            run_state=SCHEDULED,
            owner_id=owner,
            start_ms=start_ms,
        )
    )


@service.operation(
    "RUN_PEER_SCRIPT_ASYNC",
    tx=Tx.WRITE,
    access=Access.SIGNED_IN,
    errors=(InvalidPeer, DisabledApp, QuotaReached, *FIND_ERRORS),
)
async def run_peer_later(ctx: Context, request: RunPeer) -> ScriptJob:
    """Have a script of a peer app run soon, on behalf of that app; the answer is the job.

    Refused: peers that the app does not have, scripts that there are not or that are not callable by peers,
    and players who have as many on the list as the app allows.
    """
    app = profile_links.peer_app(ctx.core.get(LiveApps), ctx.app, request.peer)
    profile_links.check_open(app)
    program = _of_peer(app, request.script_name)
    owner = ctx.profile_id
    await _check_list(ctx, owner_of(ctx))
    return shown(
        await put_on_list(
            ctx,
            RUN_SCRIPT,
            job_type=SCRIPT,
            script_name=program.path,
            parameters=data_of(request.script_data).decode(),
            run_state=QUEUED,
            owner_id=owner,
            peer_app_id=app.id,
            start_ms=ctx.now_ms,
        )
    )


async def _check_list(ctx: Context, owner: str | None) -> None:
    """Raise `QuotaReached` for a player who has as many scripts on the list as the app allows."""
    if owner is None:
        return
    most = ctx.section(SchedulingSettings).scheduled_per_player
    counted = await ctx.tx.one(storage.COUNT_OF_OWNER, owner=owner)
    if counted is not None and counted[0] >= most:
        raise QuotaReached(f"a player may have {most} scripts scheduled (scheduled_per_player)")


class OfJob(Request):
    job_id: Annotated[str, Meta(max_length=64, description="The id of the job.")]


def of_job(ctx: Context, request: OfJob) -> list[str]:
    """Return the lock of a job, of which a packet may cancel several."""
    return [locks.shared_lock(ctx.app.id, "script_job", request.job_id)]


@service.operation(
    "CANCEL_SCHEDULED_SCRIPT",
    tx=Tx.WRITE,
    access=Access.SIGNED_IN,
    locks=of_job,
    errors=(JobNotFound, JobNotScheduled),
)
async def cancel(ctx: Context, request: OfJob) -> ScriptJob:
    """Take a script off the list.

    Refused: jobs that there are not, or that are another player's, and those that have begun.
    """
    row = await ctx.tx.one(storage.FIND, app=ctx.app.id, job=request.job_id)
    owner = owner_of(ctx)
    if row is None or row["job_type"] != SCRIPT or (owner is not None and row["owner_id"] != owner):
        raise JobNotFound(f"there is no job {request.job_id!r}")
    cancelled = await _cancel(ctx, request.job_id, [SCHEDULED])
    if cancelled is None:
        raise JobNotScheduled(f"the job is {row['run_state']}, and no longer Scheduled")
    return shown(cancelled)


async def _cancel(ctx: Context, job_id: str, states: list[str]) -> Row | None:
    return await ctx.tx.one(
        storage.CANCEL, of_app=ctx.app.id, of_job=job_id, states=states, now_ms=ctx.now_ms
    )


class Cancelled(Reply):
    """How many jobs it were: one, or none."""

    cancelled: Annotated[int, Meta(description="How many jobs were cancelled: 1 or 0.")]


@service.operation("SYS_CANCEL_SCHEDULED_SCRIPT_IF_EXISTS", tx=Tx.WRITE, access=Access.SERVER, locks=of_job)
async def cancel_if_exists(ctx: Context, request: OfJob) -> Cancelled:
    """Take a script off the list, if it is on it and has not begun."""
    row = await ctx.tx.one(storage.FIND, app=ctx.app.id, job=request.job_id)
    if row is None or row["job_type"] != SCRIPT:
        return Cancelled(cancelled=0)
    return Cancelled(cancelled=int(await _cancel(ctx, request.job_id, [SCHEDULED]) is not None))


class Scheduled(Reply):
    scheduled_jobs: Annotated[list[ScriptJob], Meta(description="The jobs; at most 500.")]


class Until(Request):
    """SDKs and the reference have different names for the time."""

    start_date_in_utc: Annotated[
        Moment,
        Meta(
            description="Jobs that are to run up to this time: ms since 1970-01-01 UTC, also as "
            "text, or a date."
        ),
    ] = field(default=None, name="startDateInUTC")
    start_date_utc: Annotated[
        Moment, Meta(description="Another name of `startDateInUTC`; one of them is needed.")
    ] = field(default=None, name="startDateUTC")


@service.operation("GET_SCHEDULED_CLOUD_SCRIPTS", tx=Tx.READ, access=Access.SIGNED_IN)
async def get_scheduled(ctx: Context, request: Until) -> Scheduled:
    """List the scripts that are to run up to a time, 500 at most: a player's own, for servers all."""
    date = request.start_date_in_utc if request.start_date_in_utc is not None else request.start_date_utc
    rows = await ctx.tx.all(storage.LIST_SCHEDULED, app=ctx.app.id, until=moment(date), owner=owner_of(ctx))
    return Scheduled(scheduled_jobs=[shown(row) for row in rows])


class RunningOrQueued(Reply):
    running_or_queued_jobs: Annotated[list[JobFacts], Meta(description="The jobs; at most 500.")]


@service.operation("GET_RUNNING_OR_QUEUED_CLOUD_SCRIPTS", tx=Tx.READ, access=Access.SIGNED_IN)
async def get_running(ctx: Context, request: Nothing) -> RunningOrQueued:
    """List the scheduled scripts that run or are about to, 500 at most: a player's own, for servers all."""
    rows = await ctx.tx.all(storage.LIST_RUNNING, app=ctx.app.id, owner=owner_of(ctx), now_ms=ctx.now_ms)
    return RunningOrQueued(running_or_queued_jobs=[JobFacts(**_facts(row)) for row in rows])


# Batches


class RunBatch(Named, kw_only=True):
    """For which players: those named and those of segments, or all.

    `completion_script` runs once after the last of them.
    """

    profile_ids: Annotated[
        Annotated[list[str], Meta(max_length=10_000)] | None,
        Meta(description="The players for whom it runs; null or nothing, and no segment: all."),
    ] = None
    segment_id_list: Annotated[
        Annotated[list[int], Meta(max_length=SEGMENTS_MAX)] | None,
        Meta(description="The segments for whose players it runs, by number; null or nothing: none."),
    ] = None
    completion_script: Annotated[
        Annotated[str, Meta(max_length=512)] | None,
        Meta(
            description="The path of a script that runs once after the last player; null, empty or"
            " nothing: none."
        ),
    ] = None


BATCH_ERRORS: tuple[type[GameError], ...] = (MissingScript, EmptyScript, UnknownSegment)


@service.operation("RUN_BATCH_USER_SCRIPT", tx=Tx.WRITE, access=Access.SERVER, errors=BATCH_ERRORS)
async def run_batch(ctx: Context, request: RunBatch) -> ScriptJob:
    """Run a script once for each of many players, as that player, and another one when all have had theirs.

    One player whose run fails keeps nobody else waiting. The job begins at once and is found among those that
    run. A player of several segments has one turn; who belongs to them is looked up when the batch runs.
    Refused: scripts and segments that there are not.
    """
    return await _batch(ctx, request, ctx.now_ms, QUEUED)


class ScheduleBatch(RunBatch, kw_only=True):
    """Which script for whom, and when: as `SCHEDULE_CLOUD_SCRIPT` takes it."""

    start_date_in_utc: Start = field(default=None, name="startDateInUTC")
    start_date_utc: StartToo = field(default=None, name="startDateUTC")
    minutes_from_now: Annotated[
        float | None, Meta(description="In how many minutes it runs, if no time is sent; up to ten years.")
    ] = None


@service.operation("SCHEDULE_BATCH_USER_SCRIPT", tx=Tx.WRITE, access=Access.SERVER, errors=BATCH_ERRORS)
async def schedule_batch(ctx: Context, request: ScheduleBatch) -> ScriptJob:
    """Do what `RUN_BATCH_USER_SCRIPT` does at a time, or in some minutes."""
    start_ms = start_of(ctx, request.start_date_in_utc, request.start_date_utc, request.minutes_from_now)
    return await _batch(ctx, request, start_ms, SCHEDULED)


async def _batch(ctx: Context, request: RunBatch, start_ms: int, state: str) -> ScriptJob:
    program = find(ctx.app, request.script_name)
    completion = request.completion_script or None
    if completion is not None:
        completion = find(ctx.app, completion).path
    named = None if request.profile_ids is None else sorted(set(request.profile_ids))
    targets: Targets | None = named
    if request.segment_id_list or (request.segment_id_list is not None and named is None):
        targets = OfSegments(membership.check(ctx.app, request.segment_id_list), named or [])
    return shown(
        await put_on_list(
            ctx,
            RUN_BATCH,
            job_type=BATCH,
            script_name=program.path,
            parameters=data_of(request.script_data).decode(),
            run_state=state,
            targets=None if targets is None else json.encode(targets).decode(),
            completion_script=completion,
            start_ms=start_ms,
        )
    )


_OPEN = [SCHEDULED, QUEUED, RUNNING]


@service.operation(
    "CANCEL_USER_SCRIPT_BATCH",
    tx=Tx.WRITE,
    access=Access.SERVER,
    locks=of_job,
    errors=(JobNotFound, WrongJobType, JobNotRunning),
)
async def cancel_batch(ctx: Context, request: OfJob) -> ScriptJob:
    """End a batch: no further player has their turn.

    Refused: jobs that are no batch, and those that are over.
    """
    row = await ctx.tx.one(storage.FIND, app=ctx.app.id, job=request.job_id)
    if row is None:
        raise JobNotFound(f"there is no job {request.job_id!r}")
    if row["job_type"] != BATCH:
        raise WrongJobType("the job is no batch")
    cancelled = await _cancel(ctx, request.job_id, _OPEN)
    if cancelled is None:
        raise JobNotRunning(f"the batch is {row['run_state']}")
    return shown(cancelled)


@service.operation("SYS_CANCEL_USER_SCRIPT_BATCH_IF_EXISTS", tx=Tx.WRITE, access=Access.SERVER, locks=of_job)
async def cancel_batch_if_exists(ctx: Context, request: OfJob) -> Cancelled:
    """End a batch, if there is one that is not over."""
    row = await ctx.tx.one(storage.FIND, app=ctx.app.id, job=request.job_id)
    if row is None or row["job_type"] != BATCH:
        return Cancelled(cancelled=0)
    return Cancelled(cancelled=int(await _cancel(ctx, request.job_id, _OPEN) is not None))
