"""Operations on one entity, and what happens to entities when their owner goes."""

from typing import Annotated, Any

from msgspec import Meta

from gameserver.documents.documents import (
    READABLE,
    AclField,
    EntityId,
    EntityType,
    Id,
    Increments,
    InvalidFieldName,
    MissingRecord,
    Name,
    NewData,
    Version,
    VersionMismatch,
    data_text,
    incremented,
    read_acl,
    version_wanted,
)
from gameserver.jobs import forget
from gameserver.players.quotas import QuotaReached
from gameserver.rpc import Access, Caller, Context, Tx
from gameserver.services.global_entity import storage
from gameserver.services.global_entity.rules import (
    NO_LIFE,
    AclNotReadable,
    Entity,
    EntityHead,
    Expired,
    GlobalEntitySettings,
    InvalidOwner,
    NotASystemEntity,
    ReadEntity,
    authority,
    entity,
    expiry_ms,
    head,
    read_entity,
    service,
    why_not,
)
from gameserver.storage import Row, Statement, locks
from gameserver.wire.errors import (
    GameError,
    InvalidParameterType,
    InvalidParameterValue,
    MissingParameter,
    NotAllowed,
    PacketTooLarge,
)
from gameserver.wire.shapes import Request

KEPT_MS = 24 * 3600 * 1000
"""How long an expired entity is still there, for a reader to learn that it has expired."""

CHANGE_ERRORS = (MissingRecord, Expired, NotAllowed, VersionMismatch)

Milliseconds = Annotated[int, Meta(le=2**53)]

# Creating


class Create(Request):
    """`timeToLive` in ms; 0, less, null or absent: the entity stays. Without an ACL others may do nothing."""

    entity_type: EntityType
    time_to_live: Annotated[
        Milliseconds | None,
        Meta(
            description="How long the entity lives, in ms, anew after each change. 0, less, null or nothing:"
            " until it is deleted."
        ),
    ] = None
    acl: AclField = None
    data: NewData = None


class CreateWithIndexedId(Create):
    """`indexedId` is another spelling of `entityIndexedId`."""

    entity_indexed_id: Annotated[
        Name | None,
        Meta(description="An id of the game's own choice, to list entities by; several may have the same."),
    ] = None
    indexed_id: Annotated[
        Name | None, Meta(description="Another name of `entityIndexedId`; one of them is needed.")
    ] = None


@service.operation("CREATE", tx=Tx.WRITE, errors=(InvalidFieldName, PacketTooLarge, QuotaReached))
async def create(ctx: Context, request: Create) -> EntityHead:
    """Make an entity that belongs to the caller. Its data is an object of up to 100 KiB.

    Refused: names in the data that contain `$` or a dot.
    """
    return await _create(ctx, request, ctx.player_id, None)


@service.operation(
    "CREATE_WITH_INDEXED_ID", tx=Tx.WRITE, errors=(InvalidFieldName, PacketTooLarge, QuotaReached)
)
async def create_with_indexed_id(ctx: Context, request: CreateWithIndexedId) -> EntityHead:
    """Make an entity that belongs to the caller and can be listed by an id of the game's own choice.

    Several entities may have the same indexed id.
    """
    return await _create(ctx, request, ctx.player_id, _indexed_id(request))


@service.operation(
    "CREATE_SYSTEM_ENTITY", tx=Tx.WRITE, access=Access.SERVER, errors=(InvalidFieldName, PacketTooLarge)
)
async def create_system_entity(ctx: Context, request: Create) -> EntityHead:
    """Make an entity that belongs to nobody."""
    return await _create(ctx, request, None, None)


@service.operation(
    "CREATE_SYSTEM_ENTITY_WITH_INDEXED_ID",
    tx=Tx.WRITE,
    access=Access.SERVER,
    errors=(InvalidFieldName, PacketTooLarge),
)
async def create_system_entity_with_indexed_id(ctx: Context, request: CreateWithIndexedId) -> EntityHead:
    """Make an entity that belongs to nobody and can be listed by an id of the game's own choice."""
    return await _create(ctx, request, None, _indexed_id(request))


# Reading one


class OneEntity(Request):
    entity_id: EntityId


@service.operation("READ", tx=Tx.READ, access=Access.SIGNED_IN, errors=(MissingRecord, Expired, NotAllowed))
async def read(ctx: Context, request: OneEntity) -> ReadEntity:
    """Read an entity that belongs to the caller or that its ACL lets others read."""
    row = await ctx.tx.one(storage.READ, player=ctx.profile_id, **_key(ctx, request.entity_id))
    if row is None:
        raise MissingRecord(f"there is no entity {request.entity_id!r}")
    if not row["allowed"]:
        raise NotAllowed(f"the ACL of the entity {request.entity_id!r} does not allow this")
    return read_entity(_alive(ctx, row), ctx)


