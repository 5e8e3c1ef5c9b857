"""Global boards: pages, views around somebody, counts, versions."""

from collections.abc import Callable
from typing import Annotated

from msgspec import Meta

from gameserver.domain.leaderboards import (
    Board,
    EntryType,
    Leaderboards,
    NoLeaderboard,
    RankedPages,
    no_board,
)
from gameserver.domain.leaderboards.boards import CURRENT, InvalidVersion
from gameserver.domain.leaderboards.fields import (
    After,
    Before,
    BoardId,
    EndingAt,
    RetainedShown,
    RotationShown,
    SortField,
    SortOrder,
    StartingAt,
    TypeShown,
    VersionId,
    VersionShown,
)
from gameserver.domain.leaderboards.hooks import rewarded
from gameserver.domain.social import groups
from gameserver.domain.social.groups import UnknownGroup
from gameserver.rpc import Access, Context, Tx
from gameserver.services.leaderboard.base import (
    ROWS_MAX,
    Entry,
    OfBoard,
    RankedReply,
    WrongEntryType,
    check_groups,
    check_page,
    check_players,
    is_backwards,
    ms_left,
    service,
    show,
    version_of,
)
from gameserver.wire.fields import GroupId
from gameserver.wire.shapes import Reply

NOBODY = RankedPages(0, [])

# Pages


class GetPage(OfBoard, kw_only=True):
    """The reference says `sortOrder`, SDKs say `sort`; without either, the board's own order."""

    sort: SortField = None
    sort_order: SortOrder = None
    start_index: Annotated[int, Meta(description="The place of the first entry to read, from 0.")]
    end_index: Annotated[
        int, Meta(description="The place of the last entry to read; at most 500 entries are read.")
    ]
    version_id: VersionId = CURRENT


async def read_page(ctx: Context, request: GetPage) -> RankedReply | None:
    """Read a page; None when there is no such board."""
    first, last = check_page(request.start_index, request.end_index)

    async def read(board: Board) -> RankedReply:
        version = version_of(board, request.version_id)
        backwards = is_backwards(board, request.sort or request.sort_order)
        found = NOBODY
        if board.retains(version):
            boards = ctx.core.get(Leaderboards)
            found = await boards.page(ctx, board, version, first, last, backwards=backwards)
        return RankedReply(
            leaderboard_id=board.board_id,
            version_id=version,
            leaderboard=await _with_rewarded(ctx, board, version, await show(ctx, board, found)),
            leaderboard_size=found.size,
            more_before=first > 0 and found.size > 0,
            more_after=last < found.size - 1,
            time_before_reset=ms_left(ctx, board, version),
            server_time=ctx.now_ms,
        )

    return await ctx.core.get(Leaderboards).reading(ctx, request.leaderboard_id, read)


async def _with_rewarded(ctx: Context, board: Board, version: int, shown: list[Entry]) -> list[Entry]:
    """Add who has got the reward of a tournament; costs a statement for versions that have ended."""
    if board.entry_type is EntryType.PLAYER:
        got = await rewarded(
            ctx.core.hooks, ctx.tx, board, version, [str(entry.player_id) for entry in shown]
        )
        for entry in shown:
            entry.rewarded = entry.player_id in got
    return shown


@service.operation(
    "GET_GLOBAL_LEADERBOARD_PAGE", tx=Tx.READ, access=Access.SIGNED_IN, errors=(NoLeaderboard, InvalidVersion)
)
async def get_page(ctx: Context, request: GetPage) -> RankedReply:
    """Read the entries from one index to another, both from 0 and included; at most 500.

    Among equal scores, the one posted last stands first. Version 0 and versions that are no longer retained
    are empty.
    """
    page = await read_page(ctx, request)
    if page is None:
        raise no_board(request.leaderboard_id)
    return page


@service.operation(
    "GET_GLOBAL_LEADERBOARD_PAGE_IF_EXISTS",
    "GET_GLOBAL_LEADERBOARD_PAGE_BY_VERSION_IF_EXISTS",
    tx=Tx.READ,
    access=Access.SIGNED_IN,
    errors=(InvalidVersion,),
)
async def get_page_if_exists(ctx: Context, request: GetPage) -> RankedReply | None:
    """Read a page of entries; null when there is no such board."""
    return await read_page(ctx, request)


# Views


class GetView(OfBoard, kw_only=True):
    """The reference says `sortOrder`, SDKs say `sort`; without either, the board's own order."""

    sort: SortField = None
    sort_order: SortOrder = None
    before_count: Before
    after_count: After
    version_id: VersionId = CURRENT


async def read_view(
    ctx: Context, request: GetView, member_id: str, check: Callable[[Board], None] = check_players
) -> RankedReply | None:
    """Read the entries around a member's best; None when there is no such board. `check` may refuse it."""
    before = min(request.before_count, ROWS_MAX)
    after = min(request.after_count, ROWS_MAX - before)

    async def read(board: Board) -> RankedReply:
        check(board)
        version = version_of(board, request.version_id)
        backwards = is_backwards(board, request.sort or request.sort_order)
        found = NOBODY
        if board.retains(version):
            boards = ctx.core.get(Leaderboards)
            found = await boards.around(ctx, board, version, member_id, before, after, backwards=backwards)
        return RankedReply(
            leaderboard_id=board.board_id,
            version_id=version,
            leaderboard=await show(ctx, board, found),
            leaderboard_size=found.size,
            more_before=found.more_before,
            more_after=found.more_after,
            time_before_reset=ms_left(ctx, board, version),
            server_time=ctx.now_ms,
        )

    return await ctx.core.get(Leaderboards).reading(ctx, request.leaderboard_id, read)


