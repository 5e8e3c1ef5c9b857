"""Boards among friends, members of a group, or players by name; and the scores of one player."""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from gameserver.domain import social
from gameserver.domain.leaderboards import (
    CURRENT,
    Board,
    Leaderboards,
    LeaderboardSettings,
    NoLeaderboard,
    no_board,
)
from gameserver.domain.leaderboards.boards import InvalidVersion
from gameserver.domain.leaderboards.fields import (
    BoardId,
    ChangedAt,
    DataShown,
    PostedAt,
    ScoreShown,
    VersionId,
    VersionShown,
)
from gameserver.domain.leaderboards.pacers import Pacer
from gameserver.domain.social import groups
from gameserver.domain.social.groups import NotGroupMember, UnknownGroup
from gameserver.players import profiles
from gameserver.rpc import Access, Context, Tx
from gameserver.services.leaderboard.base import (
    ROWS_MAX,
    BoardIds,
    BoardReply,
    NoScore,
    OfBoard,
    ProfileIds,
    WrongEntryType,
    check_players,
    json_out,
    ms_left,
    score_of,
    service,
    version_of,
)
from gameserver.storage import Row
from gameserver.wire.errors import NotAllowed
from gameserver.wire.fields import GroupId, ProfileId, ServerTime
from gameserver.wire.shapes import Reply, Request

BOARDS_MAX = 50  # of a request
YOU = "You"


async def bests(ctx: Context, board: Board, version: int, members: Sequence[str]) -> list[Row]:
    """Read the best entries of players, the best first; none of a version that is no longer retained."""
    check_players(board)
    if not members or not board.retains(version):
        return []
    return await ctx.core.get(Leaderboards).best_of(ctx, board, version, members)


# Friends


class GetSocial(OfBoard):
    replace_name: Annotated[
        bool | None, Meta(description='true calls the caller "You" in place of their name.')
    ] = False
    version_id: VersionId = CURRENT


class Friend(Reply, kw_only=True):
    """The best score of the caller, a friend or a pacer; nulls where there is none.

    `external_id` is set for pacers alone.
    """

    player_id: ProfileId
    name: Annotated[
        str | None, Meta(description="The player's name, or the pacer's; empty if there is none.")
    ]
    picture_url: Annotated[str | None, Meta(description="Address of the player's picture, or null.")]
    score: Annotated[int | None, Meta(description="The best score, or null where there is none.")]
    other_data: DataShown
    created_at: Annotated[
        int | None, Meta(description="When the first score was posted: ms since 1970-01-01 UTC, or null.")
    ]
    updated_at: Annotated[
        int | None, Meta(description="When the score last changed: ms since 1970-01-01 UTC, or null.")
    ]
    authentication_type: Annotated[str | None, Meta(description="Always null.")] = None
    external_id: Annotated[str | None, Meta(description="The id of a pacer; null for players.")] = None
    summary_friend_data: Annotated[
        Any, Meta(description="What the player shows to friends (`playerState.UPDATE_SUMMARY`), or null.")
    ]


class SocialReply(BoardReply, kw_only=True):
    social_leaderboard: Annotated[
        list[Friend], Meta(description="The entries, the best first; the caller is among them.")
    ] = msgspec.field(name="social_leaderboard")


async def read_social(ctx: Context, request: GetSocial) -> SocialReply | None:
    """Read the caller and their friends; None when there is no such board."""
    me = ctx.player_id
    circle = [me, *await social.friends_of(ctx.core.hooks, ctx.tx, ctx.app.id, me)]

    async def read(board: Board) -> SocialReply:
        version = version_of(board, request.version_id)
        rows = await bests(ctx, board, version, circle)
        friends = [_friend(ctx, board, row, you=bool(request.replace_name)) for row in rows]
        listed = _with_pacers(ctx, board, version, friends)
        if all(row["member_id"] != me for row in rows):
            own = await profiles.read(ctx.tx, ctx.app.id, me)
            listed.append(_without_score(me, own, you=bool(request.replace_name)))
        return SocialReply(
            leaderboard_id=board.board_id,
            version_id=version,
            social_leaderboard=listed,
            time_before_reset=ms_left(ctx, board, version),
            server_time=ctx.now_ms,
        )

    return await ctx.core.get(Leaderboards).reading(ctx, request.leaderboard_id, read)


