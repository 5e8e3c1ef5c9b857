"""Entities of groups: documents that belong to a group, or to one of its members.

What members may do with one, and what others may, its ACL says. The member who owns an entity may do
everything with it for as long as the membership lasts; the group's owner and admins always may.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from sqlalchemy import Update as UpdateStatement

from gameserver.documents import query
from gameserver.documents.documents import (
    WRITABLE,
    DataShown,
    EntityId,
    Increments,
    InvalidFieldName,
    MissingRecord,
    Name,
    NewData,
    Version,
    VersionShown,
    data_out,
    data_text,
    incremented,
    version_wanted,
)
from gameserver.documents.paging import (
    EarlierContext,
    EntityPage,
    InvalidContext,
    PageOffset,
    UnreadableContext,
    read_context,
    read_page,
)
from gameserver.documents.query import InvalidFieldInWhere, InvalidWhere
from gameserver.domain.social import groups
from gameserver.domain.social.groups import (
    GROUP_DELETE,
    Acl,
    GroupWork,
    NotGroupMember,
    UnknownGroup,
    group_lock,
    read_acl,
)
from gameserver.players.quotas import QuotaReached
from gameserver.rpc import Access, Context, Last, Tx
from gameserver.services.group import entity_storage as storage
from gameserver.services.group.base import ACL_ERRORS, GroupAclField, GroupSettings, service
from gameserver.services.group.showing import AclShown
from gameserver.storage import Aborted, Row, Statement
from gameserver.wire.errors import (
    GameError,
    InvalidParameterType,
    InvalidParameterValue,
    NotAllowed,
    PacketTooLarge,
)
from gameserver.wire.fields import AppId, CreatedAt, GroupId, ServerTime, UpdatedAt
from gameserver.wire.shapes import FreeObjectOrText, Reply, Request

SYSTEM = "system"  # who reads all entities of a group

# Errors


class EntityVersionMismatch(GameError):
    """The entity has changed since the caller read it. Nothing was written."""

    reason_code = 40461


class InvalidIncrement(GameError):
    """What is added to, or added, is no number, or the sum is too large."""

    reason_code = 40459


class MembersMustWrite(GameError):
    """An entity that belongs to the group must let its members write."""

    reason_code = 40746


# Replies


class EntityHead(Reply, kw_only=True):
    """An entity without its data. Times in ms since 1970."""

    group_id: GroupId
    entity_id: EntityId
    owner_id: Annotated[
        str | None, Meta(description="The id of the member who owns the entity; null: the group does.")
    ]
    entity_type: Annotated[
        str | None, Meta(description="The kind of entity, in words of the game's own; null for none.")
    ]
    version: VersionShown
    acl: AclShown
    created_at: CreatedAt
    updated_at: UpdatedAt


class Entity(EntityHead, kw_only=True):
    game_id: AppId
    data: DataShown


class ReadEntity(Entity, kw_only=True):
    server_time: ServerTime = msgspec.field(name="_serverTime")


# Creating


NewType = Annotated[
    Name | None, Meta(description="The kind of entity, in words of the game's own; null or nothing: none.")
]


class NewEntity(Request, kw_only=True):
    """The SDKs send `data`; an example of a server's call has `jsonData`."""

    group_id: GroupId
    entity_type: NewType = None
    acl: GroupAclField = None
    data: NewData = None
    json_data: Annotated[NewData, Meta(description="Another name of `data`.")] = None


class Create(NewEntity, kw_only=True):
    is_owned_by_group_member: Annotated[
        bool | None,
        Meta(
            description="Whether the entity belongs to the caller. False, null or nothing: to the group, and"
            " all its members may write it."
        ),
    ] = None


class OneEntity(Request, kw_only=True):
    group_id: GroupId
    entity_id: EntityId


def of_group(ctx: Context, request: NewEntity | OneEntity) -> list[str]:
    """Whose entities are changed."""
    return [group_lock(ctx.app.id, request.group_id)]


DATA_ERRORS = (InvalidFieldName, PacketTooLarge)


