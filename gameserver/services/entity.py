"""entity: documents that belong to one player; others may see or change them as far as the owner allows.

An entity has a type, JSON data, a version that every change raises, and an ACL that says what others may do. The
entity of a type that a player has only one of can be reached by its type: a singleton.
"""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    PrimaryKeyConstraint,
    Select,
    SmallInteger,
    String,
    Table,
    Text,
    and_,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from gameserver.game import query
from gameserver.game.documents import (
    NOTHING,
    READABLE,
    WRITABLE,
    AclField,
    Data,
    Id,
    InvalidFieldName,
    Name,
    Version,
    VersionMismatch,
    acl_of,
    data_out,
    data_text,
    incremented,
    read_acl,
    version_fits,
    version_wanted,
)
from gameserver.game.query import Fields, InvalidFieldInWhere, InvalidWhere
from gameserver.rpc import Context, Service, Tx
from gameserver.storage import Json, Row, excluded, metadata, upsert
from gameserver.wire.errors import GameError, MissingParameter, NotAllowed, PacketTooLarge
from gameserver.wire.shapes import Reply, Request

service = Service("entity")

LIST_MAX = 500  # entities of one answer; a list that asks for more gets these
ALL_MAX = 1000  # entities that READ_BY_TYPE and READ_SHARED answer with at once; pages reach any number

# Errors


class UpdateFailed(GameError):
    """There is no such entity to change."""

    status = HTTPStatus.NOT_FOUND
    reason_code = 40332


class MissingRecord(GameError):
    """There is no such entity."""

    reason_code = 40345


# What answers are made of


class EntityHead(Reply):
    """An entity without its data. Times in ms since 1970."""

    entity_id: str
    entity_type: str
    version: int
    acl: dict[str, int]
    created_at: int
    updated_at: int


class Entity(EntityHead):
    data: msgspec.Raw


class ReadEntity(Entity):
    server_time: int = msgspec.field(name="_serverTime")


class ListedEntity(Entity):
    game_id: str
    owner_id: str


class IncrementedEntity(Entity):
    game_id: str
    player_id: str


class Entities(Reply):
    entities: list[Entity]
    entity_list_count: int
    server_time: int = msgspec.field(name="_serverTime")


class EntityList(Reply):
    entity_list: list[ListedEntity]
    entity_list_count: int
    server_time: int = msgspec.field(name="_serverTime")


class EntityCount(Reply):
    entity_list_count: int


# Operations on the caller's entities


class Create(Request):
    entity_type: Name
    data: Data
    acl: AclField = None


@service.operation("CREATE", tx=Tx.WRITE, errors=(InvalidFieldName, PacketTooLarge))
async def create(ctx: Context, request: Create) -> EntityHead:
    """Create an entity of the caller, at version 1. Without an ACL nobody else sees it.

    The data is an object of up to 100 KiB; names in it contain neither `$` nor dots.
    """
    other = read_acl(request.acl)
    head = EntityHead(
        entity_id=ctx.core.new_id(),
        entity_type=request.entity_type,
        version=1,
        acl=acl_of(other),
        created_at=ctx.now_ms,
        updated_at=ctx.now_ms,
    )
    await ctx.tx.run(
        CREATE,
        owner_id=ctx.player_id,
        entity_id=head.entity_id,
        app_id=ctx.app.id,
        entity_type=head.entity_type,
        acl_other=other,
        data=data_text(request.data),
        now_ms=ctx.now_ms,
    )
    return head


class OneEntity(Request):
    entity_id: Id


@service.operation("READ", tx=Tx.READ, errors=(MissingRecord,))
async def read(ctx: Context, request: OneEntity) -> ReadEntity:
    """Read an entity of the caller."""
    row = await ctx.tx.one(READ, owner=ctx.player_id, app=ctx.app.id, entity=request.entity_id)
    if row is None:
        raise MissingRecord(f"there is no entity {request.entity_id!r}")
    return _read_entity(row, ctx)


class OfType(Request):
    entity_type: Name


@service.operation("READ_BY_TYPE", tx=Tx.READ, errors=(PacketTooLarge,))
async def read_by_type(ctx: Context, request: OfType) -> Entities:
    """Read all entities of a type that the caller has, the oldest first.

    Refused when there are more than 1000; pages reach any number.
    """
    rows = await ctx.tx.all(READ_BY_TYPE, owner=ctx.player_id, app=ctx.app.id, type=request.entity_type)
    return _all_of(rows, ctx)


class Update(Request):
    """Without an `entityType` the type stays as it is."""

    entity_id: Id
    data: Data
    entity_type: Name | None = None
    acl: AclField = None
    version: Version = None