def _friend(ctx: Context, board: Board, row: Row, *, you: bool) -> Friend:
    return Friend(
        player_id=row["member_id"],
        name=YOU if you and row["member_id"] == ctx.player_id else row["name"] or "",
        picture_url=row["picture_url"],
        score=score_of(board, row),
        other_data=json_out(row["data"]),
        created_at=row["created_ms"],
        updated_at=row["updated_ms"],
        summary_friend_data=json_out(row["summary_friend_data"]),
    )


def _with_pacers(ctx: Context, board: Board, version: int, friends: list[Friend]) -> list[Friend]:
    """Return friends, and the pacers of the board at their places; of equal scores a pacer's comes last."""
    if not board.retains(version):
        return friends
    pacers = [_pacer(pacer) for pacer in ctx.section(LeaderboardSettings).pacers_on(board.board_id)]
    return sorted([*friends, *pacers], key=lambda entry: board.key(entry.score or 0))


def _pacer(pacer: Pacer) -> Friend:
    return Friend(
        player_id=pacer.pacer_id,
        name=pacer.name,
        picture_url=pacer.picture_url,
        score=pacer.score,
        other_data=pacer.data,
        created_at=None,
        updated_at=None,
        external_id=pacer.pacer_id,
        summary_friend_data=None,
    )


def _without_score(profile_id: str, player: Row | None, *, you: bool) -> Friend:
    return Friend(
        player_id=profile_id,
        name=YOU if you else "" if player is None else player["name"],
        picture_url=None if player is None else player["picture_url"],
        score=None,
        other_data=None,
        created_at=None,
        updated_at=None,
        summary_friend_data=None if player is None else json_out(player["summary_friend_data"]),
    )


@service.operation(
    "GET_SOCIAL_LEADERBOARD",
    "GET_SOCIAL_LEADERBOARD_BY_VERSION",
    tx=Tx.READ,
    errors=(NoLeaderboard, InvalidVersion, WrongEntryType),
)
async def get_social(ctx: Context, request: GetSocial) -> SocialReply:
    """Read the best scores of the caller, their friends and the board's pacers, the best first.

    Pacers are pretended friends that the operator declares; `externalId` is set for them alone. The caller is
    always there, with nulls when there is no score. `replaceName` calls them "You".
    """
    answer = await read_social(ctx, request)
    if answer is None:
        raise no_board(request.leaderboard_id)
    return answer


@service.operation(
    "GET_SOCIAL_LEADERBOARD_IF_EXISTS",
    "GET_SOCIAL_LEADERBOARD_BY_VERSION_IF_EXISTS",
    tx=Tx.READ,
    errors=(InvalidVersion, WrongEntryType),
)
async def get_social_if_exists(ctx: Context, request: GetSocial) -> SocialReply | None:
    """Read the best scores of the caller, their friends and pacers; null when there is no such board."""
    return await read_social(ctx, request)


class GetMultiSocial(Request):
    leaderboard_ids: Annotated[
        list[str], Meta(max_length=BOARDS_MAX, description="Ids of leaderboards; at most 50.")
    ]
    leaderboard_result_count: Annotated[
        int, Meta(ge=0, description="Entries of each board to answer with at most; more than 500 are 500.")
    ]
    replace_name: Annotated[
        bool | None, Meta(description='true calls the caller "You" in place of their name.')
    ] = False


