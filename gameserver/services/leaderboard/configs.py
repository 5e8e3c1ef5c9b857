"""The boards themselves, for servers: made, changed, listed, deleted, begun anew."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta
from sqlalchemy import and_

from gameserver.documents import paging
from gameserver.documents.documents import InvalidFieldName
from gameserver.documents.paging import EarlierContext, NextContext, PageContext
from gameserver.documents.query import Fields, InvalidWhere
from gameserver.domain.leaderboards import Board, Leaderboards, NoLeaderboard, Rotation, Stale, no_board
from gameserver.domain.leaderboards.boards import (
    CURRENT,
    InvalidLeaderboardId,
    boards,
    read_board,
)
from gameserver.domain.leaderboards.fields import (
    BoardData,
    BoardId,
    CurrentVersion,
    DaysField,
    DaysShown,
    DbVersion,
    DivSet,
    EntryTypeField,
    EntryTypeShown,
    HasTournaments,
    IsTemplate,
    NextReset,
    ResetField,
    ResetFieldToo,
    RetainedField,
    RetainedShown,
    RotationField,
    RotationShown,
    TypeField,
    TypeShown,
    VersionShown,
)
from gameserver.domain.leaderboards.hooks import is_referred_to
from gameserver.domain.leaderboards.store import (
    ALL,
    DuplicateLeaderboard,
    Kind,
    ScoresExist,
    TooManyLeaderboards,
)
from gameserver.domain.leaderboards.tournaments import InvalidTournamentSettings, read_schedule
from gameserver.rpc import Access, Context, Tx
from gameserver.services.leaderboard.base import BoardIds, OfBoard, service
from gameserver.services.leaderboard.rules import (
    FREE_IN_CONFIG,
    ConfigJson,
    first_time,
    object_of,
    read_config,
)
from gameserver.services.leaderboard.showing import Config, config_reply, data_of
from gameserver.storage import Aborted
from gameserver.wire.errors import GameError
from gameserver.wire.shapes import Empty, FreeObjectOrText, Nothing, Reply, Request


class VersionMismatch(GameError):
    """The board's configuration has changed since the caller read it."""

    reason_code = 40844


class DoesNotApply(GameError):
    """The board's rotation is not of the kind that the operation is for."""

    reason_code = 40845


class ReferredTo(GameError):
    """A division set makes its instances like the board."""

    reason_code = 40847


class InProgress(GameError):
    """A tournament runs on the board, or is scheduled."""

    reason_code = 40520


async def locked(ctx: Context, board_id: str, db_version: int | None = None) -> Board:
    """Return a board as it is stored, locked until the packet is committed.

    Raises `NoLeaderboard`, and `VersionMismatch` unless the version is -1 or null.
    """
    board = await ctx.core.get(Leaderboards).boards.store(ctx, board_id)
    if db_version not in {None, CURRENT, board.db_version}:
        raise VersionMismatch(f"data.dbVersion: the leaderboard is at {board.db_version}")
    return board


async def edit(ctx: Context, board: Board, given: dict[str, Any], where: str) -> Board:
    """Change what a board is made from."""
    config = read_config(given, ctx.now_ms, where, board)
    try:
        return await ctx.core.get(Leaderboards).boards.edit(ctx.tx, board, config, ctx.now_ms)
    except Stale:
        raise Aborted("the board was changed at the same time") from None


# Making


class CreateFields(OfBoard):
    """The several spellings of these operations: `rotationReset…` are the same."""

    entry_type: EntryTypeField = None
    leaderboard_type: TypeField = None
    rotation_type: RotationField = None
    rotation_reset: ResetFieldToo = None
    rotation_reset_time: ResetField = None
    rotation_reset_timestamp_utc_millis: ResetFieldToo = None
    num_days_to_rotate: DaysField = None
    retained_count: RetainedField = None
    data: Annotated[
        FreeObjectOrText | None,
        Meta(description="An object of the game's own that is told with the board, up to 10 KiB."),
    ] = None

    @property
    def given(self) -> dict[str, Any]:
        """What the request says, in the words of a configuration."""
        found: dict[str, Any] = {
            "entryType": self.entry_type,
            "leaderboardType": self.leaderboard_type,
            "rotationType": self.rotation_type,
            "resetAt": first_time(
                rotationResetTimestampUtcMillis=self.rotation_reset_timestamp_utc_millis,
                rotationResetTime=self.rotation_reset_time,
                rotationReset=self.rotation_reset,
            ),
            "numDaysToRotate": self.num_days_to_rotate,
            "retainedCount": self.retained_count,
        }
        return found if self.data is None else found | {"data": self.data}


