"""A board's configuration as servers see it."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from gameserver.documents import documents
from gameserver.domain.leaderboards import RECURRING, Board
from gameserver.domain.leaderboards.fields import (
    AutoClaim,
    AutoJoin,
    BoardData,
    BoardId,
    CurrentVersion,
    DaysShown,
    DivSet,
    EndingAt,
    EntryTypeShown,
    HasTournaments,
    IsTemplate,
    JobId,
    NextReset,
    PhaseLengths,
    RetainedShown,
    RotationShown,
    StartingAt,
    TournamentConfigs,
    TypeShown,
    VersionShown,
)
from gameserver.domain.leaderboards.hooks import template_versions
from gameserver.domain.leaderboards.periods import MINUTE_MS, Rotation, boundary, period_minutes
from gameserver.domain.leaderboards.tournaments import (
    PhaseTimes,
    Scheduled,
    TournamentSettings,
    phase_times,
    read_schedule,
    read_settings,
    states,
)
from gameserver.rpc import Context
from gameserver.wire.fields import CreatedAt
from gameserver.wire.shapes import Reply


class PeriodReply(Reply):
    """A period of an ADHOC board that is to come."""

    starting_at: StartingAt
    ending_at: Annotated[int, Meta(description="When it ends: ms since 1970-01-01 UTC.")]
    t_configs: TournamentConfigs
    t_states: PhaseLengths
    t_auto_join: AutoJoin
    t_auto_claim: AutoClaim


class CurrentPeriod(Reply):
    """The running period; of one with a tournament, when its phases are.

    `t_config_vers`: the versions of the templates that hold for it, by code. The ids of jobs are null: phases
    follow from the clock, and no job begins or ends them.
    """

    version_id: VersionShown
    starting_at: StartingAt
    ending_at: EndingAt
    rotation_type: RotationShown
    num_days_to_rotate: DaysShown
    t_configs: TournamentConfigs | UnsetType = UNSET
    t_config_vers: Annotated[
        dict[str, int] | UnsetType,
        Meta(description="The versions of the templates that hold for the period, by code."),
    ] = UNSET
    t_state: Annotated[
        str | UnsetType, Meta(description="The phase that the tournament is in; see protocol/values.md.")
    ] = UNSET
    t_auto_join: AutoJoin | UnsetType = UNSET
    t_auto_claim: AutoClaim | UnsetType = UNSET
    t_registration_start: Annotated[
        int | UnsetType, Meta(description="From when players may enter: ms since 1970-01-01 UTC.")
    ] = UNSET
    t_registration_end: Annotated[
        int | UnsetType, Meta(description="Until when players may enter: ms since 1970-01-01 UTC.")
    ] = UNSET
    t_play_start: Annotated[
        int | UnsetType, Meta(description="From when scores count: ms since 1970-01-01 UTC.")
    ] = UNSET
    t_play_end: Annotated[
        int | UnsetType, Meta(description="Until when scores count: ms since 1970-01-01 UTC.")
    ] = UNSET
    t_processing_start_at: Annotated[
        int | UnsetType, Meta(description="From when results are there: ms since 1970-01-01 UTC.")
    ] = UNSET
    t_processing_job_id: JobId = UNSET
    t_registration_start_job_id: JobId = UNSET
    t_play_start_job_id: JobId = UNSET
    t_play_end_job_id: JobId = UNSET
    t_states: PhaseLengths | UnsetType = UNSET


class Config(Reply):
    """A board. `db_version` counts its edits; the tournament settings are those of periods to come.

    `div_set` is there if the board is an instance of a division set; it then tells the rotation, and the
    tournament settings, of the board that it was made like.
    """

    leaderboard_id: BoardId
    db_version: Annotated[int, Meta(description="Counts the edits of the board; an edit may name it.")]
    reset_at: NextReset
    leaderboard_type: TypeShown
    rotation_type: RotationShown
    retained_count: RetainedShown
    data: BoardData
    num_days_to_rotate: DaysShown
    entry_type: EntryTypeShown
    t_enabled: HasTournaments
    t_template_only: IsTemplate
    expiry: Annotated[
        int | None, Meta(description="When the board is deleted: ms since 1970-01-01 UTC; null: never.")
    ]
    current_version_id: CurrentVersion
    current_period: Annotated[CurrentPeriod, Meta(description="The running period.")]
    created_at: CreatedAt
    t_configs: TournamentConfigs | UnsetType = UNSET
    t_states: PhaseLengths | UnsetType = UNSET
    t_auto_join: AutoJoin | UnsetType = UNSET
    t_auto_claim: AutoClaim | UnsetType = UNSET
    t_scheduled: Annotated[
        list[PeriodReply] | UnsetType, Meta(description="The periods to come of an ADHOC board.")
    ] = UNSET
    div_set: DivSet = UNSET


def data_of(board: Board) -> Any:
    """Return what the board's maker keeps beside it."""
    return {} if board.data is None else documents.data_out(board.data)