class FriendEntry(Reply):
    """The same as a `Friend`, with `data` for `other_data`."""

    player_id: ProfileId
    name: Annotated[
        str | None, Meta(description="The player's name, or the pacer's; empty if there is none.")
    ]
    picture_url: Annotated[str | None, Meta(description="Address of the player's picture, or null.")]
    score: Annotated[int | None, Meta(description="The best score, or null where there is none.")]
    data: DataShown
    created_at: Annotated[
        int | None, Meta(description="When the first score was posted: ms since 1970-01-01 UTC, or null.")
    ]
    updated_at: Annotated[
        int | None, Meta(description="When the score last changed: ms since 1970-01-01 UTC, or null.")
    ]
    authentication_type: Annotated[str | None, Meta(description="Always null.")]
    external_id: Annotated[str | None, Meta(description="The id of a pacer; null for players.")]
    summary_friend_data: Annotated[
        Any, Meta(description="What the player shows to friends (`playerState.UPDATE_SUMMARY`), or null.")
    ]


class FriendsOnBoard(Reply):
    """A board among friends. `self_index` is -1 without a score."""

    leaderboard_id: BoardId
    leaderboard: Annotated[list[FriendEntry], Meta(description="The entries, the best first.")]
    own: Annotated[
        FriendEntry, Meta(description="The caller's own entry; with nulls where there is no score.")
    ] = msgspec.field(name="self")
    self_index: Annotated[
        int, Meta(description="The caller's place among friends, from 0; -1 without a score.")
    ]


class MultiSocialReply(Reply):
    server_time: ServerTime = msgspec.field(name="server_time")
    leaderboards: Annotated[
        list[FriendsOnBoard], Meta(description="The boards, in the order that was asked for.")
    ]


@service.operation("GET_MULTI_SOCIAL_LEADERBOARD", tx=Tx.READ)
async def get_multi_social(ctx: Context, request: GetMultiSocial) -> MultiSocialReply:
    """Read several boards among friends and pacers; of each so many entries, and the caller's own beside.

    `selfIndex` is the caller's place among them, from 0, or -1 without a score. Ids without a board, and
    boards of groups, are left out.
    """
    me, most = ctx.player_id, min(request.leaderboard_result_count, ROWS_MAX)
    player = await profiles.read(ctx.tx, ctx.app.id, me)
    circle = [me, *await social.friends_of(ctx.core.hooks, ctx.tx, ctx.app.id, me)]

    async def read(board: Board) -> FriendsOnBoard | None:
        if board.entry_type != "PLAYER":
            return None
        you = bool(request.replace_name)
        rows = await bests(ctx, board, board.version, circle)
        friends = [_friend(ctx, board, row, you=you) for row in rows]
        listed = _with_pacers(ctx, board, board.version, friends)
        index = next((i for i, entry in enumerate(listed) if entry.player_id == me), -1)
        own = listed[index] if index >= 0 else _without_score(me, player, you=you)
        return FriendsOnBoard(
            leaderboard_id=board.board_id,
            leaderboard=[_entry(entry) for entry in listed[:most]],
            own=_entry(own),
            self_index=index,
        )

    found = [
        await ctx.core.get(Leaderboards).reading(ctx, board_id, read)
        for board_id in dict.fromkeys(request.leaderboard_ids)
    ]
    return MultiSocialReply(
        server_time=ctx.now_ms, leaderboards=[board for board in found if board is not None]
    )


def _entry(friend: Friend) -> FriendEntry:
    values = msgspec.structs.asdict(friend)
    return FriendEntry(data=values.pop("other_data"), **values)


# Players by name, members of a group


class GetPlayersSocial(OfBoard):
    profile_ids: ProfileIds
    version_id: VersionId = CURRENT


class NamedEntry(Reply):
    """The best score of a player."""

    player_id: ProfileId
    player_name: Annotated[str, Meta(description="The player's name; empty if there is none.")]
    picture_url: Annotated[str | None, Meta(description="Address of the player's picture, or null.")]
    score: ScoreShown
    data: DataShown
    created_at: PostedAt
    updated_at: ChangedAt
    summary_friend_data: Annotated[
        Any, Meta(description="What the player shows to friends (`playerState.UPDATE_SUMMARY`), or null.")
    ]