@service.operation(
    "CREATE_GROUP_ENTITY",
    tx=Tx.WRITE,
    locks=of_group,
    errors=(UnknownGroup, NotGroupMember, *ACL_ERRORS, MembersMustWrite, *DATA_ERRORS, QuotaReached),
)
async def create(ctx: Context, request: Create) -> Entity:
    """Make an entity of a group that the caller is a member of. It belongs to the group, or to the caller.

    Without an ACL members may write it, and others see nothing of it. Its data is an object of up to 100 KiB,
    or what the app says. Refused: an ACL that allows others more than members, or that keeps members from
    writing what belongs to the group; names in the data that contain `$` or a dot.
    """
    owner = ctx.player_id if request.is_owned_by_group_member else None
    acl = read_acl(request.acl)
    check_writable(owner, acl)
    row = await _create(ctx, request, storage.CREATE, acl, owner, player=ctx.player_id)
    if row is None:
        await groups.check_member(ctx.tx, ctx.app.id, request.group_id, ctx.player_id)
        raise Aborted("the caller has become a member meanwhile")
    await _add_to_quota(ctx, request.group_id, row["entity_id"], row["data"], count=1)
    return entity(row)


@service.operation(
    "SYS_CREATE_GROUP_ENTITY",
    tx=Tx.WRITE,
    access=Access.SERVER,
    locks=of_group,
    errors=(UnknownGroup, *ACL_ERRORS, *DATA_ERRORS),
)
async def sys_create(ctx: Context, request: NewEntity) -> Entity:
    """Make an entity that belongs to a group. Its ACL may also let members read it only, or not at all."""
    row = await _create(ctx, request, storage.SYS_CREATE, read_acl(request.acl), None)
    if row is None:
        raise UnknownGroup(f"there is no group {request.group_id[:64]!r}")
    return entity(row)


# Reading one


@service.operation("READ_GROUP_ENTITY", tx=Tx.READ, errors=(MissingRecord, NotGroupMember, NotAllowed))
async def read(ctx: Context, request: OneEntity) -> ReadEntity:
    """Read an entity of a group: the caller owns it, or its ACL lets members, or others, read it."""
    row = await ctx.tx.one(storage.READ, player=ctx.player_id, **_key(ctx, request))
    if row is None or not row["allowed"]:
        raise why_not(request, row)
    return read_entity(row, ctx)


@service.operation("SYS_READ_GROUP_ENTITY", tx=Tx.READ, access=Access.SERVER, errors=(MissingRecord,))
async def sys_read(ctx: Context, request: OneEntity) -> ReadEntity:
    """Read an entity of a group, whatever its ACL."""
    row = await ctx.tx.one(storage.SYS_READ, **_key(ctx, request))
    if row is None:
        raise why_not(request, row)
    return read_entity(row, ctx)


# Changing


class Change(OneEntity, kw_only=True):
    version: Version = None


class Update(Change, kw_only=True):
    data: NewData = None
    json_data: Annotated[NewData, Meta(description="Another name of `data`.")] = None


CHANGE_ERRORS = (MissingRecord, NotGroupMember, NotAllowed)
SYS_CHANGE_ERRORS = (MissingRecord, EntityVersionMismatch)


@service.operation(
    "UPDATE_GROUP_ENTITY_DATA",
    tx=Tx.WRITE,
    locks=of_group,
    errors=(*CHANGE_ERRORS, EntityVersionMismatch, *DATA_ERRORS, QuotaReached),
)
async def update_data(ctx: Context, request: Update) -> Last[None]:
    """Replace the data of an entity that the caller may write; without data it is {} from now on."""
    text = _text(ctx, request)
    try:
        await _add_to_quota(ctx, request.group_id, request.entity_id, text)
    except QuotaReached:  # is not for those who may not write
        found = await ctx.tx.one(storage.SEE_WRITE, player=ctx.player_id, **_key(ctx, request))
        if found is None or not found["allowed"]:
            raise why_not(request, found) from None
        raise
    return _last(ctx, request, storage.SET_DATA, storage.SEE_WRITE, text, player=ctx.player_id)


@service.operation(
    "SYS_UPDATE_GROUP_ENTITY_DATA",
    tx=Tx.WRITE,
    access=Access.SERVER,
    locks=of_group,
    errors=(*SYS_CHANGE_ERRORS, *DATA_ERRORS),
)
async def sys_update_data(ctx: Context, request: Update) -> Last[None]:
    """Replace the data of an entity, whatever its ACL; without data it is {} from now on."""
    return _last(ctx, request, storage.SYS_SET_DATA, storage.SYS_SEE, _text(ctx, request))


