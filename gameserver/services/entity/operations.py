"""The operations of entity."""

from collections.abc import Sequence
from typing import Annotated, Any

from msgspec import Meta
from sqlalchemy import Update as UpdateStatement

from gameserver.apps import Settings
from gameserver.documents import query
from gameserver.documents.documents import (
    DATA_BYTES_MAX,
    READABLE,
    VERSION_ANY,
    AclField,
    Data,
    DataBytes,
    EntityId,
    EntityType,
    Id,
    Increments,
    InvalidFieldName,
    MissingRecord,
    NewEntityType,
    Version,
    VersionMismatch,
    acl_of,
    data_text,
    incremented,
    read_acl,
    version_wanted,
)
from gameserver.documents.list_counts import ListCounts, Listing
from gameserver.documents.paging import (
    ROWS_MAX,
    EntityPage,
    GetPage,
    GetPageOffset,
    InvalidContext,
    PageContext,
    UnreadableContext,
    read_context,
    read_page,
)
from gameserver.documents.query import InvalidFieldInWhere, InvalidWhere, OrderBy, WhereField
from gameserver.domain.social import SHARED_ENTITIES, SharedEntity
from gameserver.players.quotas import QuotaReached
from gameserver.rpc import Context, Last, Service, Tx
from gameserver.services.entity import storage
from gameserver.services.entity.rules import (
    ALL_MAX,
    Entities,
    Entity,
    EntityCount,
    EntityHead,
    EntityList,
    IncrementedEntity,
    ReadEntity,
    UpdateFailed,
    all_of,
    entities,
    entity,
    forbidden,
    incremented_entity,
    least,
    listed,
    read_entity,
    stored_entity,
)
from gameserver.storage import Row, Transaction, locks
from gameserver.wire.errors import GameError, MissingParameter, NotAllowed, PacketTooLarge
from gameserver.wire.shapes import Request

SAMPLE = """\
# Entities of players.
[entity]
# Most bytes of the data of one, as compact JSON; up to 3145728.
#data_bytes_max = 102400
"""


class EntitySettings(Settings, kw_only=True):
    """Entities of players."""

    data_bytes_max: DataBytes = DATA_BYTES_MAX


service = Service("entity", section=EntitySettings, sample=SAMPLE)

# Operations on the caller's entities


class Create(Request):
    entity_type: EntityType
    data: Data
    acl: AclField = None


@service.operation("CREATE", tx=Tx.WRITE, errors=(InvalidFieldName, PacketTooLarge, QuotaReached))
async def create(ctx: Context, request: Create) -> EntityHead:
    """Create an entity of the caller, at version 1. Without an ACL nobody else sees it.

    The data is an object of up to 100 KiB, or what the app says; names in it contain neither `$` nor dots.
    """
    other, text = read_acl(request.acl), _text(ctx, request.data)
    await ctx.add_to_quota(storage.QUOTA, ctx.player_id, count=1, size=len(text))
    head = EntityHead(
        entity_id=ctx.core.new_id(),
        entity_type=request.entity_type,
        version=1,
        acl=acl_of(other),
        created_at=ctx.now_ms,
        updated_at=ctx.now_ms,
    )
    await ctx.tx.defer(
        storage.CREATE,
        owner_id=ctx.player_id,
        entity_id=head.entity_id,
        app_id=ctx.app.id,
        entity_type=head.entity_type,
        acl_other=other,
        data=text,
        now_ms=ctx.now_ms,
    )
    return head


class OneEntity(Request):
    entity_id: EntityId


@service.operation("READ", tx=Tx.READ, errors=(MissingRecord,))
async def read(ctx: Context, request: OneEntity) -> ReadEntity:
    """Read an entity of the caller."""
    row = await ctx.tx.one(storage.READ, **_key(ctx, ctx.player_id, request.entity_id))
    if row is None:
        raise MissingRecord(f"there is no entity {request.entity_id!r}")
    return read_entity(row, ctx)


class OfType(Request):
    entity_type: EntityType