class PlayersReply(BoardReply, kw_only=True):
    leaderboard: Annotated[list[NamedEntry], Meta(description="The entries, the best first.")]


async def read_players(
    ctx: Context, board_id: str, version_id: int | None, members: Sequence[str]
) -> PlayersReply | None:
    """Read the best scores of players; None when there is no such board."""

    async def read(board: Board) -> PlayersReply:
        version = version_of(board, version_id)
        rows = await bests(ctx, board, version, members)
        return PlayersReply(
            leaderboard_id=board.board_id,
            version_id=version,
            leaderboard=[_named(board, row) for row in rows[:ROWS_MAX]],
            time_before_reset=ms_left(ctx, board, version),
            server_time=ctx.now_ms,
        )

    return await ctx.core.get(Leaderboards).reading(ctx, board_id, read)


def _named(board: Board, row: Row) -> NamedEntry:
    return NamedEntry(
        player_id=row["member_id"],
        player_name=row["name"] or "",
        picture_url=row["picture_url"],
        score=score_of(board, row),
        data=json_out(row["data"]),
        created_at=row["created_ms"],
        updated_at=row["updated_ms"],
        summary_friend_data=json_out(row["summary_friend_data"]),
    )


@service.operation(
    "GET_PLAYERS_SOCIAL_LEADERBOARD",
    "GET_PLAYERS_SOCIAL_LEADERBOARD_BY_VERSION",
    tx=Tx.READ,
    access=Access.SIGNED_IN,
    errors=(NoLeaderboard, InvalidVersion, WrongEntryType),
)
async def get_players_social(ctx: Context, request: GetPlayersSocial) -> PlayersReply:
    """Read the best scores of these players, the best first; players without one are left out."""
    answer = await read_players(ctx, request.leaderboard_id, request.version_id, request.profile_ids)
    if answer is None:
        raise no_board(request.leaderboard_id)
    return answer


@service.operation(
    "GET_PLAYERS_SOCIAL_LEADERBOARD_IF_EXISTS",
    "GET_PLAYERS_SOCIAL_LEADERBOARD_BY_VERSION_IF_EXISTS",
    tx=Tx.READ,
    access=Access.SIGNED_IN,
    errors=(InvalidVersion, WrongEntryType),
)
async def get_players_social_if_exists(ctx: Context, request: GetPlayersSocial) -> PlayersReply | None:
    """Read the best scores of these players; null when there is no such board."""
    return await read_players(ctx, request.leaderboard_id, request.version_id, request.profile_ids)


class GetGroupSocial(OfBoard, kw_only=True):
    group_id: GroupId
    version_id: VersionId = CURRENT


@service.operation(
    "GET_GROUP_SOCIAL_LEADERBOARD",
    "GET_GROUP_SOCIAL_LEADERBOARD_BY_VERSION",
    tx=Tx.READ,
    access=Access.SIGNED_IN,
    errors=(NoLeaderboard, InvalidVersion, WrongEntryType, UnknownGroup, NotGroupMember, NotAllowed),
)
async def get_group_social(ctx: Context, request: GetGroupSocial) -> PlayersReply:
    """Read the best scores of a group's members, the best first, 500 at most.

    Refused: players who may not read who is in the group, as its ACL says.
    """
    if not ctx.caller.is_studio:
        await groups.require(ctx.tx, ctx.app.id, request.group_id, ctx.player_id)
    members = await groups.member_ids(ctx.tx, ctx.app.id, request.group_id)
    answer = await read_players(ctx, request.leaderboard_id, request.version_id, members)
    if answer is None:
        raise no_board(request.leaderboard_id)
    return answer


# One player


class ScoreReply(Reply):
    score: ScoreShown
    data: DataShown
    created_at: PostedAt
    updated_at: ChangedAt


class ScoreOnBoard(ScoreReply):
    leaderboard_id: BoardId
    version_id: VersionShown