class Increment(OneEntity, kw_only=True):
    data: Annotated[Increments | None, Meta(description="What to add; null or nothing: nothing.")] = None
    json_data: Annotated[Increments | None, Meta(description="Another name of `data`.")] = None


@service.operation(
    "INCREMENT_GROUP_ENTITY_DATA",
    tx=Tx.WRITE,
    locks=of_group,
    errors=(*CHANGE_ERRORS, InvalidIncrement, *DATA_ERRORS, QuotaReached),
)
async def increment(ctx: Context, request: Increment) -> None:
    """Add numbers to numbers in the data of an entity that the caller may write; no addition is lost.

    `data` has the shape of the entity's data. What is missing there starts at 0. Refused where something
    else than a number is to be added, or to be added to, and for sums beyond 2^53.
    """
    key = {"player": ctx.player_id, **_key(ctx, request)}
    row = await ctx.tx.one(storage.LOCK, **key)
    if row is None:
        raise why_not(request, await ctx.tx.one(storage.SEE_WRITE, **key))
    text = await _add(ctx, request, row)
    await _add_to_quota(ctx, request.group_id, request.entity_id, text)


@service.operation(
    "SYS_INCREMENT_GROUP_ENTITY_DATA",
    tx=Tx.WRITE,
    access=Access.SERVER,
    locks=of_group,
    errors=(MissingRecord, InvalidIncrement, *DATA_ERRORS),
)
async def sys_increment(ctx: Context, request: Increment) -> None:
    """Add numbers to numbers in the data of an entity, whatever its ACL; see INCREMENT_GROUP_ENTITY_DATA."""
    row = await ctx.tx.one(storage.SYS_LOCK, **_key(ctx, request))
    if row is None:
        raise why_not(request, row)
    await _add(ctx, request, row)


class UpdateAcl(OneEntity, kw_only=True):
    acl: GroupAclField = None


@service.operation(
    "UPDATE_GROUP_ENTITY_ACL",
    tx=Tx.WRITE,
    locks=of_group,
    errors=(*CHANGE_ERRORS, *ACL_ERRORS, MembersMustWrite),
)
async def update_acl(ctx: Context, request: UpdateAcl) -> EntityHead:
    """Change what members and others may do with an entity of the caller.

    The owner and admins of the group may do so with all. Null: members may write, others do nothing. Refused
    to others, and where it would keep members from writing what belongs to the group.
    """
    acl = read_acl(request.acl)
    key = {"player": ctx.player_id, **_key(ctx, request)}
    values = {"new_member": acl.member, "new_other": acl.other, "now_ms": ctx.now_ms}
    row = await ctx.tx.one(storage.SET_ACL, **values, **key)
    if row is None:
        found = await ctx.tx.one(storage.SEE_OWN, **key)
        if found is not None and found["allowed"]:
            check_writable(found["owner_id"], acl)
        raise why_not(request, found)
    return head(row)


@service.operation(
    "SYS_UPDATE_GROUP_ENTITY_ACL",
    tx=Tx.WRITE,
    access=Access.SERVER,
    locks=of_group,
    errors=(MissingRecord, *ACL_ERRORS),
)
async def sys_update_acl(ctx: Context, request: UpdateAcl) -> EntityHead:
    """Change what members and others may do with an entity.

    Where members may write less than everything, only its owner and servers change what is in it.
    """
    acl = read_acl(request.acl)
    values = {"new_member": acl.member, "new_other": acl.other, "now_ms": ctx.now_ms}
    row = await ctx.tx.one(storage.SYS_SET_ACL, **values, **_key(ctx, request))
    if row is None:
        raise why_not(request, row)
    return head(row)


@service.operation(
    "DELETE_GROUP_ENTITY", tx=Tx.WRITE, locks=of_group, errors=(*CHANGE_ERRORS, EntityVersionMismatch)
)
async def delete(ctx: Context, request: Change) -> None:
    """Delete an entity that the caller may write."""
    await _delete(ctx, request, storage.DELETE, storage.SEE_WRITE, player=ctx.player_id)


