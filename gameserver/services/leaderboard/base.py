"""The service, its part of `app.toml`, and what its operations share."""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from gameserver.documents import documents
from gameserver.domain.leaderboards import (
    CURRENT,
    Board,
    EntryType,
    Leaderboards,
    LeaderboardSettings,
    RankedEntry,
    RankedPages,
)
from gameserver.domain.leaderboards.fields import (
    BoardId,
    ChangedAt,
    DataShown,
    PostedAt,
    ScoreShown,
    VersionShown,
)
from gameserver.domain.leaderboards.merging import KEPT
from gameserver.domain.social import groups
from gameserver.domain.social.groups import GROUP_DELETE, GroupWork
from gameserver.rpc import PLAYER_DELETE, PLAYER_MERGE, PLAYER_RESET, Context, Service
from gameserver.storage import Row
from gameserver.wire.errors import GameError, InvalidParameterType, InvalidParameterValue
from gameserver.wire.fields import ServerTime
from gameserver.wire.shapes import Reply, Request

SAMPLE = """\
# Leaderboards that are there from the start; servers and clients can make further ones. Scores stay when a
# board is taken out of this file.
[leaderboard]
# Boards the app may have, with those that clients have made.
#boards_max = 10000

# What a further score does: HIGH_VALUE and LOW_VALUE keep the best, LAST_VALUE the last, CUMULATIVE adds,
# ARCADE_HIGH and ARCADE_LOW keep all. This board begins anew every Monday; the scores of this week and of the
# three weeks before can be read. Also: DAILY, MONTHLY, YEARLY, DAYS with days = 2 to 14, or NEVER.
[leaderboard.boards.high_scores]
type = "HIGH_VALUE"
rotation = "WEEKLY"
reset = 2026-01-05T00:00:00Z
retained = 4
# "GROUP": groups have scores, not players.
#entries = "PLAYER"
data = { title = "High scores" }

# Pacers are pretended friends: they stand among the friends of every player, with scores that never change,
# so that there is somebody to overtake. Their ids are what clients see as playerId.
[leaderboard.pacers.rookie]
name = "Rookie"
#picture = "https://example.com/rookie.png"
# Told to clients beside every score, and beside one.
#tag = { team = "red" }
#boards.high_scores.tag = { car = "kart" }
boards.high_scores.score = 100
"""

service = Service("leaderboard", section=LeaderboardSettings, sample=SAMPLE)

ROWS_MAX = 500  # of an answer
IDS_MAX = 500  # of a request
DATA_BYTES_MAX = 10 << 10

# Errors


class NoScore(GameError):
    """The player has no score on the board."""

    reason_code = 40528


class WrongEntryType(GameError):
    """The board is for groups and the operation for players, or the other way round."""

    reason_code = 40656


# Types

BoardIds = Annotated[list[str], Meta(max_length=IDS_MAX, description="Ids of leaderboards.")]
ProfileIds = Annotated[list[str], Meta(max_length=IDS_MAX, description="Ids of players.")]


class OfBoard(Request):
    leaderboard_id: BoardId


class Entry(Reply, kw_only=True):
    """A score with its place in the order that was asked for: `index` from 0, `rank` from 1.

    On a board of players it tells `player_id`, `name`, `summary_friend_data` and `picture_url`, on one of
    groups `group_id`, `group_name` and `group_summary_data`. `rewarded` is told by pages of players: whether
    they have got the reward of a tournament in that version.
    """

    player_id: Annotated[
        str | UnsetType, Meta(description="The id of the player, on a board of players.")
    ] = UNSET
    group_id: Annotated[str | UnsetType, Meta(description="The id of the group, on a board of groups.")] = (
        UNSET
    )
    score: ScoreShown
    data: DataShown
    created_at: PostedAt
    updated_at: ChangedAt
    index: Annotated[int, Meta(description="The place in the order that was asked for, from 0.")]
    rank: Annotated[int, Meta(description="The place in the order that was asked for, from 1.")]
    name: Annotated[
        str | UnsetType, Meta(description="The player's name, on a board of players; empty if there is none.")
    ] = UNSET
    summary_friend_data: Annotated[
        Any,
        Meta(
            description="What the player shows to friends (`playerState.UPDATE_SUMMARY`), or null;"
            " on a board of players."
        ),
    ] = UNSET
    picture_url: Annotated[
        str | UnsetType | None,
        Meta(description="Address of the player's picture, or null; on a board of players."),
    ] = UNSET
    rewarded: Annotated[
        bool | UnsetType,
        Meta(
            description="Whether the player has got the reward of a tournament in this version; in"
            " pages of players."
        ),
    ] = UNSET
    group_name: Annotated[str | UnsetType, Meta(description="The group's name, on a board of groups.")] = (
        UNSET
    )
    group_summary_data: Annotated[
        Any, Meta(description="What the group shows to others, on a board of groups.")
    ] = UNSET


class BoardReply(Reply, kw_only=True):
    """Entries of a version of a board. `time_before_reset`: ms until the running version ends, if it does."""

    leaderboard_id: BoardId
    version_id: VersionShown
    time_before_reset: Annotated[
        int | UnsetType,
        Meta(
            description="Milliseconds until the running version ends; absent if it does not by "
            "itself, or has ended."
        ),
    ] = UNSET
    server_time: ServerTime = msgspec.field(name="server_time")


