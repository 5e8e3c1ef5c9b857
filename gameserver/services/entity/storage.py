"""The table of entities, and the statements of the service."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Index,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
    Text,
    and_,
    bindparam,
    delete,
    false,
    func,
    insert,
    literal_column,
    or_,
    select,
    true,
    update,
)

from gameserver.documents import list_counts
from gameserver.documents.documents import READABLE, VERSION_ANY, WRITABLE, StoredBytes, version_fits
from gameserver.documents.list_counts import Part
from gameserver.documents.query import Fields
from gameserver.players.lifecycle import PlayerTable
from gameserver.players.quotas import Kept
from gameserver.services.entity.rules import ALL_MAX
from gameserver.storage import SearchedJson, excluded, metadata, upsert
from gameserver.storage.tables import StoredBy

entities = Table(
    "entities",
    metadata,
    Column("owner_id", String(36), nullable=False),
    Column("entity_id", String(36), nullable=False),
    Column("app_id", String(64), nullable=False),
    Column("entity_type", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("acl_other", SmallInteger, nullable=False),
    Column("is_singleton", Boolean, nullable=False),  # made by UPDATE_SINGLETON: one for each owner and type
    Column("data", SearchedJson, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    PrimaryKeyConstraint("owner_id", "entity_id"),
    info={"stored_by": StoredBy.PLAYER},
)
_c = entities.c
# Spelled alike where the index is made and where it is meant, or the engines do not know it again.
_IS_SINGLETON: ColumnElement[bool] = literal_column("is_singleton")
Index("entities_by_age", _c.owner_id, _c.created_ms, _c.entity_id)
Index("entities_by_type", _c.owner_id, _c.entity_type, _c.created_ms, _c.entity_id)
Index(
    "entities_singletons",
    _c.owner_id,
    _c.entity_type,
    unique=True,
    sqlite_where=_IS_SINGLETON,
    postgresql_where=_IS_SINGLETON,
)

_OF_OWNER = {
    "entityId": _c.entity_id,
    "entityType": _c.entity_type,
    "version": _c.version,
    "acl.other": _c.acl_other,
    "createdAt": _c.created_ms,
    "updatedAt": _c.updated_ms,
}
FIELDS = Fields(
    columns={"gameId": _c.app_id, "ownerId": _c.owner_id, **_OF_OWNER},
    documents={"data": _c.data},
    unique=_c.entity_id,
    default_order=(("createdAt", 1),),
)
KEPT = (
    # To be deleted before the rows they count, whose going would be noted one by one.
    PlayerTable(list_counts.tallies, "owner_id", {}, reset=True, moves=False),
    PlayerTable(entities, "owner_id", {**_OF_OWNER, **FIELDS.documents}, reset=True),
)

_STATE = (
    _c.owner_id,
    _c.entity_id,
    _c.entity_type,
    _c.version,
    _c.acl_other,
    _c.created_ms,
    _c.updated_ms,
)
COLUMNS = (*_STATE, _c.data)

_OWNED = and_(_c.owner_id == bindparam("owner"), _c.app_id == bindparam("app"))
_ONE = and_(_OWNED, _c.entity_id == bindparam("entity"))
_OF_TYPE = and_(_OWNED, _c.entity_type == bindparam("type"))
_FITS = version_fits(_c.version)
_NEXT = {"version": _c.version + 1, "updated_ms": bindparam("now_ms")}
_NEW_TYPE = func.coalesce(bindparam("new_type", type_=Text()), _c.entity_type)
_RETYPED = {"entity_type": _NEW_TYPE, "is_singleton": and_(_c.is_singleton, _c.entity_type == _NEW_TYPE)}

_NEW: dict[str, Any] = {
    name: bindparam(name) for name in ("owner_id", "entity_id", "app_id", "entity_type", "acl_other", "data")
} | {"version": literal_column("1"), "created_ms": bindparam("now_ms"), "updated_ms": bindparam("now_ms")}
CREATE = insert(entities).values(_NEW | {"is_singleton": false()})

READ = select(*COLUMNS).where(_ONE)
READ_STATE = select(*_STATE).where(_ONE)
LOCK = READ.with_for_update()
SET_DATA = update(entities).where(_ONE).values(_NEXT | {"data": bindparam("new_data")})

_OLDEST_FIRST = (_c.created_ms, _c.entity_id)
LIST = select(*COLUMNS).where(_OWNED, _c.acl_other >= bindparam("least"))
COUNT = select(func.count()).select_from(entities).where(_OWNED)
_STORED = func.coalesce(func.sum(StoredBytes(_c.data)), 0)
QUOTA = Kept(
    "entities",
    "entities",
    "entity_bytes",
    select(func.count(), _STORED).select_from(entities).where(_OWNED, _c.entity_id != bindparam("but")),
)
READ_SHARED = LIST.order_by(*_OLDEST_FIRST).limit(ALL_MAX + 1)
READ_BY_TYPE = select(*COLUMNS).where(_OF_TYPE).order_by(*_OLDEST_FIRST).limit(ALL_MAX + 1)
_SHARED = (
    _c.owner_id.in_(bindparam("owners", expanding=True)),
    _c.app_id == bindparam("app"),
    _c.acl_other >= READABLE,
)
READ_SHARED_OF = select(*COLUMNS).where(*_SHARED).order_by(_c.owner_id, *_OLDEST_FIRST).limit(ALL_MAX + 1)
READ_SHARED_OF_TYPE = READ_SHARED_OF.where(_c.entity_type == bindparam("type"))
READ_SHARED_OF_ID = READ_SHARED_OF.where(_c.entity_id == bindparam("entity"))

UPDATE = (
    update(entities)
    .where(_ONE, _FITS)
    .values(_NEXT | _RETYPED | {"acl_other": bindparam("new_acl"), "data": bindparam("new_data")})
    .returning(*_STATE)
)
UPDATE_SHARED = (
    update(entities)
    .where(_ONE, _FITS, or_(_c.owner_id == bindparam("caller"), _c.acl_other >= WRITABLE))
    .values(_NEXT | _RETYPED | {"data": bindparam("new_data")})
    .returning(*_STATE)
)
DELETE = delete(entities).where(_ONE, _FITS)

# Of several entities of a type, the one that was made as a singleton is the singleton, or else the oldest.
_SINGLETON_FIRST = (_c.is_singleton.desc(), *_OLDEST_FIRST)
READ_SINGLETON = select(*COLUMNS).where(_OF_TYPE).order_by(*_SINGLETON_FIRST).limit(1)
_SINGLETON_ID = select(_c.entity_id).where(_OF_TYPE).order_by(*_SINGLETON_FIRST).limit(1).scalar_subquery()
_SINGLETON = and_(_OWNED, _c.entity_id == _SINGLETON_ID, _FITS)
UPDATE_SINGLETON = (
    update(entities)
    .where(_SINGLETON)
    .values(_NEXT | {"acl_other": bindparam("new_acl"), "data": bindparam("new_data")})
    .returning(*_STATE)
)
DELETE_SINGLETON = delete(entities).where(_SINGLETON)
_wanted = bindparam("wanted", type_=BigInteger())
CREATE_SINGLETON = upsert(
    entities,
    ["owner_id", "entity_type"],
    _NEXT | {name: excluded(entities)[name] for name in ("acl_other", "data")},
    values=_NEW | {"is_singleton": true()},
    where=or_(_wanted == VERSION_ANY, _c.version == _wanted),
    index_where=_IS_SINGLETON,
    returning=_STATE,
)


def owned_by(app_id: str, owner: str) -> ColumnElement[bool]:
    """Return the condition for all entities of a player."""
    return and_(_c.owner_id == owner, _c.app_id == app_id)


def part(owner: str, entity_type: str | None) -> Part:
    """Return what the triggers count of a player's entities: those of a type, or all of them."""
    return Part(entities, f"entities:{owner}", lambda c: c.owner_id == owner, owner, entity_type or "")