class PlayerScoreReply(Reply):
    score: Annotated[ScoreOnBoard, Meta(description="The score, with its board and version.")]


class GetPlayerScore(OfBoard):
    version_id: VersionId = CURRENT


def _on_board(board: Board, version: int, row: Row) -> ScoreOnBoard:
    return ScoreOnBoard(
        score=score_of(board, row),
        data=json_out(row["data"]),
        created_at=row["created_ms"],
        updated_at=row["updated_ms"],
        leaderboard_id=board.board_id,
        version_id=version,
    )


@service.operation(
    "GET_PLAYER_SCORE", tx=Tx.READ, errors=(NoLeaderboard, InvalidVersion, NoScore, WrongEntryType)
)
async def get_player_score(ctx: Context, request: GetPlayerScore) -> PlayerScoreReply:
    """Read the caller's score, on an arcade board the best. Refused when there is none."""

    async def read(board: Board) -> PlayerScoreReply:
        check_players(board)
        version = version_of(board, request.version_id)
        found: list[Row] = []
        if board.retains(version):
            found = await ctx.core.get(Leaderboards).entries_of(ctx, board, version, ctx.player_id, 1)
        if not found:
            raise NoScore("the player has no score on this leaderboard")
        return PlayerScoreReply(score=_on_board(board, version, found[0]))

    reply = await ctx.core.get(Leaderboards).reading(ctx, request.leaderboard_id, read)
    if reply is None:
        raise no_board(request.leaderboard_id)
    return reply


class GetPlayerScores(OfBoard, kw_only=True):
    version_id: VersionId = CURRENT
    max_results: Annotated[
        int, Meta(ge=0, description="Scores to answer with at most; more than 500 are 500.")
    ]


class PlayerScoresReply(Reply):
    leaderboard_id: BoardId
    version_id: VersionShown
    scores: Annotated[list[ScoreReply], Meta(description="The scores; of one board, the best first.")]


@service.operation("GET_PLAYER_SCORES", tx=Tx.READ, errors=(NoLeaderboard, InvalidVersion, WrongEntryType))
async def get_player_scores(ctx: Context, request: GetPlayerScores) -> PlayerScoresReply:
    """Read the caller's scores on an arcade board, the best first; at most 500."""

    async def read(board: Board) -> PlayerScoresReply:
        check_players(board)
        version = version_of(board, request.version_id)
        most = min(request.max_results, ROWS_MAX)
        found: list[Row] = []
        if board.retains(version):
            found = await ctx.core.get(Leaderboards).entries_of(ctx, board, version, ctx.player_id, most)
        scores = [
            ScoreReply(
                score=score_of(board, row),
                data=json_out(row["data"]),
                created_at=row["created_ms"],
                updated_at=row["updated_ms"],
            )
            for row in found
        ]
        return PlayerScoresReply(leaderboard_id=board.board_id, version_id=version, scores=scores)

    reply = await ctx.core.get(Leaderboards).reading(ctx, request.leaderboard_id, read)
    if reply is None:
        raise no_board(request.leaderboard_id)
    return reply


class GetScoresOnBoards(Request):
    leaderboard_ids: BoardIds


class ScoresOnBoardsReply(Reply):
    scores: Annotated[list[ScoreOnBoard], Meta(description="The scores; of one board, the best first.")]


@service.operation("GET_PLAYER_SCORES_FROM_LEADERBOARDS", tx=Tx.READ)
async def get_scores_on_boards(ctx: Context, request: GetScoresOnBoards) -> ScoresOnBoardsReply:
    """Read the caller's scores on several boards; ids without a board or without a score are left out."""
    boards = ctx.core.get(Leaderboards)
    found = await boards.boards.find_many(ctx, request.leaderboard_ids)
    bests_there = await boards.bests_on(ctx, list(found.values()), ctx.player_id)
    return ScoresOnBoardsReply(scores=[_on_board(board, board.version, row) for board, row in bests_there])
