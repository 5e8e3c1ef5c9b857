"""Posting scores, on boards that exist or that the post makes, and removing them."""

from typing import Annotated, Protocol

from msgspec import Meta

from gameserver.documents.documents import InvalidFieldName
from gameserver.domain.leaderboards import (
    CURRENT,
    Board,
    BoardConfig,
    EntryType,
    Leaderboards,
    NoLeaderboard,
    no_board,
)
from gameserver.domain.leaderboards.boards import InvalidLeaderboardId, InvalidVersion
from gameserver.domain.leaderboards.fields import (
    DaysField,
    ResetField,
    ResetFieldToo,
    RetainedField,
    RotationField,
    Score,
    ScoreData,
    TypeField,
    VersionId,
)
from gameserver.domain.leaderboards.store import TooManyLeaderboards
from gameserver.domain.leaderboards.tournaments import POST_REFUSALS, InvalidTournamentSettings
from gameserver.domain.social import groups
from gameserver.domain.social.groups import NotGroupMember, UnknownGroup
from gameserver.players import profiles
from gameserver.players.profiles import UnknownPlayer
from gameserver.rpc import Access, Caller, Context, Tx
from gameserver.services.leaderboard.base import (
    NoScore,
    OfBoard,
    WrongEntryType,
    check_groups,
    check_players,
    score_data,
    service,
    version_of,
)
from gameserver.services.leaderboard.rules import (
    FREE_IN_CONFIG,
    ConfigJson,
    first_time,
    object_of,
    read_config,
)
from gameserver.wire.errors import GameError
from gameserver.wire.fields import GroupId
from gameserver.wire.shapes import Reply


class OfTournament(GameError):
    """The score belongs to a tournament, which is left through its own service."""

    reason_code = 40494


MAKE_REFUSALS = (TooManyLeaderboards, InvalidLeaderboardId, InvalidTournamentSettings)
"""How a board is refused that a post would make."""


# Players


class PostScore(OfBoard, kw_only=True):
    score: Score
    data: ScoreData = None


@service.operation(
    "POST_SCORE", tx=Tx.WRITE, errors=(NoLeaderboard, WrongEntryType, InvalidFieldName, *POST_REFUSALS)
)
async def post_score(ctx: Context, request: PostScore) -> None:
    """Post a score of the caller: a whole number of up to 2^53. The board's type says what becomes of it.

    `data` is an object of up to 10 KiB shown with the score; without it, what is there stays.
    """
    data = score_data(request.data)
    boards = ctx.core.get(Leaderboards)
    await boards.post(ctx, request.leaderboard_id, ctx.player_id, request.score, data, check=check_players)


class DynamicFields(OfBoard, kw_only=True):
    """What the board is made from. Looked at only when it does not exist yet."""

    score: Score
    data: ScoreData = None
    leaderboard_type: TypeField = None
    rotation_type: RotationField = None
    rotation_reset_time: ResetField = None
    rotation_reset: ResetFieldToo = None
    retained_count: RetainedField = None
    num_days_to_rotate: DaysField = None

    def config(self, now_ms: int, entry_type: EntryType) -> BoardConfig:
        """Return what the board is made from."""
        given = {
            "leaderboardType": self.leaderboard_type,
            "rotationType": self.rotation_type,
            "resetAt": first_time(
                rotationResetTime=self.rotation_reset_time, rotationReset=self.rotation_reset
            ),
            "retainedCount": self.retained_count,
            "numDaysToRotate": self.num_days_to_rotate,
            "entryType": entry_type,
        }
        return read_config(given, now_ms, "data")


class PostDynamic(DynamicFields, kw_only=True):
    """One SDK posts scores of groups here."""

    group_id: Annotated[
        str | None,
        Meta(description="The group whose score it is, if it is not the caller's; the caller is a member."),
    ] = None


class Named(Protocol):
    """A request that names a group, or may do so."""

    group_id: str | None


def of_group(ctx: Context, request: Named) -> list[str]:
    """Whose scores are changed."""
    return [groups.group_lock(ctx.app.id, request.group_id)] if request.group_id else []


@service.operation(
    "POST_SCORE_DYNAMIC",
    tx=Tx.WRITE,
    locks=of_group,
    errors=(WrongEntryType, UnknownGroup, NotGroupMember, InvalidFieldName, *POST_REFUSALS, *MAKE_REFUSALS),
)
async def post_dynamic(ctx: Context, request: PostDynamic) -> None:
    """Post a score of the caller, to a board that is made first when there is none.

    How the board should be matters only then. Reset times are milliseconds since 1970, ISO 8601, `dd-MM-yyyy`
    or `dd-MM-yyyy HH:mm`, and may lie in the past.
    """
    if request.group_id:
        await post_for_group(ctx, request, request.group_id)
        return
    await ctx.core.get(Leaderboards).post_or_create(
        ctx,
        request.leaderboard_id,
        ctx.player_id,
        request.score,
        score_data(request.data),
        lambda: new_board(ctx, request.config(ctx.now_ms, EntryType.PLAYER)),
        check=check_players,
    )


