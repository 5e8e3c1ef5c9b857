"""Boards: their tables, what a board is at a moment, and how operators declare some."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta
from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, String, Table, Text, UniqueConstraint

from gameserver.apps import Mistake, Refers, Settings
from gameserver.apps.fields import Name
from gameserver.domain.leaderboards.pacers import PACERS_MAX, BoardName, Pacer, PacerSettings, pacer_on
from gameserver.domain.leaderboards.periods import RECURRING, Rotation, boundary, next_number, next_reset
from gameserver.domain.leaderboards.tournaments import (
    CONFIGS_MAX,
    InvalidTournamentSettings,
    Minutes,
    Phases,
    Scheduled,
    TournamentConfig,
    TournamentSettings,
    check_settings,
    first_start,
    read_schedule,
    write_schedule,
)
from gameserver.storage import Json, Row, metadata
from gameserver.storage.tables import StoredBy
from gameserver.wire import json
from gameserver.wire.errors import GameError, InvalidParameterValue

ID_MAX = 128  # characters
RETAINED_MAX = 8
DAYS_MIN, DAYS_MAX = 2, 14
SCORE_MAX = json.INTEGER_MAX
CURRENT = -1  # the version that is running

# Errors


class NoLeaderboard(GameError):
    """There is no such board."""

    status = 500
    reason_code = 40499


class InvalidLeaderboardId(GameError):
    """The text can not be the id of a board: it is empty, too long, or holds control characters."""

    reason_code = 40501


class InvalidVersion(GameError):
    """The board has never had this version."""

    reason_code = 40506


# Tables

boards = Table(
    "leaderboards",
    metadata,
    Column("uid", String(36), primary_key=True),  # a deleted board leaves nothing to a new one with its id
    Column("app_id", String(64), nullable=False),
    Column("board_id", Text, nullable=False),
    Column("entry_type", String(16), nullable=False),
    Column("board_type", String(16), nullable=False),
    Column("rotation", String(16), nullable=False),
    Column("days", Integer, nullable=False),  # of rotation DAYS, else 0
    Column("anchor_ms", BigInteger),
    Column("reset_ms", BigInteger),  # when it rotates next
    Column("retained", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    Column("started_ms", BigInteger, nullable=False),  # of the running version
    Column("data", Json),
    Column("db_version", Integer, nullable=False),  # edits, as clients count them
    Column("stamp", BigInteger, nullable=False),  # another one after every change, rotations too
    Column("expires_ms", BigInteger),
    Column("t_enabled", Boolean, nullable=False),
    Column("t_template_only", Boolean, nullable=False),
    Column("t_settings", Json),  # of periods to come
    Column("t_period", Json),  # of the running one
    Column("t_schedule", Json),  # periods of an ADHOC board
    Column("div_set", Text),  # the division set it is an instance of
    Column("declared", String(64)),  # digest of the declaration it was made from
    Column("created_ms", BigInteger, nullable=False),
    UniqueConstraint("app_id", "board_id"),
    Index("leaderboards_by_reset", "reset_ms"),
    Index("leaderboards_by_expiry", "expires_ms"),
    info={"stored_by": StoredBy.BOARD},
)

versions = Table(  # those that have ended; the running one stands in the board's row
    "leaderboard_versions",
    metadata,
    Column("board_uid", String(36), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("started_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger, nullable=False),
    Column("t_period", Json),
    info={"stored_by": StoredBy.BOARD},
)

entries = Table(
    "leaderboard_entries",
    metadata,
    Column("board_uid", String(36), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("entry_id", Text, primary_key=True),  # the member; on an arcade board a member has many
    Column("member_id", String(36), nullable=False),  # a player, or a group
    Column("rank_key", BigInteger, nullable=False),  # what is sorted by: the score, or its negative
    Column("seq", BigInteger, nullable=False),  # when it was reached, counting down; decides ties
    Column("data", Json),
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    Index("leaderboard_entries_by_rank", "board_uid", "version", "rank_key", "seq", "entry_id"),
    Index(
        "leaderboard_entries_by_member", "member_id", "board_uid", "version", "rank_key", "seq", "entry_id"
    ),
    Index("leaderboard_entries_by_seq", "seq"),
    info={"stored_by": StoredBy.BOARD},
)

# Types


class BoardType(StrEnum):
    """What a further score of a player does."""

    HIGH_VALUE = "HIGH_VALUE"
    LOW_VALUE = "LOW_VALUE"
    CUMULATIVE = "CUMULATIVE"
    LAST_VALUE = "LAST_VALUE"
    ARCADE_HIGH = "ARCADE_HIGH"
    ARCADE_LOW = "ARCADE_LOW"

    @property
    def lowest_first(self) -> bool:
        """Whether the lowest score is the best."""
        return self in {BoardType.LOW_VALUE, BoardType.ARCADE_LOW}

    @property
    def is_arcade(self) -> bool:
        """Whether every score of a player counts."""
        return self in {BoardType.ARCADE_HIGH, BoardType.ARCADE_LOW}


BOARD_TYPES = {
    BoardType.HIGH_VALUE: "is kept if it is higher than the one before; the highest stands first",
    BoardType.LOW_VALUE: "is kept if it is lower than the one before; the lowest stands first",
    BoardType.CUMULATIVE: "is added to the one before; the highest sum stands first",
    BoardType.LAST_VALUE: "takes the place of the one before; the highest stands first",
    BoardType.ARCADE_HIGH: "is kept beside those before; the highest stands first",
    BoardType.ARCADE_LOW: "is kept beside those before; the lowest stands first",
}
"""What a further score of a player does, in words for clients."""


class EntryType(StrEnum):
    """Who has scores."""

    PLAYER = "PLAYER"
    GROUP = "GROUP"


class BoardConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What a board is made from. `reset_ms`: when it rotates for the first time."""

    entry_type: EntryType = EntryType.PLAYER
    board_type: BoardType
    rotation: Rotation = Rotation.NEVER
    days: int = 0
    reset_ms: int | None = None
    retained: int = 1
    data: str | None = None
    expires_ms: int | None = None
    t_enabled: bool = False
    t_template_only: bool = False
    t_settings: str | None = None  # of a declared board: the tournaments of its periods
    div_set: str | None = None
    declared: str | None = None