@service.operation("READ_BY_TYPE", tx=Tx.READ, errors=(PacketTooLarge,))
async def read_by_type(ctx: Context, request: OfType) -> Entities:
    """Read all entities of a type that the caller has, the oldest first.

    Refused when there are more than 1000, or more data than an answer holds; pages reach any number.
    """
    rows = await ctx.tx.all(
        storage.READ_BY_TYPE, owner=ctx.player_id, app=ctx.app.id, type=request.entity_type
    )
    return all_of(rows, ctx)


class Update(Request):
    """Without an `entityType` the type stays as it is."""

    entity_id: EntityId
    data: Data
    entity_type: NewEntityType = None
    acl: AclField = None
    version: Version = None


@service.operation(
    "UPDATE",
    tx=Tx.WRITE,
    errors=(UpdateFailed, VersionMismatch, InvalidFieldName, PacketTooLarge, QuotaReached),
)
async def update_entity(ctx: Context, request: Update) -> Last[Entity]:
    """Replace data and ACL of an entity of the caller. Without an ACL nobody else sees it from now on.

    `version` is the one the caller has seen; -1 replaces whatever is there.
    """
    acl = read_acl(request.acl)
    known = {"acl_other": acl}
    return await _update(ctx, storage.UPDATE, ctx.player_id, request, {"new_acl": acl}, known)


class Delete(Request):
    entity_id: EntityId
    version: Version = None


@service.operation("DELETE", tx=Tx.WRITE, errors=(UpdateFailed, VersionMismatch))
async def delete_entity(ctx: Context, request: Delete) -> None:
    """Delete an entity of the caller. `version` as in an update."""
    owner = ctx.player_id
    version = version_wanted(request.version)
    if not await ctx.tx.run(storage.DELETE, **_key(ctx, owner, request.entity_id), version=version):
        raise await _why_not(ctx, owner, request.entity_id)


class Increment(Request):
    entity_id: EntityId
    data: Increments


@service.operation(
    "INCREMENT_USER_ENTITY_DATA",
    tx=Tx.WRITE,
    errors=(MissingRecord, InvalidFieldName, PacketTooLarge, QuotaReached),
)
async def increment(ctx: Context, request: Increment) -> IncrementedEntity:
    """Add numbers to the numbers in the data of an entity of the caller, all of them or none.

    `data` has the shape of the entity's data and holds what to add, also below zero. A number that
    is not there starts at 0.
    """
    return await _increment(ctx, ctx.player_id, request.entity_id, request.data)


# Operations on singletons


@service.operation("READ_SINGLETON", tx=Tx.READ)
async def read_singleton(ctx: Context, request: OfType) -> ReadEntity | None:
    """Read the caller's entity of a type; null when there is none."""
    row = await ctx.tx.one(
        storage.READ_SINGLETON, owner=ctx.player_id, app=ctx.app.id, type=request.entity_type
    )
    return None if row is None else read_entity(row, ctx)


class UpdateSingleton(Request):
    entity_type: EntityType
    data: Data
    acl: AclField = None
    version: Version = None


@service.operation(
    "UPDATE_SINGLETON", tx=Tx.WRITE, errors=(VersionMismatch, InvalidFieldName, PacketTooLarge, QuotaReached)
)
async def update_singleton(ctx: Context, request: UpdateSingleton) -> Entity:
    """Replace data and ACL of the caller's entity of a type, or create it, whatever the version says.

    However many clients of a player create it at once, there is one.
    """
    owner, text = ctx.player_id, _text(ctx, request.data)
    other, version = read_acl(request.acl), version_wanted(request.version)
    key = {"owner": owner, "app": ctx.app.id, "type": request.entity_type}
    await ctx.add_to_quota(storage.QUOTA, owner, size=len(text))
    row = await ctx.tx.one(
        storage.UPDATE_SINGLETON, **key, new_acl=other, new_data=text, version=version, now_ms=ctx.now_ms
    )
    if row is None and await _is_free(ctx, key, version):
        await ctx.add_to_quota(storage.QUOTA, owner, count=1)
        row = await ctx.tx.one(
            storage.CREATE_SINGLETON,
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
    return entity(row, text)


class DeleteSingleton(Request):
    entity_type: EntityType
    version: Version = None


@service.operation("DELETE_SINGLETON", tx=Tx.WRITE, errors=(UpdateFailed, VersionMismatch))
async def delete_singleton(ctx: Context, request: DeleteSingleton) -> None:
    """Delete the caller's entity of a type. `version` as in an update."""
    key = {"owner": ctx.player_id, "app": ctx.app.id, "type": request.entity_type}
    version = version_wanted(request.version)
    if await ctx.tx.run(storage.DELETE_SINGLETON, **key, version=version):
        return
    if await ctx.tx.one(storage.READ_SINGLETON, **key) is None:
        raise UpdateFailed(f"there is no singleton {request.entity_type!r}")
    raise VersionMismatch(f"the singleton {request.entity_type!r} is not at version {version}")


# Lists and pages

WHERE_ERRORS = (InvalidWhere, InvalidFieldInWhere)
LIST_ERRORS = (*WHERE_ERRORS, PacketTooLarge)


class Criteria(Request):
    """What to look for.

    `where` may ask for `entityType`, `createdAt`, `updatedAt`, `entityId`, `ownerId`, `gameId`, `version`,
    `acl.other` and all of `data`.
    """

    where: WhereField = None


class GetList(Criteria):
    """`maxReturn`: 500 at most, also when more are asked for."""

    order_by: OrderBy = None
    max_return: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="Entities to answer with at most; nothing, or more than 500: 500."),
    ] = None


