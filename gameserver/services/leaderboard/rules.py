"""What a board is made from, and its tournament settings, as requests say them."""

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType

from gameserver.documents import documents
from gameserver.domain.leaderboards import RECURRING, Board, BoardConfig, BoardType, EntryType, Rotation
from gameserver.domain.leaderboards.boards import DAYS_MIN, check_config
from gameserver.domain.leaderboards.periods import MINUTE_MS, boundary, period_minutes, read_time
from gameserver.domain.leaderboards.tournaments import (
    MINUTES_MAX,
    SCHEDULED_MAX,
    InvalidTournamentSettings,
    Minutes,
    Phases,
    Scheduled,
    TournamentConfig,
    TournamentSettings,
    check_settings,
    read_schedule,
    read_settings,
)
from gameserver.wire import json
from gameserver.wire.errors import InvalidParameterType, InvalidParameterValue, MissingParameter
from gameserver.wire.shapes import FreeObjectOrText, Request, free_members, read_value

DATA_BYTES_MAX = 10 << 10

JsonObject = dict[str, Any] | str | None
FREE_IN_CONFIG: json.Free = {"data": True}
ConfigJson = Annotated[dict[str, Any] | str, free_members(*FREE_IN_CONFIG)] | None
"""An object; some clients send it as JSON text, and null or "" for none."""
Time = int | float | str | None


def object_of(value: JsonObject, where: str, free: json.Free = False) -> dict[str, Any]:
    """Return an object that may have come as JSON text; null and "" are the same as {}."""
    if value is None or value == "":
        return {}
    if isinstance(value, str):
        read = json.read_text(value.encode(), where, free)
        if not isinstance(read, dict):
            raise InvalidParameterType(f"{where}: expected an object")
        return read
    return value


# Boards


class ConfigFields(Request):
    """How a board should be. What is left out stays as it is; a new board needs type and rotation."""

    entry_type: EntryType | None = None
    leaderboard_type: BoardType | None = None
    rotation_type: Rotation | None = None
    num_days_to_rotate: int | None = None
    reset_at: Time | UnsetType = UNSET
    retained_count: int | None = None
    expire_in_mins: Annotated[int, Meta(ge=1, le=100 * MINUTES_MAX)] | None = None
    data: FreeObjectOrText | UnsetType | None = UNSET
    t_enabled: bool | None = None
    t_template_only: bool | None = None


def first_time(**spellings: Time) -> int | None:
    """Return the time that a request gives under one of several names, in ms since 1970; None for none.

    Raises `InvalidParameterValue`, which names the spelling that was used.
    """
    found = (read_time(value, f"data.{name}") for name, value in spellings.items() if value is not None)
    return next(found, None)


def read_config(given: Mapping[str, Any], now_ms: int, where: str, board: Board | None = None) -> BoardConfig:
    """Return what a board is made from, or what `board` becomes.

    Raises `InvalidParameterValue` and its like, and `InvalidTournamentSettings`.
    """
    fields = read_value(dict(given), ConfigFields, where)
    board_type = fields.leaderboard_type or (board.board_type if board is not None else None)
    if board_type is None:
        raise MissingParameter(f"{where}.leaderboardType: required")
    rotation = fields.rotation_type or (board.rotation if board is not None else None)
    if rotation is None:
        raise MissingParameter(f"{where}.rotationType: required")
    days = _days(fields, rotation, board)
    config = BoardConfig(
        entry_type=fields.entry_type or EntryType.PLAYER,
        board_type=board_type,
        rotation=rotation,
        days=days,
        reset_ms=_reset(fields, rotation, days, now_ms, board, where) if rotation in RECURRING else None,
        retained=fields.retained_count
        if fields.retained_count is not None
        else board.retained
        if board is not None
        else 1,
        data=_data(fields, board, where),
        expires_ms=None if fields.expire_in_mins is None else now_ms + fields.expire_in_mins * MINUTE_MS,
        t_enabled=_flag(fields.t_enabled, board is not None and board.t_enabled),
        t_template_only=_flag(fields.t_template_only, board is not None and board.t_template_only),
    )
    _check_tournament(config, where)
    return check_config(config, where)


def _days(fields: ConfigFields, rotation: Rotation, board: Board | None) -> int:
    if rotation is not Rotation.DAYS:
        return 0
    if fields.num_days_to_rotate is not None:
        return fields.num_days_to_rotate
    return board.days if board is not None else 0


def _reset(
    fields: ConfigFields, rotation: Rotation, days: int, now_ms: int, board: Board | None, where: str
) -> int:
    at = None if fields.reset_at is UNSET else read_time(fields.reset_at, f"{where}.resetAt")
    if at is not None:
        return at
    if board is not None and board.anchor_ms is not None and (board.rotation, board.days) == (rotation, days):
        return board.anchor_ms
    return boundary(rotation, max(days, DAYS_MIN), now_ms, 1)


def _data(fields: ConfigFields, board: Board | None, where: str) -> str | None:
    if fields.data is UNSET:
        return None if board is None else board.data
    data = object_of(fields.data, f"{where}.data", free=True)
    return documents.data_text(data, f"{where}.data", DATA_BYTES_MAX) if data else None


def _flag(given: bool | None, otherwise: bool) -> bool:
    return otherwise if given is None else given


