"""Periods and who takes part: when one may enter and post, entering, leaving."""

from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec
from msgspec import Meta

from gameserver.apps import App
from gameserver.documents.documents import data_out
from gameserver.domain.economy import wallet
from gameserver.domain.economy.wallet import BalanceOutOfRange, CurrencyConsumed, CurrencySettings
from gameserver.domain.leaderboards import (
    BEFORE_POST,
    TEMPLATE_VERSIONS,
    Board,
    EntryType,
    Leaderboards,
    Stale,
    no_board,
)
from gameserver.domain.leaderboards.fields import ChangedAt, DataShown, ScoreShown
from gameserver.domain.leaderboards.periods import period_minutes
from gameserver.domain.leaderboards.tournaments import (
    NotEnrolled,
    PhaseTimes,
    PlayEnded,
    PlayNotStarted,
    TournamentSettings,
    phase_times,
    read_settings,
)
from gameserver.players.fields import Balance
from gameserver.rpc import Context
from gameserver.services.tournament import storage, templates
from gameserver.services.tournament.base import (
    AlreadyEnrolled,
    IsInitial,
    NotEnoughToJoin,
    NotOnBoard,
    NoTournament,
    OutOfTime,
    TemplateOnly,
    TooEarlyToJoin,
    TooLateToJoin,
    TournamentCode,
    UseDivisions,
    WrongEntryType,
    service,
)
from gameserver.services.tournament.templates import Template
from gameserver.storage import Aborted, Row, Transaction
from gameserver.wire.shapes import Reply

AnyPart = TypeVar("AnyPart", bound="Part")

# Periods


class Period(NamedTuple):
    """A version of a board in which a tournament runs."""

    version: int
    started_ms: int
    ended_ms: int
    settings: TournamentSettings
    times: PhaseTimes

    @property
    def codes(self) -> list[str]:
        """The codes of its tournaments."""
        return self.settings.codes

    @property
    def last_versions(self) -> dict[str, int]:
        """The last versions of templates to take, by code, where not any will do."""
        return self.settings.last_versions

    def state(self, now_ms: int) -> str:
        """Tell whether play is to come, goes on, or is over."""
        if now_ms < self.times.t_play_start:
            return "PENDING"
        return "ACTIVE" if now_ms < self.times.t_play_end else "COMPLETE"


def period_of(
    board: Board, version: int, started_ms: int, ended_ms: int | None, t_period: str | None
) -> Period | None:
    """Return the period that a version is; None when it is no tournament."""
    settings = read_settings(t_period)
    if settings is None or ended_ms is None:
        return None
    minutes = period_minutes(board.rotation, board.days, started_ms, ended_ms)
    return Period(version, started_ms, ended_ms, settings, phase_times(settings.phases, minutes, ended_ms))


def running(board: Board) -> Period:
    """Return the period that runs on a board. Raises `NoTournament`."""
    found = None
    if board.t_enabled:
        found = period_of(board, board.version, board.started_ms, board.reset_ms, board.t_period)
    if found is None:
        raise NoTournament(f"no tournament runs on the leaderboard {board.board_id[:64]!r}")
    return found


def check_tournaments(board: Board) -> None:
    """Raise `NoTournament` for a board on which none ever runs."""
    if not board.t_enabled:
        raise NoTournament(f"the leaderboard {board.board_id[:64]!r} has no tournaments")


def check_entry_type(board: Board, wanted: EntryType) -> None:
    """Raise `WrongEntryType` for a board of others."""
    if board.entry_type is not wanted:
        raise WrongEntryType(f"leaderboard {board.board_id[:64]!r} is for {board.entry_type.lower()}s")


def check_joining(period: Period, now_ms: int) -> None:
    """Raise `TooEarlyToJoin` or `TooLateToJoin` outside of the time of enrolment."""
    if now_ms < period.times.t_registration_start:
        raise TooEarlyToJoin("enrolment has not begun")
    if now_ms >= period.times.t_registration_end:
        raise TooLateToJoin("enrolment is over")


def check_posting(period: Period, now_ms: int, round_started_ms: int | None) -> None:
    """Raise what says that a score does not count now.

    A round that began in time may end in the buffer after play.
    """
    times = period.times
    if now_ms < times.t_play_start:
        raise PlayNotStarted("play has not begun")
    if now_ms >= period.ended_ms:
        raise PlayEnded("the tournament is over")
    began = now_ms if round_started_ms is None else min(round_started_ms, now_ms)
    if began < times.t_play_start:
        raise OutOfTime("data.roundStartedEpoch: the round began before the tournament")
    if began >= times.t_play_end:
        raise PlayEnded("play is over")


