"""Divisions: tournaments in groups of limited size, each on a board of its own that lives for one period."""

from typing import Annotated

import msgspec
from msgspec import Meta

from gameserver.domain.leaderboards import (
    CURRENT,
    Board,
    BoardConfig,
    EntryType,
    Leaderboards,
    NoLeaderboard,
    Rotation,
    Stale,
    no_board,
)
from gameserver.domain.leaderboards.periods import DAY_MS
from gameserver.domain.leaderboards.store import DuplicateLeaderboard
from gameserver.domain.leaderboards.tournaments import Likeness, Scheduled
from gameserver.rpc import Context, Tx
from gameserver.services.tournament import storage
from gameserver.services.tournament.base import (
    INSTANCE_PREFIX,
    InActiveDivision,
    InitialScore,
    NoDivisionSet,
    NotADivision,
    NotEnoughToJoin,
    NotOnBoard,
    NoTournament,
    OfBoard,
    TooEarlyToJoin,
    TooLateToJoin,
    TournamentCode,
    WrongEntryType,
    service,
)
from gameserver.services.tournament.division_sets import OfSet, SetConfig, find_set, set_config, set_locks
from gameserver.services.tournament.playing import JoinedReply, LeftReply, StatusReply, joined, status
from gameserver.services.tournament.rules import (
    Entered,
    Period,
    check_entry_type,
    check_joining,
    enrol,
    find_mine,
    find_template,
    leave,
    running,
)
from gameserver.storage import Aborted, Row
from gameserver.wire import json
from gameserver.wire.shapes import Nothing, Reply

TRIES_MAX = 20  # of ids that somebody else may have taken for boards of their own


class JoinDivision(OfSet, kw_only=True):
    tournament_code: TournamentCode
    initial_score: InitialScore = 0


def of_set(ctx: Context, request: JoinDivision) -> list[str]:
    """Return the lock of a division set."""
    return set_locks(ctx, request.div_set_id)


def of_instance(ctx: Context, request: OfBoard) -> list[str]:
    """Return the lock of the set of an instance: who leaves gives a place back."""
    if not request.leaderboard_id.startswith(INSTANCE_PREFIX):
        return []  # it will be refused
    return set_locks(ctx, request.leaderboard_id.removeprefix(INSTANCE_PREFIX).rpartition("^")[0])


class InDivisionReply(JoinedReply):
    """`leaderboard_id` is the board of the instance."""

    leaderboard_id: Annotated[str, Meta(description="The id of the board of the instance.")]
    created_at: Annotated[int, Meta(description="When the member entered: ms since 1970-01-01 UTC.")]


ENTERING = (
    NoDivisionSet,
    NoLeaderboard,
    NoTournament,
    InActiveDivision,
    NotOnBoard,
    TooEarlyToJoin,
    TooLateToJoin,
    WrongEntryType,
)


@service.operation("JOIN_DIVISION", tx=Tx.WRITE, locks=of_set, errors=(*ENTERING, NotEnoughToJoin))
async def join_division(ctx: Context, request: JoinDivision) -> InDivisionReply:
    """Enter the caller in an instance of a division set that has room; collects the entry fee.

    Answers with the instance's board. A further instance is made when all are full.
    """
    entered = await enter(ctx, request, ctx.player_id, EntryType.PLAYER)
    told = await joined(ctx, entered)
    return InDivisionReply(
        leaderboard_id=entered.board.board_id,
        created_at=ctx.now_ms,
        enrolled=told.enrolled,
        entry_fee=told.entry_fee,
        balance=told.balance,
    )


async def enter(ctx: Context, request: JoinDivision, member_id: str, entry_type: EntryType) -> Entered:
    """Enter a member in an instance."""
    set_id = request.div_set_id
    config = set_config(await find_set(ctx, set_id))
    template = await _template_board(ctx, config)
    check_entry_type(template, entry_type)
    period = running(template)
    of_set = {"app": ctx.app.id, "set_id": set_id}
    if await ctx.tx.one(storage.ACTIVE_IN, **of_set, member=member_id, now_ms=ctx.now_ms) is not None:
        raise InActiveDivision(f"already in an instance of {set_id!r} that still runs")
    check_joining(period, ctx.now_ms)
    await find_template(ctx, template, period, request.tournament_code)
    board_id = await _take_place(ctx, set_id, config, template, period)
    mine = await find_mine(ctx, board_id, member_id)
    return await enrol(
        ctx, mine, member_id, request.tournament_code, request.initial_score, div_set_id=set_id
    )