@service.operation("GET_LIST", tx=Tx.READ, errors=LIST_ERRORS)
async def get_list(ctx: Context, request: GetList) -> EntityList:
    """List the caller's entities that match a where clause, in the order asked for or the oldest first."""
    found = [listed(row, ctx) for row in await _list(ctx, request, ctx.player_id)]
    return EntityList(entity_list=found, entity_list_count=len(found), server_time=ctx.now_ms)


@service.operation("GET_LIST_COUNT", tx=Tx.READ, errors=WHERE_ERRORS)
async def get_list_count(ctx: Context, request: Criteria) -> EntityCount:
    """Count the caller's entities that match a where clause."""
    condition = query.where(request.where, storage.FIELDS)
    listing = _listing(ctx, query.as_object(request.where, "data.where"))
    if listing is not None:
        return EntityCount(entity_list_count=await listing.count(ctx.tx))
    [row] = await ctx.tx.search(storage.COUNT.where(condition), owner=ctx.player_id, app=ctx.app.id)
    return EntityCount(entity_list_count=row[0])


PAGE_ERRORS = (UnreadableContext, InvalidContext, *LIST_ERRORS)


@service.operation("GET_PAGE", tx=Tx.READ, errors=PAGE_ERRORS)
async def get_page(ctx: Context, request: GetPage) -> EntityPage:
    """Read a page of the caller's entities that match the search, 500 rows at most."""
    return await _page(ctx, request.context, 0)


@service.operation("GET_PAGE_BY_OFFSET", tx=Tx.READ, errors=PAGE_ERRORS)
async def get_page_by_offset(ctx: Context, request: GetPageOffset) -> EntityPage:
    """Read a page before or after one that was read earlier. A page behind the end is empty."""
    return await _page(ctx, request.context, request.page_offset)


# Operations on entities that are shared


class Target(Request):
    """SDKs say `targetPlayerId`, the reference `targetProfileId`: the owner of what is shared."""

    target_player_id: Annotated[
        Id | None, Meta(description="The id of the player who owns what is shared.")
    ] = None
    target_profile_id: Annotated[
        Id | None, Meta(description="Another name of `targetPlayerId`; one of them is needed.")
    ] = None


class TargetList(GetList):
    target_player_id: Annotated[
        Id | None, Meta(description="The id of the player who owns what is shared.")
    ] = None
    target_profile_id: Annotated[
        Id | None, Meta(description="Another name of `targetPlayerId`; one of them is needed.")
    ] = None


class TargetEntity(Target, kw_only=True):
    entity_id: EntityId


class UpdateShared(TargetEntity, kw_only=True):
    """Without an `entityType` the type stays as it is."""

    data: Data
    entity_type: NewEntityType = None
    version: Version = None


class IncrementShared(TargetEntity, kw_only=True):
    data: Increments


