"""What a place brings: seen while the tournament runs, seen and claimed when it is over."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from gameserver.domain.leaderboards import CURRENT, Board, EntryType, Leaderboards, NoLeaderboard, no_board
from gameserver.domain.leaderboards.boards import InvalidVersion
from gameserver.domain.leaderboards.fields import BoardId, VersionShown
from gameserver.domain.leaderboards.tournaments import NotEnrolled
from gameserver.players.fields import (
    Balances,
    ExperienceLevel,
    ExperiencePoints,
    PaidRewards,
    StatisticValues,
    XpCapped,
)
from gameserver.rpc import Context, Tx
from gameserver.services.tournament import storage
from gameserver.services.tournament.base import (
    AlreadyClaimed,
    NoTournament,
    NotProcessed,
    OfBoard,
    VersionId,
    WrongEntryType,
    service,
)
from gameserver.services.tournament.payouts import claim, reward_of
from gameserver.services.tournament.rules import (
    Part,
    balances,
    check_entry_type,
    find_mine,
    not_enrolled,
    part_shown,
    result_shown,
    running,
)
from gameserver.services.tournament.templates import one_of_period
from gameserver.storage import Row
from gameserver.wire.shapes import Reply


class RewardReply(Part, kw_only=True):
    """A member's part, and what it brings: points, currency, statistics."""

    rewards: Annotated[
        dict[str, Any],
        Meta(
            description="What the place brings: `experiencePoints`, `currency`, `statistics`, "
            "`globalStatistics`, those that there are."
        ),
    ]


class ClaimedTournament(RewardReply, kw_only=True):
    """`t_c_version` is the version of the template that promised the reward."""

    leaderboard_id: BoardId
    leaderboard_version: VersionShown
    t_c_version: Annotated[int, Meta(description="The version of the template that promised the reward.")] = (
        msgspec.field(name="tCVersion")
    )
    t_claimed: Annotated[int, Meta(description="When the reward was claimed: ms since 1970-01-01 UTC.")]


class ClaimDetails(Reply, kw_only=True):
    """`xp`: the levels that were reached, if any."""

    tournaments: Annotated[list[ClaimedTournament], Meta(description="The tournament that was claimed.")]
    milestones: Annotated[list[Any], Meta(description="Always empty.")] = msgspec.field(default_factory=list)
    xp: Annotated[
        dict[str, Any], Meta(description="The levels that were reached, as `experienceLevels`, if any.")
    ]


class ClaimReply(Reply):
    """What was paid, and what the player has after it. There are no parent and peer apps here."""

    rewards: PaidRewards
    reward_details: Annotated[ClaimDetails, Meta(description="What it was for.")]
    statistics: StatisticValues
    experience_points: ExperiencePoints
    experience_level: ExperienceLevel
    xp_capped: XpCapped
    currency: Balances
    parent_currency: Annotated[dict[str, Any], Meta(description="Always empty.")] = msgspec.field(
        default_factory=dict
    )
    peer_currency: Annotated[dict[str, Any], Meta(description="Always empty.")] = msgspec.field(
        default_factory=dict
    )


@service.operation(
    "VIEW_CURRENT_REWARD", tx=Tx.READ, errors=(NoLeaderboard, NoTournament, NotEnrolled, WrongEntryType)
)
async def view_current(ctx: Context, request: OfBoard) -> RewardReply:
    """Read what the caller would get if the tournament ended now."""
    board, row = await find_mine(ctx, request.leaderboard_id, ctx.player_id)
    check_entry_type(board, EntryType.PLAYER)
    period = running(board)
    if row is None or row["rank_key"] is None:
        raise not_enrolled()
    template = await one_of_period(ctx.tx, ctx.app, row["code"], period, now_ms=ctx.now_ms)
    counted = await ctx.tx.one(
        storage.STANDING,
        uid=board.uid,
        of_version=board.version,
        of_code=row["code"],
        key=row["rank_key"],
    )
    assert counted is not None
    better, size = counted
    rewards = template.reward(int(better) + 1, size, posted=row["posted"])
    return part_shown(board, row, RewardReply, t_rank=int(better) + 1, rewards=rewards.shown())