@service.operation(
    "SYS_CREATE_LEADERBOARD",
    "CREATE_LEADERBOARD",
    tx=Tx.WRITE,
    access=Access.SERVER,
    errors=(DuplicateLeaderboard, TooManyLeaderboards, InvalidLeaderboardId, InvalidFieldName),
)
async def create(ctx: Context, request: CreateFields) -> None:
    """Make a board for players, or with `entryType` GROUP for groups."""
    config = read_config(request.given, ctx.now_ms, "data")
    await ctx.core.get(Leaderboards).boards.create(ctx, request.leaderboard_id, config)


class WithConfig(OfBoard):
    config_json: Annotated[
        ConfigJson,
        Meta(
            description="How the board should be, as an object or as JSON text: `leaderboardType` "
            "and `rotationType`, and if wanted `numDaysToRotate`, `resetAt`, "
            "`retainedCount`, `expireInMins` (minutes after which the board is "
            "deleted); also `entryType`, `data`, `tEnabled` and `tTemplateOnly`."
        ),
    ]


@service.operation(
    "SYS_CREATE_LEADERBOARD_CONFIG",
    tx=Tx.WRITE,
    access=Access.SERVER,
    errors=(
        DuplicateLeaderboard,
        TooManyLeaderboards,
        InvalidLeaderboardId,
        InvalidTournamentSettings,
        InvalidFieldName,
    ),
)
async def create_config(ctx: Context, request: WithConfig) -> dict[str, Config]:
    """Make a board, also one with tournaments; answers with it."""
    where = "data.configJson"
    config = read_config(object_of(request.config_json, where, FREE_IN_CONFIG), ctx.now_ms, where)
    board = await ctx.core.get(Leaderboards).boards.create(ctx, request.leaderboard_id, config)
    return await config_reply(ctx, board)


# Changing


@service.operation(
    "SYS_EDIT_LEADERBOARD",
    "EDIT_LEADERBOARD",
    tx=Tx.WRITE,
    access=Access.SERVER,
    errors=(NoLeaderboard, ScoresExist, InvalidFieldName),
)
async def edit_leaderboard(ctx: Context, request: CreateFields) -> None:
    """Change a board; what is left out stays. The running version and its scores go on.

    Refused: turning the order around once there are scores.
    """
    board = await locked(ctx, request.leaderboard_id)
    await edit(ctx, board, request.given, "data")


class EditConfig(WithConfig):
    db_version: DbVersion = CURRENT


@service.operation(
    "SYS_EDIT_LEADERBOARD_CONFIG",
    tx=Tx.WRITE,
    access=Access.SERVER,
    errors=(NoLeaderboard, VersionMismatch, ScoresExist, InvalidTournamentSettings, InvalidFieldName),
)
async def edit_config(ctx: Context, request: EditConfig) -> dict[str, Config]:
    """Change a board; what is left out stays. `dbVersion` is the version the caller has seen, -1 any."""
    board = await locked(ctx, request.leaderboard_id, request.db_version)
    where = "data.configJson"
    edited = await edit(ctx, board, object_of(request.config_json, where, FREE_IN_CONFIG), where)
    return await config_reply(ctx, edited)


class ResetReply(Reply):
    leaderboard_id: BoardId
    leaderboard_type: TypeShown
    entry_type: EntryTypeShown
    rotation_type: RotationShown
    num_days_to_rotate: DaysShown
    retained_count: RetainedShown
    version_id: VersionShown


@service.operation(
    "SYS_RESET_NEVER_LEADERBOARD",
    tx=Tx.WRITE,
    access=Access.SERVER,
    errors=(NoLeaderboard, DoesNotApply),
)
async def reset_never(ctx: Context, request: OfBoard) -> ResetReply:
    """Begin a board anew that does not rotate by itself."""
    board = await locked(ctx, request.leaderboard_id)
    if board.rotation is not Rotation.NEVER:
        raise DoesNotApply("the leaderboard rotates by itself")
    after, ended = board.begun_anew(ctx.now_ms)
    await ctx.core.get(Leaderboards).boards.change(ctx.tx, board, after, [ended], ctx.now_ms)
    return ResetReply(
        leaderboard_id=after.board_id,
        leaderboard_type=after.board_type,
        entry_type=after.entry_type,
        rotation_type=after.rotation,
        num_days_to_rotate=after.days,
        retained_count=after.retained,
        version_id=after.version,
    )


# Deleting


class DeleteBoards(Request):
    leaderboard_ids: BoardIds


class DeletedReply(Reply):
    deleted_leaderboard_count: Annotated[int, Meta(description="How many boards were deleted.")]
    message: Annotated[str, Meta(description="The same in words.")]