CONFIG_FIELDS = (
    "leaderboardType",
    "rotationType",
    "numDaysToRotate",
    "resetAt",
    "retainedCount",
    "expireInMins",
)


class PostUsingConfig(OfBoard, kw_only=True):
    score: Score
    score_data: ScoreData = None
    config_json: Annotated[
        ConfigJson,
        Meta(
            description="How the board should be, as an object or as JSON text: `leaderboardType` "
            "and `rotationType`, and if wanted `numDaysToRotate`, `resetAt`, "
            "`retainedCount`, `expireInMins` (minutes after which the board is "
            "deleted). Looked at only when the board does not exist yet."
        ),
    ]

    def config(self, now_ms: int, entry_type: EntryType) -> BoardConfig:
        """Return what the board is made from. Only servers make boards with tournaments, or with data."""
        where = "data.configJson"
        given = object_of(self.config_json, where, FREE_IN_CONFIG)
        kept = {name: given[name] for name in CONFIG_FIELDS if name in given}
        return read_config({**kept, "entryType": entry_type}, now_ms, where)


@service.operation(
    "POST_SCORE_DYNAMIC_USING_CONFIG",
    tx=Tx.WRITE,
    errors=(WrongEntryType, InvalidFieldName, *POST_REFUSALS, *MAKE_REFUSALS),
)
async def post_using_config(ctx: Context, request: PostUsingConfig) -> None:
    """Post a score of the caller, to a board that is made from `configJson` first when there is none.

    `expireInMins` deletes the board after so many minutes.
    """
    await ctx.core.get(Leaderboards).post_or_create(
        ctx,
        request.leaderboard_id,
        ctx.player_id,
        request.score,
        score_data(request.score_data, "data.scoreData"),
        lambda: new_board(ctx, request.config(ctx.now_ms, EntryType.PLAYER)),
        check=check_players,
    )


class PostOnBehalfOf(PostScore, kw_only=True):
    profile_id: Annotated[str, Meta(description="The id of the player whose score it is.")]
    force_create: Annotated[
        bool, Meta(description="false refuses the score of a player who has none on the board yet.")
    ] = True


@service.operation(
    "POST_SCORE_TO_LEADERBOARD_ON_BEHALF_OF",
    tx=Tx.WRITE,
    access=Access.SERVER,
    errors=(NoLeaderboard, WrongEntryType, UnknownPlayer, NoScore, InvalidFieldName),
)
async def post_on_behalf_of(ctx: Context, request: PostOnBehalfOf) -> None:
    """Post a score for a player. Without `forceCreate`, only if they have one on the board already."""
    data = score_data(request.data)
    if await profiles.read(ctx.tx, ctx.app.id, request.profile_id) is None:
        raise UnknownPlayer("data.profileId: there is no such player")
    boards = ctx.core.get(Leaderboards)
    if not request.force_create:

        async def read(board: Board) -> bool:
            return bool(await boards.entries_of(ctx, board, board.version, request.profile_id, 1))

        if await boards.reading(ctx, request.leaderboard_id, read) is False:
            raise NoScore("the player has no score on this leaderboard")
    await boards.post(
        ctx, request.leaderboard_id, request.profile_id, request.score, data, check=check_players
    )


# Groups


def new_board(ctx: Context, config: BoardConfig) -> BoardConfig:
    """Count a board that the caller's score makes. Raises `RateLimited`."""
    if ctx.caller is Caller.CLIENT:
        ctx.core.quotas.make_board(ctx.app, ctx.player_id, ctx.now_ms)
    return config


async def check_poster(ctx: Context, group_id: str) -> None:
    """Raise `UnknownGroup`, or `NotGroupMember` when a client posts for a group of others.

    The group is held, or a score could come after the group has gone with all its scores.
    """
    profile_id = None if ctx.caller.is_studio else ctx.player_id
    standing = await groups.hold(ctx.tx, ctx.app.id, group_id, profile_id)
    if profile_id is not None:
        standing.check_member()


class PostGroupScore(PostScore, kw_only=True):
    group_id: GroupId


@service.operation(
    "POST_GROUP_SCORE",
    tx=Tx.WRITE,
    locks=of_group,
    access=Access.SIGNED_IN,
    errors=(NoLeaderboard, WrongEntryType, UnknownGroup, NotGroupMember, InvalidFieldName, *POST_REFUSALS),
)
async def post_group_score(ctx: Context, request: PostGroupScore) -> None:
    """Post a score of a group that the caller is a member of, to a board of groups."""
    data = score_data(request.data)
    await check_poster(ctx, request.group_id)
    boards = ctx.core.get(Leaderboards)
    await boards.post(ctx, request.leaderboard_id, request.group_id, request.score, data, check=check_groups)


class PostGroupDynamic(DynamicFields, kw_only=True):
    group_id: GroupId