def _check_tournament(config: BoardConfig, where: str) -> None:
    if config.rotation is Rotation.NEVER and config.t_enabled:
        raise InvalidTournamentSettings(f"{where}.tEnabled: a board that never rotates has no tournaments")
    if config.rotation is Rotation.ADHOC and not config.t_enabled:
        raise InvalidTournamentSettings(f"{where}.tEnabled: an ADHOC board is for tournaments")
    if config.t_template_only and not config.t_enabled:
        raise InvalidTournamentSettings(f"{where}.tTemplateOnly: needs tEnabled")


# Tournament settings


class PeriodFields(Request):
    starting_at: Time = None
    duration_days: Minutes = 0
    duration_hours: Minutes = 0
    duration_minutes: Minutes = 0

    @property
    def minutes(self) -> int:
        """The duration."""
        return (self.duration_days * 24 + self.duration_hours) * 60 + self.duration_minutes


class TournamentFields(Request):
    t_configs: dict[str, TournamentConfig] | None = None
    t_auto_join: bool | None = None
    t_auto_claim: bool | None = None


class SettingsFields(Request):
    t_period: PeriodFields | None = None
    t_tournament: TournamentFields | None = None
    t_phases: Phases | None = None


def read_fields(value: JsonObject, where: str) -> SettingsFields:
    """Read tournament settings of a request."""
    return read_value(object_of(value, where), SettingsFields, where)


def merged(fields: SettingsFields, before: TournamentSettings) -> TournamentSettings:
    """Return settings with those of a request over them."""
    tournament = fields.t_tournament or TournamentFields()
    return TournamentSettings(
        t_configs=before.t_configs if tournament.t_configs is None else tournament.t_configs,
        t_auto_join=_flag(tournament.t_auto_join, before.t_auto_join),
        t_auto_claim=_flag(tournament.t_auto_claim, before.t_auto_claim),
        phases=fields.t_phases or before.phases,
        like=before.like,
    )


def future_settings(board: Board, fields: SettingsFields, where: str) -> TournamentSettings:
    """Return the settings of a board's periods to come. Raises `InvalidTournamentSettings`."""
    settings = merged(fields, read_settings(board.t_settings) or TournamentSettings())
    if board.rotation in RECURRING:
        assert board.reset_ms is not None
        length = boundary(board.rotation, board.days, board.reset_ms, 1) - board.reset_ms
        check_settings(settings, length // MINUTE_MS, where)
    return settings


def running_settings(board: Board, fields: SettingsFields, where: str) -> TournamentSettings:
    """Return the settings of a board's running period. Raises `InvalidTournamentSettings`."""
    settings = merged(fields, read_settings(board.t_period) or TournamentSettings())
    if board.reset_ms is not None:
        minutes = period_minutes(board.rotation, board.days, board.started_ms, board.reset_ms)
        check_settings(settings, minutes, where)
    return settings


def scheduled(fields: SettingsFields, now_ms: int, where: str, before: Scheduled | None = None) -> Scheduled:
    """Return a period of an ADHOC board; what the request leaves out is as `before`.

    Raises `InvalidTournamentSettings`, `MissingParameter`.
    """
    period = fields.t_period
    if period is None and before is None:
        raise MissingParameter(f"{where}.tPeriod: required")
    start, minutes = _times(period, before, where)
    if start <= now_ms:
        raise InvalidTournamentSettings(f"{where}.tPeriod.startingAt: must lie in the future")
    if not 0 < minutes <= MINUTES_MAX:
        raise InvalidTournamentSettings(
            f"{where}.tPeriod: expected a duration of up to {MINUTES_MAX} minutes"
        )
    settings = merged(fields, before or TournamentSettings())
    if not settings.t_configs:
        raise MissingParameter(f"{where}.tTournament.tConfigs: required")
    check_settings(settings, minutes, where)
    return Scheduled(
        starting_at=start,
        ending_at=start + minutes * MINUTE_MS,
        **{field: getattr(settings, field) for field in settings.__struct_fields__},
    )


def _times(period: PeriodFields | None, before: Scheduled | None, where: str) -> tuple[int, int]:
    start = None if period is None else read_time(period.starting_at, f"{where}.tPeriod.startingAt")
    if start is None:
        if before is None:
            raise MissingParameter(f"{where}.tPeriod.startingAt: required")
        start = before.starting_at
    if period is not None and period.minutes:
        return start, period.minutes
    return start, 0 if before is None else (before.ending_at - before.starting_at) // MINUTE_MS


def with_period(board: Board, added: Scheduled, where: str, without: int | None = None) -> list[Scheduled]:
    """Return a board's schedule with one period more, or one instead of the one that starts at `without`.

    Raises `InvalidTournamentSettings` for periods that overlap.
    """
    schedule = [period for period in read_schedule(board.t_schedule) if period.starting_at != without]
    running_until = board.reset_ms if board.t_period is not None else None
    for period in schedule:
        if added.starting_at < period.ending_at and period.starting_at < added.ending_at:
            raise InvalidTournamentSettings(f"{where}.tPeriod: overlaps with another period")
    if running_until is not None and added.starting_at < running_until:
        raise InvalidTournamentSettings(f"{where}.tPeriod: overlaps with the running period")
    if len(schedule) >= SCHEDULED_MAX:
        raise InvalidParameterValue(f"{where}: at most {SCHEDULED_MAX} periods")
    return sorted([*schedule, added], key=lambda period: period.starting_at)