@service.operation(
    "READ_SYSTEM_ENTITY",
    tx=Tx.READ,
    access=Access.SERVER,
    errors=(MissingRecord, Expired, NotASystemEntity),
)
async def read_system_entity(ctx: Context, request: OneEntity) -> ReadEntity:
    """Read an entity that belongs to nobody, whatever its ACL. Refused for one that belongs to a player."""
    row = await ctx.tx.one(storage.READ_SYSTEM, **_key(ctx, request.entity_id))
    if row is None:
        raise MissingRecord(f"there is no entity {request.entity_id!r}")
    if row["owner_id"] is not None:
        raise NotASystemEntity(f"the entity {request.entity_id!r} belongs to a player")
    return read_entity(_alive(ctx, row), ctx)


# Changing


class Change(OneEntity):
    """`version` is what the caller saw; -1, null or absent: whatever is stored."""

    version: Version = None


def of_entity(ctx: Context, request: Change) -> list[str]:
    """Return the lock of an entity, which any player may change."""
    return [locks.shared_lock(ctx.app.id, "entity", request.entity_id)]


class Update(Change):
    data: NewData = None


@service.operation(
    "UPDATE",
    tx=Tx.WRITE,
    access=Access.SIGNED_IN,
    locks=of_entity,
    errors=(*CHANGE_ERRORS, InvalidFieldName, PacketTooLarge, QuotaReached),
)
async def update_entity(ctx: Context, request: Update) -> EntityHead:
    """Replace the data of an entity. It must belong to the caller, or its ACL let others write.

    A server may change a system entity whatever its ACL. Every change renews the time to live.
    """
    text = data_text(request.data or {}, bytes_max=ctx.section(GlobalEntitySettings).data_bytes_max)
    await _add_bytes(ctx, request.entity_id, text)
    return head(await _change(ctx, request, storage.SET_DATA, storage.SEE_WRITE, new_data=text))


class Increment(OneEntity):
    data: Increments


@service.operation(
    "INCREMENT_GLOBAL_ENTITY_DATA",
    tx=Tx.WRITE,
    access=Access.SIGNED_IN,
    locks=of_entity,
    errors=(
        MissingRecord,
        Expired,
        NotAllowed,
        InvalidFieldName,
        InvalidParameterType,
        InvalidParameterValue,
        QuotaReached,
    ),
)
async def increment(ctx: Context, request: Increment) -> Entity:
    """Add numbers to numbers in the data of an entity; nobody's addition is lost.

    `data` has the shape of the entity's data. What is missing there starts at 0. Refused where something
    else than a number is to be added, or to be added to, and for sums beyond 2^53.
    """
    rights = _rights(ctx, request.entity_id)
    row = await ctx.tx.one(storage.LOCK, now_ms=ctx.now_ms, **rights)
    if row is None:
        raise await _why_not(ctx, request.entity_id, -1, storage.SEE_WRITE)
    text = incremented(row["data"], request.data, bytes_max=ctx.section(GlobalEntitySettings).data_bytes_max)
    await _add_bytes(ctx, request.entity_id, text)
    key = _key(ctx, request.entity_id)
    changed = await ctx.tx.one(storage.SET_SUM, now_ms=ctx.now_ms, new_data=text, **key)
    assert changed is not None, "the row is locked"
    return entity(changed)


class UpdateAcl(Change):
    acl: AclField = None


@service.operation("UPDATE_ACL", tx=Tx.WRITE, access=Access.SIGNED_IN, locks=of_entity, errors=CHANGE_ERRORS)
async def update_acl(ctx: Context, request: UpdateAcl) -> EntityHead:
    """Change what others may do with an entity.

    It must belong to the caller; a server may change system entities.
    """
    other = read_acl(request.acl)
    return head(await _change(ctx, request, storage.SET_ACL, storage.SEE_OWN, new_other=other))


class UpdateOwnerAndAcl(UpdateAcl, kw_only=True):
    owner_id: Annotated[Id, Meta(description="The id of the player who owns the entity from now on.")]