async def _take_place(ctx: Context, set_id: str, config: SetConfig, template: Board, period: Period) -> str:
    """Take a place in an instance; returns its board.

    Here everybody who joins the same instance waits for the one before. Taking the place last would hold
    others up for a shorter time, but of many who find the same last place, all but one would begin again.
    """
    of_set = {"app": ctx.app.id, "set_id": set_id}
    of_period = {"started": period.started_ms, "now_ms": ctx.now_ms, "most": config.most}
    for _ in range(TRIES_MAX):
        room = await ctx.tx.one(storage.ROOM, **of_set, **of_period)
        if room is None:
            number, board_id = await _make_instance(ctx, set_id, config, template, period)
        else:
            number, board_id = room
        if await ctx.tx.run(storage.ENTER, **of_set, of_number=number, most=config.most):
            return board_id
    raise Aborted("others take the places faster")


async def _template_board(ctx: Context, config: SetConfig) -> Board:
    """Return the board that instances are made like, as it is now. Raises `NoLeaderboard`."""
    boards = ctx.core.get(Leaderboards).boards
    board = await boards.find(ctx, config.template_leaderboard_id, fresh=True)
    if board is None:
        raise no_board(config.template_leaderboard_id)
    if not board.uid:
        board = await boards.store(ctx, config.template_leaderboard_id)
    return board.at(ctx.now_ms)[0]


async def _make_instance(
    ctx: Context, set_id: str, config: SetConfig, template: Board, period: Period
) -> tuple[int, str]:
    """Make a further instance, a board for the period that runs; returns its number and the board's id."""
    counted = await ctx.tx.one(storage.LAST_NUMBER, app=ctx.app.id, set_id=set_id)
    last = 0 if counted is None else counted[0]
    expires_ms = period.ended_ms + config.expire_results_after_days * DAY_MS
    for number in range(last + 1, last + 1 + TRIES_MAX):
        board_id = f"{INSTANCE_PREFIX}{set_id}^{number}"
        try:
            board = await _make_board(ctx, set_id, board_id, template, period, expires_ms)
        except DuplicateLeaderboard:
            if await ctx.tx.one(storage.INSTANCE, app=ctx.app.id, board=board_id) is not None:
                return number, board_id  # somebody else has made it meanwhile
            continue
        row = {
            "app_id": ctx.app.id,
            "div_set_id": set_id,
            "number": number,
            "board_id": board_id,
            "board_uid": board.uid,
            "started_ms": period.started_ms,
            "play_ms": period.times.t_play_start,
            "ended_ms": period.ended_ms,
            "expires_ms": expires_ms,
            "members": 0,
        }
        if not await ctx.tx.unless_taken(storage.ADD_INSTANCE, **row):
            raise Aborted("the instance was made at the same time")
        return number, board_id
    raise Aborted("no instance could be made")


async def _make_board(
    ctx: Context, set_id: str, board_id: str, template: Board, period: Period, expires_ms: int
) -> Board:
    boards = ctx.core.get(Leaderboards).boards
    likeness = Likeness(rotation=template.rotation, days=template.days)
    settings = msgspec.structs.replace(period.settings, like=likeness)
    made = await boards.create(
        ctx,
        board_id,
        BoardConfig(
            entry_type=template.entry_type,
            board_type=template.board_type,
            rotation=Rotation.ADHOC,
            retained=2,  # the period that is over stays to be read
            data=template.data,
            expires_ms=expires_ms,
            t_enabled=True,
            t_settings=json.encode(settings).decode(),
            div_set=set_id,
        ),
    )
    scheduled = Scheduled(
        starting_at=period.started_ms,
        ending_at=period.ended_ms,
        **{name: getattr(settings, name) for name in settings.__struct_fields__},
    )
    running_now = msgspec.structs.replace(
        made,
        started_ms=period.started_ms,
        reset_ms=period.ended_ms,
        t_period=json.encode(scheduled).decode(),
    )
    try:
        return await boards.change(ctx.tx, made, running_now)
    except Stale:
        raise Aborted("the board was changed at the same time") from None


@service.operation("LEAVE_DIVISION_INSTANCE", tx=Tx.WRITE, locks=of_instance, errors=(NotADivision,))
async def leave_instance(ctx: Context, request: OfBoard) -> LeftReply:
    """Leave an instance of a division set; the caller's score is removed, the entry fee is gone."""
    return await leave_for(ctx, request.leaderboard_id, ctx.player_id)