class Version(NamedTuple):
    """A version that has ended."""

    version: int
    started_ms: int
    ended_ms: int
    t_period: str | None


class Board(msgspec.Struct, frozen=True, kw_only=True):
    """A board as its row says; `at` says what it is at a moment."""

    uid: str  # empty: declared, but not yet stored
    app_id: str
    board_id: str
    entry_type: EntryType
    board_type: BoardType
    rotation: Rotation
    days: int
    anchor_ms: int | None
    reset_ms: int | None
    retained: int
    version: int
    started_ms: int
    data: str | None
    db_version: int
    stamp: int
    expires_ms: int | None
    t_enabled: bool
    t_template_only: bool
    t_settings: str | None
    t_period: str | None
    t_schedule: str | None
    div_set: str | None
    declared: str | None
    created_ms: int

    @property
    def lowest_first(self) -> bool:
        """Whether the lowest score is the best."""
        return self.board_type.lowest_first

    def key(self, score: int) -> int:
        """Return what an entry with this score is sorted by, and the other way round."""
        return score if self.lowest_first else -score

    def at(self, now_ms: int) -> tuple["Board", list[Version]]:
        """Return the board as it is at a moment, and the versions that have ended since its row was written.

        A pure function of row and time: whether or not somebody has stored the rotation yet, everybody
        sees the same. Versions that nobody can read any more are left out.
        """
        board = self
        ended: list[Version] = []
        while board.reset_ms is not None and now_ms >= board.reset_ms:
            if board.rotation is Rotation.ADHOC:
                board = _next_adhoc(board, ended)
            else:
                board = _rotated(board, now_ms, ended)
        return board, [v for i, v in enumerate(ended) if not i or v.version > board.version - board.retained]

    def begun_anew(self, now_ms: int) -> tuple["Board", Version]:
        """Return the board with its running version ended now; it rotates next as planned."""
        ended = Version(self.version, self.started_ms, now_ms, self.t_period)
        return msgspec.structs.replace(self, version=self.version + 1, started_ms=now_ms), ended

    def find_version(self, version: int) -> int:
        """Return the version that a request names; -1 is the running one. Raises `InvalidVersion`.

        0, before the first, may be read and is empty.
        """
        if version == CURRENT:
            return self.version
        if not 0 <= version <= self.version:
            raise InvalidVersion(f"data.versionId: the board has had versions 1 to {self.version}")
        return version

    def retains(self, version: int) -> bool:
        """Tell whether the scores of a version can be read."""
        return self.version - self.retained < version <= self.version


def _rotated(board: Board, now_ms: int, ended: list[Version]) -> Board:
    """One or more periods are over; those in which nobody came by are empty versions."""
    assert board.anchor_ms is not None
    assert board.reset_ms is not None
    times = (board.rotation, board.days, board.anchor_ms)
    first, following = next_number(*times, board.reset_ms - 1), next_number(*times, now_ms)
    ended.append(Version(board.version, board.started_ms, board.reset_ms, board.t_period))
    settings = board.t_settings if board.t_enabled else None
    for number in range(max(first + 1, following - board.retained), following):
        start, end = boundary(*times, number - 1), boundary(*times, number)
        ended.append(Version(board.version + number - first, start, end, settings))
    return msgspec.structs.replace(
        board,
        version=board.version + following - first,
        started_ms=boundary(*times, following - 1),
        reset_ms=boundary(*times, following),
        t_period=settings,
    )