class RankedReply(BoardReply, kw_only=True):
    """Entries one after the other. `leaderboard_size`: how many there are in all."""

    leaderboard: Annotated[list[Entry], Meta(description="The entries, in order.")]
    leaderboard_size: Annotated[int, Meta(description="How many entries there are in all.")]
    more_before: Annotated[bool, Meta(description="Whether there are entries before these.")]
    more_after: Annotated[bool, Meta(description="Whether there are entries behind these.")]


# Rules


def check_players(board: Board) -> None:
    """Raise `WrongEntryType` for a board of groups."""
    if board.entry_type is not EntryType.PLAYER:
        raise WrongEntryType(f"leaderboard {board.board_id!r} is for groups")


def check_groups(board: Board) -> None:
    """Raise `WrongEntryType` for a board of players."""
    if board.entry_type is not EntryType.GROUP:
        raise WrongEntryType(f"leaderboard {board.board_id!r} is for players")


def version_of(board: Board, version: int | None) -> int:
    """Return the version that a request names. Raises `InvalidVersion`."""
    return board.find_version(CURRENT if version is None else version)


def is_backwards(board: Board, sort: str | None) -> bool:
    """Tell whether the order that was asked for is the opposite of the board's own."""
    return sort is not None and (sort == "LOW_TO_HIGH") != board.lowest_first


def ms_left(ctx: Context, board: Board, version: int) -> int | UnsetType:
    """Return how long a version goes on, in milliseconds, if it is the running one and will end."""
    if version != board.version or board.reset_ms is None:
        return UNSET
    return board.reset_ms - ctx.now_ms


def score_data(data: Any, where: str = "data.data") -> str | None:
    """Return the text that is stored of data beside a score; None for none. Raises for what is no object."""
    if data is None or data == "":
        return None
    if not isinstance(data, dict):
        raise InvalidParameterType(f"{where}: expected an object")
    return documents.data_text(data, where, DATA_BYTES_MAX)


def json_out(text: str | None) -> msgspec.Raw | None:
    """Return stored JSON as a part of an answer."""
    return None if text is None else documents.data_out(text)


def score_of(board: Board, row: Row) -> int:
    """Return the score of an entry."""
    return board.key(row["rank_key"])


def check_page(first: int, last: int) -> tuple[int, int]:
    """Return the indexes of a page, not more than an answer holds. Raises `InvalidParameterValue`."""
    if first < 0 or last < first:
        raise InvalidParameterValue("data.startIndex, data.endIndex: expected 0 <= startIndex <= endIndex")
    return first, min(last, first + ROWS_MAX - 1)


async def show(ctx: Context, board: Board, found: RankedPages) -> list[Entry]:
    """Return standings as clients see them."""
    sign = board.key(1)
    if board.entry_type is EntryType.PLAYER:
        return [_player(sign, standing) for standing in found.entries]
    ids = [standing.row["member_id"] for standing in found.entries]
    known = await groups.some(ctx.tx, ctx.app.id, ids) if ids else {}
    return [_group(sign, standing, known) for standing in found.entries]


def _player(sign: int, standing: RankedEntry) -> Entry:
    place, row = standing
    return Entry(
        player_id=row["member_id"],
        score=sign * row["rank_key"],
        data=json_out(row["data"]),
        created_at=row["created_ms"],
        updated_at=row["updated_ms"],
        index=place,
        rank=place + 1,
        name=row["name"] or "",
        summary_friend_data=json_out(row["summary_friend_data"]),
        picture_url=row["picture_url"],
    )


def _group(sign: int, standing: RankedEntry, known: dict[str, groups.Group]) -> Entry:
    place, row = standing
    group = known.get(row["member_id"])
    return Entry(
        group_id=row["member_id"],
        score=sign * row["rank_key"],
        data=json_out(row["data"]),
        created_at=row["created_ms"],
        updated_at=row["updated_ms"],
        index=place,
        rank=place + 1,
        group_name="" if group is None else group.name,
        group_summary_data=(None if group is None else json_out(group.summary_data)) or {},
    )


# The life of a player, and of a group


@service.on(PLAYER_RESET)
@service.on(PLAYER_DELETE)
async def forget_player(ctx: Context, profile_id: str) -> None:
    """Remove the player's scores from all boards, and from the index of ranks."""
    await ctx.core.get(Leaderboards).remove_member(ctx, profile_id)


@service.on(GROUP_DELETE)
async def forget_group(work: GroupWork, group_id: str, _members: Sequence[str]) -> None:
    """Remove the scores of a group that goes from all boards, and from the index of ranks."""
    boards: Leaderboards = work.core.get(Leaderboards)
    await boards.remove_member(work, group_id)


@service.on(PLAYER_MERGE)
async def merge_scores(ctx: Context, profile_id: str, target: str) -> None:
    """Give the player's scores to the target, as if the target had posted them."""
    await ctx.core.get(Leaderboards).merge_member(ctx, profile_id, target)


service.keeps(KEPT)
