"""The table of global entities and its statements: a change looks at rights and version by itself."""

from sqlalchemy import (
    CTE,
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Index,
    Integer,
    String,
    Table,
    Text,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    type_coerce,
    update,
)

from gameserver.documents.documents import NOTHING, READABLE, WRITABLE, StoredBytes, version_fits
from gameserver.documents.list_counts import Columns, Part
from gameserver.documents.query import Fields
from gameserver.players.lifecycle import PlayerTable
from gameserver.players.profiles import players
from gameserver.players.quotas import Kept
from gameserver.services.global_entity.rules import NEVER_MS, Authority
from gameserver.storage import SearchedJson, metadata
from gameserver.storage.expiry import Expiry
from gameserver.storage.tables import StoredBy

entities = Table(
    "global_entities",
    metadata,
    Column("entity_id", String(36), primary_key=True),
    Column("app_id", String(64), nullable=False),
    Column("owner_id", String(36)),  # null: a system entity
    Column("entity_type", Text, nullable=False),
    Column("indexed_id", Text),
    Column("version", BigInteger, nullable=False),
    Column("acl_other", Integer, nullable=False),
    Column("data", SearchedJson, nullable=False),
    Column("life_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    Index("global_entities_by_age", "app_id", "created_ms", "entity_id"),
    Index("global_entities_by_type", "app_id", "entity_type", "created_ms", "entity_id"),
    Index("global_entities_by_indexed_id", "app_id", "indexed_id", "created_ms", "entity_id"),
    Index("global_entities_by_owner", "owner_id", "acl_other", "created_ms", "entity_id"),
    Index("global_entities_by_expiry", "expires_ms"),
    info={"stored_by": StoredBy.APP},
)
_c = entities.c
_IS_SYSTEM = _c.owner_id.is_(None)
Index(
    "global_entities_of_system",
    _c.app_id,
    _c.created_ms,
    _c.entity_id,
    sqlite_where=_IS_SYSTEM,
    postgresql_where=_IS_SYSTEM,
)
COLUMNS = tuple(entities.c)

FIELDS = Fields(
    columns={
        "gameId": _c.app_id,
        "entityId": _c.entity_id,
        "ownerId": _c.owner_id,
        "entityType": _c.entity_type,
        "entityIndexedId": _c.indexed_id,
        "version": _c.version,
        "acl.other": _c.acl_other,
        "timeToLive": _c.life_ms,
        "expiresAt": _c.expires_ms,
        "createdAt": _c.created_ms,
        "updatedAt": _c.updated_ms,
    },
    documents={"data": _c.data},
    unique=_c.entity_id,
    default_order=(("createdAt", 1),),
)
KEPT = PlayerTable(entities, "owner_id", {**FIELDS.columns, **FIELDS.documents})

_NOW = bindparam("now_ms", type_=BigInteger)
_PLAYER = bindparam("player", type_=String)
_authority = bindparam("authority", type_=Integer)
_KEY = and_(_c.entity_id == bindparam("entity"), _c.app_id == bindparam("app"))
_IS_OWNER = or_(
    _c.owner_id == _PLAYER,
    _authority == Authority.ALL.value,
    and_(_authority == Authority.SYSTEM.value, _c.owner_id.is_(None)),
)
_READABLE = _c.acl_other >= READABLE
_MAY_READ = or_(_c.owner_id == _PLAYER, _READABLE)
_MAY_WRITE = or_(_IS_OWNER, _c.acl_other >= WRITABLE)

_FITS = and_(_KEY, _c.expires_ms > _NOW, version_fits(_c.version))
_CHANGED = {
    "version": _c.version + 1,
    "updated_ms": _NOW,
    "expires_ms": case((_c.life_ms > 0, _NOW + _c.life_ms), else_=NEVER_MS),
}


def _yes(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    return type_coerce(func.coalesce(condition, False), Boolean).label("allowed")


CREATE = (
    insert(entities)
    .values(
        {column.name: bindparam(column.name) for column in COLUMNS}
        | {"version": 1, "created_ms": _NOW, "updated_ms": _NOW}
    )
    .returning(*COLUMNS)
)

QUOTA = Kept(
    "global entities",
    "global_entities",
    "global_entity_bytes",
    select(func.count(), func.coalesce(func.sum(StoredBytes(_c.data)), 0))
    .select_from(entities)
    .where(
        _c.owner_id == bindparam("owner"), _c.app_id == bindparam("app"), _c.entity_id != bindparam("but")
    ),
)

READ = select(*COLUMNS, _yes(_MAY_READ)).where(_KEY)
READ_SYSTEM = select(*COLUMNS).where(_KEY)

# Why a change did not happen, for those who may write and for those who own.
SEE_WRITE = select(_c.expires_ms, _c.version, _yes(_MAY_WRITE)).where(_KEY)
SEE_OWN = select(_c.expires_ms, _c.version, _yes(_IS_OWNER)).where(_KEY)

SET_DATA = (
    update(entities)
    .where(_FITS, _MAY_WRITE)
    .values(_CHANGED | {"data": bindparam("new_data")})
    .returning(*COLUMNS)
)
SET_INDEXED_ID = (
    update(entities)
    .where(_FITS, _MAY_WRITE)
    .values(_CHANGED | {"indexed_id": bindparam("new_indexed_id")})
    .returning(*COLUMNS)
)
SET_LIFE = (
    update(entities)
    .where(_FITS, _MAY_WRITE)
    .values(_CHANGED | {"life_ms": bindparam("new_life_ms"), "expires_ms": bindparam("new_expires_ms")})
    .returning(*COLUMNS)
)
DELETE = delete(entities).where(_FITS, _MAY_WRITE)

SET_ACL = (
    update(entities)
    .where(_FITS, _IS_OWNER)
    .values(_CHANGED | {"acl_other": bindparam("new_other")})
    .returning(*COLUMNS)
)
FREE = (
    update(entities)
    .where(_FITS, _IS_OWNER)
    .values(_CHANGED | {"acl_other": bindparam("new_other"), "owner_id": None})
    .returning(*COLUMNS)
)
_NEW_OWNER = and_(players.c.profile_id == bindparam("new_owner"), players.c.app_id == bindparam("app"))
HAND_OVER = (
    update(entities)
    .where(_FITS, _IS_OWNER, exists(select(players.c.profile_id).where(_NEW_OWNER)))
    .values(_CHANGED | {"acl_other": bindparam("new_other"), "owner_id": bindparam("new_owner")})
    .returning(*COLUMNS)
)
IS_PLAYER = select(players.c.profile_id).where(_NEW_OWNER)

# An increment reads what it adds to; nobody else may change it in between.
LOCK = select(*COLUMNS).where(_KEY, _c.expires_ms > _NOW, _MAY_WRITE).with_for_update()
SET_SUM = update(entities).where(_KEY).values(_CHANGED | {"data": bindparam("new_data")}).returning(*COLUMNS)

expiry = Expiry(_c.expires_ms)


def visible(app_id: str, player: str | None, now_ms: int) -> ColumnElement[bool]:
    """Return the condition for the entities that a player may read; without a player, that everybody may."""
    return and_(
        _c.app_id == app_id,
        _c.expires_ms > now_ms,
        _READABLE if player is None else or_(_c.owner_id == player, _READABLE),
    )


def of_system(app_id: str, now_ms: int, least: int) -> ColumnElement[bool]:
    """Return the condition for the system entities that allow others at least so much."""
    return and_(_c.app_id == app_id, _c.owner_id.is_(None), _c.expires_ms > now_ms, _c.acl_other >= least)


def alive(now_ms: int) -> ColumnElement[bool]:
    """Return the condition for entities that have not expired."""
    return _c.expires_ms > now_ms


def expired(now_ms: int) -> CTE:
    """Return the entities that have expired, of all apps; they stay for a while, and are few."""
    columns = (_c.app_id, _c.owner_id, _c.entity_type, _c.acl_other, _c.created_ms, _c.entity_id)
    # Materialized, or the database looks for them among all entities that they are asked about.
    return select(*columns).where(_c.expires_ms <= now_ms).cte("expired").prefix_with("MATERIALIZED")


def visible_parts(app_id: str, player: str | None, entity_type: str | None) -> list[Part]:
    """Return what the triggers count of the entities that a player may read, or those of a type."""

    def readable(c: Columns) -> ColumnElement[bool]:
        return and_(c.app_id == app_id, c.acl_other >= READABLE)

    def private(c: Columns) -> ColumnElement[bool]:
        return and_(c.owner_id == player, c.acl_other == NOTHING)

    kind = entity_type or ""
    parts = [Part(entities, f"global_entities:readable:{app_id}", readable, entity_type=kind)]
    if player is not None:
        parts.append(Part(entities, f"global_entities:private:{player}", private, player, kind))
    return parts


def system_parts(app_id: str, entity_type: str | None) -> list[Part]:
    """Return what the triggers count of all system entities, or those of a type."""

    def system(c: Columns) -> ColumnElement[bool]:
        return and_(c.app_id == app_id, c.owner_id.is_(None))

    return [Part(entities, f"global_entities:system:{app_id}", system, entity_type=entity_type or "")]
