"""What staff do with entities of players, and with entities of the app: look, edit, delete, put back."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec
from sqlalchemy import Select, String, and_, bindparam, or_, select, tuple_

from gameserver.admin import documents
from gameserver.admin.common import ORIGIN, Refused, Server, Spent, app_of, limit_of, reading
from gameserver.admin.declaring import Do, Rows, action, by_key
from gameserver.admin.documents import Shelf, row_of
from gameserver.admin.operators import CLI, Operator, noted
from gameserver.admin.rights import Right
from gameserver.documents import query
from gameserver.documents.query import InvalidFieldInWhere, InvalidWhere
from gameserver.domain.progress import statistics
from gameserver.domain.progress.statistics import GlobalStatisticsSettings
from gameserver.rpc import Context
from gameserver.services.entity import storage as of_players
from gameserver.services.entity.operations import EntitySettings
from gameserver.services.global_entity import storage as of_app
from gameserver.services.global_entity.rules import GlobalEntitySettings
from gameserver.services.group import entity_storage as of_groups
from gameserver.services.group.base import GroupSettings
from gameserver.storage import BudgetSpent, QueryTooSlow, Row

WHERE_MAX = 8_000  # characters of a clause
EXPORT_ROWS, EXPORT_BYTES = 200, 16 << 20  # at a time

ENTITIES = Shelf(
    "entity",
    of_players.entities,
    "owner_id",
    True,
    of_players.SET_DATA,
    lambda app: app.section(EntitySettings).data_bytes_max,
)
GLOBALS = Shelf(
    "global_entity",
    of_app.entities,
    "owner_id",
    False,
    of_app.SET_SUM,
    lambda app: app.section(GlobalEntitySettings).data_bytes_max,
)

OF_GROUPS = Shelf(
    "group_entity",
    of_groups.entities,
    "owner_id",
    False,
    of_groups.SET_SUM,
    lambda app: app.section(GroupSettings).data_bytes_max,
    of_group=True,
)

CHANGES = [f"{shelf.noun}_{what}" for shelf in (ENTITIES, GLOBALS, OF_GROUPS) for what in ("save", "delete")]

_e, _g = of_players.entities.c, of_app.entities.c
_OLDEST = (_e.created_ms, _e.entity_id)
_OF_PLAYER = (
    select(*ENTITIES.listed)
    .where(_e.owner_id == bindparam("owner"), _e.app_id.concat("") == bindparam("app", type_=String))
    .order_by(*_OLDEST)
    .limit(bindparam("most"))
)
_PLACE: tuple[Any, ...] = (bindparam("created"), bindparam("last", type_=String))
LIST = _OF_PLAYER
_WHOLE = (
    select(*_e)
    .where(_e.owner_id == bindparam("owner"), _e.app_id.concat("") == bindparam("app", type_=String))
    .order_by(*_OLDEST)
    .limit(bindparam("most"))
)
LIST_AFTER = LIST.where(tuple_(*_OLDEST) > tuple_(*_PLACE))
LIST_OF_TYPE = LIST.where(_e.entity_type == bindparam("type"))
LIST_OF_TYPE_AFTER = LIST_AFTER.where(_e.entity_type == bindparam("type"))


async def pages_of_documents(ask: Do, server: Server, arguments: Mapping[str, Any]) -> AsyncIterator[Rows]:
    """Read all entities, each with its data letter by letter."""
    async for rows in by_key("entity_id", limit=False)(ask, server, arguments):
        yield [row | {"data": msgspec.Raw(row["data"].encode())} for row in map(dict, rows)]


# Of players


@action(Right.DATA_READ, "GET /apps/{app}/players/{profile}/entities")
async def entity_list(
    server: Server, app: str, profile: str, entity_type: str = "", limit: int = 50, after: str = ""
) -> list[dict[str, Any]]:
    """Return a player's entities, the oldest first, without their data but for its beginning.

    `entity_type` is that of the entities; `after` is the id of the last one already seen. `acl_other` tells
    what others may do: 0 nothing, 1 read, 2 write.
    """
    definition, most = app_of(server, app), limit_of(limit)
    asked: dict[str, Any] = {"owner": profile, "app": app, "most": most}
    async with reading(server, definition) as ctx:
        statement: Select[Any] = LIST_OF_TYPE if entity_type else LIST
        if entity_type:
            asked["type"] = entity_type
        if after:
            last = await row_of(ctx, ENTITIES, ENTITIES.key(app, after, profile))
            statement = LIST_OF_TYPE_AFTER if entity_type else LIST_AFTER
            asked |= {"created": last["created_ms"], "last": after}
        return [ENTITIES.head_of(row) for row in await ctx.tx.all(statement, **asked)]


@action(
    Right.DATA_READ,
    "GET /apps/{app}/players/{profile}/entities-export",
    pages=pages_of_documents,
)
async def entity_export(
    server: Server, app: str, profile: str, entity_type: str = "", after: str = ""
) -> list[dict[str, Any]]:
    """Return the next entities of a player with all of their data, 200 at most; arguments as in the list.

    There are fewer where the app lets entities be large. After the last there are none.
    """
    definition = app_of(server, app)
    most = max(1, min(EXPORT_BYTES // ENTITIES.bytes_max(definition), EXPORT_ROWS))
    asked: dict[str, Any] = {"owner": profile, "app": app, "most": most}
    statement = _WHOLE.where(_e.entity_type == entity_type) if entity_type else _WHOLE
    async with reading(server, definition) as ctx:
        if after:
            last = await row_of(ctx, ENTITIES, ENTITIES.key(app, after, profile))
            statement = statement.where(tuple_(*_OLDEST) > tuple_(*_PLACE))
            asked |= {"created": last["created_ms"], "last": after}
        return [ENTITIES.whole(row) for row in await ctx.tx.all(statement, **asked)]


@action(Right.DATA_READ, "GET /apps/{app}/players/{profile}/entities/{entity}")
async def entity_show(server: Server, app: str, profile: str, entity: str) -> dict[str, Any]:
    """Return an entity of a player. `data` is the JSON text that is stored, letter by letter."""
    async with reading(server, app_of(server, app)) as ctx:
        return ENTITIES.whole(await row_of(ctx, ENTITIES, ENTITIES.key(app, entity, profile)))


@action(Right.DATA_CHANGE, "PUT /apps/{app}/players/{profile}/entities/{entity}")
async def entity_save(
    server: Server, app: str, profile: str, entity: str, data: str, version: int, *, by: Operator = CLI
) -> dict[str, Any]:
    """Replace the data of a player's entity with JSON text, which is stored letter by letter.

    `version` is the one that was seen: if another is stored nothing is written, and the answer is 409 with
    the text that is stored. Text that says what is stored writes nothing either. `change` in the answer is
    what `entity_restore` takes.
    """

    async def work(ctx: Context) -> dict[str, Any]:
        return await documents.save(ctx, by, ENTITIES, ENTITIES.key(app, entity, profile), data, version)

    return await server.runner.do(work, app_of(server, app), ORIGIN)


@action(Right.DATA_CHANGE, "DELETE /apps/{app}/players/{profile}/entities/{entity}")
async def entity_delete(
    server: Server, app: str, profile: str, entity: str, *, by: Operator = CLI
) -> dict[str, Any]:
    """Delete an entity of a player; `change` in the answer is what `entity_restore` takes."""

    async def work(ctx: Context) -> dict[str, Any]:
        return await documents.remove(ctx, by, ENTITIES, ENTITIES.key(app, entity, profile))

    return await server.runner.do(work, app_of(server, app), ORIGIN)


@action(Right.DATA_CHANGE, "POST /apps/{app}/entity-changes/{change}/restore")
async def entity_restore(server: Server, app: str, change: str, *, by: Operator = CLI) -> dict[str, Any]:
    """Undo a save or a deletion of a player's entity, as long as nobody has changed it since."""

    async def work(ctx: Context) -> dict[str, Any]:
        return await documents.restore(ctx, by, ENTITIES, change)

    return await server.runner.do(work, app_of(server, app), ORIGIN)