def _next_adhoc(board: Board, ended: list[Version]) -> Board:
    """A scheduled tournament begins, or ends; then the next one may begin at the same moment."""
    at = board.reset_ms
    assert at is not None
    ended.append(Version(board.version, board.started_ms, at, board.t_period))
    schedule = read_schedule(board.t_schedule)
    period: Scheduled | None = None
    if schedule and schedule[0].starting_at <= at:
        period = schedule.pop(0)
    return msgspec.structs.replace(
        board,
        version=board.version + 1,
        started_ms=at,
        reset_ms=period.ending_at if period is not None else first_start(schedule),
        t_period=json.encode(period).decode() if period is not None else None,
        t_schedule=write_schedule(schedule),
    )


_FIELDS = tuple(field.name for field in msgspec.structs.fields(Board))
_ENUMS = {"entry_type": EntryType, "board_type": BoardType, "rotation": Rotation}


def read_board(row: Row) -> Board:
    """Make a board of a row that holds the columns of `boards`."""
    values: dict[str, Any] = {name: row[name] for name in _FIELDS}
    for name, kind in _ENUMS.items():
        values[name] = kind(values[name])
    return Board(**values)


def row_of(board: Board) -> dict[str, Any]:
    """Return the values of a board's row."""
    values = msgspec.structs.asdict(board)
    return {name: str(value) if name in _ENUMS else value for name, value in values.items()}


def new_board(uid: str, app_id: str, board_id: str, config: BoardConfig, now_ms: int, stamp: int) -> Board:
    """Make a board, whose first version begins now."""
    anchor = config.reset_ms if config.rotation in RECURRING else None
    return Board(
        uid=uid,
        app_id=app_id,
        board_id=board_id,
        entry_type=config.entry_type,
        board_type=config.board_type,
        rotation=config.rotation,
        days=config.days,
        anchor_ms=anchor,
        reset_ms=None if anchor is None else next_reset(config.rotation, config.days, anchor, now_ms),
        retained=config.retained,
        version=1,
        started_ms=now_ms,
        data=config.data,
        db_version=1,
        stamp=stamp,
        expires_ms=config.expires_ms,
        t_enabled=config.t_enabled,
        t_template_only=config.t_template_only,
        t_settings=config.t_settings,
        t_period=config.t_settings,
        t_schedule=None,
        div_set=config.div_set,
        declared=config.declared,
        created_ms=now_ms,
    )


def check_id(board_id: str) -> str:
    """Return the id of a new board. Raises `InvalidLeaderboardId`."""
    if not board_id or len(board_id) > ID_MAX or not board_id.isprintable():
        raise InvalidLeaderboardId(f"data.leaderboardId: expected 1 to {ID_MAX} printable characters")
    return board_id


def check_config(config: BoardConfig, where: str) -> BoardConfig:
    """Return what a board may be made from. Raises `InvalidParameterValue`."""
    if not 1 <= config.retained <= RETAINED_MAX:
        raise InvalidParameterValue(f"{where}.retainedCount: expected 1 to {RETAINED_MAX}")
    if config.rotation is Rotation.DAYS and not DAYS_MIN <= config.days <= DAYS_MAX:
        raise InvalidParameterValue(f"{where}.numDaysToRotate: DAYS needs {DAYS_MIN} to {DAYS_MAX}")
    return config


# Declared boards


class BoardTournament(Settings, kw_only=True):
    """The tournaments that run in every period of a board. Phases are parts of the period, in minutes."""

    codes: Annotated[
        list[Annotated[Name, Refers("tournament")]],
        Meta(min_length=1, max_length=CONFIGS_MAX, description="Templates of [tournament] to choose from."),
    ]
    auto_join: Annotated[bool, Meta(description="A first score enrols; needs exactly one code.")] = False
    auto_claim: Annotated[bool, Meta(description="Rewards are paid at the end without asking.")] = False
    template_only: Annotated[bool, Meta(description="For the instances of divisions; nobody joins here.")] = (
        False
    )
    announcement_minutes: Annotated[Minutes, Meta(description="At the start: nobody can enrol yet.")] = 0
    enrol_minutes: Annotated[Minutes, Meta(description="Then: players enrol, scores do not count yet.")] = 0
    disallow_minutes: Annotated[Minutes, Meta(description="Before the end of play: too late to enrol.")] = 0
    buffer_minutes: Annotated[Minutes, Meta(description="At the end: scores of earlier rounds come in.")] = 0

    @property
    def settings(self) -> TournamentSettings:
        """What runs during a period."""
        return TournamentSettings(
            t_configs={code: TournamentConfig(t_config_code=code) for code in self.codes},
            t_auto_join=self.auto_join,
            t_auto_claim=self.auto_claim,
            phases=Phases(
                enrol_mins=self.enrol_minutes,
                announcement_mins=self.announcement_minutes,
                disallow_mins=self.disallow_minutes,
                buffer_mins=self.buffer_minutes,
            ),
        )


