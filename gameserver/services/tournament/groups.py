"""Tournaments of groups: the same for a group, by its members. Groups pay no fee and are paid nothing."""

from collections.abc import Sequence
from typing import Annotated, Protocol

from msgspec import UNSET, Meta

from gameserver.domain.leaderboards import CURRENT, EntryType
from gameserver.domain.social import groups
from gameserver.domain.social.groups import GROUP_DELETE, GroupWork, NotGroupMember, UnknownGroup
from gameserver.rpc import Access, Context, Tx
from gameserver.services.tournament import storage
from gameserver.services.tournament.base import (
    InitialScore,
    NotADivision,
    OfBoard,
    TournamentCode,
    VersionId,
    service,
)
from gameserver.services.tournament.division_sets import OfSet
from gameserver.services.tournament.divisions import (
    ENTERING,
    INFORMING,
    GroupDivisionsReply,
    JoinDivision,
    divisions_of,
    enter,
    info,
    leave_for,
    of_instance,
    of_set,
)
from gameserver.services.tournament.playing import (
    JOINING,
    LEAVING,
    POSTING,
    READING,
    LeftReply,
    PostReply,
    PostScore,
    PostWithResults,
    ResultsReply,
    StatusReply,
    leave_board,
    post_for,
    shown_post,
    status,
    with_results,
)
from gameserver.services.tournament.rules import check_entry_type, enrol, find_mine, json_out
from gameserver.wire.fields import GroupId
from gameserver.wire.shapes import Reply, Request


async def check_member(ctx: Context, group_id: str) -> None:
    """Raise `UnknownGroup`, or `NotGroupMember` unless the caller is a member."""
    await groups.check_member(ctx.tx, ctx.app.id, group_id, ctx.player_id)


async def hold_member(ctx: Context, group_id: str) -> None:
    """Check like `check_member`; the group stays until what is written for it is committed."""
    (await groups.hold(ctx.tx, ctx.app.id, group_id, ctx.player_id)).check_member()


class Named(Protocol):
    """A request that names a group."""

    group_id: str


def of_group(ctx: Context, request: Named) -> list[str]:
    """Whose part in tournaments is changed."""
    return [groups.group_lock(ctx.app.id, request.group_id)]


class GroupJoinedReply(Reply):
    enrolled: Annotated[bool, Meta(description="Always true.")]


class JoinGroup(OfBoard, kw_only=True):
    group_id: GroupId
    tournament_code: TournamentCode
    initial_score: InitialScore = 0


@service.operation(
    "JOIN_GROUP_TOURNAMENT",
    tx=Tx.WRITE,
    locks=of_group,
    errors=(*JOINING, UnknownGroup, NotGroupMember),
)
async def join_group(ctx: Context, request: JoinGroup) -> GroupJoinedReply:
    """Enter a group of the caller in a tournament of groups."""
    await hold_member(ctx, request.group_id)
    mine = await find_mine(ctx, request.leaderboard_id, request.group_id)
    check_entry_type(mine.board, EntryType.GROUP)
    await enrol(ctx, mine, request.group_id, request.tournament_code, request.initial_score)
    return GroupJoinedReply(enrolled=True)


class OfGroupBoard(OfBoard, kw_only=True):
    group_id: GroupId


@service.operation(
    "LEAVE_GROUP_TOURNAMENT",
    tx=Tx.WRITE,
    locks=of_group,
    errors=(*LEAVING, UnknownGroup, NotGroupMember),
)
async def leave_group(ctx: Context, request: OfGroupBoard) -> LeftReply:
    """Take a group of the caller out of the tournament that runs on a board; its score is removed."""
    await hold_member(ctx, request.group_id)
    return await leave_board(ctx, request.leaderboard_id, request.group_id, EntryType.GROUP)


class GetGroupStatus(OfGroupBoard):
    version_id: VersionId = CURRENT


@service.operation(
    "GET_GROUP_TOURNAMENT_STATUS",
    tx=Tx.READ,
    errors=(*READING, UnknownGroup, NotGroupMember),
)
async def group_status(ctx: Context, request: GetGroupStatus) -> StatusReply:
    """Read the tournaments of a board of groups, and the part that a group of the caller has in it."""
    await check_member(ctx, request.group_id)
    return await status(ctx, request.leaderboard_id, request.group_id, EntryType.GROUP, request.version_id)


class PostGroupScore(PostScore, kw_only=True):
    group_id: GroupId


@service.operation(
    "POST_GROUP_TOURNAMENT_SCORE",
    tx=Tx.WRITE,
    locks=of_group,
    errors=(*POSTING, UnknownGroup, NotGroupMember),
)
async def post_group_score(ctx: Context, request: PostGroupScore) -> PostReply:
    """Post a score of a group of the caller to a tournament the group has entered."""
    await hold_member(ctx, request.group_id)
    return shown_post(*await post_for(ctx, request, request.group_id, EntryType.GROUP))


