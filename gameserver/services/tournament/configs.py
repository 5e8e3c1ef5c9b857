"""Templates and division sets, for servers."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from gameserver.documents.documents import VersionMismatch, version_wanted
from gameserver.domain.economy.wallet import InvalidCurrency
from gameserver.domain.leaderboards import (
    CURRENT,
    IS_REFERRED_TO,
    Board,
    EntryType,
    Leaderboards,
    NoLeaderboard,
    no_board,
)
from gameserver.domain.leaderboards.boards import InvalidVersion
from gameserver.domain.progress.statistics import InvalidStatisticName
from gameserver.rpc import Access, Context, Tx
from gameserver.services.tournament import storage, templates
from gameserver.services.tournament.base import (
    FREE_IN_CONFIG,
    ConfigJson,
    CustomJson,
    Description,
    DivSetId,
    DuplicateDivisionSet,
    DuplicateTemplate,
    ExcludesInitial,
    InstancesExist,
    JsonObject,
    NoDivisionSet,
    NoSuchSchedule,
    NoTemplate,
    NoTournament,
    TournamentCode,
    TournamentsSettings,
    VersionNumber,
    object_of,
    service,
)
from gameserver.services.tournament.playing import ended
from gameserver.services.tournament.rules import running
from gameserver.services.tournament.templates import Notifications, Template, TemplateConfig
from gameserver.storage import Aborted, Row, Transaction, locks
from gameserver.wire import json
from gameserver.wire.errors import InvalidParameterValue
from gameserver.wire.fields import AppId, CreatedAt, UpdatedAt
from gameserver.wire.shapes import Empty, Reply, Request, read_value

WHERE = "data.configJson"
LIST_MAX = 500
SET_ID_MAX = 64  # characters
MEMBERS_MAX = 10_000
DAYS_MAX = 366
SYNC = "Sync"  # instances run as long as the period of the template board

Version = (
    Annotated[
        int,
        Meta(
            ge=-1,
            description="The version that the caller has seen: with another one the call is refused. -1, null"
            " or nothing: no check.",
        ),
    ]
    | None
)


class Options(Request):
    sort: Annotated[
        Literal["ASCENDING", "DESCENDING"], Meta(description="The order of the codes or ids.")
    ] = "ASCENDING"


class ListRequest(Request):
    options_json: Annotated[
        JsonObject,
        Meta(
            description='`{"sort": "ASCENDING"}` or DESCENDING, as an object or as JSON text. Null'
            " or nothing: ascending."
        ),
    ] = None

    @property
    def backwards(self) -> bool:
        """Whether the last one stands first. Raises `InvalidParameterValue`."""
        where = "data.optionsJson"
        return read_value(object_of(self.options_json, where), Options, where).sort == "DESCENDING"


# Templates


class OfTemplate(Request):
    tournament_code: TournamentCode


class TemplateReply(Reply, kw_only=True):
    """A template as servers see it. One that servers made tells its scripts, whose ids are their paths."""

    game_id: AppId
    tournament_code: TournamentCode
    version: VersionNumber
    entry_type: Annotated[str, Meta(description="Who enters: PLAYER or GROUP.")]
    description: Description
    custom_json: CustomJson
    exclude_initial_scores_from_rewards: ExcludesInitial
    payout_rules: Annotated[
        list[Any] | UnsetType,
        Meta(description="Who gets what: a list of `rank` and `reward`; absent where there are none."),
    ] = UNSET
    entry_fee: Annotated[
        Any, Meta(description="What it costs to enter, by currency; absent where groups enter.")
    ] = UNSET
    notifications: Annotated[
        dict[str, Any],
        Meta(
            description="How players are told: `startingSoon`, `start`, `scorePassed`, "
            "`endingSoon`, `complete`."
        ),
    ]
    post_script: Annotated[
        str | UnsetType | None, Meta(description="Path of a script of the game, kept and not run.")
    ] = UNSET
    calc_script: Annotated[
        str | UnsetType | None, Meta(description="Path of a script of the game, kept and not run.")
    ] = UNSET
    post_script_id: Annotated[str | UnsetType, Meta(description="The same as `postScript`.")] = UNSET
    calc_script_id: Annotated[str | UnsetType, Meta(description="The same as `calcScript`.")] = UNSET
    created_at: CreatedAt
    updated_at: UpdatedAt


class TemplatesReply(Reply):
    tournament_templates_count: Annotated[int, Meta(description="How many templates there are in all.")]
    tournament_templates: Annotated[
        list[TemplateReply], Meta(description="The templates by code; at most 500.")
    ]


class CreateTemplate(OfTemplate):
    config_json: Annotated[
        ConfigJson,
        Meta(
            description="The template, as an object or as JSON text: `entryType`, `description`, "
            "`payoutRules` (a list of `rank` and `reward`), `entryFee`, "
            "`excludeInitialScoresFromRewards`, `customJson`, `notifications`, "
            "`postScript`, `calcScript`. What is left out is empty or off."
        ),
    ]


@service.operation(
    "SYS_CREATE_TOURNAMENT_TEMPLATE",
    tx=Tx.WRITE,
    access=Access.SERVER,
    errors=(DuplicateTemplate, InvalidCurrency, InvalidStatisticName),
)
async def create_template(ctx: Context, request: CreateTemplate) -> TemplateReply:
    """Make a tournament template. What is left out of the configuration is empty or off.

    Notifications say how players are told, by the services that can reach them; of those kinds, `complete` is
    told. Scripts are kept and shown, and do nothing by themselves.
    """
    code = templates.check_code(request.tournament_code)
    config = templates.read_config(object_of(request.config_json, WHERE, FREE_IN_CONFIG), ctx.app, WHERE)
    rows = await _versions(ctx, code)
    if templates.declared(ctx.app, code) is not None or (rows and not rows[0]["deleted"]):
        raise DuplicateTemplate(f"there is a tournament template {code!r} already")
    number = rows[0]["version"] + 1 if rows else 1
    return await _add_version(ctx, code, number, config, live=True, created_ms=ctx.now_ms)


class EditTemplate(CreateTemplate):
    version: Version = -1
    apply_changes_to_live_leaderboards: Annotated[
        bool | None, Meta(description="true changes periods that run already, too.")
    ] = False


@service.operation(
    "SYS_EDIT_TOURNAMENT_TEMPLATE",
    tx=Tx.WRITE,
    access=Access.SERVER,
    errors=(NoTemplate, VersionMismatch, InvalidCurrency, InvalidStatisticName),
)
async def edit_template(ctx: Context, request: EditTemplate) -> TemplateReply:
    """Change a tournament template; what is left out of the configuration stays.

    Holds for periods that begin later, with `applyChangesToLiveLeaderboards` for those that run as well.
    Results of periods that are over are paid as promised. Refused: templates of the operator's file.
    """
    row = await _stored(ctx, request.tournament_code, request.version)
    given = json.read_stored(row["config"]) | object_of(request.config_json, WHERE, FREE_IN_CONFIG)
    return await _add_version(
        ctx,
        row["code"],
        row["version"] + 1,
        templates.read_config(given, ctx.app, WHERE),
        live=bool(request.apply_changes_to_live_leaderboards),
        created_ms=row["created_ms"],
    )


class DeleteTemplate(OfTemplate):
    """The reference says both `version` and `versionId`."""

    version: Version = -1
    version_id: Annotated[Version, Meta(description="Another name of `version`.")] = -1


@service.operation(
    "SYS_DELETE_TOURNAMENT_TEMPLATE",
    tx=Tx.WRITE,
    access=Access.SERVER,
    locks=lambda ctx, request: [locks.shared_lock(ctx.app.id, "template", request.tournament_code)],
    errors=(NoTemplate, VersionMismatch),
)
async def delete_template(ctx: Context, request: DeleteTemplate) -> Empty:
    """Delete a tournament template. Nobody enters it any more; results of periods that are over are paid."""
    version = version_wanted(request.version)
    row = await _stored(
        ctx, request.tournament_code, version if version != -1 else version_wanted(request.version_id)
    )
    await ctx.tx.run(storage.DELETE_TEMPLATE, app=ctx.app.id, of_code=row["code"])
    return Empty()


class ReadTemplate(OfTemplate):
    version: Annotated[
        Version, Meta(description="The version to read; -1, null or nothing: the latest.")
    ] = -1


@service.operation("SYS_READ_TOURNAMENT_TEMPLATE", tx=Tx.READ, access=Access.SERVER, errors=(NoTemplate,))
async def read_template(ctx: Context, request: ReadTemplate) -> TemplateReply:
    """Read a tournament template, the latest version or the one that is named."""
    code, version = request.tournament_code, version_wanted(request.version)
    own = templates.declared(ctx.app, code)
    if own is not None and version in {-1, own.version}:
        return _declared_shown(ctx, own)
    for row in await _versions(ctx, code):
        if not row["deleted"] and version in {-1, row["version"]}:
            return _shown(ctx, row)
    raise _no_template(code)


@service.operation(
    "SYS_LIST_TOURNAMENT_TEMPLATES", tx=Tx.READ, access=Access.SERVER, errors=(InvalidParameterValue,)
)
async def list_templates(ctx: Context, request: ListRequest) -> TemplatesReply:
    """List the latest versions of the tournament templates by code, at most 500."""
    found = {
        code: _declared_shown(ctx, template)
        for code in ctx.section(TournamentsSettings).templates
        if (template := templates.declared(ctx.app, code)) is not None
    }
    backwards = request.backwards
    for row in await ctx.tx.all(storage.ALL_TEMPLATES, app=ctx.app.id, most=LIST_MAX):
        found.setdefault(row["code"], _shown(ctx, row))
    shown = [found[code] for code in sorted(found, reverse=backwards)][:LIST_MAX]
    return TemplatesReply(tournament_templates_count=len(found), tournament_templates=shown)


async def _versions(ctx: Context, code: str) -> list[Row]:
    return list(await ctx.tx.all(storage.TEMPLATE_VERSIONS, app=ctx.app.id, of_code=code))


async def _stored(ctx: Context, code: str, version: int | None) -> Row:
    """Return the latest version of a template that servers made. Raises `NoTemplate`, `VersionMismatch`."""
    if templates.declared(ctx.app, code) is not None:
        raise InvalidParameterValue(
            f"data.tournamentCode: {code!r} stands in the app's file and is changed there"
        )
    rows = await _versions(ctx, code)
    if not rows or rows[0]["deleted"]:
        raise _no_template(code)
    if version_wanted(version) not in {-1, rows[0]["version"]}:
        raise VersionMismatch(f"data.version: the template is at {rows[0]['version']}")
    return rows[0]


async def _add_version(
    ctx: Context, code: str, number: int, config: TemplateConfig, *, live: bool, created_ms: int
) -> TemplateReply:
    row = {
        "app_id": ctx.app.id,
        "code": code,
        "version": number,
        "config": json.encode(config).decode(),
        "live": live,
        "deleted": False,
        "created_ms": created_ms,
        "updated_ms": ctx.now_ms,
    }
    if not await ctx.tx.unless_taken(storage.ADD_TEMPLATE, **row):
        raise Aborted("the template was changed at the same time")
    return _shown(ctx, row)


def _no_template(code: str) -> NoTemplate:
    return NoTemplate(f"there is no tournament template {code[:64]!r}")


def _shown(ctx: Context, row: Row | dict[str, Any]) -> TemplateReply:
    config = json.read_stored(row["config"])
    return TemplateReply(
        game_id=ctx.app.id,
        tournament_code=row["code"],
        version=row["version"],
        entry_type=config["entryType"],
        description=config["description"],
        custom_json=config["customJson"],
        exclude_initial_scores_from_rewards=config["excludeInitialScoresFromRewards"],
        payout_rules=config["payoutRules"],
        entry_fee=config["entryFee"],
        notifications=config["notifications"],
        post_script=config["postScript"],
        calc_script=config["calcScript"],
        post_script_id=config["postScript"] or "",
        calc_script_id=config["calcScript"] or "",
        created_at=row["created_ms"],
        updated_at=row["updated_ms"],
    )


def _declared_shown(ctx: Context, template: Template) -> TemplateReply:
    shown = msgspec.structs.asdict(template.shown())
    return TemplateReply(
        game_id=ctx.app.id,
        version=template.version,
        notifications=msgspec.to_builtins(Notifications()),
        created_at=0,
        updated_at=0,
        **shown,
    )


class OfVersion(Request):
    """`leaderboard_version_id` -1 is the version that runs."""

    leaderboard_id: str
    leaderboard_version_id: int | None = CURRENT


class ConfigsReply(Reply):
    tournament_configs_count: int
    tournament_configs: list[TemplateReply]


@service.operation(
    "GET_TOURNAMENT_CONFIGS",
    tx=Tx.READ,
    access=Access.SERVER,
    errors=(NoLeaderboard, NoTournament, InvalidVersion),
)
async def get_configs(ctx: Context, request: OfVersion) -> ConfigsReply:
    """Read the templates of the tournaments that a version of a board is, as they hold for it."""

    async def as_it_is(board: Board) -> Board:
        return board

    board = await ctx.core.get(Leaderboards).reading(ctx, request.leaderboard_id, as_it_is)
    if board is None:
        raise no_board(request.leaderboard_id)
    version = request.leaderboard_version_id
    wanted = board.find_version(CURRENT if version is None else version)
    is_over = wanted != board.version
    period = await ended(ctx, board, wanted) if is_over else running(board)
    found = {code: templates.declared(ctx.app, code) for code in period.codes}
    rows = await templates.stored(
        ctx.tx,
        ctx.app.id,
        [code for code, template in found.items() if template is None],
        period,
        now_ms=ctx.now_ms,
        over=is_over,
    )
    shown = [
        _shown(ctx, rows[code]) if template is None else _declared_shown(ctx, template)
        for code, template in found.items()
        if template is not None or code in rows
    ]
    return ConfigsReply(tournament_configs_count=len(shown), tournament_configs=shown)


# Division sets


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
