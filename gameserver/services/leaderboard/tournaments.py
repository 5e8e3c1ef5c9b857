"""The tournament settings of boards, for servers."""

from typing import Annotated

import msgspec
from msgspec import Meta

from gameserver.domain.leaderboards import Board, Leaderboards, NoLeaderboard, Rotation, Stale
from gameserver.domain.leaderboards.boards import CURRENT
from gameserver.domain.leaderboards.fields import DbVersion, SettingsJson
from gameserver.domain.leaderboards.hooks import before_settings
from gameserver.domain.leaderboards.tournaments import (
    InvalidTournamentSettings,
    Scheduled,
    first_start,
    read_schedule,
    write_schedule,
)
from gameserver.rpc import Access, Context, Tx
from gameserver.services.leaderboard.base import OfBoard, service
from gameserver.services.leaderboard.configs import DoesNotApply, InProgress, VersionMismatch, locked
from gameserver.services.leaderboard.rules import (
    future_settings,
    read_fields,
    running_settings,
    scheduled,
    with_period,
)
from gameserver.services.leaderboard.showing import Config, config_reply
from gameserver.storage import Aborted
from gameserver.wire import json

WHERE = "data.tSettingsJson"

PeriodStart = Annotated[int, Meta(description="Which period: its start, in ms since 1970-01-01 UTC.")]


class EditSettings(OfBoard, kw_only=True):
    db_version: DbVersion = CURRENT
    t_settings_json: SettingsJson


async def with_tournaments(ctx: Context, request: EditSettings) -> Board:
    """Return the board of a request as it is now. Raises `DoesNotApply` if it has no tournaments."""
    board = await locked(ctx, request.leaderboard_id, request.db_version)
    if not board.t_enabled:
        raise DoesNotApply("the leaderboard has no tournaments: tEnabled is false")
    return await rotated(ctx, board)


async def rotated(ctx: Context, board: Board) -> Board:
    """Return a board with the rotations stored that are due."""
    try:
        return await ctx.core.get(Leaderboards).boards.rotate(ctx.tx, board, ctx.now_ms)
    except Stale:
        raise Aborted("the board was changed at the same time") from None


async def store(ctx: Context, before: Board, after: Board) -> dict[str, Config]:
    """Store an edited board and answer with it."""
    counted = msgspec.structs.replace(after, db_version=before.db_version + 1)
    try:
        stored = await ctx.core.get(Leaderboards).boards.change(ctx.tx, before, counted)
    except Stale:
        raise Aborted("the board was changed at the same time") from None
    return await config_reply(ctx, stored)


@service.operation(
    "SYS_EDIT_TOURNAMENT_SETTINGS_FOR_FUTURE_PERIODS_ONLY",
    tx=Tx.WRITE,
    access=Access.SERVER,
    errors=(NoLeaderboard, VersionMismatch, DoesNotApply, InvalidTournamentSettings),
)
async def edit_future(ctx: Context, request: EditSettings) -> dict[str, Config]:
    """Change the tournament settings of periods to come; the running one keeps its own."""
    board = await with_tournaments(ctx, request)
    if board.rotation is Rotation.ADHOC:
        raise DoesNotApply("the periods of an ADHOC leaderboard are scheduled one by one")
    settings = future_settings(board, read_fields(request.t_settings_json, WHERE), WHERE)
    await before_settings(ctx.core.hooks, ctx.tx, ctx.app, settings, ctx.now_ms, WHERE)
    return await store(ctx, board, msgspec.structs.replace(board, t_settings=json.encode(settings).decode()))


@service.operation(
    "SYS_EDIT_TOURNAMENT_SETTINGS_INCLUDING_CURRENT_PERIOD",
    tx=Tx.WRITE,
    access=Access.SERVER,
    errors=(NoLeaderboard, VersionMismatch, DoesNotApply, InvalidTournamentSettings),
)
async def edit_current(ctx: Context, request: EditSettings) -> dict[str, Config]:
    """Change the tournament settings of the running period, and of periods to come if they recur.

    The running tournament of an ADHOC board may get another duration.
    """
    board = await with_tournaments(ctx, request)
    fields = read_fields(request.t_settings_json, WHERE)
    if board.rotation is not Rotation.ADHOC:
        now = running_settings(board, fields, WHERE)
        later = future_settings(board, fields, WHERE)
        for settings in (now, later):
            await before_settings(ctx.core.hooks, ctx.tx, ctx.app, settings, ctx.now_ms, WHERE)
        texts = {"t_period": json.encode(now).decode(), "t_settings": json.encode(later).decode()}
        return await store(ctx, board, msgspec.structs.replace(board, **texts))
    if board.t_period is None or board.reset_ms is None:
        raise DoesNotApply("no tournament runs on the leaderboard now")
    ending = board.reset_ms
    if fields.t_period is not None and fields.t_period.minutes:
        ending = board.started_ms + fields.t_period.minutes * 60_000
        following = first_start(read_schedule(board.t_schedule))
        if ending <= ctx.now_ms or (following is not None and ending > following):
            raise InvalidTournamentSettings(f"{WHERE}.tPeriod: must end after now and before the next period")
    changed = msgspec.structs.replace(board, reset_ms=ending)
    settings = running_settings(changed, fields, WHERE)
    await before_settings(ctx.core.hooks, ctx.tx, ctx.app, settings, ctx.now_ms, WHERE)
    period = Scheduled(
        starting_at=board.started_ms,
        ending_at=ending,
        **{field: getattr(settings, field) for field in settings.__struct_fields__},
    )
    return await store(ctx, board, msgspec.structs.replace(changed, t_period=json.encode(period).decode()))