@service.operation("DELETE_LEADERBOARDS", tx=Tx.WRITE, access=Access.SERVER)
async def delete_boards(ctx: Context, request: DeleteBoards) -> DeletedReply:
    """Delete boards with their scores; unknown ids are passed over. A declared board begins anew."""
    found = await ctx.core.get(Leaderboards).boards.find_many(ctx, sorted(set(request.leaderboard_ids)))
    stored = [board for board in found.values() if board.uid]
    for board in stored:
        await ctx.core.get(Leaderboards).boards.delete(ctx.tx, board, ctx.now_ms)
    count = len(stored)
    return DeletedReply(deleted_leaderboard_count=count, message=f"{count} record(s) deleted successfully.")


class DeleteConfig(OfBoard):
    force_delete: Annotated[
        bool | None,
        Meta(description="true deletes the board also if a tournament runs on it or is scheduled."),
    ] = False


@service.operation(
    "SYS_DELETE_LEADERBOARD_CONFIG",
    tx=Tx.WRITE,
    access=Access.SERVER,
    errors=(NoLeaderboard, InProgress, ReferredTo),
)
async def delete_config(ctx: Context, request: DeleteConfig) -> Empty:
    """Delete a board with its scores. One whose tournament runs or is scheduled needs `forceDelete`.

    Refused in any case: the model of a division set, which would have nothing to go by.
    """
    board = await locked(ctx, request.leaderboard_id)
    if board.t_template_only and await is_referred_to(ctx.core.hooks, ctx.tx, board):
        raise ReferredTo("a division set makes its instances like this leaderboard")
    current, _ = board.at(ctx.now_ms)
    busy = current.t_period is not None or read_schedule(current.t_schedule)
    if busy and not request.force_delete:
        raise InProgress("a tournament runs on the leaderboard, or is scheduled; forceDelete deletes it too")
    await ctx.core.get(Leaderboards).boards.delete(ctx.tx, board, ctx.now_ms)
    return Empty()


# Listing


class Listed(Reply):
    """`max_retained_count` versions are kept at most, `retained_versions_count` there are now."""

    leaderboard_id: BoardId
    leaderboard_type: TypeShown
    entry_type: EntryTypeShown
    rotation_type: RotationShown
    reset_at: NextReset
    current_version_id: CurrentVersion
    max_retained_count: RetainedShown
    retained_versions_count: Annotated[
        int, Meta(description="Versions that can be read now, with the running one.")
    ]
    data: BoardData


class ListReply(Reply):
    leaderboard_list: Annotated[list[Listed], Meta(description="The boards, by id; at most 500.")]
    leaderboard_list_count: Annotated[int, Meta(description="How many boards there are in all.")]


@service.operation("LIST_ALL_LEADERBOARDS", tx=Tx.READ, access=Access.SIGNED_IN)
async def list_all(ctx: Context, request: Nothing) -> ListReply:
    """List the boards of the app by id, up to 500; the count is that of all."""
    found, count = await ctx.core.get(Leaderboards).boards.page(ctx)
    listed = [_listed(board.at(ctx.now_ms)[0]) for board in found]
    return ListReply(leaderboard_list=listed, leaderboard_list_count=count)


def _listed(board: Board) -> Listed:
    return Listed(
        leaderboard_id=board.board_id,
        leaderboard_type=board.board_type,
        entry_type=board.entry_type,
        rotation_type=board.rotation,
        reset_at=board.reset_ms,
        current_version_id=board.version,
        max_retained_count=board.retained,
        retained_versions_count=min(board.retained, board.version),
        data=data_of(board),
    )


@service.operation("SYS_GET_LEADERBOARD_CONFIG", tx=Tx.READ, access=Access.SERVER, errors=(NoLeaderboard,))
async def get_config(ctx: Context, request: OfBoard) -> dict[str, Config]:
    """Read a board with its tournament settings, for the running period and those to come."""
    board = await ctx.core.get(Leaderboards).boards.find(ctx, request.leaderboard_id, fresh=True)
    if board is None:
        raise no_board(request.leaderboard_id)
    return await config_reply(ctx, board.at(ctx.now_ms)[0])


class ListOptions(Request):
    filter_type: Annotated[
        Literal["all", "standard", "tournament", "division", "divisions", "templates"],
        Meta(description="Which boards to list; `division` and `divisions` are the same."),
    ] = "standard"
    division_set_id: Annotated[
        str | None, Meta(description="With `divisions`: only the boards of this set that still run.")
    ] = None


class ListConfigs(Request):
    options_json: Annotated[
        ListOptions | None,
        Meta(description="Which boards to list. Null or nothing: those without tournaments."),
    ] = None


class Summary(Reply):
    """A board in short. `div_set` is there if it is an instance of a division set."""

    leaderboard_id: BoardId
    entry_type: EntryTypeShown
    leaderboard_type: TypeShown
    rotation_type: RotationShown
    num_days_to_rotate: DaysShown
    reset_at: NextReset
    current_version_id: CurrentVersion
    t_enabled: HasTournaments
    t_template_only: IsTemplate
    data: BoardData
    div_set: DivSet = UNSET