@service.operation(
    "SYS_DELETE_GROUP_ENTITY", tx=Tx.WRITE, access=Access.SERVER, locks=of_group, errors=SYS_CHANGE_ERRORS
)
async def sys_delete(ctx: Context, request: Change) -> None:
    """Delete an entity of a group, whatever its ACL."""
    await _delete(ctx, request, storage.SYS_DELETE, storage.SYS_SEE)


# Pages


class GetPage(Request):
    context: Annotated[
        FreeObjectOrText | None,
        Meta(
            description="Which page of what: `{pagination: {rowsPerPage, pageNumber, doCount},"
            " searchCriteria, sortCriteria}`, as object or as JSON text, where `searchCriteria.groupId` says"
            " whose entities; or the `context` of an earlier answer."
        ),
    ] = None


class GetPageByOffset(Request):
    context: EarlierContext = None
    page_offset: PageOffset = 0


PAGE_ERRORS = (
    UnknownGroup,
    UnreadableContext,
    InvalidContext,
    InvalidWhere,
    InvalidFieldInWhere,
    PacketTooLarge,
)


@service.operation("READ_GROUP_ENTITIES_PAGE", tx=Tx.READ, errors=PAGE_ERRORS)
async def read_entities(ctx: Context, request: GetPage) -> EntityPage:
    """Read a page of the entities of a group that the caller may read and the search finds, 500 at most."""
    return await _page(ctx, request.context, 0)


@service.operation("READ_GROUP_ENTITIES_PAGE_BY_OFFSET", tx=Tx.READ, errors=PAGE_ERRORS)
async def read_entities_by_offset(ctx: Context, request: GetPageByOffset) -> EntityPage:
    """Read a page before or after one that was read earlier. A page behind the end is empty."""
    return await _page(ctx, request.context, request.page_offset)


@service.operation("SYS_READ_GROUP_ENTITIES_PAGE", tx=Tx.READ, access=Access.SERVER, errors=PAGE_ERRORS)
async def sys_read_entities(ctx: Context, request: GetPage) -> EntityPage:
    """Read a page of the entities of a group that the search finds, whatever their ACLs, 500 at most."""
    return await _page(ctx, request.context, 0, is_system=True)


@service.operation(
    "SYS_READ_GROUP_ENTITIES_PAGE_BY_OFFSET", tx=Tx.READ, access=Access.SERVER, errors=PAGE_ERRORS
)
async def sys_read_entities_by_offset(ctx: Context, request: GetPageByOffset) -> EntityPage:
    """Read a page before or after one that a server has read earlier. A page behind the end is empty."""
    return await _page(ctx, request.context, request.page_offset, is_system=True)


# Rules


def check_writable(owner: str | None, acl: Acl) -> None:
    """Raise `MembersMustWrite` where nobody could change an entity of a group any more."""
    if owner is None and acl.member < WRITABLE:
        raise MembersMustWrite("data.acl.member: expected 2, for the entity belongs to the group")


def why_not(request: OneEntity, found: Row | None) -> GameError:
    """Return why an entity cannot be read, or was not changed, from what there is of it."""
    if found is None:
        return MissingRecord(f"there is no entity {request.entity_id[:64]!r} of such a group")
    if not found["allowed"]:
        if found["role"] is None:
            return NotGroupMember("the player is not a member of the group")
        return NotAllowed(f"the ACL of the entity {request.entity_id!r} does not allow this")
    return EntityVersionMismatch(f"the entity {request.entity_id!r} has version {found['version']}")


def _head(row: Row) -> dict[str, Any]:
    return {
        "group_id": row["group_id"],
        "entity_id": row["entity_id"],
        "owner_id": row["owner_id"],
        "entity_type": row["entity_type"],
        "version": row["version"],
        "acl": Acl(row["acl_member"], row["acl_other"]).shown(),
        "created_at": row["created_ms"],
        "updated_at": row["updated_ms"],
    }


def head(row: Row) -> EntityHead:
    """Return what a change of other things than data answers."""
    return EntityHead(**_head(row))


def entity(row: Row) -> Entity:
    """Return an entity with its data."""
    return Entity(**_head(row), game_id=row["app_id"], data=data_out(row["data"]))


def read_entity(row: Row, ctx: Context) -> ReadEntity:
    """Return an entity that was asked for by its id."""
    return ReadEntity(**_head(row), game_id=row["app_id"], data=data_out(row["data"]), server_time=ctx.now_ms)