@service.operation("READ_SHARED_ENTITY", tx=Tx.READ, errors=(MissingRecord, NotAllowed))
async def read_shared_entity(ctx: Context, request: TargetEntity) -> ReadEntity:
    """Read an entity of any player whose ACL lets others read. Owners read all of theirs."""
    owner = _target(request)
    row = await ctx.tx.one(storage.READ, **_key(ctx, owner, request.entity_id))
    if row is None:
        raise MissingRecord(f"the player has no entity {request.entity_id!r}")
    if owner != ctx.player_id and row["acl_other"] < READABLE:
        raise NotAllowed(f"the entity {request.entity_id!r} is not shared")
    return read_entity(row, ctx)


@service.operation("READ_SHARED", tx=Tx.READ, errors=(PacketTooLarge,))
async def read_shared(ctx: Context, request: Target) -> Entities:
    """Read all entities of a player that the caller may read, the oldest first.

    Refused as in READ_BY_TYPE. A player nobody knows shares nothing.
    """
    owner = _target(request)
    rows = await ctx.tx.all(storage.READ_SHARED, owner=owner, app=ctx.app.id, least=least(ctx, owner))
    return all_of(rows, ctx)


@service.operation("READ_SHARED_ENTITIES_LIST", tx=Tx.READ, errors=LIST_ERRORS)
async def read_shared_list(ctx: Context, request: TargetList) -> Entities:
    """List the entities of a player that the caller may read and that match a where clause."""
    return entities(await _list(ctx, request, _target(request)), ctx)


def of_target(_: Context, request: Target) -> list[str]:
    """Return the lock of the player whose entity may be changed."""
    return [locks.player_lock(_target(request))]


@service.operation(
    "UPDATE_SHARED",
    tx=Tx.WRITE,
    locks=of_target,
    errors=(UpdateFailed, NotAllowed, VersionMismatch, InvalidFieldName, PacketTooLarge, QuotaReached),
)
async def update_shared(ctx: Context, request: UpdateShared) -> Last[Entity]:
    """Replace the data of an entity of any player whose ACL lets others write. The ACL stays as it is."""
    caller = {"caller": ctx.player_id}
    return await _update(ctx, storage.UPDATE_SHARED, _target(request), request, caller, {})


@service.operation(
    "INCREMENT_SHARED_USER_ENTITY_DATA",
    tx=Tx.WRITE,
    locks=of_target,
    errors=(MissingRecord, NotAllowed, InvalidFieldName, PacketTooLarge, QuotaReached),
)
async def increment_shared(ctx: Context, request: IncrementShared) -> IncrementedEntity:
    """Add numbers to those of an entity of any player whose ACL lets others write, all of them or none."""
    return await _increment(ctx, _target(request), request.entity_id, request.data)


@service.on(SHARED_ENTITIES)
async def shared_of(
    tx: Transaction, app_id: str, owners: Sequence[str], entity_type: str | None, entity_id: str | None
) -> list[SharedEntity]:
    """Tell others which entities players share. Raises `PacketTooLarge`."""
    params: dict[str, Any] = {"app": app_id, "owners": list(owners)}
    if entity_id is not None:
        rows = await tx.all(storage.READ_SHARED_OF_ID, **params, entity=entity_id)
    elif entity_type is not None:
        rows = await tx.all(storage.READ_SHARED_OF_TYPE, **params, type=entity_type)
    else:
        rows = await tx.all(storage.READ_SHARED_OF, **params)
    if len(rows) > ALL_MAX:
        raise PacketTooLarge(f"there are more than {ALL_MAX} entities; ask for fewer")
    return [SharedEntity(*(row[name] for name in SharedEntity._fields)) for row in rows]


# A player's life


service.keeps(*storage.KEPT)


# What several operations do


def _target(request: Target | TargetList) -> str:
    """Return the owner that a request names. Raises `MissingParameter`."""
    owner = request.target_player_id or request.target_profile_id
    if owner is None:
        raise MissingParameter("data.targetPlayerId: required")
    return owner


async def _update(
    ctx: Context,
    statement: UpdateStatement,
    owner: str,
    request: Update | UpdateShared,
    params: dict[str, Any],
    known: dict[str, Any],
) -> Last[Entity]:
    """Replace data, and what else `params` of the statement say; `known` is what that makes of the row."""
    text, kind = _text(ctx, request.data), request.entity_type
    await ctx.add_to_quota(storage.QUOTA, owner, size=len(text), instead_of=request.entity_id)
    params = params | _key(ctx, owner, request.entity_id)
    params |= {"new_type": kind, "new_data": text}
    params |= {"version": version_wanted(request.version), "now_ms": ctx.now_ms}
    known = known | {"entity_id": request.entity_id, "updated_ms": ctx.now_ms}
    if kind is not None:
        known["entity_type"] = kind
    return ctx.last(
        statement,
        params,
        reply=lambda row: entity(row, text),
        missing=lambda: _why_not(ctx, owner, request.entity_id),
        known=known,
    )