@service.on(TEMPLATE_VERSIONS)
async def versions_of(tx: Transaction, app: App, board: Board, now_ms: int) -> dict[str, int]:
    """Return the versions of the templates that hold for a board's running period, by code."""
    period = period_of(board, board.version, board.started_ms, board.reset_ms, board.t_period)
    if period is None:
        return {}
    found = await templates.of_period(tx, app, period.codes, period, now_ms=now_ms)
    return {code: template.version for code, template in found.items()}


def not_enrolled() -> NotEnrolled:
    """Make the refusal."""
    return NotEnrolled("the player has not entered the tournament")


# Who takes part


class Mine(NamedTuple):
    """A member's part in the running period of a board; `row` is None when they have none."""

    board: Board
    row: Row | None


async def find_mine(ctx: Context, board_id: str, member_id: str) -> Mine:
    """Return a board as it is now and the member's part in its running period. Raises `NoLeaderboard`."""

    async def read(board: Board) -> Mine:
        return Mine(board, await read_part(ctx.tx, board, board.version, member_id))

    found = await ctx.core.get(Leaderboards).reading(ctx, board_id, read)
    if found is None:
        raise no_board(board_id)
    return found


async def read_part(tx: Transaction, board: Board, version: int, member_id: str) -> Row | None:
    """Return a member's part in a period; None when they have none. Raises `Stale`."""
    if not board.uid:
        return None
    row = await tx.one(storage.MINE, uid=board.uid, of_version=version, member=member_id)
    if row is None or row["stamp"] != board.stamp:
        raise Stale
    return None if row["code"] is None else row


@service.on(BEFORE_POST)
async def may_post(tx: Transaction, board: Board, member_id: str, now_ms: int) -> None:
    """Refuse scores from outside of tournaments, unless the member has entered and play goes on.

    A version in which no tournament runs is a board like any other.
    """
    if board.t_period is None:
        return
    period = running(board)
    this = {"uid": board.uid, "of_version": period.version, "member": member_id}
    row = await tx.one(storage.IS_ENROLLED, **this)
    if row is None:
        raise not_enrolled()
    check_posting(period, now_ms, None)
    if not row["posted"]:
        await tx.run(storage.POSTED, **this)


# Entering and leaving


class Entered(NamedTuple):
    """What entering has led to."""

    board: Board
    template: Template


def check_open(board: Board, *, division: bool = False) -> None:
    """Raise `TemplateOnly` or `UseDivisions` for boards that nobody joins by themselves."""
    if division:
        return
    if board.t_template_only:
        raise TemplateOnly(f"leaderboard {board.board_id[:64]!r} is a model for divisions")
    check_no_instance(board)


def check_no_instance(board: Board) -> None:
    """Raise `UseDivisions` for an instance of a division set."""
    if board.div_set is not None:
        raise UseDivisions(f"leaderboard {board.board_id[:64]!r} is joined and left through its division set")


async def find_template(ctx: Context, board: Board, period: Period, code: str) -> Template:
    """Return the template of a tournament that somebody wants to enter.

    Raises `NotOnBoard`, `NoTemplate`, `WrongEntryType`.
    """
    if code not in period.codes:
        raise NotOnBoard(f"the tournament {code[:64]!r} does not run on this leaderboard")
    template = await templates.one_of_period(ctx.tx, ctx.app, code, period, now_ms=ctx.now_ms)
    check_entry_type(board, template.entry_type)
    return template


async def enrol(
    ctx: Context,
    mine: Mine,
    member_id: str,
    code: str,
    score: int,
    data: str | None = None,
    *,
    posted: bool = False,
    asked: bool = True,
    div_set_id: str | None = None,
) -> Entered:
    """Enter a member with a first score, and collect the fee: all of it or nothing.

    `posted`: the score is their own, not the initial one. Who has not `asked` does not pay either: they are
    not entered in a tournament that has a fee. What others share comes first and last only as far
    as scores do: the board is locked against rotation, not against others.
    """
    board = mine.board
    check_open(board, division=div_set_id is not None)
    period = running(board)
    if mine.row is not None:
        raise AlreadyEnrolled("the player has entered a tournament on this leaderboard")
    check_joining(period, ctx.now_ms)
    template = await find_template(ctx, board, period, code)
    if template.entry_fee and not asked:
        raise not_enrolled()
    if template.entry_type is EntryType.PLAYER:
        await _pay_fee(ctx, member_id, template)
    stored = await post(ctx, board, member_id, score, data)
    row = {
        "board_uid": stored.uid,
        "version": stored.version,
        "member_id": member_id,
        "app_id": ctx.app.id,
        "board_id": stored.board_id,
        "div_set_id": div_set_id,
        "code": template.code,
        "posted": posted,
        "joined_ms": ctx.now_ms,
    }
    if not await ctx.tx.unless_taken(storage.ENROL, **row):
        raise AlreadyEnrolled("the player has entered a tournament on this leaderboard")
    return Entered(stored, template)