# A group's life, and a player's. A data reset leaves these entities: the other members use them too.

service.keeps(storage.KEPT)


@service.on(GROUP_DELETE)
async def delete_all(work: GroupWork, group_id: str, _members: Sequence[str]) -> None:
    """Delete the entities of a group that goes."""
    await work.tx.run(storage.DELETE_ALL, group=group_id, app=work.app.id)


# What operations have in common


def _key(ctx: Context, request: OneEntity) -> dict[str, str]:
    return {"group": request.group_id, "entity": request.entity_id, "app": ctx.app.id}


def _text(ctx: Context, request: NewEntity | Update) -> str:
    bytes_max = ctx.section(GroupSettings).data_bytes_max
    return data_text(request.data or request.json_data or {}, bytes_max=bytes_max)


async def _add_to_quota(ctx: Context, group_id: str, entity_id: str, text: str, *, count: int = 0) -> None:
    """Count what is written for the group. Raises `QuotaReached`."""
    await ctx.add_to_quota(storage.QUOTA, group_id, count=count, size=len(text), instead_of=entity_id)


async def _create(
    ctx: Context, request: NewEntity, statement: Statement, acl: Acl, owner: str | None, **caller: str
) -> Row | None:
    return await ctx.tx.one(
        statement,
        group=request.group_id,
        app=ctx.app.id,
        new_id=ctx.core.new_id(),
        new_owner=owner,
        new_type=request.entity_type,
        new_member=acl.member,
        new_other=acl.other,
        new_data=_text(ctx, request),
        now_ms=ctx.now_ms,
        **caller,
    )


def _last(
    ctx: Context, request: Update, statement: UpdateStatement, see: Statement, text: str, **caller: str
) -> Last[None]:
    """Replace the data of an entity, or look why that does not happen."""
    key = {**_key(ctx, request), **caller}

    async def missing() -> GameError:
        return why_not(request, await ctx.tx.one(see, **key))

    params = {"version": version_wanted(request.version), "now_ms": ctx.now_ms, "new_data": text, **key}
    return ctx.last(statement, params, reply=lambda _: None, missing=missing, known={})


async def _delete(ctx: Context, request: Change, statement: Statement, see: Statement, **caller: str) -> None:
    """Delete an entity, or look why that does not happen."""
    key = {**_key(ctx, request), **caller}
    if not await ctx.tx.run(statement, version=version_wanted(request.version), **key):
        raise why_not(request, await ctx.tx.one(see, **key))


async def _add(ctx: Context, request: Increment, row: Row) -> str:
    """Add to the data of an entity that is locked; returns the new data."""
    bytes_max = ctx.section(GroupSettings).data_bytes_max
    by = request.data or request.json_data or {}
    try:
        text = incremented(row["data"], by, bytes_max=bytes_max)
    except (InvalidParameterType, InvalidParameterValue) as error:
        raise InvalidIncrement(str(error)) from None
    await ctx.tx.defer(storage.SET_SUM, new_data=text, now_ms=ctx.now_ms, **_key(ctx, request))
    return text


async def _page(ctx: Context, context: Any, offset: int, *, is_system: bool = False) -> EntityPage:
    page = read_context(context, offset, SYSTEM if is_system else ctx.player_id)
    search = query.as_object(page.search, "data.context.searchCriteria")
    group_id, more = search.get("groupId"), {name: search[name] for name in search if name != "groupId"}
    if not isinstance(group_id, str):
        raise InvalidContext("data.context.searchCriteria.groupId: required")
    scope = storage.OF_GROUP if is_system else storage.MAY_READ
    params: dict[str, Any] = {"group": group_id, "app": ctx.app.id}
    if not is_system:
        params["player"] = ctx.player_id
    # The scope says which group: what is left is a search, and dear, only where more is asked for.
    page = replace(page, search=more)
    found = await read_page(ctx.tx, page, storage.COLUMNS, scope, storage.FIELDS, **params)
    found = replace(found, page=replace(found.page, search=search))
    if not found.rows:
        await groups.one(ctx.tx, ctx.app.id, group_id)
    ctx.reserve_bytes(row["data"] for row in found.rows)
    items = [entity(row) for row in found.rows]
    return EntityPage(results=found.results(items), context=found.context, server_time=ctx.now_ms)