async def post_for_group(ctx: Context, request: DynamicFields, group_id: str) -> None:
    """Post a score of a group, making the board if there is none."""
    data = score_data(request.data)
    await check_poster(ctx, group_id)
    await ctx.core.get(Leaderboards).post_or_create(
        ctx,
        request.leaderboard_id,
        group_id,
        request.score,
        data,
        lambda: new_board(ctx, request.config(ctx.now_ms, EntryType.GROUP)),
        check=check_groups,
    )


@service.operation(
    "POST_GROUP_SCORE_DYNAMIC",
    tx=Tx.WRITE,
    locks=of_group,
    access=Access.SIGNED_IN,
    errors=(WrongEntryType, UnknownGroup, NotGroupMember, InvalidFieldName, *POST_REFUSALS, *MAKE_REFUSALS),
)
async def post_group_dynamic(ctx: Context, request: PostGroupDynamic) -> None:
    """Post a score of a group, to a board of groups that is made first when there is none."""
    await post_for_group(ctx, request, request.group_id)


class PostGroupUsingConfig(PostUsingConfig, kw_only=True):
    group_id: GroupId


@service.operation(
    "POST_GROUP_SCORE_DYNAMIC_USING_CONFIG",
    tx=Tx.WRITE,
    locks=of_group,
    access=Access.SIGNED_IN,
    errors=(WrongEntryType, UnknownGroup, NotGroupMember, InvalidFieldName, *POST_REFUSALS, *MAKE_REFUSALS),
)
async def post_group_using_config(ctx: Context, request: PostGroupUsingConfig) -> None:
    """Post a score of a group, to a board that is made from `configJson` first when there is none."""
    data = score_data(request.score_data, "data.scoreData")
    await check_poster(ctx, request.group_id)
    await ctx.core.get(Leaderboards).post_or_create(
        ctx,
        request.leaderboard_id,
        request.group_id,
        request.score,
        data,
        lambda: new_board(ctx, request.config(ctx.now_ms, EntryType.GROUP)),
        check=check_groups,
    )


# Removing


class RemoveScore(OfBoard):
    version_id: VersionId = CURRENT


class RemovedReply(Reply):
    num_scores_removed: Annotated[int, Meta(description="How many scores were removed.")]


async def remove(ctx: Context, board: Board, version_id: int | None, member_id: str) -> RemovedReply:
    """Remove a member's scores from a version. Raises `InvalidVersion`, `OfTournament`."""
    version = version_of(board, version_id)
    if board.t_enabled and await was_tournament(ctx, board, version):
        raise OfTournament("the scores belong to a tournament, which is left by LEAVE_TOURNAMENT")
    return RemovedReply(
        num_scores_removed=await ctx.core.get(Leaderboards).remove(ctx, board, version, member_id)
    )


async def was_tournament(ctx: Context, board: Board, version: int) -> bool:
    """Tell whether a version that can be read is a tournament, or was one."""
    if version == board.version:
        return board.t_period is not None
    boards = ctx.core.get(Leaderboards).boards
    stored = await boards.find(ctx, board.board_id)
    unstored = [] if stored is None else stored.at(ctx.now_ms)[1]
    ended = (*unstored, *await boards.ended_versions(ctx.tx, board))
    return any(one.version == version and one.t_period is not None for one in ended)


async def find(ctx: Context, board_id: str) -> Board:
    """Return a board as it is now. Raises `NoLeaderboard`."""
    board = await ctx.core.get(Leaderboards).boards.find(ctx, board_id, fresh=True)
    if board is None:
        raise no_board(board_id)
    return board.at(ctx.now_ms)[0]


@service.operation(
    "REMOVE_PLAYER_SCORE",
    tx=Tx.WRITE,
    errors=(NoLeaderboard, InvalidVersion, WrongEntryType, OfTournament),
)
async def remove_player_score(ctx: Context, request: RemoveScore) -> RemovedReply:
    """Remove the caller's scores from a version of a board; none is no mistake.

    Refused: scores of tournaments, also of those that are over.
    """
    board = await find(ctx, request.leaderboard_id)
    check_players(board)
    return await remove(ctx, board, request.version_id, ctx.player_id)


class RemoveGroupScore(RemoveScore, kw_only=True):
    group_id: GroupId


@service.operation(
    "REMOVE_GROUP_SCORE",
    tx=Tx.WRITE,
    locks=of_group,
    access=Access.SIGNED_IN,
    errors=(
        NoLeaderboard,
        InvalidVersion,
        WrongEntryType,
        OfTournament,
        UnknownGroup,
        NotGroupMember,
    ),
)
async def remove_group_score(ctx: Context, request: RemoveGroupScore) -> RemovedReply:
    """Remove a group's scores from a version of a board. The caller is a member of the group."""
    await check_poster(ctx, request.group_id)
    board = await find(ctx, request.leaderboard_id)
    check_groups(board)
    return await remove(ctx, board, request.version_id, request.group_id)