async def _pay_fee(ctx: Context, profile_id: str, template: Template) -> None:
    key = f"tournament_fee/{ctx.core.new_id()}"
    for currency, amount in sorted(template.entry_fee.items()):
        entry = f"{key}/{currency}"
        try:
            await wallet.take(ctx.tx, profile_id, currency, amount, entry, ctx.now_ms)
        except BalanceOutOfRange:
            raise NotEnoughToJoin(f"the entry fee is {amount} {currency}") from None
        await ctx.emit(CurrencyConsumed(profile_id=profile_id, currency=currency, amount=amount, entry=entry))


async def post(ctx: Context, board: Board, member_id: str, score: int, data: str | None) -> Board:
    """Post a score to the period that was looked at; returns the board as it is stored."""
    boards = ctx.core.get(Leaderboards)
    posted = await boards.post(ctx, board.board_id, member_id, score, data, check=lambda _: None, ask=False)
    if (posted.uid, posted.version) != (board.uid or posted.uid, board.version):
        boards.boards.forget(board)
        raise Aborted("the board has changed meanwhile")
    return posted


async def leave(ctx: Context, board: Board, member_id: str) -> int:
    """Take a member out of the running period; returns how many scores they had. The fee is gone."""
    if not board.uid or not await ctx.tx.run(
        storage.LEAVE, uid=board.uid, of_version=board.version, member=member_id
    ):
        return 0
    return await ctx.core.get(Leaderboards).remove(ctx, board, board.version, member_id)


# Showing


class Part(Reply, kw_only=True):
    """A member's part in a tournament. Times are 0 for what has not happened.

    `t_notified_at` is 0 when nobody has told them of the end.
    """

    score: ScoreShown
    data: DataShown
    created_at: Annotated[int, Meta(description="When the member entered: ms since 1970-01-01 UTC.")]
    updated_at: ChangedAt
    t_code: TournamentCode
    is_initial_t_score: IsInitial
    t_rank: Annotated[
        int,
        Meta(
            description="The place in the end, from 1; 0 while the results are not there, but in"
            " VIEW_CURRENT_REWARD the place now."
        ),
    ] = 0
    t_claimed_at: Annotated[
        int, Meta(description="When the reward was claimed: ms since 1970-01-01 UTC; 0: not yet.")
    ] = 0
    t_notified_at: Annotated[
        int, Meta(description="When the member was told of the end: ms since 1970-01-01 UTC; 0: not yet.")
    ] = 0


def part_shown(board: Board, row: Row, kind: type[AnyPart], **more: Any) -> AnyPart:
    """Return a member's part in the running period, with what `kind` tells besides."""
    return kind(
        score=0 if row["rank_key"] is None else board.key(row["rank_key"]),
        data=json_out(row["data"]),
        created_at=row["created_ms"] or 0,
        updated_at=row["updated_ms"] or 0,
        t_code=row["code"],
        is_initial_t_score=not row["posted"],
        **more,
    )


def result_shown(row: Row, kind: type[AnyPart], **more: Any) -> AnyPart:
    """Return a member's part in a period that is over, with what `kind` tells besides."""
    values: dict[str, Any] = {
        "score": row["score"],
        "data": json_out(row["data"]),
        "created_at": row["created_ms"],
        "updated_at": row["updated_ms"],
        "t_code": row["code"],
        "is_initial_t_score": not row["posted"],
        "t_rank": row["rank"],
        "t_claimed_at": row["claimed_ms"],
        "t_notified_at": row["notified_ms"] or 0,
    }
    return kind(**{**values, **more})


def json_out(text: str | None) -> msgspec.Raw | None:
    """Return stored JSON as a part of an answer."""
    return None if text is None else data_out(text)


async def balances(ctx: Context, profile_id: str) -> dict[str, Balance]:
    """Return what a player has of all currencies."""
    stored = await wallet.balances(ctx.tx, ctx.app.id, profile_id)
    return ctx.section(CurrencySettings).shown(stored or {})
