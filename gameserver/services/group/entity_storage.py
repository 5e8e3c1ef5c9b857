"""The table of group entities and its statements: a change looks at rights and version by itself."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Index,
    PrimaryKeyConstraint,
    Select,
    SmallInteger,
    String,
    Table,
    Text,
    and_,
    bindparam,
    case,
    delete,
    func,
    insert,
    literal_column,
    or_,
    select,
    true,
    type_coerce,
    update,
)

from gameserver.documents.documents import READABLE, WRITABLE, StoredBytes, version_fits
from gameserver.documents.query import Fields
from gameserver.domain.social.groups import (
    IN_GROUP,
    IS_MEMBER,
    Role,
    group_lock,
    members,
    social_groups,
)
from gameserver.players.lifecycle import PlayerTable
from gameserver.players.quotas import Kept
from gameserver.storage import SearchedJson, metadata
from gameserver.storage.tables import StoredBy

entities = Table(
    "group_entities",
    metadata,
    Column("group_id", String(36), nullable=False),
    Column("entity_id", String(36), nullable=False),
    Column("app_id", String(64), nullable=False),
    Column("owner_id", String(36)),  # null: the group's
    Column("entity_type", Text),
    Column("version", BigInteger, nullable=False),
    Column("acl_member", SmallInteger, nullable=False),
    Column("acl_other", SmallInteger, nullable=False),
    Column("data", SearchedJson, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    PrimaryKeyConstraint("group_id", "entity_id"),
    Index("group_entities_by_age", "group_id", "created_ms", "entity_id"),
    Index("group_entities_by_type", "group_id", "entity_type", "created_ms", "entity_id"),
    Index("group_entities_by_owner", "owner_id", "created_ms", "entity_id"),
    info={"stored_by": StoredBy.GROUP},
)
_c = entities.c
COLUMNS = tuple(_c)

_OF_OWNER = {
    "groupId": _c.group_id,
    "entityId": _c.entity_id,
    "entityType": _c.entity_type,
    "version": _c.version,
    "acl.member": _c.acl_member,
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
KEPT = PlayerTable(entities, "owner_id", {**_OF_OWNER, **FIELDS.documents})

_PLAYER = bindparam("player", type_=String)
_APP = bindparam("app", type_=String)
_NOW = bindparam("now_ms", type_=BigInteger)
_ONE = and_(_c.group_id == bindparam("group"), _c.entity_id == bindparam("entity"), _c.app_id == _APP)
_g, _m = social_groups.c, members.c
_ROLE = select(_m.role).where(IN_GROUP, IS_MEMBER, _m.profile_id == _PLAYER).scalar_subquery()
_IS_MEMBER = _ROLE.is_not(None)


def _owns(role: ColumnElement[Any], player: Any) -> ColumnElement[bool]:
    """Who has left the group is an outsider to what they own, until they return."""
    manages = role.in_([literal_column(f"'{each}'") for each in Role if each.manages])
    return or_(and_(_c.owner_id == player, role.is_not(None)), manages)


def _allows(role: ColumnElement[Any], player: Any, least: int) -> ColumnElement[bool]:
    return or_(_owns(role, player), case((role.is_not(None), _c.acl_member), else_=_c.acl_other) >= least)


_OWNS = _owns(_ROLE, _PLAYER)
_MAY_READ = _allows(_ROLE, _PLAYER, READABLE)
_MAY_WRITE = _allows(_ROLE, _PLAYER, WRITABLE)


def _told(condition: ColumnElement[bool]) -> tuple[ColumnElement[Any], ...]:
    allowed = type_coerce(func.coalesce(condition, False), Boolean)
    return (allowed.label("allowed"), _ROLE.label("role"))


def _see(condition: ColumnElement[bool]) -> Select[Any]:
    """Why a change did not happen."""
    return select(_c.version, _c.owner_id, *_told(condition)).where(_ONE)


READ = select(*COLUMNS, *_told(_MAY_READ)).where(_ONE)
SYS_READ = select(*COLUMNS).where(_ONE)
SEE_WRITE, SEE_OWN = _see(_MAY_WRITE), _see(_OWNS)
SYS_SEE = select(_c.version, true().label("allowed")).where(_ONE)


def _insert(*conditions: ColumnElement[bool]) -> Any:
    """Add an entity to a group of the app, which nobody deletes meanwhile."""

    def new(name: str, column: str) -> ColumnElement[Any]:
        return bindparam(name, type_=_c[column].type)

    values: dict[str, ColumnElement[Any]] = {
        "group_id": _g.group_id,
        "entity_id": new("new_id", "entity_id"),
        "app_id": _g.app_id,
        "owner_id": new("new_owner", "owner_id"),
        "entity_type": new("new_type", "entity_type"),
        "version": literal_column("1", BigInteger),
        "acl_member": new("new_member", "acl_member"),
        "acl_other": new("new_other", "acl_other"),
        "data": new("new_data", "data"),
        "created_ms": _NOW,
        "updated_ms": _NOW,
    }
    chosen = (
        select(*values.values())
        .where(_g.group_id == bindparam("group"), _g.app_id == _APP, *conditions)
        .with_for_update(read=True, key_share=True)
    )
    return insert(entities).from_select(list(values), chosen).returning(*COLUMNS)


CREATE, SYS_CREATE = _insert(_IS_MEMBER), _insert()
QUOTA = Kept(
    "entities",
    "group_entities",
    "group_entity_bytes",
    select(func.count(), func.coalesce(func.sum(StoredBytes(_c.data)), 0))
    .select_from(entities)
    .where(
        _c.group_id == bindparam("owner"), _c.app_id == bindparam("app"), _c.entity_id != bindparam("but")
    ),
    of="group",
    lock=group_lock,
)

_FITS = version_fits(_c.version)
_CHANGED = {"version": _c.version + 1, "updated_ms": _NOW}
_NEW_DATA = _CHANGED | {"data": bindparam("new_data")}
_new_member = bindparam("new_member", type_=SmallInteger)
_NEW_ACL = _CHANGED | {"acl_member": _new_member, "acl_other": bindparam("new_other")}
_STATE = tuple(column for column in COLUMNS if column is not _c.data)

SET_DATA = update(entities).where(_ONE, _FITS, _MAY_WRITE).values(_NEW_DATA).returning(_c.version)
SYS_SET_DATA = update(entities).where(_ONE, _FITS).values(_NEW_DATA).returning(_c.version)
SET_ACL = (
    update(entities)
    .where(_ONE, _OWNS, or_(_c.owner_id.is_not(None), _new_member >= WRITABLE))
    .values(_NEW_ACL)
    .returning(*_STATE)
)
SYS_SET_ACL = update(entities).where(_ONE).values(_NEW_ACL).returning(*_STATE)
DELETE = delete(entities).where(_ONE, _FITS, _MAY_WRITE)
SYS_DELETE = delete(entities).where(_ONE, _FITS)

# An increment reads what it adds to; nobody else may change it in between.
LOCK = select(_c.data).where(_ONE, _MAY_WRITE).with_for_update()
SYS_LOCK = select(_c.data).where(_ONE).with_for_update()
SET_SUM = update(entities).where(_ONE).values(_NEW_DATA)

# Whose pages are read, with the parameters `group`, `app` and `player`
OF_GROUP = and_(_c.group_id == bindparam("group"), _c.app_id == _APP)
MAY_READ = and_(OF_GROUP, _MAY_READ)
DELETE_ALL = delete(entities).where(OF_GROUP)