class PostGroupWithResults(PostWithResults, kw_only=True):
    group_id: GroupId


@service.operation(
    "POST_GROUP_TOURNAMENT_SCORE_WITH_RESULTS",
    tx=Tx.WRITE,
    locks=of_group,
    errors=(*POSTING, UnknownGroup, NotGroupMember),
)
async def post_group_with_results(ctx: Context, request: PostGroupWithResults) -> ResultsReply:
    """Post a score of a group of the caller, and read the scores around it."""
    await hold_member(ctx, request.group_id)
    answer = await with_results(ctx, request, request.group_id, EntryType.GROUP)
    before = answer.post_score.previous_leaderboard
    entries = [*answer.scores, *([] if before is UNSET else [before])]
    known = await groups.some(ctx.tx, ctx.app.id, [str(entry.group_id) for entry in entries])
    for entry in entries:
        group = known.get(str(entry.group_id))
        entry.group_name = "" if group is None else group.name
        entry.group_summary_data = (None if group is None else json_out(group.summary_data)) or {}
    return answer


# Divisions


class JoinGroupDivision(JoinDivision, kw_only=True):
    group_id: GroupId


class GroupInDivisionReply(GroupJoinedReply):
    """`leaderboard_id` is the board of the instance."""

    leaderboard_id: Annotated[str, Meta(description="The id of the board of the instance.")]
    created_at: Annotated[int, Meta(description="When the group entered: ms since 1970-01-01 UTC.")]


@service.operation(
    "JOIN_GROUP_DIVISION",
    tx=Tx.WRITE,
    locks=lambda ctx, request: [*of_group(ctx, request), *of_set(ctx, request)],
    errors=(*ENTERING, UnknownGroup, NotGroupMember),
)
async def join_group_division(ctx: Context, request: JoinGroupDivision) -> GroupInDivisionReply:
    """Enter a group of the caller in an instance of a division set that has room."""
    await hold_member(ctx, request.group_id)
    entered = await enter(ctx, request, request.group_id, EntryType.GROUP)
    return GroupInDivisionReply(leaderboard_id=entered.board.board_id, created_at=ctx.now_ms, enrolled=True)


@service.operation(
    "LEAVE_GROUP_DIVISION_INSTANCE",
    tx=Tx.WRITE,
    locks=lambda ctx, request: [*of_group(ctx, request), *of_instance(ctx, request)],
    errors=(NotADivision, UnknownGroup, NotGroupMember),
)
async def leave_group_instance(ctx: Context, request: OfGroupBoard) -> LeftReply:
    """Take a group of the caller out of an instance of a division set; its score is removed."""
    await hold_member(ctx, request.group_id)
    return await leave_for(ctx, request.leaderboard_id, request.group_id)


class OfGroupSet(OfSet, kw_only=True):
    group_id: GroupId


@service.operation("GET_GROUP_DIVISION_INFO", tx=Tx.READ, errors=(*INFORMING, UnknownGroup, NotGroupMember))
async def get_group_info(ctx: Context, request: OfGroupSet) -> StatusReply:
    """Read the tournaments of a division set, and the part that a group of the caller has in it."""
    await check_member(ctx, request.group_id)
    return await info(ctx, request.div_set_id, request.group_id, EntryType.GROUP)


class OfGroup(Request):
    group_id: GroupId


@service.operation("GET_GROUP_DIVISIONS", tx=Tx.READ, errors=(UnknownGroup, NotGroupMember))
async def get_group_divisions(ctx: Context, request: OfGroup) -> GroupDivisionsReply:
    """List the boards of the instances that a group of the caller is in, by state and division set."""
    await check_member(ctx, request.group_id)
    found = await divisions_of(ctx, request.group_id, claimable=False)
    return GroupDivisionsReply(active=found["ACTIVE"], pending=found["PENDING"], complete=found["COMPLETE"])


@service.operation("SYS_GET_GROUP_DIVISIONS", tx=Tx.READ, access=Access.SERVER, errors=(UnknownGroup,))
async def sys_get_group_divisions(ctx: Context, request: OfGroup) -> GroupDivisionsReply:
    """List the boards of the instances that a group is in, by state and division set."""
    await groups.one(ctx.tx, ctx.app.id, request.group_id)
    found = await divisions_of(ctx, request.group_id, claimable=False)
    return GroupDivisionsReply(active=found["ACTIVE"], pending=found["PENDING"], complete=found["COMPLETE"])


@service.on(GROUP_DELETE)
async def forget_group(work: GroupWork, group_id: str, _members: Sequence[str]) -> None:
    """Forget what a group that goes has entered, and its results."""
    for table in storage.KEPT:
        await table.remove(work.tx, work.app.id, group_id)