class OfVersion(OfBoard):
    version_id: Annotated[
        VersionId, Meta(description="The version of the board. -1: the latest one that can be claimed.")
    ] = CURRENT


@service.operation(
    "VIEW_REWARD", tx=Tx.READ, errors=(NoLeaderboard, NotEnrolled, NotProcessed, InvalidVersion)
)
async def view_reward(ctx: Context, request: OfVersion) -> RewardReply:
    """Read what the caller got, or can claim, for a tournament that is over; -1 is their latest one."""
    row = await _result(ctx, request)
    reward = await reward_of(ctx.tx, ctx.app, row, ctx.now_ms)
    return result_shown(row, RewardReply, rewards=reward.rewards.shown())


@service.operation(
    "CLAIM_TOURNAMENT_REWARD",
    tx=Tx.WRITE,
    errors=(NoLeaderboard, NotEnrolled, NotProcessed, AlreadyClaimed, InvalidVersion),
)
async def claim_reward(ctx: Context, request: OfVersion) -> ClaimReply:
    """Claim the caller's reward for a tournament that is over, once; -1 is their latest one.

    `tCVersion` is the version of the template that promised it.
    """
    row = await _result(ctx, request)
    if row["claimed_ms"]:
        raise AlreadyClaimed("the reward has been claimed")
    reward, progress, paid = await claim(ctx.tx, ctx.app, row, ctx.now_ms)
    tournament = result_shown(
        row,
        ClaimedTournament,
        leaderboard_id=row["board_id"],
        leaderboard_version=row["version"],
        t_c_version=reward.version,
        t_claimed=ctx.now_ms,
        t_claimed_at=ctx.now_ms,
        rewards=reward.rewards.shown(),
    )
    return ClaimReply(
        rewards=paid.rewards,
        reward_details=ClaimDetails(tournaments=[tournament], xp=paid.reward_details.get("xp", {})),
        statistics=progress.settings.shown(progress.values),
        experience_points=progress.experience,
        experience_level=progress.level,
        xp_capped=progress.capped,
        currency=paid.currency or await balances(ctx, ctx.player_id),
    )


async def _result(ctx: Context, request: OfVersion) -> Row:
    """Return the caller's result. Raises `NotEnrolled`, `NotProcessed`, `InvalidVersion`."""
    boards = ctx.core.get(Leaderboards).boards
    board = await boards.find(ctx, request.leaderboard_id)
    if board is None:
        raise no_board(request.leaderboard_id)
    of_player = {"uid": board.uid, "member": ctx.player_id}
    wanted = CURRENT if request.version_id is None else request.version_id
    if wanted == CURRENT:
        row = await ctx.tx.one(storage.LATEST, **of_player)
    else:
        row = await ctx.tx.one(storage.RESULT, **of_player, of_version=wanted)
    if row is not None and not (wanted == CURRENT and row["claimed_ms"]):
        return row
    await _explain(ctx, board, wanted)
    if row is not None:
        return row
    raise not_enrolled()


async def _explain(ctx: Context, board: Board, wanted: int) -> None:
    """Raise `NotProcessed` for a version without results yet, `InvalidVersion` for one that never was."""
    awaited = await ctx.tx.one(storage.AWAITED, uid=board.uid, member=ctx.player_id)
    if awaited is not None and wanted in {CURRENT, awaited["version"]}:
        raise NotProcessed("the tournament is over, but its results are not there yet")
    if wanted == CURRENT:
        return
    fresh = await ctx.core.get(Leaderboards).boards.find(ctx, board.board_id, fresh=True)
    if fresh is None:
        raise no_board(board.board_id)
    now = fresh.at(ctx.now_ms)[0]
    if now.find_version(wanted) in {now.version, fresh.version}:
        raise NotProcessed("the tournament is not over, or its results are not there yet")