@service.operation(
    "UPDATE_ENTITY_OWNER_AND_ACL",
    tx=Tx.WRITE,
    access=Access.SIGNED_IN,
    locks=of_entity,
    errors=(*CHANGE_ERRORS, InvalidOwner),
)
async def update_owner_and_acl(ctx: Context, request: UpdateOwnerAndAcl) -> Entity:
    """Give an entity to another player of the app, and change what others may do with it.

    It must belong to the caller; a server may give away system entities. Refused to players unless the app's
    `[globalEntity]` says `players_may_give_away`: what is given comes to whom did not ask for it.
    """
    _allow(ctx, "players_may_give_away")
    other = read_acl(request.acl)
    row = await _changed(ctx, request, storage.HAND_OVER, new_owner=request.owner_id, new_other=other)
    if row is None:
        refusal = await _why_not(ctx, request.entity_id, version_wanted(request.version), storage.SEE_OWN)
        if isinstance(refusal, VersionMismatch) and not await ctx.tx.one(
            storage.IS_PLAYER, new_owner=request.owner_id, app=ctx.app.id
        ):
            raise InvalidOwner(f"there is no player {request.owner_id!r}")
        raise refusal
    return entity(row)


@service.operation(
    "MAKE_SYSTEM_ENTITY",
    tx=Tx.WRITE,
    access=Access.SIGNED_IN,
    locks=of_entity,
    errors=(*CHANGE_ERRORS, AclNotReadable),
)
async def make_system_entity(ctx: Context, request: UpdateAcl) -> Entity:
    """Make an entity of the caller belong to nobody; from then on it outlives its maker.

    Refused when the new ACL does not let others read it, and to players unless the app's `[globalEntity]`
    says `players_may_make_system`.
    """
    _allow(ctx, "players_may_make_system")
    other = read_acl(request.acl)
    if other < READABLE:
        raise AclNotReadable("data.acl.other: a system entity must be readable, 1 or 2")
    return entity(await _change(ctx, request, storage.FREE, storage.SEE_OWN, new_other=other))


class UpdateIndexedId(Change, kw_only=True):
    """Null or empty text removes the id."""

    entity_indexed_id: Annotated[
        Annotated[str, Meta(max_length=256)] | None,
        Meta(description="The id of the game's own choice from now on; null or empty for none."),
    ]


@service.operation(
    "UPDATE_INDEXED_ID", tx=Tx.WRITE, access=Access.SIGNED_IN, locks=of_entity, errors=CHANGE_ERRORS
)
async def update_indexed_id(ctx: Context, request: UpdateIndexedId) -> EntityHead:
    """Change or remove the indexed id of an entity that the caller may write."""
    new_id = request.entity_indexed_id or None
    row = await _change(ctx, request, storage.SET_INDEXED_ID, storage.SEE_WRITE, new_indexed_id=new_id)
    return head(row)


class UpdateTimeToLive(Change, kw_only=True):
    time_to_live: Annotated[
        Milliseconds | None,
        Meta(
            description="How long the entity lives from now on, in ms, anew after each change. 0, less or "
            "null: until it is deleted."
        ),
    ]


@service.operation(
    "UPDATE_TIME_TO_LIVE", tx=Tx.WRITE, access=Access.SIGNED_IN, locks=of_entity, errors=CHANGE_ERRORS
)
async def update_time_to_live(ctx: Context, request: UpdateTimeToLive) -> Entity:
    """Let an entity that the caller may write expire so many ms after its last change; 0 or less: never."""
    life = _life(request.time_to_live)
    expires = expiry_ms(ctx.now_ms, life)
    row = await _change(
        ctx, request, storage.SET_LIFE, storage.SEE_WRITE, new_life_ms=life, new_expires_ms=expires
    )
    return entity(row)


@service.operation("DELETE", tx=Tx.WRITE, access=Access.SIGNED_IN, locks=of_entity, errors=CHANGE_ERRORS)
async def delete_entity(ctx: Context, request: Change) -> None:
    """Delete an entity that the caller may write."""
    version = version_wanted(request.version)
    rights = _rights(ctx, request.entity_id)
    if not await ctx.tx.run(storage.DELETE, now_ms=ctx.now_ms, version=version, **rights):
        raise await _why_not(ctx, request.entity_id, version, storage.SEE_WRITE)


# System entities, for servers


SYSTEM_ERRORS = (MissingRecord, Expired, VersionMismatch, NotASystemEntity)


@service.operation(
    "UPDATE_SYSTEM_ENTITY",
    tx=Tx.WRITE,
    access=Access.SERVER,
    locks=of_entity,
    errors=(*SYSTEM_ERRORS, InvalidFieldName, PacketTooLarge),
)
async def update_system_entity(ctx: Context, request: Update) -> EntityHead:
    """Replace the data of an entity that belongs to nobody. Refused for one that belongs to a player."""
    await _check_system(ctx, request.entity_id)
    text = data_text(request.data or {}, bytes_max=ctx.section(GlobalEntitySettings).data_bytes_max)
    return head(await _change(ctx, request, storage.SET_DATA, storage.SEE_WRITE, new_data=text))