@service.operation(
    "GET_GLOBAL_LEADERBOARD_VIEW", tx=Tx.READ, errors=(NoLeaderboard, InvalidVersion, WrongEntryType)
)
async def get_view(ctx: Context, request: GetView) -> RankedReply:
    """Read the caller's best entry with so many before and after it; at most 500 in all.

    Empty when the caller has no score there.
    """
    view = await read_view(ctx, request, ctx.player_id)
    if view is None:
        raise no_board(request.leaderboard_id)
    return view


@service.operation(
    "GET_GLOBAL_LEADERBOARD_VIEW_IF_EXISTS",
    "GET_GLOBAL_LEADERBOARD_VIEW_BY_VERSION_IF_EXISTS",
    tx=Tx.READ,
    errors=(InvalidVersion, WrongEntryType),
)
async def get_view_if_exists(ctx: Context, request: GetView) -> RankedReply | None:
    """Read the entries around the caller's best; null when there is no such board."""
    return await read_view(ctx, request, ctx.player_id)


class GetGroupView(GetView, kw_only=True):
    group_id: GroupId


@service.operation(
    "GET_GROUP_LEADERBOARD_VIEW",
    tx=Tx.READ,
    access=Access.SIGNED_IN,
    errors=(NoLeaderboard, InvalidVersion, WrongEntryType, UnknownGroup),
)
async def get_group_view(ctx: Context, request: GetGroupView) -> RankedReply:
    """Read the entry of a group with so many before and after it."""
    await groups.one(ctx.tx, ctx.app.id, request.group_id)
    view = await read_view(ctx, request, request.group_id, check_groups)
    if view is None:
        raise no_board(request.leaderboard_id)
    return view


# Counts and versions


class GetEntryCount(OfBoard):
    version_id: VersionId = CURRENT


class EntryCountReply(Reply):
    entry_count: Annotated[int, Meta(description="How many entries there are.")]


@service.operation(
    "GET_GLOBAL_LEADERBOARD_ENTRY_COUNT",
    tx=Tx.READ,
    access=Access.SIGNED_IN,
    errors=(NoLeaderboard, InvalidVersion),
)
async def get_entry_count(ctx: Context, request: GetEntryCount) -> EntryCountReply:
    """Count the entries of a board."""
    board = await find(ctx, request.leaderboard_id)
    version = version_of(board, request.version_id)
    if not board.retains(version):
        return EntryCountReply(entry_count=0)
    return EntryCountReply(entry_count=await ctx.core.get(Leaderboards).index.size(ctx, board, version))


async def find(ctx: Context, board_id: str) -> Board:
    """Return a board as it is now. Raises `NoLeaderboard`."""
    board = await ctx.core.get(Leaderboards).boards.find(ctx, board_id, fresh=True)
    if board is None:
        raise no_board(board_id)
    return board.at(ctx.now_ms)[0]


class VersionReply(Reply):
    """`ending_at`: when it ended or will end; null when it will not by itself."""

    version_id: VersionShown
    starting_at: StartingAt
    ending_at: EndingAt


class VersionsReply(Reply):
    leaderboard_id: BoardId
    leaderboard_type: TypeShown
    rotation_type: RotationShown
    retained_count: RetainedShown
    versions: Annotated[
        list[VersionReply], Meta(description="The versions that can be read, the newest first.")
    ]


@service.operation(
    "GET_GLOBAL_LEADERBOARD_VERSIONS", tx=Tx.READ, access=Access.SIGNED_IN, errors=(NoLeaderboard,)
)
async def get_versions(ctx: Context, request: OfBoard) -> VersionsReply:
    """List the versions that can be read, the newest first. The first one of a board is 1."""
    stored = await ctx.core.get(Leaderboards).boards.find(ctx, request.leaderboard_id, fresh=True)
    if stored is None:
        raise no_board(request.leaderboard_id)
    board, unstored = stored.at(ctx.now_ms)
    ended = {version.version: version for version in unstored}
    if stored.uid:
        for version in await ctx.core.get(Leaderboards).boards.ended_versions(ctx.tx, board):
            ended[version.version] = version
    listed = [
        VersionReply(version_id=v.version, starting_at=v.started_ms, ending_at=v.ended_ms)
        for v in sorted(ended.values(), reverse=True, key=lambda v: v.version)
        if board.retains(v.version)
    ]
    running = VersionReply(version_id=board.version, starting_at=board.started_ms, ending_at=board.reset_ms)
    return VersionsReply(
        leaderboard_id=board.board_id,
        leaderboard_type=board.board_type,
        rotation_type=board.rotation,
        retained_count=board.retained,
        versions=[running, *listed],
    )
