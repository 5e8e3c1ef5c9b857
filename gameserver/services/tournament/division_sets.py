"""Division sets, for servers."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from gameserver.documents.documents import VersionMismatch, version_wanted
from gameserver.domain.leaderboards import (
    IS_REFERRED_TO,
    Board,
    EntryType,
    Leaderboards,
    NoLeaderboard,
    no_board,
)
from gameserver.rpc import Access, Context, Tx
from gameserver.services.tournament import storage
from gameserver.services.tournament.base import (
    FREE_IN_CONFIG,
    ConfigJson,
    CustomJson,
    DivSetId,
    DuplicateDivisionSet,
    InstancesExist,
    NoDivisionSet,
    NoSuchSchedule,
    NoTournament,
    VersionNumber,
    object_of,
    service,
)
from gameserver.services.tournament.configs import LIST_MAX, WHERE, ListRequest, Version
from gameserver.storage import Aborted, Row, Transaction, locks
from gameserver.wire import json
from gameserver.wire.errors import InvalidParameterValue
from gameserver.wire.fields import AppId, CreatedAt, UpdatedAt
from gameserver.wire.shapes import Reply, Request, read_value

SET_ID_MAX = 64  # characters
MEMBERS_MAX = 10_000
DAYS_MAX = 366
SYNC = "Sync"  # instances run as long as the period of the template board


class SetConfig(Request, kw_only=True):
    """How a division set is divided. `max_groups` is the same as `max_players`."""

    entry_type: EntryType = EntryType.PLAYER
    desc: Annotated[str, Meta(max_length=1024)] = ""
    schedule_type: str = SYNC
    template_leaderboard_id: str
    max_players: Annotated[int, Meta(ge=1, le=MEMBERS_MAX)] | None = None
    max_groups: Annotated[int, Meta(ge=1, le=MEMBERS_MAX)] | None = None
    expire_results_after_days: Annotated[int, Meta(ge=1, le=DAYS_MAX)] = 15
    custom_json: CustomJson = None

    @property
    def most(self) -> int:
        """How many members an instance takes."""
        return self.max_players or self.max_groups or 100


class OfSet(Request):
    div_set_id: DivSetId


def set_locks(ctx: Context, set_id: str) -> list[str]:
    """Return the lock of a division set and its instances, in which all who join take places."""
    return [locks.shared_lock(ctx.app.id, "division", set_id)]


class SetReply(Reply):
    """A division set. Instances are made like the board `lb_template`, and take `max` members each."""

    game_id: AppId
    div_set_id: DivSetId
    entry_type: Annotated[EntryType, Meta(description="Who enters: PLAYER or GROUP.")]
    desc: Annotated[str, Meta(description="A text for people.")]
    schedule_type: Annotated[
        str,
        Meta(description="Sync: instances run as long as the period of the board that they are made like."),
    ]
    lb_template: Annotated[str, Meta(description="The id of the board that instances are made like.")]
    max: Annotated[int, Meta(description="Members that an instance takes.")]
    expiry_days: Annotated[int, Meta(description="Days that results are kept.")]
    custom_json: CustomJson
    created_at: CreatedAt
    updated_at: UpdatedAt
    version: VersionNumber


class SetsReply(Reply):
    count: Annotated[int, Meta(description="How many division sets there are in all.")]
    div_set_configs: Annotated[list[SetReply], Meta(description="The division sets by id; at most 500.")]


class CreateSet(OfSet):
    config_json: Annotated[
        ConfigJson,
        Meta(
            description="The division set, as an object or as JSON text: `templateLeaderboardId`; "
            "and if wanted `entryType`, `desc`, `maxPlayers` or `maxGroups`, "
            "`expireResultsAfterDays` (1 to 366, else 15), `customJson`."
        ),
    ]


@service.operation(
    "SYS_CREATE_DIVISION_SET_CONFIG",
    tx=Tx.WRITE,
    access=Access.SERVER,
    errors=(DuplicateDivisionSet, NoLeaderboard, NoTournament, NoSuchSchedule),
)
async def create_set(ctx: Context, request: CreateSet) -> SetReply:
    """Make a division set: its instances are boards like the template board, of `maxPlayers` players each.

    Instances are made as players join, and run as long as the period of the template board.
    """
    set_id = request.div_set_id
    if not 0 < len(set_id) <= SET_ID_MAX or not set_id.isprintable():
        raise InvalidParameterValue(f"data.divSetId: expected 1 to {SET_ID_MAX} printable characters")
    config = read_set(object_of(request.config_json, WHERE, FREE_IN_CONFIG))
    await _check_board(ctx, config)
    row = {
        "app_id": ctx.app.id,
        "div_set_id": set_id,
        "config": json.encode(config).decode(),
        "version": 1,
        "created_ms": ctx.now_ms,
        "updated_ms": ctx.now_ms,
    }
    if not await ctx.tx.unless_taken(storage.ADD_SET, **row):
        raise DuplicateDivisionSet(f"there is a division set {set_id!r} already")
    return set_shown(ctx, row)


class EditSet(CreateSet):
    version: Version = -1


@service.operation(
    "SYS_EDIT_DIVISION_SET_CONFIG",
    tx=Tx.WRITE,
    access=Access.SERVER,
    locks=lambda ctx, request: set_locks(ctx, request.div_set_id),
    errors=(NoDivisionSet, VersionMismatch, NoSuchSchedule),
)
async def edit_set(ctx: Context, request: EditSet) -> SetReply:
    """Change a division set; what is left out stays. Instances that exist keep their board and period."""
    row = await find_set(ctx, request.div_set_id, request.version)
    given = object_of(request.config_json, WHERE, FREE_IN_CONFIG)
    before = {name: value for name, value in json.read_stored(row["config"]).items() if value is not None}
    if "maxPlayers" in given or "maxGroups" in given:
        before = {name: value for name, value in before.items() if name not in {"maxPlayers", "maxGroups"}}
    config = read_set(before | given)
    await _check_board(ctx, config)
    text = json.encode(config).decode()
    edited = {**_columns(row), "config": text, "version": row["version"] + 1, "updated_ms": ctx.now_ms}
    if not await ctx.tx.run(
        storage.EDIT_SET,
        app=ctx.app.id,
        set_id=row["div_set_id"],
        seen=row["version"],
        config=text,
        now_ms=ctx.now_ms,
    ):
        raise Aborted("the division set was changed at the same time")
    return set_shown(ctx, edited)


class DeleteSet(OfSet):
    version: Version = -1
    force: Annotated[bool | None, Meta(description="true deletes the set also if instances of it run.")] = (
        False
    )


@service.operation(
    "SYS_DELETE_DIVISION_SET_CONFIG",
    tx=Tx.WRITE,
    access=Access.SERVER,
    locks=lambda ctx, request: set_locks(ctx, request.div_set_id),
    errors=(NoDivisionSet, VersionMismatch, InstancesExist),
)
async def delete_set(ctx: Context, request: DeleteSet) -> None:
    """Delete a division set. Instances go on until they expire; while there are some, `force` is needed."""
    row = await find_set(ctx, request.div_set_id, request.version)
    of_set = {"app": ctx.app.id, "set_id": row["div_set_id"]}
    if not request.force and await ctx.tx.one(storage.ANY_INSTANCE, **of_set, now_ms=ctx.now_ms) is not None:
        raise InstancesExist("instances of the division set have not expired")
    if not await ctx.tx.run(storage.DELETE_SET, **of_set, seen=row["version"]):
        raise Aborted("the division set was changed at the same time")


@service.operation("SYS_READ_DIVISION_SET_CONFIG", tx=Tx.READ, access=Access.SERVER, errors=(NoDivisionSet,))
async def read_set_config(ctx: Context, request: OfSet) -> SetReply:
    """Read a division set."""
    return set_shown(ctx, await find_set(ctx, request.div_set_id))


@service.operation(
    "SYS_LIST_DIVISION_SET_CONFIGS", tx=Tx.READ, access=Access.SERVER, errors=(InvalidParameterValue,)
)
async def list_sets(ctx: Context, request: ListRequest) -> SetsReply:
    """List the division sets by id, at most 500."""
    backwards = request.backwards
    rows = list(await ctx.tx.all(storage.DIVISION_SETS, app=ctx.app.id, most=LIST_MAX))
    if backwards:
        rows.reverse()
    return SetsReply(count=len(rows), div_set_configs=[set_shown(ctx, row) for row in rows])


async def find_set(ctx: Context, set_id: str, version: int | None = None) -> Row:
    """Return a division set. Raises `NoDivisionSet`, `VersionMismatch`."""
    row = await ctx.tx.one(storage.DIVISION_SET, app=ctx.app.id, set_id=set_id)
    if row is None:
        raise NoDivisionSet(f"there is no division set {set_id[:64]!r}")
    if version_wanted(version) not in {-1, row["version"]}:
        raise VersionMismatch(f"data.version: the division set is at {row['version']}")
    return row


def read_set(given: dict[str, Any]) -> SetConfig:
    """Read how a division set is divided. Raises `NoSuchSchedule`."""
    config = read_value(given, SetConfig, WHERE)
    if config.schedule_type != SYNC:
        raise NoSuchSchedule(f"{WHERE}.scheduleType: expected {SYNC}, the period of the template board")
    return config


def set_config(row: Row) -> SetConfig:
    """Return how a stored division set is divided."""
    return _decode_set(row["config"])


_decode_set = msgspec.json.Decoder(SetConfig).decode


def _columns(row: Row) -> dict[str, Any]:
    return {column.name: row[column.name] for column in storage.division_sets.c}


async def _check_board(ctx: Context, config: SetConfig) -> None:
    board = await ctx.core.get(Leaderboards).boards.find(ctx, config.template_leaderboard_id)
    if board is None:
        raise no_board(config.template_leaderboard_id)
    if not board.t_enabled or board.entry_type is not config.entry_type:
        raise NoTournament("the template board has no tournaments, or is for others")


@service.on(IS_REFERRED_TO)
async def is_model(tx: Transaction, board: Board) -> bool:
    """Tell whether a division set makes its instances like a board."""
    return await tx.one(storage.USES_BOARD, app=board.app_id, board=board.board_id) is not None


def set_shown(ctx: Context, row: Row | dict[str, Any]) -> SetReply:
    """Return a division set as servers see it."""
    config = _decode_set(row["config"])
    return SetReply(
        game_id=ctx.app.id,
        div_set_id=row["div_set_id"],
        entry_type=config.entry_type,
        desc=config.desc,
        schedule_type=config.schedule_type,
        lb_template=config.template_leaderboard_id,
        max=config.most,
        expiry_days=config.expire_results_after_days,
        custom_json=config.custom_json,
        created_at=row["created_ms"],
        updated_at=row["updated_ms"],
        version=row["version"],
    )