@service.operation(
    "UPDATE", tx=Tx.WRITE, errors=(UpdateFailed, VersionMismatch, InvalidFieldName, PacketTooLarge)
)
async def update_entity(ctx: Context, request: Update) -> Entity:
    """Replace data and ACL of an entity of the caller. Without an ACL nobody else sees it from now on.

    `version` is the one the caller has seen; -1 replaces whatever is there.
    """
    owner, text = ctx.player_id, data_text(request.data)
    row = await ctx.tx.one(
        UPDATE,
        **_key(ctx, owner, request.entity_id),
        new_type=request.entity_type,
        new_acl=read_acl(request.acl),
        new_data=text,
        version=version_wanted(request.version),
        now_ms=ctx.now_ms,
    )
    if row is None:
        raise await _why_not(ctx, owner, request.entity_id)
    return _entity(row, text)


class Delete(Request):
    entity_id: Id
    version: Version = None


@service.operation("DELETE", tx=Tx.WRITE, errors=(UpdateFailed, VersionMismatch))
async def delete_entity(ctx: Context, request: Delete) -> None:
    """Delete an entity of the caller. `version` as in an update."""
    owner = ctx.player_id
    version = version_wanted(request.version)
    if not await ctx.tx.run(DELETE, **_key(ctx, owner, request.entity_id), version=version):
        raise await _why_not(ctx, owner, request.entity_id)


class Increment(Request):
    entity_id: Id
    data: Data


@service.operation(
    "INCREMENT_USER_ENTITY_DATA", tx=Tx.WRITE, errors=(MissingRecord, InvalidFieldName, PacketTooLarge)
)
async def increment(ctx: Context, request: Increment) -> IncrementedEntity:
    """Add numbers to the numbers in the data of an entity of the caller, all of them or none.

    `data` has the shape of the entity's data and holds what to add, also below zero. A number that is not there
    starts at 0.
    """
    return await _increment(ctx, ctx.player_id, request.entity_id, request.data)


# Operations on singletons


@service.operation("READ_SINGLETON", tx=Tx.READ)
async def read_singleton(ctx: Context, request: OfType) -> ReadEntity | None:
    """Read the caller's entity of a type; null when there is none."""
    row = await ctx.tx.one(READ_SINGLETON, owner=ctx.player_id, app=ctx.app.id, type=request.entity_type)
    return None if row is None else _read_entity(row, ctx)


class UpdateSingleton(Request):
    entity_type: Name
    data: Data
    acl: AclField = None
    version: Version = None


@service.operation("UPDATE_SINGLETON", tx=Tx.WRITE, errors=(VersionMismatch, InvalidFieldName, PacketTooLarge))
async def update_singleton(ctx: Context, request: UpdateSingleton) -> Entity:
    """Replace data and ACL of the caller's entity of a type, or create it, whatever the version says.

    However many clients of a player create it at once, there is one.
    """
    owner, text = ctx.player_id, data_text(request.data)
    other, version = read_acl(request.acl), version_wanted(request.version)
    key = {"owner": owner, "app": ctx.app.id, "type": request.entity_type}
    row = await ctx.tx.one(
        UPDATE_SINGLETON, **key, new_acl=other, new_data=text, version=version, now_ms=ctx.now_ms
    )
    if row is None and await ctx.tx.one(READ_SINGLETON, **key) is None:
        row = await ctx.tx.one(
            CREATE_SINGLETON,
            owner_id=owner,
            entity_id=ctx.core.new_id(),
            app_id=ctx.app.id,
            entity_type=request.entity_type,
            acl_other=other,
            data=text,
            now_ms=ctx.now_ms,
            wanted=version,
        )
    if row is None:
        raise VersionMismatch(f"the singleton {request.entity_type!r} is not at version {version}")
    return _entity(row, text)


class DeleteSingleton(Request):
    entity_type: Name
    version: Version = None


@service.operation("DELETE_SINGLETON", tx=Tx.WRITE, errors=(UpdateFailed, VersionMismatch))
async def delete_singleton(ctx: Context, request: DeleteSingleton) -> None:
    """Delete the caller's entity of a type. `version` as in an update."""
    key = {"owner": ctx.player_id, "app": ctx.app.id, "type": request.entity_type}
    version = version_wanted(request.version)
    if await ctx.tx.run(DELETE_SINGLETON, **key, version=version):
        return
    if await ctx.tx.one(READ_SINGLETON, **key) is None:
        raise UpdateFailed(f"there is no singleton {request.entity_type!r}")
    raise VersionMismatch(f"the singleton {request.entity_type!r} is not at version {version}")


# Lists and pages

FIELD_ERRORS = (InvalidWhere, InvalidFieldInWhere)


class Criteria(Request):
    """A where clause over `entityType`, `entityId`, `version`, `createdAt`, `updatedAt` and everything below `data.`."""

    where: dict[str, Any] | str | None = None