@service.operation(
    "UPDATE_SYSTEM_ENTITY_ACL", tx=Tx.WRITE, access=Access.SERVER, locks=of_entity, errors=SYSTEM_ERRORS
)
async def update_system_entity_acl(ctx: Context, request: UpdateAcl) -> EntityHead:
    """Change what others may do with an entity that belongs to nobody. Refused for one of a player."""
    await _check_system(ctx, request.entity_id)
    other = read_acl(request.acl)
    return head(await _change(ctx, request, storage.SET_ACL, storage.SEE_OWN, new_other=other))


@service.operation(
    "DELETE_SYSTEM_ENTITY", tx=Tx.WRITE, access=Access.SERVER, locks=of_entity, errors=SYSTEM_ERRORS
)
async def delete_system_entity(ctx: Context, request: Change) -> None:
    """Delete an entity that belongs to nobody. Refused for one that belongs to a player."""
    await _check_system(ctx, request.entity_id)
    await delete_entity(ctx, request)


async def _check_system(ctx: Context, entity_id: str) -> None:
    row = await ctx.tx.one(storage.READ_SYSTEM, **_key(ctx, entity_id))
    if row is not None and row["owner_id"] is not None:
        raise NotASystemEntity(f"the entity {entity_id!r} belongs to a player")


# A player's life. A data reset leaves these entities: others use them too.

service.keeps(storage.KEPT)


# What operations have in common


def _allow(ctx: Context, setting: str) -> None:
    """Raise `NotAllowed` for a client, unless the app says that players may."""
    if ctx.caller is Caller.CLIENT and not getattr(ctx.section(GlobalEntitySettings), setting):
        raise NotAllowed(f"the app does not let players do this ({setting})")


def _key(ctx: Context, entity_id: str) -> dict[str, str]:
    return {"entity": entity_id, "app": ctx.app.id}


def _rights(ctx: Context, entity_id: str) -> dict[str, Any]:
    return {**_key(ctx, entity_id), "player": ctx.profile_id, "authority": int(authority(ctx))}


def _alive(ctx: Context, row: Row) -> Row:
    if row["expires_ms"] <= ctx.now_ms:
        raise Expired(f"the entity {row['entity_id']!r} has expired")
    return row


def _indexed_id(request: CreateWithIndexedId) -> str:
    found = request.entity_indexed_id or request.indexed_id
    if found is None:
        raise MissingParameter("data.entityIndexedId: required")
    return found


def _life(life_ms: int | None) -> int:
    return NO_LIFE if life_ms is None else max(NO_LIFE, life_ms)


async def _create(ctx: Context, request: Create, owner: str | None, indexed_id: str | None) -> EntityHead:
    life = _life(request.time_to_live)
    text = data_text(request.data or {}, bytes_max=ctx.section(GlobalEntitySettings).data_bytes_max)
    if owner is not None:
        await ctx.add_to_quota(storage.QUOTA, owner, count=1, size=len(text))
    row = await ctx.tx.one(
        storage.CREATE,
        entity_id=ctx.core.new_id(),
        app_id=ctx.app.id,
        owner_id=owner,
        entity_type=request.entity_type,
        indexed_id=indexed_id,
        acl_other=read_acl(request.acl),
        data=text,
        life_ms=life,
        expires_ms=expiry_ms(ctx.now_ms, life),
        now_ms=ctx.now_ms,
    )
    assert row is not None, "an INSERT returns its row"
    return head(row)


service.runs(forget("globalEntity.forget", storage.expiry, KEPT_MS))  # nobody sees them; it is for the disk


async def _add_bytes(ctx: Context, entity_id: str, text: str) -> None:
    """Count what the caller writes. Who owns the entity is not known, and pays by the number of theirs."""
    if ctx.profile_id is not None:
        await ctx.add_to_quota(storage.QUOTA, ctx.profile_id, size=len(text), instead_of=entity_id)


async def _changed(ctx: Context, request: Change, statement: Statement, **values: Any) -> Row | None:
    rights = _rights(ctx, request.entity_id)
    version = version_wanted(request.version)
    return await ctx.tx.one(statement, now_ms=ctx.now_ms, version=version, **rights, **values)


async def _change(ctx: Context, request: Change, statement: Statement, see: Statement, **values: Any) -> Row:
    """Run a change and return the entity as it is then; or look why it did not happen, and raise that."""
    row = await _changed(ctx, request, statement, **values)
    if row is None:
        raise await _why_not(ctx, request.entity_id, version_wanted(request.version), see)
    return row


async def _why_not(ctx: Context, entity_id: str, version: int, see: Statement) -> GameError:
    return why_not(ctx, entity_id, version, await ctx.tx.one(see, **_rights(ctx, entity_id)))
