"""What staff do with entities of groups: look, edit, delete, put back."""

from typing import Any

from sqlalchemy import String as Text
from sqlalchemy import bindparam, select, tuple_

from gameserver.admin import documents
from gameserver.admin.common import ORIGIN, Refused, Server, app_of, limit_of, reading
from gameserver.admin.declaring import action
from gameserver.admin.entities import EXPORT_BYTES, EXPORT_ROWS, OF_GROUPS, pages_of_documents
from gameserver.admin.operators import CLI, Operator
from gameserver.admin.rights import Right
from gameserver.rpc import Context
from gameserver.services.group.entity_storage import OF_GROUP, entities

_c = entities.c
_OLDEST = (_c.created_ms, _c.entity_id)
_PLACE: tuple[Any, ...] = (bindparam("created"), bindparam("last", type_=Text))
_AFTER = tuple_(*_OLDEST) > tuple_(*_PLACE)
LIST = select(*OF_GROUPS.listed).where(OF_GROUP).order_by(*_OLDEST).limit(bindparam("most"))
LIST_AFTER = LIST.where(_AFTER)
WHOLE = select(*_c).where(OF_GROUP).order_by(*_OLDEST).limit(bindparam("most"))
WHOLE_AFTER = WHOLE.where(_AFTER)


@action(Right.DATA_READ, "GET /apps/{app}/groups/{group}/entities")
async def group_entity_list(
    server: Server, app: str, group: str, limit: int = 50, after: str = ""
) -> list[dict[str, Any]]:
    """Return a group's entities, the oldest first, without their data but for its beginning.

    `after` is the id of the last one already seen. `owner_id` is the member whose it is; without one it is
    the group's. `acl_member` and `acl_other` tell what other members and all others may do: 0 nothing,
    1 read, 2 write.
    """
    definition, most = app_of(server, app), limit_of(limit)
    asked: dict[str, Any] = {"group": group, "app": app, "most": most}
    async with reading(server, definition) as ctx:
        await _group(ctx, group)
        statement = LIST
        if after:
            statement, asked = LIST_AFTER, asked | await _place(ctx, group, after)
        return [OF_GROUPS.head_of(row) for row in await ctx.tx.all(statement, **asked)]


@action(Right.DATA_READ, "GET /apps/{app}/groups/{group}/entities-export", pages=pages_of_documents)
async def group_entity_export(server: Server, app: str, group: str, after: str = "") -> list[dict[str, Any]]:
    """Return the next entities of a group with all of their data, 200 at most; after the last none."""
    definition = app_of(server, app)
    most = max(1, min(EXPORT_BYTES // OF_GROUPS.bytes_max(definition), EXPORT_ROWS))
    asked: dict[str, Any] = {"group": group, "app": app, "most": most}
    async with reading(server, definition) as ctx:
        statement = WHOLE
        if after:
            statement, asked = WHOLE_AFTER, asked | await _place(ctx, group, after)
        return [OF_GROUPS.whole(row) for row in await ctx.tx.all(statement, **asked)]


@action(Right.DATA_READ, "GET /apps/{app}/groups/{group}/entities/{entity}")
async def group_entity_show(server: Server, app: str, group: str, entity: str) -> dict[str, Any]:
    """Return an entity of a group. `data` is the JSON text that is stored, letter by letter."""
    async with reading(server, app_of(server, app)) as ctx:
        return OF_GROUPS.whole(
            await documents.row_of(ctx, OF_GROUPS, OF_GROUPS.key(app, entity, group=group))
        )


@action(Right.DATA_CHANGE, "PUT /apps/{app}/groups/{group}/entities/{entity}")
async def group_entity_save(
    server: Server, app: str, group: str, entity: str, data: str, version: int, *, by: Operator = CLI
) -> dict[str, Any]:
    """Replace the data of a group's entity with JSON text, as `entity_save` does."""

    async def work(ctx: Context) -> dict[str, Any]:
        key = OF_GROUPS.key(app, entity, group=group)
        return await documents.save(ctx, by, OF_GROUPS, key, data, version)

    return await server.runner.do(work, app_of(server, app), ORIGIN)


@action(Right.DATA_CHANGE, "DELETE /apps/{app}/groups/{group}/entities/{entity}")
async def group_entity_delete(
    server: Server, app: str, group: str, entity: str, *, by: Operator = CLI
) -> dict[str, Any]:
    """Delete an entity of a group; `change` in the answer is what `group_entity_restore` takes."""

    async def work(ctx: Context) -> dict[str, Any]:
        return await documents.remove(ctx, by, OF_GROUPS, OF_GROUPS.key(app, entity, group=group))

    return await server.runner.do(work, app_of(server, app), ORIGIN)


@action(Right.DATA_CHANGE, "POST /apps/{app}/group-entity-changes/{change}/restore")
async def group_entity_restore(
    server: Server, app: str, change: str, *, by: Operator = CLI
) -> dict[str, Any]:
    """Undo a save or a deletion of a group's entity, as long as nobody has changed it since."""

    async def work(ctx: Context) -> dict[str, Any]:
        return await documents.restore(ctx, by, OF_GROUPS, change)

    return await server.runner.do(work, app_of(server, app), ORIGIN)


ACTIONS = (
    group_entity_list,
    group_entity_export,
    group_entity_show,
    group_entity_save,
    group_entity_delete,
    group_entity_restore,
)


async def _place(ctx: Context, group: str, after: str) -> dict[str, Any]:
    row = await documents.row_of(ctx, OF_GROUPS, OF_GROUPS.key(ctx.app.id, after, group=group))
    return {"created": row["created_ms"], "last": after}


async def _group(ctx: Context, group: str) -> None:
    if await ctx.tx.one(documents.IS_GROUP, group=group, app=ctx.app.id) is None:
        raise Refused("there is no such group any more")