class GetList(Criteria):
    """`maxReturn`: 500 at most, also when more are asked for."""

    order_by: dict[str, Any] | str | None = None
    max_return: Annotated[int, Meta(ge=1)] | None = None


@service.operation("GET_LIST", tx=Tx.READ, errors=FIELD_ERRORS)
async def get_list(ctx: Context, request: GetList) -> EntityList:
    """List the caller's entities that match a where clause, in the order asked for or the oldest first."""
    rows = await _list(ctx, request, ctx.player_id, READ_OWN)
    listed = [_listed(row, ctx) for row in rows]
    return EntityList(entity_list=listed, entity_list_count=len(listed), server_time=ctx.now_ms)


@service.operation("GET_LIST_COUNT", tx=Tx.READ, errors=FIELD_ERRORS)
async def get_list_count(ctx: Context, request: Criteria) -> EntityCount:
    """Count the caller's entities that match a where clause."""
    row = await ctx.tx.one(
        COUNT_OWN.where(query.where(request.where, FIELDS)), owner=ctx.player_id, app=ctx.app.id
    )
    assert row is not None, "a count is always there"
    return EntityCount(entity_list_count=row[0])


# Operations on entities that are shared


class Target(Request):
    """SDKs say `targetPlayerId`, the reference `targetProfileId`: the owner of what is shared."""

    target_player_id: Id | None = None
    target_profile_id: Id | None = None


class TargetList(GetList, Target):
    pass


class TargetEntity(Target):
    entity_id: Id


class UpdateShared(TargetEntity):
    """Without an `entityType` the type stays as it is."""

    data: Data
    entity_type: Name | None = None
    version: Version = None


class IncrementShared(TargetEntity):
    data: Data


@service.operation("READ_SHARED_ENTITY", tx=Tx.READ, errors=(MissingRecord, NotAllowed))
async def read_shared_entity(ctx: Context, request: TargetEntity) -> ReadEntity:
    """Read an entity of any player whose ACL lets others read. Owners read all of theirs."""
    owner = _target(request)
    row = await ctx.tx.one(READ, **_key(ctx, owner, request.entity_id))
    if row is None:
        raise MissingRecord(f"the player has no entity {request.entity_id!r}")
    if owner != ctx.player_id and row["acl_other"] < READABLE:
        raise NotAllowed(f"the entity {request.entity_id!r} is not shared")
    return _read_entity(row, ctx)


@service.operation("READ_SHARED", tx=Tx.READ, errors=(PacketTooLarge,))
async def read_shared(ctx: Context, request: Target) -> Entities:
    """Read all entities of a player that the caller may read, the oldest first.

    Refused when there are more than 1000. A player nobody knows shares nothing.
    """
    owner = _target(request)
    rows = await ctx.tx.all(READ_SHARED, owner=owner, app=ctx.app.id, least=_least(ctx, owner))
    return _all_of(rows, ctx)


@service.operation("READ_SHARED_ENTITIES_LIST", tx=Tx.READ, errors=FIELD_ERRORS)
async def read_shared_list(ctx: Context, request: TargetList) -> Entities:
    """List the entities of a player that the caller may read and that match a where clause."""
    owner = _target(request)
    rows = await _list(ctx, request, owner, READ_ALLOWED, least=_least(ctx, owner))
    return _entities(rows, ctx)


@service.operation(
    "UPDATE_SHARED",
    tx=Tx.WRITE,
    errors=(UpdateFailed, NotAllowed, VersionMismatch, InvalidFieldName, PacketTooLarge),
)
async def update_shared(ctx: Context, request: UpdateShared) -> Entity:
    """Replace the data of an entity of any player whose ACL lets others write. The ACL stays as it is."""
    owner, text = _target(request), data_text(request.data)
    row = await ctx.tx.one(
        UPDATE_SHARED,
        **_key(ctx, owner, request.entity_id),
        caller=ctx.player_id,
        new_type=request.entity_type,
        new_data=text,
        version=version_wanted(request.version),
        now_ms=ctx.now_ms,
    )
    if row is None:
        raise await _why_not(ctx, owner, request.entity_id)
    return _entity(row, text)


@service.operation(
    "INCREMENT_SHARED_USER_ENTITY_DATA",
    tx=Tx.WRITE,
    errors=(MissingRecord, NotAllowed, InvalidFieldName, PacketTooLarge),
)
async def increment_shared(ctx: Context, request: IncrementShared) -> IncrementedEntity:
    """Add numbers to those of an entity of any player whose ACL lets others write, all of them or none."""
    return await _increment(ctx, _target(request), request.entity_id, request.data)


# A player's life


@service.on_reset
@service.on_delete
async def forget(ctx: Context, profile_id: str) -> None:
    """Remove all entities of a player."""
    await ctx.tx.run(DELETE_ALL, owner=profile_id)