async def config_reply(ctx: Context, board: Board) -> dict[str, Config]:
    """Return a board under its id."""
    settings = read_settings(board.t_settings)
    rotation, days = _rotation(board, settings)
    config = Config(
        leaderboard_id=board.board_id,
        db_version=board.db_version,
        reset_at=board.reset_ms,
        leaderboard_type=board.board_type,
        rotation_type=rotation,
        retained_count=board.retained,
        data=data_of(board),
        num_days_to_rotate=days,
        entry_type=board.entry_type,
        t_enabled=board.t_enabled,
        t_template_only=board.t_template_only,
        expiry=board.expires_ms,
        current_version_id=board.version,
        current_period=await _current(ctx, board),
        created_at=board.created_ms,
        t_scheduled=[_period(period) for period in read_schedule(board.t_schedule)] or UNSET,
        div_set=board.div_set or UNSET,
    )
    if settings is not None and rotation in RECURRING:
        at = board.started_ms if board.reset_ms is None else board.reset_ms
        length = boundary(rotation, days, at, 1) - at
        config = msgspec.structs.replace(
            config, **_settings(settings), t_states=states(settings.phases, length // MINUTE_MS)
        )
    return {board.board_id: config}


def _settings(settings: TournamentSettings) -> dict[str, Any]:
    return {
        "t_configs": settings.t_configs,
        "t_auto_join": settings.t_auto_join,
        "t_auto_claim": settings.t_auto_claim,
    }


def _rotation(board: Board, settings: TournamentSettings | None) -> tuple[Rotation, int]:
    """Return how a board rotates and every how many days; an instance of a division set as its model does."""
    if settings is not None and settings.like is not None:
        return settings.like.rotation, settings.like.days
    return board.rotation, board.days


async def _current(ctx: Context, board: Board) -> CurrentPeriod:
    settings = read_settings(board.t_period)
    rotation, days = _rotation(board, settings)
    current = CurrentPeriod(
        version_id=board.version,
        starting_at=board.started_ms,
        ending_at=board.reset_ms,
        rotation_type=rotation,
        num_days_to_rotate=days,
    )
    if settings is None or board.reset_ms is None:
        return current
    minutes = period_minutes(board.rotation, board.days, board.started_ms, board.reset_ms)
    times = phase_times(settings.phases, minutes, board.reset_ms)
    return msgspec.structs.replace(
        current,
        t_state="ACTIVE",
        t_processing_job_id=None,
        t_registration_start_job_id=None,
        t_play_start_job_id=None,
        t_play_end_job_id=None,
        t_config_vers=await template_versions(ctx.core.hooks, ctx.tx, ctx.app, board, ctx.now_ms),
        t_states=states(settings.phases, minutes),
        **_settings(settings),
        **{field: getattr(times, field) for field in PhaseTimes.__struct_fields__},
    )


def _period(period: Scheduled) -> PeriodReply:
    minutes = (period.ending_at - period.starting_at) // MINUTE_MS
    return PeriodReply(
        starting_at=period.starting_at,
        ending_at=period.ending_at,
        t_states=states(period.phases, minutes),
        **_settings(period),
    )