@action(Right.DATA_READ, "GET /apps/{app}/entity-changes/{change}")
async def entity_change_show(server: Server, app: str, change: str) -> dict[str, Any]:
    """Return an entity, of a player, of a group or of the app, as it was before staff saved or deleted it."""
    app_of(server, app)
    async with server.core.database.read() as tx:
        row = await noted(tx, app, change, *CHANGES)
    if row is None or row["before"] is None:
        raise Refused("the journal has no such change any more")
    before: dict[str, Any] = msgspec.json.decode(row["before"])
    return before


# Of the app


@action(Right.DATA_READ, "GET /apps/{app}/global-entities")
async def global_entity_list(
    server: Server, app: str, entity_type: str = "", where: str = "", limit: int = 50, after: str = "",
    *, by: Operator = CLI,
) -> list[dict[str, Any]]:  # fmt: skip
    """Return global entities, the oldest first, without their data but for its beginning.

    `entity_type` is that of the entities, `where` a clause as clients write it, as JSON text; `after` is the
    id of the last one already seen. A search that takes too long is refused.
    """
    most = limit_of(limit)
    rows = await _globals(server, app, GLOBALS.listed, entity_type, where, most, after, by)
    return [GLOBALS.head_of(row) for row in rows]


@action(Right.DATA_READ, "GET /apps/{app}/global-entities-export", pages=pages_of_documents)
async def global_entity_export(
    server: Server, app: str, entity_type: str = "", where: str = "", after: str = "", *, by: Operator = CLI
) -> list[dict[str, Any]]:
    """Return the next global entities with all of their data, 200 at most; arguments as in the list.

    There are fewer where the app lets entities be large. After the last there are none.
    """
    most = EXPORT_BYTES // GLOBALS.bytes_max(app_of(server, app))
    rows = await _globals(
        server, app, tuple(_g), entity_type, where, max(1, min(most, EXPORT_ROWS)), after, by
    )
    return [GLOBALS.whole(row) for row in rows]