# Periods of ADHOC boards


async def adhoc(ctx: Context, board_id: str, db_version: int | None) -> Board:
    """Return an ADHOC board as it is now. Raises `DoesNotApply` for another."""
    board = await locked(ctx, board_id, db_version)
    if board.rotation is not Rotation.ADHOC:
        raise DoesNotApply("the leaderboard is not ADHOC")
    return await rotated(ctx, board)


async def store_schedule(ctx: Context, board: Board, schedule: list[Scheduled]) -> dict[str, Config]:
    """Store the periods to come."""
    after = msgspec.structs.replace(board, t_schedule=write_schedule(schedule))
    if board.t_period is None:  # otherwise it rotates at the end of what runs now
        after = msgspec.structs.replace(after, reset_ms=first_start(schedule))
    return await store(ctx, board, after)


def find_period(board: Board, starting_at: int) -> Scheduled:
    """Return a period that is to come. Raises `InProgress`, `InvalidTournamentSettings`."""
    if board.t_period is not None and board.started_ms == starting_at:
        raise InProgress("data.periodStartingAtUtcMillis: this period runs now")
    for period in read_schedule(board.t_schedule):
        if period.starting_at == starting_at:
            return period
    raise InvalidTournamentSettings("data.periodStartingAtUtcMillis: no period is scheduled for then")


@service.operation(
    "SYS_CREATE_ADHOC_TOURNAMENT_PERIOD",
    tx=Tx.WRITE,
    access=Access.SERVER,
    errors=(NoLeaderboard, VersionMismatch, DoesNotApply, InvalidTournamentSettings),
)
async def create_period(ctx: Context, request: EditSettings) -> dict[str, Config]:
    """Schedule a tournament on an ADHOC board. Periods lie in the future and do not overlap."""
    board = await adhoc(ctx, request.leaderboard_id, request.db_version)
    period = scheduled(read_fields(request.t_settings_json, WHERE), ctx.now_ms, WHERE)
    await before_settings(ctx.core.hooks, ctx.tx, ctx.app, period, ctx.now_ms, WHERE)
    return await store_schedule(ctx, board, with_period(board, period, WHERE))


class EditPeriod(EditSettings, kw_only=True):
    period_starting_at_utc_millis: PeriodStart


@service.operation(
    "SYS_EDIT_ADHOC_TOURNAMENT_PERIOD",
    tx=Tx.WRITE,
    access=Access.SERVER,
    errors=(NoLeaderboard, VersionMismatch, DoesNotApply, InvalidTournamentSettings, InProgress),
)
async def edit_period(ctx: Context, request: EditPeriod) -> dict[str, Config]:
    """Change a scheduled period, named by its start; what is left out stays."""
    board = await adhoc(ctx, request.leaderboard_id, request.db_version)
    before = find_period(board, request.period_starting_at_utc_millis)
    period = scheduled(read_fields(request.t_settings_json, WHERE), ctx.now_ms, WHERE, before)
    await before_settings(ctx.core.hooks, ctx.tx, ctx.app, period, ctx.now_ms, WHERE)
    return await store_schedule(ctx, board, with_period(board, period, WHERE, before.starting_at))


class DeletePeriod(OfBoard, kw_only=True):
    db_version: DbVersion = CURRENT
    period_starting_at_utc_millis: PeriodStart


@service.operation(
    "SYS_DELETE_ADHOC_TOURNAMENT_PERIOD",
    tx=Tx.WRITE,
    access=Access.SERVER,
    errors=(NoLeaderboard, VersionMismatch, DoesNotApply, InvalidTournamentSettings, InProgress),
)
async def delete_period(ctx: Context, request: DeletePeriod) -> dict[str, Config]:
    """Take back a scheduled period, named by its start."""
    board = await adhoc(ctx, request.leaderboard_id, request.db_version)
    gone = find_period(board, request.period_starting_at_utc_millis)
    schedule = [p for p in read_schedule(board.t_schedule) if p.starting_at != gone.starting_at]
    return await store_schedule(ctx, board, schedule)