async def leave_for(ctx: Context, board_id: str, member_id: str) -> LeftReply:
    """Take a member out of an instance. Raises `NotADivision`."""
    instance = await ctx.tx.one(storage.INSTANCE, app=ctx.app.id, board=board_id)
    if instance is None:
        raise NotADivision(f"leaderboard {board_id[:64]!r} is no instance of a division set")
    mine = await find_mine(ctx, board_id, member_id)
    if mine.row is None:
        return LeftReply(num_scores_removed=0)
    removed = await leave(ctx, mine.board, member_id)
    await ctx.tx.defer(
        storage.EXIT,
        app=ctx.app.id,
        set_id=instance["div_set_id"],
        of_number=instance["number"],
    )
    return LeftReply(num_scores_removed=removed)


INFORMING = (NoDivisionSet, NoLeaderboard, NoTournament, WrongEntryType)


@service.operation("GET_DIVISION_INFO", tx=Tx.READ, errors=INFORMING)
async def get_info(ctx: Context, request: OfSet) -> StatusReply:
    """Read the tournaments of a division set, and the caller's part in it."""
    return await info(ctx, request.div_set_id, ctx.player_id, EntryType.PLAYER)


async def info(ctx: Context, set_id: str, member_id: str, entry_type: EntryType) -> StatusReply:
    """Return the tournaments of a division set, and a member's part in it."""
    config = set_config(await find_set(ctx, set_id))
    active = await ctx.tx.one(
        storage.ACTIVE_IN, app=ctx.app.id, set_id=set_id, member=member_id, now_ms=ctx.now_ms
    )
    board_id = config.template_leaderboard_id if active is None else active["board_id"]
    return await status(ctx, board_id, member_id, entry_type, CURRENT)


Boards = dict[str, list[str]]
"""Ids of boards by division set."""


class GroupDivisionsReply(Reply):
    """The boards of the instances, by state and division set."""

    active: Annotated[Boards, Meta(description="Boards of instances that run, by division set.")] = (
        msgspec.field(name="ACTIVE")
    )
    pending: Annotated[
        Boards, Meta(description="Boards of instances whose play has not begun, by division set.")
    ] = msgspec.field(name="PENDING")
    complete: Annotated[Boards, Meta(description="Boards of instances that are over, by division set.")] = (
        msgspec.field(name="COMPLETE")
    )


class DivisionsReply(GroupDivisionsReply):
    """With those whose reward waits."""

    claimable: Annotated[
        Boards, Meta(description="Boards of instances whose reward can be claimed, by division set.")
    ] = msgspec.field(name="CLAIMABLE")


@service.operation("GET_MY_DIVISIONS", tx=Tx.READ)
async def get_mine(ctx: Context, request: Nothing) -> DivisionsReply:
    """List the boards of the caller's instances by state and division set.

    PENDING: play is to come. ACTIVE: it goes on. CLAIMABLE: it is over, and the reward waits. COMPLETE: it is
    over, and the results are being made, or the reward was claimed.
    """
    found = await divisions_of(ctx, ctx.player_id, claimable=True)
    return DivisionsReply(
        active=found["ACTIVE"],
        pending=found["PENDING"],
        complete=found["COMPLETE"],
        claimable=found["CLAIMABLE"],
    )


async def divisions_of(ctx: Context, member_id: str, *, claimable: bool) -> dict[str, Boards]:
    """Return the boards of a member's instances by state and division set."""
    states = (
        ("ACTIVE", "PENDING", "CLAIMABLE", "COMPLETE") if claimable else ("ACTIVE", "PENDING", "COMPLETE")
    )
    found: dict[str, Boards] = {state: {} for state in states}
    for row in await ctx.tx.all(storage.DIVISIONS, member=member_id, now_ms=ctx.now_ms):
        state = _state(row, ctx.now_ms, claimable=claimable)
        found[state].setdefault(row["div_set_id"], []).append(row["board_id"])
    return found


def _state(row: Row, now_ms: int, *, claimable: bool) -> str:
    if row["claimed_ms"] is None:
        if now_ms < row["play_ms"]:
            return "PENDING"
        return "ACTIVE" if now_ms < row["ended_ms"] else "COMPLETE"
    return "CLAIMABLE" if claimable and not row["claimed_ms"] else "COMPLETE"
