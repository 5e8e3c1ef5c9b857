"""Templates, for servers."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from gameserver.documents.documents import VersionMismatch, version_wanted
from gameserver.domain.economy.wallet import InvalidCurrency
from gameserver.domain.leaderboards import (
    CURRENT,
    Board,
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
    DuplicateTemplate,
    ExcludesInitial,
    JsonObject,
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
from gameserver.storage import Aborted, Row, locks
from gameserver.wire import json
from gameserver.wire.errors import InvalidParameterValue
from gameserver.wire.fields import AppId, CreatedAt, UpdatedAt
from gameserver.wire.shapes import Empty, Reply, Request, read_value

WHERE = "data.configJson"
LIST_MAX = 500

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
    """A template as servers see it. Ids of scripts are their paths; one that is declared has none."""

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
    post_script: Annotated[str | None, Meta(description="Path of a script of the game, kept and not run.")]
    calc_script: Annotated[str | None, Meta(description="Path of a script of the game, kept and not run.")]
    post_script_id: Annotated[str, Meta(description="The same as `postScript`.")]
    calc_script_id: Annotated[str, Meta(description="The same as `calcScript`.")]
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
            "`postScript`, `calcScript`. What is left out of a new one is empty or off, else it stays."
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
        post_script="",  # nothing in a declaration names one
        calc_script="",
        post_script_id="",
        calc_script_id="",
        created_at=0,
        updated_at=0,
        **shown,
    )


class OfVersion(Request):
    leaderboard_id: Annotated[str, Meta(description="The board.")]
    leaderboard_version_id: Annotated[
        int | None, Meta(description="A version of the board; -1, or none, is the one that runs.")
    ] = CURRENT


class ConfigsReply(Reply):
    tournament_configs_count: Annotated[int, Meta(description="How many templates there are.")]
    tournament_configs: Annotated[
        list[TemplateReply], Meta(description="The templates, as they hold for that version.")
    ]


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