async def _why_not(ctx: Context, owner: str, entity_id: str) -> GameError:
    """Find out why an entity was not changed: it is not there, not the caller's to change, or newer."""
    row = await ctx.tx.one(storage.READ_STATE, **_key(ctx, owner, entity_id))
    if row is None:
        return UpdateFailed(f"there is no entity {entity_id!r}")
    return forbidden(ctx, owner, entity_id, row["acl_other"]) or VersionMismatch(
        f"the entity {entity_id!r} is at version {row['version']}"
    )


async def _increment(ctx: Context, owner: str, entity_id: str, by: Data) -> IncrementedEntity:
    key = _key(ctx, owner, entity_id)
    row = await ctx.tx.one(storage.LOCK, **key)
    if row is None:
        raise MissingRecord(f"there is no entity {entity_id!r}")
    if refusal := forbidden(ctx, owner, entity_id, row["acl_other"]):
        raise refusal
    text = incremented(row["data"], by, bytes_max=ctx.section(EntitySettings).data_bytes_max)
    await ctx.add_to_quota(storage.QUOTA, owner, size=len(text), instead_of=entity_id)
    await ctx.tx.defer(storage.SET_DATA, **key, new_data=text, now_ms=ctx.now_ms)
    return incremented_entity(row, text, ctx)


async def _is_free(ctx: Context, key: dict[str, str], version: int) -> bool:
    """Return whether a singleton that was not there to update can be created in its place.

    One that somebody else created meanwhile is found by the statement that creates, and updated.
    """
    if version == VERSION_ANY:
        return True
    row = await ctx.tx.one(storage.READ_SINGLETON, **key)
    return row is None or row["version"] == version


async def _list(ctx: Context, request: GetList, owner: str) -> Sequence[Row]:
    """Read what a list asks for of the entities of `owner` that the caller may read."""
    statement = (
        storage.LIST.where(query.where(request.where, storage.FIELDS))
        .order_by(*query.order(request.order_by, storage.FIELDS))
        .limit(min(request.max_return or ROWS_MAX, ROWS_MAX))
    )
    find = ctx.tx.search if request.where or request.order_by else ctx.tx.all
    rows = await find(statement, owner=owner, app=ctx.app.id, least=least(ctx, owner))
    ctx.reserve_bytes(row["data"] for row in rows)
    return rows


async def _page(ctx: Context, context: PageContext, offset: int) -> EntityPage:
    """Read a page. Whatever a context says, it can only choose among the caller's entities."""
    page = read_context(context, offset, ctx.player_id)
    scope = storage.owned_by(ctx.app.id, ctx.player_id)
    listing = _listing(ctx, query.as_object(page.search, "data.context.searchCriteria"))
    found = await read_page(ctx.tx, page, storage.COLUMNS, scope, storage.FIELDS, listing)
    ctx.reserve_bytes(row["data"] for row in found.rows)
    results = found.results([stored_entity(row) for row in found.rows])
    return EntityPage(results=results, context=found.context, server_time=ctx.now_ms)


def _listing(ctx: Context, search: dict[str, Any]) -> Listing | None:
    """Return the list of the caller's entities that a search finds, if it asks for no more than a type."""
    if not query.asks_only(search, "entityType"):
        return None
    return Listing(ctx.core.get(ListCounts), [storage.part(ctx.player_id, search.get("entityType"))])


def _key(ctx: Context, owner: str, entity_id: str) -> dict[str, str]:
    """Return the parameters that find one entity."""
    return {"owner": owner, "app": ctx.app.id, "entity": entity_id}


def _text(ctx: Context, data: dict[str, Any]) -> str:
    """Return the text that is stored of data, within the app's limit."""
    return data_text(data, bytes_max=ctx.section(EntitySettings).data_bytes_max)