@action(Right.DATA_READ, "GET /apps/{app}/global-entities/{entity}")
async def global_entity_show(server: Server, app: str, entity: str) -> dict[str, Any]:
    """Return a global entity. `data` is the JSON text that is stored, letter by letter."""
    async with reading(server, app_of(server, app)) as ctx:
        return GLOBALS.whole(await row_of(ctx, GLOBALS, GLOBALS.key(app, entity)))


@action(Right.DATA_CHANGE, "PUT /apps/{app}/global-entities/{entity}")
async def global_entity_save(
    server: Server, app: str, entity: str, data: str, version: int, *, by: Operator = CLI
) -> dict[str, Any]:
    """Replace the data of a global entity with JSON text, as `entity_save` does; it lives anew."""

    async def work(ctx: Context) -> dict[str, Any]:
        return await documents.save(ctx, by, GLOBALS, GLOBALS.key(app, entity), data, version)

    return await server.runner.do(work, app_of(server, app), ORIGIN)


@action(Right.DATA_CHANGE, "DELETE /apps/{app}/global-entities/{entity}")
async def global_entity_delete(
    server: Server, app: str, entity: str, *, by: Operator = CLI
) -> dict[str, Any]:
    """Delete a global entity; `change` in the answer is what `global_entity_restore` takes."""

    async def work(ctx: Context) -> dict[str, Any]:
        return await documents.remove(ctx, by, GLOBALS, GLOBALS.key(app, entity))

    return await server.runner.do(work, app_of(server, app), ORIGIN)


@action(Right.DATA_CHANGE, "POST /apps/{app}/global-entity-changes/{change}/restore")
async def global_entity_restore(
    server: Server, app: str, change: str, *, by: Operator = CLI
) -> dict[str, Any]:
    """Undo a save or a deletion of a global entity, as long as nobody has changed it since."""

    async def work(ctx: Context) -> dict[str, Any]:
        return await documents.restore(ctx, by, GLOBALS, change)

    return await server.runner.do(work, app_of(server, app), ORIGIN)


async def _pages_of_statistics(ask: Do, _: Server, __: Mapping[str, Any]) -> AsyncIterator[Rows]:
    yield [{"statistic": name, "value": value} for name, value in sorted((await ask()).items())]


@action(Right.DATA_READ, "GET /apps/{app}/global-statistics", pages=_pages_of_statistics)
async def global_statistic_list(server: Server, app: str) -> dict[str, Any]:
    """Return the statistics that all players of an app share."""
    definition = app_of(server, app)
    async with server.core.database.read() as tx:
        stored = await statistics.read_global(tx, app)
    return dict(definition.section(GlobalStatisticsSettings).shown(stored))


# What actions have in common


async def _globals(
    server: Server,
    app: str,
    columns: tuple[Any, ...],
    type_: str,
    where: str,
    most: int,
    after: str,
    by: Operator,
) -> list[Row]:
    if len(where) > WHERE_MAX:
        raise Refused(f"a clause has {WHERE_MAX} characters at most")
    try:
        condition = query.where(where, of_app.FIELDS, "where")
    except (InvalidWhere, InvalidFieldInWhere) as error:
        raise Refused(str(error)) from None
    statement = select(*columns).where(_g.app_id == app, condition)
    if type_:
        statement = statement.where(_g.entity_type == type_)
    try:
        async with reading(server, app_of(server, app), by.name) as ctx:
            if after:
                last = await row_of(ctx, GLOBALS, GLOBALS.key(app, after))
                behind = and_(_g.created_ms == last["created_ms"], _g.entity_id > after)
                statement = statement.where(or_(_g.created_ms > last["created_ms"], behind))
                statement = statement.where(_g.created_ms >= last["created_ms"])
            statement = statement.order_by(_g.created_ms, _g.entity_id).limit(most)
            return list(await (ctx.tx.search if where else ctx.tx.all)(statement))
    except BudgetSpent as error:
        raise Spent("your searches have taken as long as they may in a minute; wait a little") from error
    except QueryTooSlow as error:
        raise Refused("the search took too long and was given up; ask for a type, or for less") from error


ACTIONS = (
    entity_list,
    entity_export,
    entity_show,
    entity_save,
    entity_delete,
    entity_restore,
    entity_change_show,
    global_entity_list,
    global_entity_export,
    global_entity_show,
    global_entity_save,
    global_entity_delete,
    global_entity_restore,
    global_statistic_list,
)