class BoardSettings(Settings):
    """A board, there from the start. Its scores stay when it is taken out of the file."""

    type: Annotated[BoardType, Meta(description="What a player's further score does.")] = BoardType.HIGH_VALUE
    entries: Annotated[EntryType, Meta(description="Who has scores: PLAYER or GROUP.")] = EntryType.PLAYER
    rotation: Annotated[Rotation, Meta(description="How often the board begins anew.")] = Rotation.NEVER
    days: Annotated[int, Meta(ge=DAYS_MIN, le=DAYS_MAX, description="Days of a period of DAYS.")] = DAYS_MIN
    reset: Annotated[
        datetime | None, Meta(description="A moment at which it rotates, such as 2026-01-05T00:00:00Z.")
    ] = None
    retained: Annotated[
        int, Meta(ge=1, le=RETAINED_MAX, description="Versions that can be read, the running one included.")
    ] = 1
    data: Annotated[dict[str, Any] | None, Meta(description="Told to clients with the board.")] = None
    tournament: Annotated[
        BoardTournament | None, Meta(description="Makes every period of the board a tournament.")
    ] = None

    def mistakes(self, folder: Path) -> Iterator[Mistake]:
        """Yield settings that do not go together."""
        if self.rotation is Rotation.ADHOC:
            yield "rotation", "ADHOC boards are made by tournaments, not declared"
        if self.rotation in RECURRING and self.reset is None:
            yield "reset", "a board that rotates needs a moment to count from, such as 2026-01-05T00:00:00Z"
        if self.reset is not None and self.reset.tzinfo is None:
            yield "reset", "say which time zone: end with Z for UTC"
        if self.tournament is not None:
            yield from self._tournament_mistakes(self.tournament)
        yield from super().mistakes(folder)

    def _tournament_mistakes(self, tournament: BoardTournament) -> Iterator[Mistake]:
        days = {
            Rotation.DAILY: 1,
            Rotation.WEEKLY: 7,
            Rotation.MONTHLY: 28,
            Rotation.YEARLY: 365,
            Rotation.DAYS: self.days,
        }.get(self.rotation)
        if days is None:
            yield "tournament", "tournaments run on boards that rotate"
            return
        if tournament.auto_join and len(tournament.codes) != 1:
            yield ("tournament", "auto_join"), "needs exactly one of codes"
            return
        try:
            check_settings(tournament.settings, days * 24 * 60, "")
        except InvalidTournamentSettings:
            yield "tournament", "the board's period is too short for these phases"

    @property
    def config(self) -> BoardConfig:
        """What the board is made from."""
        at = None if self.reset is None else int(self.reset.astimezone(UTC).timestamp() * 1000)
        running = self.tournament
        return BoardConfig(
            entry_type=self.entries,
            board_type=self.type,
            rotation=self.rotation,
            days=self.days if self.rotation is Rotation.DAYS else 0,
            reset_ms=at,
            retained=self.retained,
            data=None if self.data is None else msgspec.json.encode(self.data).decode(),
            t_enabled=running is not None,
            t_template_only=running is not None and running.template_only,
            t_settings=None if running is None else json.encode(running.settings).decode(),
            declared=sha256(msgspec.json.encode(self)).hexdigest(),
        )


class LeaderboardSettings(Settings):
    """Leaderboards that are there from the start, and limits for those that clients make."""

    boards: Annotated[dict[BoardName, BoardSettings], Meta(description="Boards by their ids.")] = (
        msgspec.field(default_factory=dict)
    )
    boards_max: Annotated[
        int, Meta(ge=1, le=1_000_000, description="Boards of the app, with those that clients have made.")
    ] = 10_000
    pacers: Annotated[
        dict[Name, PacerSettings],
        Meta(
            max_length=PACERS_MAX, description="Pretended friends by their ids, and their scores on boards."
        ),
    ] = msgspec.field(default_factory=dict)

    def pacers_on(self, board_id: str) -> list[Pacer]:
        """Return the pacers that have a score on a board."""
        found = (pacer_on(name, pacer, board_id) for name, pacer in self.pacers.items())
        return [pacer for pacer in found if pacer is not None]

    @property
    def configs(self) -> Mapping[str, BoardConfig]:
        """What the declared boards are made from."""
        return {name: board.config for name, board in self.boards.items()}