class ConfigListReply(Reply):
    leaderboard_list: Annotated[list[Summary], Meta(description="The boards, by id; at most 500.")]
    leaderboard_list_count: Annotated[int, Meta(description="How many boards there are in all.")]


def _summary(board: Board) -> Summary:
    return Summary(
        leaderboard_id=board.board_id,
        entry_type=board.entry_type,
        leaderboard_type=board.board_type,
        rotation_type=board.rotation,
        num_days_to_rotate=board.days,
        reset_at=board.reset_ms,
        current_version_id=board.version,
        t_enabled=board.t_enabled,
        t_template_only=board.t_template_only,
        data=data_of(board),
        div_set=board.div_set or UNSET,
    )


@service.operation("SYS_LIST_LEADERBOARD_CONFIGS", tx=Tx.READ, access=Access.SERVER)
async def list_configs(ctx: Context, request: ListConfigs) -> ConfigListReply:
    """List boards by id, up to 500; the count is that of all.

    `filterType`: `standard` without tournaments (the default), `tournament`, `templates` of divisions,
    `divisions` for the instances of all division sets, with `divisionSetId` those of one set that still run,
    or `all`.
    """
    options = request.options_json or ListOptions()
    kind = KINDS[options.filter_type]
    if kind is DIVISIONS and options.division_set_id:
        runs = and_(boards.c.div_set == options.division_set_id, boards.c.reset_ms > ctx.now_ms)
        kind = Kind(runs, kind.declared)
    found, count = await ctx.core.get(Leaderboards).boards.page(ctx, kind)
    listed = [_summary(board.at(ctx.now_ms)[0]) for board in found]
    return ConfigListReply(leaderboard_list=listed, leaderboard_list_count=count)


_b = boards.c
DIVISIONS = Kind(_b.div_set.is_not(None), lambda _: False)
KINDS = {
    "all": ALL,
    "standard": Kind(_b.t_enabled.is_(False), lambda board: not board.t_enabled),
    "tournament": Kind(
        and_(_b.t_enabled.is_(True), _b.t_template_only.is_(False), _b.div_set.is_(None)),
        lambda board: board.t_enabled and not board.t_template_only,
    ),
    "templates": Kind(_b.t_template_only.is_(True), lambda board: board.t_template_only),
    "division": DIVISIONS,
    "divisions": DIVISIONS,
}


FIELDS = Fields(
    columns={
        "leaderboardId": boards.c.board_id,
        "leaderboardType": boards.c.board_type,
        "entryType": boards.c.entry_type,
        "rotationType": boards.c.rotation,
        "numDaysToRotate": boards.c.days,
        "retainedCount": boards.c.retained,
        "currentVersionId": boards.c.version,
        "resetAt": boards.c.reset_ms,
        "tEnabled": boards.c.t_enabled,
        "tTemplateOnly": boards.c.t_template_only,
        "divSet": boards.c.div_set,
    },
    documents={"data": boards.c.data},
    unique=boards.c.board_id,
)


class PageReply(Reply):
    context: NextContext
    results: Annotated[paging.Results, Meta(description="The page.")]


class GetConfigsPage(Request):
    context: PageContext = None


async def page_of(ctx: Context, page: paging.Page) -> PageReply:
    """Read a page of the app's boards."""
    scope = boards.c.app_id == ctx.app.id
    found = await paging.read_page(ctx.tx, page, tuple(boards.c), scope, FIELDS)
    items = [_summary(read_board(row).at(ctx.now_ms)[0]) for row in found.rows]
    return PageReply(context=found.context, results=found.results(items))


@service.operation(
    "SYS_GET_LEADERBOARD_CONFIGS_PAGE",
    tx=Tx.READ,
    access=Access.SERVER,
    errors=(paging.UnreadableContext, InvalidWhere),
)
async def get_configs_page(ctx: Context, request: GetConfigsPage) -> PageReply:
    """Read a page of boards. Searched and sorted by what an item of the answer holds."""
    return await page_of(ctx, paging.read_context(request.context))


class GetConfigsPageOffset(Request):
    context: EarlierContext
    page_offset: Annotated[
        int,
        Meta(
            ge=-1_000_000,
            le=1_000_000,
            description="Pages from the one that the context stands for: 1 the next, -1 the one before.",
        ),
    ]


@service.operation(
    "SYS_GET_LEADERBOARD_CONFIGS_PAGE_OFFSET",
    tx=Tx.READ,
    access=Access.SERVER,
    errors=(paging.UnreadableContext,),
)
async def get_configs_page_offset(ctx: Context, request: GetConfigsPageOffset) -> PageReply:
    """Read the page that lies so many pages after one read before."""
    return await page_of(ctx, paging.read_context(request.context, request.page_offset))
